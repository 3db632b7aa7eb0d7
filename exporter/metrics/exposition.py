"""From a property to exposition text, once when it changes; from all properties to a scrape, by joining.

The text is byte for byte what prometheus_client makes of the same samples, whose collector is below. A line is the
same in all three formats (text 0.0.4, text 1.0.0, OpenMetrics); only the families' headers and the end differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Metric
from prometheus_client.utils import floatToGoString

from exporter.metrics.families import (
    PROPERTY_DATA_FAMILIES,
    PROPERTY_HEALTH_FAMILIES,
    Family,
    trunk_families,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from exporter.config import Metrics
    from exporter.model import PropertyView

_number: Callable[[float], str] = floatToGoString

Segments = dict[str, bytes]
"""Rendered lines by family."""


def escape(value: str) -> str:
    """Escape a label value as the text formats ask."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def render(family: Family, view: PropertyView) -> bytes:
    """Give the property's lines of one family, each with its labels in the order of their names."""
    names = family.label_names
    order = sorted(range(len(names)), key=names.__getitem__)
    line = family.name + "{" + ",".join(f'{names[index]}="%s"' for index in order) + "} %s\n"
    lines = []
    for values, number in family.rows(view):
        if len(values) != len(names):
            raise ValueError(f"{family.name} has {len(names)} labels, but a sample with {len(values)} values")
        lines.append(line % (*(escape(values[index]) for index in order), _number(number)))
    return "".join(lines).encode()


def header(family: Family, *, openmetrics: bool) -> bytes:
    """Give the HELP and TYPE lines; OpenMetrics names a counter without its `_total`."""
    name = base_name(family) if openmetrics else family.name
    return f"# HELP {name} {family.help}\n# TYPE {name} {family.type}\n".encode()


def base_name(family: Family) -> str:
    """Give the family's name as OpenMetrics has it."""
    return family.name.removesuffix("_total") if family.type == "counter" else family.name


class Renderer:
    """Renders what the configuration wants published; data and health apart, because they change apart."""

    def __init__(self, metrics: Metrics) -> None:
        self.excluded = frozenset(metrics.exclude)
        per_trunk = trunk_families(metrics.info_labels) if metrics.detail == "trunk" else ()
        self.data_families = self._published((*per_trunk, *PROPERTY_DATA_FAMILIES))
        self.health_families = self._published(PROPERTY_HEALTH_FAMILIES)
        self.families = (*self.data_families, *self.health_families)

    def _published(self, families: Iterable[Family]) -> tuple[Family, ...]:
        return tuple(family for family in families if family.name not in self.excluded)

    def data(self, view: PropertyView) -> Segments:
        """Render what the last good list says."""
        return {family.name: render(family, view) for family in self.data_families}

    def health(self, view: PropertyView) -> Segments:
        """Render how the polling goes."""
        return {family.name: render(family, view) for family in self.health_families}


def join(
    families: Iterable[Family],
    properties: Collection[Mapping[str, bytes]],
    *,
    openmetrics: bool,
) -> bytes:
    """Join the properties' segments, families outermost so that each stays in one piece."""
    parts: list[bytes] = []
    for family in families:
        segments = [segments[family.name] for segments in properties if segments.get(family.name)]
        if segments:
            parts.append(header(family, openmetrics=openmetrics))
            parts.extend(segments)
    return b"".join(parts)


class FamiliesCollector:
    """The same families as a prometheus_client collector: the reference, and a way into another registry."""

    def __init__(self, families: Iterable[Family], views: Collection[PropertyView]) -> None:
        self._families = tuple(families)
        self._views = views

    def describe(self) -> Iterator[Metric]:
        """Give the families without samples, so that duplicates and `name[]` are seen."""
        for family in self._families:
            yield Metric(base_name(family), family.help, family.type)

    def collect(self) -> Iterator[Metric]:
        """Give the families that have samples."""
        for family, metric in zip(self._families, self.describe(), strict=True):
            for view in self._views:
                for values, number in family.rows(view):
                    metric.add_sample(family.name, dict(zip(family.label_names, values, strict=True)), number)
            if metric.samples:
                yield metric
