"""A scrape: which format and which families are wanted, and the body, made once for each version of the data."""

from __future__ import annotations

import asyncio
import re
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING

import msgspec
from prometheus_client.exposition import choose_encoder, generate_latest
from prometheus_client.openmetrics.exposition import ALLOWUTF8
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from exporter.metrics.exposition import base_name, header
from exporter.metrics.segments import checksum, gzip, inflate, segment

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from prometheus_client import CollectorRegistry, Metric

    from exporter.metrics.families import Family
    from exporter.metrics.segments import Segment
    from exporter.metrics.snapshot import Snapshot

OPENMETRICS = "application/openmetrics-text"

# Our names are legal in every scheme, so all give the same, and the one that looks for nothing to escape is used.
# These two would change them all the same, and a scraper that asks for one reads in the Content-Type which one it got.
_ESCAPING = re.compile(r"escaping=(dots|values)")
# prometheus_client echoes whatever version from 1.0.0 on was asked for.
_OPENMETRICS_VERSION = re.compile(rf"^({re.escape(OPENMETRICS)}; version=)[^;]*")
_PLAIN = ("text/plain", "text/*", "*/*")


class Scrape(msgspec.Struct, frozen=True):
    """An answer to a scrape, its body not yet put together; `length` is that of the body in bytes."""

    content_type: str
    gzip: bool
    length: int
    _deflated: Sequence[bytes]

    def pieces(self) -> Iterator[bytes]:
        """Give the body in pieces, small ones too; where it is not compressed, they are unpacked one by one."""
        return iter(self._deflated) if self.gzip else inflate(self._deflated)

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self.pieces())


class _Part(msgspec.Struct, frozen=True):
    """Segments that lie one behind the other in a body; `of` is what they were made of."""

    deflated: tuple[bytes, ...]
    crc: int
    size: int
    of: object = None

    @classmethod
    def made(cls, segments: Sequence[Segment]) -> _Part:
        """Put segments together."""
        crc, size = checksum((each.crc, each.size) for each in segments)
        return cls(tuple([each.deflated for each in segments]), crc, size, segments)


class Scraper:
    """Answers scrapes from the snapshot, followed by the exporter's own metrics from their registry."""

    def __init__(self, snapshot: Snapshot, own: CollectorRegistry) -> None:
        self._snapshot = snapshot
        self._own = own
        # Shared by all scrapes: what all the families are in a version, and what each is as long as it stays.
        self._assemblies: dict[bool, _Part] = {}
        self._families: dict[str, _Part] = {}
        self._one_at_a_time = asyncio.Lock()
        # The exporter's own metrics, for all scrapes that were asked for before they were collected.
        self._asked = self._collected_for = 0
        self._collected: list[Metric] = []
        self._ends: dict[object, Segment] = {}

    async def scrape(self, accept: str, accept_encoding: str, names: Collection[str] = ()) -> Scrape:
        """Give the exposition in the format that `Accept` asks for; `names` picks families, none means all."""
        content_type = _negotiate(accept)
        openmetrics = content_type.startswith(OPENMETRICS)
        gzip_accepted = "gzip" in (coding for coding, _ in _preferences(accept_encoding))
        chosen = frozenset(filter(None, names))
        self._asked += 1
        asked = self._asked
        async with self._one_at_a_time:
            # Those that come together have the loop go round between them.
            await asyncio.sleep(0)
            await self._snapshot.refresh()
            data = self._assembled(chosen, openmetrics=openmetrics)
            if asked > self._collected_for:
                self._collected_for, self._collected, self._ends = self._asked, list(self._own.collect()), {}
            end = self._end(chosen, self._snapshot.renderer.excluded, openmetrics=openmetrics)
        crc, size = checksum([(data.crc, data.size), (end.crc, end.size)])
        deflated = (*data.deflated, end.deflated)
        if not gzip_accepted:
            return Scrape(content_type, gzip=False, length=size, _deflated=deflated)
        file = gzip(deflated, crc, size)
        return Scrape(content_type, gzip=True, length=sum(map(len, file)), _deflated=file)

    def _end(self, chosen: frozenset[str], excluded: frozenset[str], *, openmetrics: bool) -> Segment:
        key = chosen, excluded, openmetrics
        if key not in self._ends:
            generate = generate_openmetrics if openmetrics else generate_latest
            self._ends[key] = segment(generate(_Chosen(self._collected, chosen, excluded), ALLOWUTF8))
        return self._ends[key]

    def _assembled(self, chosen: AbstractSet[str], *, openmetrics: bool) -> _Part:
        version = self._snapshot.text_version
        last = self._assemblies.get(openmetrics)
        if last and last.of == version and not chosen:
            return last
        families = {
            family.name: (_header(family, openmetrics=openmetrics), self._part(family, segments))
            for family, segments in self._snapshot.segments()
            if segments and (not chosen or chosen & {family.name, base_name(family)})
        }
        parts = list(chain.from_iterable(families.values()))
        crc, size = checksum((part.crc, part.size) for part in parts)
        assembly = _Part(tuple([deflated for part in parts for deflated in part.deflated]), crc, size, version)
        if not chosen:
            # One of another format and version may never be asked for again.
            self._assemblies = {kind: each for kind, each in self._assemblies.items() if each.of == version}
            self._assemblies[openmetrics] = assembly
            self._families = {name: part for name, (_, part) in families.items()}
        return assembly

    def _part(self, family: Family, segments: Sequence[Segment]) -> _Part:
        part = self._families.get(family.name)
        return part if part and part.of == segments else _Part.made(segments)


@cache
def _compressed(text: bytes) -> _Part:
    return _Part.made([segment(text)])


def _header(family: Family, *, openmetrics: bool) -> _Part:
    # They are few, and always the same.
    return _compressed(header(family, openmetrics=openmetrics))


class _Chosen:
    """A collector of the metrics that are asked for (`names`, none means all) and not excluded.

    prometheus_client's own `restricted_registry` picks samples, and nothing of a collector without `describe()`.
    """

    def __init__(self, metrics: Iterable[Metric], names: Collection[str], excluded: frozenset[str]) -> None:
        self._metrics = metrics
        self._names = names
        self._excluded = excluded

    def collect(self) -> Iterator[Metric]:
        for metric in self._metrics:
            exposed = f"{metric.name}_total" if metric.type == "counter" else metric.name
            asked = not self._names or exposed in self._names or metric.name in self._names
            if asked and exposed not in self._excluded:
                yield metric


def _negotiate(accept: str) -> str:
    """Let prometheus_client choose the format for one preference after another, and say truly which version it is."""
    _, fallback = choose_encoder("")
    for media_type, parameters in _preferences(accept):
        try:
            _, content_type = choose_encoder(_ESCAPING.sub("escaping=underscores", media_type + parameters))
        except TypeError:
            # It compares a version that is no number.
            continue
        if content_type != fallback or media_type in _PLAIN:
            return _OPENMETRICS_VERSION.sub(r"\g<1>1.0.0", content_type)
    return fallback


def _preferences(header: str) -> list[tuple[str, str]]:
    """Read an `Accept` or `Accept-Encoding` (RFC 9110, section 12.4): values and parameters, the best first."""
    weighed = []
    for entry in header.split(","):
        value, *parameters = (part.strip() for part in entry.split(";"))
        quality = next((part[2:] for part in parameters if part[:2].lower() == "q="), "1")
        try:
            weight = float(quality)
        except ValueError:
            continue
        if weight > 0:
            weighed.append((weight, value.lower(), "".join(f";{part}" for part in parameters)))
    weighed.sort(key=lambda each: -each[0])
    return [(value, parameters) for _, value, parameters in weighed]
