"""From what is known to exposition text: the lines of a family, and prometheus_client's way to the same.

The text is byte for byte what prometheus_client makes of the same samples, whose collector is below. A line is the
same in all three formats (text 0.0.4, text 1.0.0, OpenMetrics); only the families' headers and the end differ.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import chain, repeat
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar, cast

import msgspec
from prometheus_client import Metric
from prometheus_client.utils import floatToGoString

from exporter.metrics.families import LAYERS, Family, PropertyFamily, TrunkFamily, trunk_families
from exporter.model import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from exporter.config import Metrics
    from exporter.metrics.families import Samples
    from exporter.model import PropertyView, Shown, Trunk

AnyFamily = TypeVar("AnyFamily", TrunkFamily, PropertyFamily)

# A property's times are written again when those of its neighbours have changed.
_float: Callable[[float], str] = lru_cache(maxsize=4096)(floatToGoString)
_SMALL: tuple[str, ...] = tuple(map(floatToGoString, range(1000)))
_EXPONENT_FROM, _BILLION, _EXACT_BELOW = 10**6, 10**9, 10**15
_EXPONENTS = tuple(f"e+{digits - 1:02d}" for digits in range(16))
# Stands where a Sid will: a line's end is in no escaped text.
_MARK = "\n\n"
_KEPT_STEMS = 1000


def number(value: float) -> str:
    """Write a value as prometheus_client does; nearly all are small integers or Unix times, so these go fast."""
    if not isinstance(value, int):
        # 0.0 and -0.0 would be one to a cache.
        return _float(value) if value else repr(value)
    if 0 <= value < len(_SMALL):
        return _SMALL[value]
    if _EXPONENT_FROM <= value < _EXACT_BELOW:
        digits = str(value)
        mantissa = f"{digits[0]}.{digits[1:]}"
        return (mantissa if value % 10 else mantissa.rstrip("0.")) + _EXPONENTS[len(digits)]
    return _float(value)


def numbers(values: Sequence[int]) -> Sequence[str]:
    """Write values as `number` does, for the two usual kinds of a column several times as fast."""
    least, most = min(values, default=0), max(values, default=0)
    if least >= 0 and most < len(_SMALL):
        return [_SMALL[value] for value in values]
    if least >= _BILLION and most < 10 * _BILLION:
        # Unix times since 2001: the shortest text of the quotient has just the digits of the number.
        text = msgspec.json.encode([value / _BILLION for value in values]).decode()[1:-1] + ","
        return text.replace(".0,", ",").replace(",", "e+09,").split(",")[:-1]
    return list(map(number, values))


def _special(text: str) -> bool:
    # A regular expression would take ten times as long.
    return "\\" in text or '"' in text or "\n" in text


def escape(value: str) -> str:
    """Escape a label value as the text formats ask."""
    if not _special(value):
        return value
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def escaped(values: Sequence[str]) -> Sequence[str]:
    """Escape many label values, of which hardly ever one needs it."""
    return list(map(escape, values)) if _special("".join(values)) else values


class Stems(dict[tuple[str, ...], tuple[str, ...]]):
    """What is the same in many lines of a family: the texts around the Sids, by the values of the family's own labels.

    The last text is followed by the number. Raises ValueError for too few or too many values.
    """

    def __init__(self, family: Family) -> None:
        super().__init__()
        self._family = family

    def __missing__(self, values: tuple[str, ...]) -> tuple[str, ...]:
        family = self._family
        given = [*(_MARK for _ in family.identity), *map(escape, values)]
        if len(given) != len(family.label_names):
            wanted = len(family.label_names)
            raise ValueError(f"{family.name} has {wanted} labels, but a sample with {len(given)} values")
        labels = ",".join(f'{name}="{text}"' for name, text in sorted(zip(family.label_names, given, strict=True)))
        stem = tuple(f"{family.name}{{{labels}}} ".split(_MARK))
        if len(self) < _KEPT_STEMS:
            self[values] = stem
        return stem


class TrunkLines:
    """Writes the lines of a family for one property after another."""

    def __init__(self, family: TrunkFamily) -> None:
        self._family = family
        self._stems = Stems(family)

    def of(
        self, property_sid: str, sids: Sequence[str], trunks: Sequence[Trunk], now: float, since: Sequence[int]
    ) -> str:
        """Give a property's lines at the Unix time `now`; all Sids, `sids` those of the trunks, are escaped."""
        family = self._family
        if family.field:
            return self._numbers(property_sid, sids, list(map(attrgetter(family.field), trunks)))
        if family.since:
            return self._numbers(property_sid, sids, [each if each > 0 else None for each in since])
        if family.choice:
            return self._chosen(property_sid, sids, trunks, family.choice)
        if family.value:
            value = family.value
            return self._numbers(property_sid, sids, [value(trunk, now) for trunk in trunks])
        return self._texts(property_sid, sids, trunks)

    def _numbers(self, property_sid: str, sids: Sequence[str], values: Sequence[int | None]) -> str:
        """Write a line for each trunk whose value is known."""
        unset = self._family.unset
        if not unset.isdisjoint(values):
            both = [(sid, value) for sid, value in zip(sids, values, strict=False) if value not in unset]
            sids, values = [sid for sid, _ in both], [value for _, value in both]
        head, middle, after = self._stems[()]
        before = f"{head}{property_sid}{middle}"
        lines = f"\n{before}".join(map(after.join, zip(sids, numbers(cast("Sequence[int]", values)), strict=False)))
        return f"{before}{lines}\n" if lines else ""

    def _chosen(
        self, property_sid: str, sids: Sequence[str], trunks: Sequence[Trunk], choice: Callable[[Trunk], int | None]
    ) -> str:
        """Write the same lines for all trunks with the same choice, the Sid alone being another."""
        keys = list(map(choice, trunks))
        choices = self._family.choices
        around = {key: self._around(property_sid, choices.get(key, ())) for key in set(keys)}
        return "".join(map(str.join, sids, map(around.__getitem__, keys)))

    def _around(self, property_sid: str, samples: Samples) -> list[str]:
        stems = self._stems
        lines = [
            f"{stems[values][0]}{property_sid}{stems[values][1]}{_MARK}{stems[values][2]}{number(value)}\n"
            for values, value in samples
        ]
        return "".join(lines).split(_MARK)

    def _texts(self, property_sid: str, sids: Sequence[str], trunks: Sequence[Trunk]) -> str:
        """Write lines of which hardly any two are alike."""
        columns = {"property_sid": repeat(property_sid), "trunk_sid": sids}
        for name, text in zip(self._family.labels, self._family.texts, strict=True):
            columns[name] = escaped([each or "" for each in map(text, trunks)])
        # In between is what is the same in all lines.
        first, *others, last = "%s".join(self._stems[("%s",) * len(self._family.labels)]).split("%s")
        line: list[Iterable[str]] = [repeat(first)]
        for name, after in zip(sorted(columns), (*others, f"{last}{number(1)}\n"), strict=True):
            line += columns[name], repeat(after)
        return "".join(chain.from_iterable(zip(*line, strict=False)))


class PropertyLines:
    """Writes the lines of a family for properties."""

    def __init__(self, family: PropertyFamily) -> None:
        self._family = family
        self._stems = Stems(family)
        self._made: dict[Samples, list[str]] = {}

    def of(self, sids: Sequence[str], properties: Sequence[Shown]) -> str:
        """Give the lines of these properties, one after another; `sids` are theirs, escaped."""
        both = zip(sids, properties, strict=True)
        if value := self._family.value:
            before, after = self._stems[()]
            return "".join(
                [f"{before}{sid}{after}{number(known)}\n" for sid, shown in both if (known := value(shown)) is not None]
            )
        return "".join([sid.join(self._around(self._family.samples(shown))) for sid, shown in both])

    def _around(self, samples: Samples) -> list[str]:
        """Give the texts between which a property's Sid makes the lines of its samples; many are those of others."""
        texts = self._made.get(samples)
        if texts is None:
            stems = self._stems
            lines = [f"{stems[values][0]}{_MARK}{stems[values][1]}{number(value)}\n" for values, value in samples]
            texts = "".join(lines).split(_MARK)
            # What has a sample for each of many trunks is that of no other property, and is soon outdated.
            if len(self._made) < _KEPT_STEMS and len(samples) <= len(KINDS):
                self._made[samples] = texts
        return texts


def header(family: Family, *, openmetrics: bool) -> bytes:
    """Give the HELP and TYPE lines; OpenMetrics names a counter without its `_total`."""
    name = base_name(family) if openmetrics else family.name
    return f"# HELP {name} {family.help}\n# TYPE {name} {family.type}\n".encode()


def base_name(family: Family) -> str:
    """Give the family's name as OpenMetrics has it."""
    return family.name.removesuffix("_total") if family.type == "counter" else family.name


class Renderer:
    """Renders what the configuration wants published: `trunk_families`, and the families of each of `LAYERS`."""

    def __init__(self, metrics: Metrics) -> None:
        self.excluded = frozenset(metrics.exclude)
        self.trunk_families = self._published(trunk_families(metrics.info_labels) if metrics.detail == "trunk" else ())
        layers = [self._published(layer.families) for layer in LAYERS]
        self.families: tuple[Family, ...] = (*self.trunk_families, *(family for layer in layers for family in layer))
        self._trunk_lines = [TrunkLines(family) for family in self.trunk_families]
        self._property_lines = [[PropertyLines(family) for family in layer] for layer in layers]

    def _published(self, families: Iterable[AnyFamily]) -> tuple[AnyFamily, ...]:
        return tuple(family for family in families if family.name not in self.excluded)

    def trunks(self, property_sid: str, trunks: Sequence[Trunk], now: float, since: Sequence[int] = ()) -> list[bytes]:
        """Render a property's trunks as they are at the Unix time `now`: the text for each of `trunk_families`."""
        property_sid, sids = escape(property_sid), escaped([trunk.sid for trunk in trunks])
        return [lines.of(property_sid, sids, trunks, now, since).encode() for lines in self._trunk_lines]

    def properties(self, layer: int, properties: Sequence[Shown]) -> list[bytes]:
        """Render these properties: the text for each family of a layer, by its place in `LAYERS`."""
        sids = escaped([shown.identity.sid for shown in properties])
        return [lines.of(sids, properties).encode() for lines in self._property_lines[layer]]


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
