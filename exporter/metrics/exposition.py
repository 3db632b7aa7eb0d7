"""From what is known to exposition text: the lines of a family, and prometheus_client's way to the same.

The text is byte for byte what prometheus_client makes of the same samples, whose collector is below. A line is the
same in all three formats (text 0.0.4, text 1.0.0, OpenMetrics); only the families' headers and the end differ.
"""

from __future__ import annotations

import re
from operator import itemgetter
from typing import TYPE_CHECKING, TypeVar

from prometheus_client import Metric
from prometheus_client.utils import floatToGoString

from exporter.metrics.families import (
    PROPERTY_DATA_FAMILIES,
    PROPERTY_HEALTH_FAMILIES,
    Family,
    PropertyFamily,
    TrunkFamily,
    trunk_families,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from exporter.config import Metrics
    from exporter.metrics.families import Samples
    from exporter.model import PropertyView, Shown, Trunk

AnyFamily = TypeVar("AnyFamily", TrunkFamily, PropertyFamily)

_float: Callable[[float], str] = floatToGoString
_SMALL = tuple(map(_float, range(1000)))
_EXPONENT_FROM, _EXACT_BELOW = 10**6, 10**15
# Stands where a Sid will: a line's end is in no escaped text.
_MARK = "\n\n"
_SPECIAL = re.compile(r'[\\\n"]')


def number(value: float) -> str:
    """Write a value as prometheus_client does; nearly all are small integers or Unix times, so these go fast."""
    if isinstance(value, int):
        if 0 <= value < len(_SMALL):
            return _SMALL[value]
        if _EXPONENT_FROM <= value < _EXACT_BELOW:
            digits = str(value)
            return f"{f'{digits[0]}.{digits[1:]}'.rstrip('0.')}e+{len(digits) - 1:02d}"
    return _float(value)


def escape(value: str) -> str:
    """Escape a label value as the text formats ask."""
    if not _SPECIAL.search(value):
        return value
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


class Lines:
    """Writes the lines of one family for one subject after another: the trunks of a property, or properties.

    What differs from one subject to the next is often just its Sid, the last of the identity labels: the text around
    it is made once for the same samples. `outer` holds the values of the identity labels before it.
    """

    def __init__(self, family: Family, *outer: str) -> None:
        self._family = family
        subject = family.identity[-1]
        fixed = {name: escape(value).replace("%", "%%") for name, value in zip(family.identity, outer, strict=False)}
        names = sorted(family.label_names)
        labels = ",".join(f'{name}="{fixed.get(name, "%s")}"' for name in names)
        self._template = f"{family.name}{{{labels}}} %s\n"
        given = [*family.labels, subject, ""]
        order = [given.index(name) for name in [*names, ""] if name not in fixed]
        self._in_order: Callable[[Sequence[str]], tuple[str, ...]] = itemgetter(*order)
        without_sid: str = "" if family.labels else self._template % self._in_order((_MARK, ""))
        self.before, _, self.after = without_sid.removesuffix("\n").partition(_MARK)
        self._made: dict[Samples, list[str]] = {}

    def line(self, sid: str, values: tuple[str, ...], value: float) -> str:
        """Give the line of one sample of the subject with this Sid, which is escaped already."""
        if len(values) != len(self._family.labels):
            names, given = self._family.label_names, len(values) + len(self._family.identity)
            raise ValueError(f"{self._family.name} has {len(names)} labels, but a sample with {given} values")
        if _SPECIAL.search("".join(values)):
            values = tuple(map(escape, values))
        return self._template % self._in_order((*values, sid, number(value)))

    def around(self, samples: Samples) -> list[str]:
        """Give the texts between which a subject's Sid makes the lines of its samples."""
        texts = self._made.get(samples)
        if texts is None:
            if len(self._made) >= 1000:  # noqa: PLR2004 - most of what is seen is seen often
                self._made.clear()
            whole = "".join([self.line(_MARK, values, value) for values, value in samples])
            texts = self._made[samples] = whole.split(_MARK) if samples else []
        return texts


def trunk_lines(
    family: TrunkFamily, property_sid: str, sids: Sequence[str], trunks: Sequence[Trunk], now: float
) -> str:
    """Give a property's lines of a family; `sids` are those of the trunks, escaped."""
    lines = Lines(family, property_sid)
    subjects = zip(sids, trunks, strict=True)
    if value := family.value:
        before, after = lines.before, lines.after
        return "".join(
            [
                f"{before}{sid}{after}{number(known)}\n"
                for sid, trunk in subjects
                if (known := value(trunk, now)) is not None
            ]
        )
    if len(family.labels) > 1:
        # The descriptive fields of a trunk are hardly ever those of another.
        write = lines.line
        return "".join([write(sid, *sample) for sid, trunk in subjects for sample in family.samples(trunk, now)])
    return "".join([sid.join(lines.around(family.samples(trunk, now))) for sid, trunk in subjects])


class PropertyLines:
    """Gives the properties' lines of a family."""

    def __init__(self, family: PropertyFamily) -> None:
        self._family = family
        self._lines = Lines(family)

    def of(self, properties: Iterable[Shown]) -> str:
        """Give the lines of these properties, one after another."""
        family, lines = self._family, self._lines
        if value := family.value:
            return "".join(
                [
                    f"{lines.before}{escape(shown.identity.sid)}{lines.after}{number(known)}\n"
                    for shown in properties
                    if (known := value(shown)) is not None
                ]
            )
        return "".join([escape(shown.identity.sid).join(lines.around(family.samples(shown))) for shown in properties])


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
        self._per_trunk = self._published(per_trunk)
        per_property, health = self._published(PROPERTY_DATA_FAMILIES), self._published(PROPERTY_HEALTH_FAMILIES)
        self._per_property = [PropertyLines(family) for family in per_property]
        self._health = [PropertyLines(family) for family in health]
        self.data_families: tuple[Family, ...] = (*self._per_trunk, *per_property)
        self.families: tuple[Family, ...] = (*self.data_families, *health)

    def _published(self, families: Iterable[AnyFamily]) -> tuple[AnyFamily, ...]:
        return tuple(family for family in families if family.name not in self.excluded)

    def data(self, shown: Shown, trunks: Sequence[Trunk], now: float) -> list[bytes]:
        """Render what the last good list says at the Unix time `now`: a property's text for each of `data_families`."""
        sids = [escape(trunk.sid) for trunk in trunks]
        texts = [trunk_lines(family, shown.identity.sid, sids, trunks, now) for family in self._per_trunk]
        texts += [lines.of([shown]) for lines in self._per_property]
        return [text.encode() for text in texts]

    def health(self, properties: Collection[Shown]) -> list[bytes]:
        """Render how the polling goes: the text of these properties for each of the other families."""
        return [lines.of(properties).encode() for lines in self._health]


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
                for values, value in family.rows(view):
                    metric.add_sample(family.name, dict(zip(family.label_names, values, strict=True)), value)
            if metric.samples:
                yield metric
