"""A scrape: which format and which families are wanted, and the body, made once for each version of the data."""

from __future__ import annotations

import asyncio
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.exposition import choose_encoder, gzip_accepted

from exporter.metrics.exposition import join

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from prometheus_client import CollectorRegistry, Metric
    from prometheus_client.registry import Collector

    from exporter.metrics.snapshot import Snapshot

OPENMETRICS = "application/openmetrics-text"
LARGE = 2**20
"""Bytes from which on compressing is left to a thread, so that nothing else waits for it."""

# Our names are legal in every scheme. These two would change them all the same, and a scraper that asks for one
# reads in the Content-Type which one it got.
# It echoes whatever version from 1.0.0 on was asked for.
_OPENMETRICS_VERSION = re.compile(rf"^({re.escape(OPENMETRICS)}; version=)[^;]*")
_REFUSED = re.compile(r"gzip\s*;\s*q=0(\.0*)?\s*(?=,|$)")
_ESCAPING = re.compile(r"escaping=(dots|values)")

_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


@dataclass(frozen=True, slots=True)
class Scrape:
    """An answer to a scrape."""

    body: bytes
    content_type: str
    gzip: bool


class Packed:
    """The beginning of a gzip file (RFC 1952), compressed once, to which different ends can be put.

    A full flush (RFC 1951, section 3.2.3: the next block refers to nothing before it) lets the deflate stream go
    on with whatever comes, and the checksum of the whole is carried on from that of the beginning.
    """

    def __init__(self, text: bytes) -> None:
        deflate = zlib.compressobj(level=1, wbits=-15)
        self._deflated = deflate.compress(text) + deflate.flush(zlib.Z_FULL_FLUSH)
        self._crc = zlib.crc32(text)
        self._size = len(text)

    def with_end(self, end: bytes) -> bytes:
        """Give one gzip member that holds the beginning and `end`."""
        deflate = zlib.compressobj(level=1, wbits=-15)
        crc = zlib.crc32(end, self._crc).to_bytes(4, "little")
        size = ((self._size + len(end)) % 2**32).to_bytes(4, "little")
        return b"".join((_GZIP_HEADER, self._deflated, deflate.compress(end), deflate.flush(), crc, size))


class Scraper:
    """Answers scrapes from the snapshot, followed by the exporter's own metrics from their registry."""

    def __init__(self, snapshot: Snapshot, own: CollectorRegistry) -> None:
        self._snapshot = snapshot
        self._own = own
        self._lock = asyncio.Lock()
        self._packed: dict[bool, tuple[int, Packed]] = {}

    async def scrape(self, accept: str, accept_encoding: str, names: Collection[str] = ()) -> Scrape:
        """Give the exposition in the format that `Accept` asks for; `names` picks families, none means all."""
        encode, content_type = _negotiate(accept)
        openmetrics = content_type.startswith(OPENMETRICS)
        gzip = bool(gzip_accepted(_REFUSED.sub("", accept_encoding)))
        end = encode(_Chosen(self._own, names, self._snapshot.renderer.excluded))
        if names:
            body = self._text(names, openmetrics=openmetrics) + end
            return Scrape(Packed(b"").with_end(body) if gzip else body, content_type, gzip)
        if gzip:
            return Scrape((await self._pack(openmetrics=openmetrics)).with_end(end), content_type, gzip)
        return Scrape(self._text((), openmetrics=openmetrics) + end, content_type, gzip)

    def _text(self, names: Collection[str], *, openmetrics: bool) -> bytes:
        families = self._snapshot.renderer.families
        if names:
            families = tuple(family for family in families if family.name in names)
        properties = [shown.segments for shown in self._snapshot.properties.values()]
        return join(families, properties, openmetrics=openmetrics)

    async def _pack(self, *, openmetrics: bool) -> Packed:
        """Compress the data once for each of their versions, however many scrapers come at once."""
        async with self._lock:
            version, packed = self._packed.get(openmetrics, (None, None))
            if packed is None or version != self._snapshot.version:
                version, text = self._snapshot.version, self._text((), openmetrics=openmetrics)
                packed = await asyncio.to_thread(Packed, text) if len(text) >= LARGE else Packed(text)
                self._packed[openmetrics] = version, packed
            return packed


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
            if exposed not in self._excluded and (not self._names or exposed in self._names):
                yield metric


def _negotiate(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """Let prometheus_client choose the format, and say truly which version it is."""
    try:
        encode, content_type = choose_encoder(_ESCAPING.sub("escaping=underscores", accept))
    except TypeError:
        # It compares a version that is no number.
        encode, content_type = choose_encoder("")
    return encode, _OPENMETRICS_VERSION.sub(r"\g<1>1.0.0", content_type)
