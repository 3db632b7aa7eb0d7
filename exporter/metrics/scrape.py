"""A scrape: which format and which families are wanted, and the body, made once for each version of the data."""

from __future__ import annotations

import asyncio
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.exposition import choose_encoder

from exporter.metrics.exposition import base_name, join

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from prometheus_client import CollectorRegistry, Metric
    from prometheus_client.registry import Collector

    from exporter.metrics.families import Family
    from exporter.metrics.snapshot import Snapshot

OPENMETRICS = "application/openmetrics-text"
LARGE = 2**20
"""Bytes from which on compressing is left to a thread, so that nothing else waits for it."""

# Our names are legal in every scheme. These two would change them all the same, and a scraper that asks for one
# reads in the Content-Type which one it got.
_ESCAPING = re.compile(r"escaping=(dots|values)")
# prometheus_client echoes whatever version from 1.0.0 on was asked for.
_OPENMETRICS_VERSION = re.compile(rf"^({re.escape(OPENMETRICS)}; version=)[^;]*")
_PLAIN = ("text/plain", "text/*", "*/*")

_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LAST_BLOCK = b"\x03\x00"


@dataclass(frozen=True, slots=True)
class Scrape:
    """An answer to a scrape."""

    body: bytes
    content_type: str
    gzip: bool


@dataclass(frozen=True, slots=True)
class Packed:
    """The beginning of a gzip file (RFC 1952), to which more can be put without compressing it again.

    A full flush (RFC 1951, section 3.2.3: the next block refers to nothing before it) lets the deflate stream go
    on with whatever comes, and the checksum of the whole is carried on from that of the beginning.
    """

    deflated: tuple[bytes, ...] = ()
    crc: int = 0
    size: int = 0

    def then(self, text: bytes) -> Packed:
        """Give a longer beginning."""
        deflate = zlib.compressobj(level=1, wbits=-15)
        more = deflate.compress(text), deflate.flush(zlib.Z_FULL_FLUSH)
        return Packed((*self.deflated, *more), zlib.crc32(text, self.crc), self.size + len(text))

    def file(self) -> bytes:
        """Give the file that ends here, as one member."""
        trailer = self.crc.to_bytes(4, "little") + (self.size % 2**32).to_bytes(4, "little")
        return b"".join((_GZIP_HEADER, *self.deflated, _LAST_BLOCK, trailer))


@dataclass(frozen=True, slots=True)
class _Packing:
    """The data of `data_version`, packed, and with the health of `version` behind them."""

    version: int
    data_version: int
    data: Packed
    whole: Packed


class Scraper:
    """Answers scrapes from the snapshot, followed by the exporter's own metrics from their registry."""

    def __init__(self, snapshot: Snapshot, own: CollectorRegistry) -> None:
        self._snapshot = snapshot
        self._own = own
        self._lock = asyncio.Lock()
        self._packings: dict[bool, _Packing] = {}

    async def scrape(self, accept: str, accept_encoding: str, names: Collection[str] = ()) -> Scrape:
        """Give the exposition in the format that `Accept` asks for; `names` picks families, none means all."""
        encode, content_type = _negotiate(accept)
        openmetrics = content_type.startswith(OPENMETRICS)
        gzip = "gzip" in (coding for coding, _ in _preferences(accept_encoding))
        chosen = frozenset(filter(None, names))
        end = encode(_Chosen(self._own, chosen, self._snapshot.renderer.excluded))
        if gzip and not chosen:
            packed = await self._pack(openmetrics=openmetrics)
            return Scrape(packed.then(end).file(), content_type, gzip)
        families = [
            family
            for family in self._snapshot.renderer.families
            if not chosen or chosen & {family.name, base_name(family)}
        ]
        body = self._join(families, openmetrics=openmetrics) + end
        return Scrape(Packed().then(body).file() if gzip else body, content_type, gzip)

    def _join(self, families: Iterable[Family], *, openmetrics: bool) -> bytes:
        properties = [shown.segments for shown in self._snapshot.properties.values()]
        return join(families, properties, openmetrics=openmetrics)

    async def _pack(self, *, openmetrics: bool) -> Packed:
        """Compress what has changed since the last scrape; scrapers that come at once share it."""
        wanted = self._snapshot.version
        async with self._lock:
            packing = self._packings.get(openmetrics)
            if packing is None or packing.version < wanted:
                self._packings[openmetrics] = packing = await self._repack(packing, openmetrics=openmetrics)
            return packing.whole

    async def _repack(self, before: _Packing | None, *, openmetrics: bool) -> _Packing:
        """Compress the data if they have changed, and the health, which changes with every poll."""
        snapshot = self._snapshot
        version, data_version = snapshot.version, snapshot.data_version
        health = self._join(snapshot.renderer.health_families, openmetrics=openmetrics)
        if before and before.data_version == data_version:
            data = before.data
        else:
            text = self._join(snapshot.renderer.data_families, openmetrics=openmetrics)
            data = await asyncio.to_thread(Packed().then, text) if len(text) >= LARGE else Packed().then(text)
        whole = await asyncio.to_thread(data.then, health) if len(health) >= LARGE else data.then(health)
        return _Packing(version, data_version, data, whole)


class _Chosen:
    """A collector with the families that are asked for (`names`, none means all) and not excluded.

    prometheus_client's own `restricted_registry` picks samples, and nothing of a collector without `describe()`.
    """

    def __init__(self, collector: Collector, names: Collection[str], excluded: frozenset[str]) -> None:
        self._collector = collector
        self._names = names
        self._excluded = excluded

    def collect(self) -> Iterator[Metric]:
        for metric in self._collector.collect():
            exposed = f"{metric.name}_total" if metric.type == "counter" else metric.name
            asked = not self._names or exposed in self._names or metric.name in self._names
            if asked and exposed not in self._excluded:
                yield metric


def _negotiate(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """Let prometheus_client choose the format for one preference after another, and say truly which version it is."""
    fallback = choose_encoder("")
    for media_type, parameters in _preferences(accept):
        try:
            encode, content_type = choose_encoder(_ESCAPING.sub("escaping=underscores", media_type + parameters))
        except TypeError:
            # It compares a version that is no number.
            continue
        if content_type != fallback[1] or media_type in _PLAIN:
            return encode, _OPENMETRICS_VERSION.sub(r"\g<1>1.0.0", content_type)
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
