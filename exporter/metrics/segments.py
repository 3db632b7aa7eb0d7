"""Text compressed once, in pieces that can be put together to one gzip file without touching them again.

A deflate stream (RFC 1951) is a row of blocks that may refer back to what came before. A full flush ends a block at a
byte's boundary and has the next one refer to nothing before it, so what lies between two full flushes, here called a
segment, stands for the same text wherever it is put. A gzip member (RFC 1952) is a header, such a stream, and a
trailer with the CRC-32 and the length of the whole text; the CRC-32 of two texts one after another is made from those
of the two, without the texts. So a scrape costs no compression: its body is a header, the segments, and a trailer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from isal import isal_zlib

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LEVEL = 1
"""Of ISA-L's levels the one for speed: its output is a tenth larger than that of zlib's level 6."""
PIECE = 2**16
"""Most bytes of text that are unpacked at once."""

_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LAST_BLOCK = b"\x03\x00"
_WINDOW = -15
"""The largest, and no header or trailer."""
_FED = 2**13
"""Bytes of a segment that are taken at once to be unpacked."""


class Segment(NamedTuple):
    """A compressed text: the deflate stream up to a full flush, and the CRC-32 and length in bytes of the text."""

    deflated: bytes
    crc: int
    size: int


EMPTY = Segment(b"", 0, 0)

# One for all segments, which costs less than one for each: after a full flush nothing refers to what came before.
_deflate = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, _WINDOW)


def segment(text: bytes) -> Segment:
    """Compress a text; from one thread at a time."""
    if not text:
        return EMPTY
    deflated = _deflate.compress(text) + _deflate.flush(isal_zlib.Z_FULL_FLUSH)
    return Segment(deflated, isal_zlib.crc32(text), len(text))


def checksum(crcs_and_sizes: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Give the CRC-32 and the length of texts put one after another, each given by its own."""
    crc = size = 0
    for more_crc, more_size in crcs_and_sizes:
        if more_size:
            crc = isal_zlib.crc32_combine(crc, more_crc, more_size) if size else more_crc
            size += more_size
    return crc, size


def gzip(deflated: Iterable[bytes], crc: int, size: int) -> list[bytes]:
    """Give the pieces of a gzip file with one member, `deflated` being those of its segments."""
    # RFC 1952, section 2.3.1: the length is told modulo 2**32.
    return [_HEADER, *deflated, _LAST_BLOCK + crc.to_bytes(4, "little") + (size % 2**32).to_bytes(4, "little")]


def inflate(deflated: Iterable[bytes]) -> Iterator[bytes]:
    """Unpack segments bit by bit: no more than `PIECE` bytes of the text are held at a time."""
    inflating = isal_zlib.decompressobj(_WINDOW)
    for piece in deflated:
        for at in range(0, len(piece), _FED):
            # What is fed and not yet unpacked is copied each time.
            rest = piece[at : at + _FED]
            while text := inflating.decompress(rest, PIECE):
                yield text
                rest = inflating.unconsumed_tail
