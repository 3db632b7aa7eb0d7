"""What a server may answer that means no good, and how a poll of it ends: a table, and a server that plays it."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import re
import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from exporter.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MEBI = 2**20
UP = "up"
GOOD = b'{"SipTrunks":[{"SipTrunkSid":"ST1","Name":"Sydney","ChannelLimit":3}],"TotalCount":1}'


class Hostile(NamedTuple):
    """One kind of answer: its bytes piece by piece, `pause` seconds apart, then the connection closes or `hangs`.

    `ends` is how a poll of it ends: `up`, or the reason of its failure; or one of two, where it is a race which of
    two faults is seen first.
    """

    name: str
    ends: str
    pieces: Iterable[bytes]
    pause: float = 0.0
    hangs: bool = False


def head(*headers: str, status: str = "200 OK") -> bytes:
    # Another property must not be given a connection that is about to be closed.
    close = () if "Connection: upgrade" in headers else ("Connection: close",)
    return "\r\n".join((f"HTTP/1.1 {status}", *headers, *close, "", "")).encode()


def whole(body: bytes, *headers: str, status: str = "200 OK") -> list[bytes]:
    return [head(f"Content-Length: {len(body)}", *headers, status=status) + body]


def encoded(body: bytes, encoding: str) -> list[bytes]:
    return whole(body, f"Content-Encoding: {encoding}")


def trunk(**fields: object) -> list[bytes]:
    return whole(json.dumps({"SipTrunks": [{"SipTrunkSid": "ST1", **fields}], "TotalCount": 1}).encode())


def value(literal: bytes, name: bytes = b"ChannelLimit") -> list[bytes]:
    return whole(b'{"SipTrunks":[{"SipTrunkSid":"ST1","%b":%b}],"TotalCount":1}' % (name, literal))


def many(item: bytes, size: int = 4 * MEBI - 100) -> bytes:
    return b",".join([item] * (size // (len(item) + 1)))


class Endless:
    """Pieces without end; each connection takes its own."""

    def __init__(self, start: bytes, piece: bytes) -> None:
        self._start, self._piece = start, piece

    def __iter__(self) -> Iterator[bytes]:
        return itertools.chain([self._start], itertools.repeat(self._piece))


def bomb(size: int = 256 * MEBI) -> bytes:
    pack = zlib.compressobj(9, wbits=31)
    return b"".join(pack.compress(bytes(MEBI)) for _ in range(size // MEBI)) + pack.flush()


CHUNKED = head("Transfer-Encoding: chunked")
BAD, LARGE, LOST, LATE = Reason.BAD_PAYLOAD, Reason.TOO_LARGE, Reason.CONNECT, Reason.TIMEOUT

# aiohttp tells nobody who reads a body already that a chunk of it is bad: that ends as a time-out then.
BAD_CHUNK = f"{BAD} {LATE}"

TRANSFER = [
    Hostile("nothing", LOST, []),
    Hostile("silence", LATE, [], hangs=True),
    Hostile("a byte at a time", LATE, Endless(head("Content-Length: 100000"), b" "), pause=0.1),
    Hostile("a byte of the headers at a time", LATE, Endless(b"HTTP/1.1 200 OK\r\nX: ", b"x"), pause=0.1),
    Hostile("no end", LARGE, Endless(head(), bytes(65_536))),
    Hostile("no end in chunks", LARGE, Endless(CHUNKED, b"10000\r\n" + bytes(65_536) + b"\r\n")),
    Hostile("chunks of one byte", UP, [CHUNKED, *(b"1\r\n%c\r\n" % byte for byte in GOOD), b"0\r\n\r\n"]),
    Hostile("length too long, then closed", LOST, [head("Content-Length: 9"), b"[]"]),
    Hostile("length too long, then silence", LATE, [head("Content-Length: 9"), b"[]"], hangs=True),
    Hostile("length too short", BAD, [head("Content-Length: 9"), GOOD]),
    Hostile("length beyond all bounds", BAD, [head(f"Content-Length: {10**30}"), GOOD]),
    Hostile("length of many gigabytes", LOST, [head(f"Content-Length: {10**12}"), GOOD]),
    Hostile("length below zero", BAD, [head("Content-Length: -1"), GOOD]),
    Hostile("length that is none", BAD, [head("Content-Length: many"), GOOD]),
    Hostile("two lengths", BAD, [head("Content-Length: 2", "Content-Length: 3"), GOOD]),
    Hostile("length and chunks", BAD, [head("Content-Length: 2", "Transfer-Encoding: chunked"), b"0\r\n\r\n"]),
    Hostile("chunk cut short", LOST, [CHUNKED, b"99\r\n" + GOOD]),
    Hostile("chunk beyond all bounds", BAD_CHUNK, [CHUNKED, b"F" * 20 + b"\r\n" + GOOD]),
    Hostile("chunk below zero", BAD_CHUNK, [CHUNKED, b"-2\r\n[]\r\n0\r\n\r\n"]),
    Hostile("chunk that is none", BAD_CHUNK, [CHUNKED, b"zz\r\n[]\r\n0\r\n\r\n"]),
    Hostile("chunk extension without end", LATE, Endless(CHUNKED + b"2;", b"x" * 65_536)),
    Hostile("trailers without end", f"{BAD} {LOST}", Endless(CHUNKED + b"2\r\n[]\r\n0\r\n", b"X: x\r\n" * 10_000)),
    Hostile("a header without end", BAD, Endless(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65_536)),
    Hostile("headers without end", BAD, Endless(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n" * 10_000)),
    Hostile("a reason without end", BAD, Endless(b"HTTP/1.1 200 ", b"x" * 65_536)),
    Hostile("100 Continue without end", LATE, Endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100), pause=0.01),
    Hostile("101 and a flood", BAD, Endless(head("Upgrade: x", "Connection: upgrade", status="101 X"), bytes(65_536))),
    Hostile("a header with NUL", BAD, [head("X: \0", "Content-Length: 2"), b"[]"]),
    Hostile("a header folded into the next", UP, [head("X: a", " b", f"Content-Length: {len(GOOD)}"), GOOD]),
    Hostile("HTTP/0.9", BAD, [GOOD]),
    Hostile("HTTP/9.9", BAD, [b"HTTP/9.9 200 OK\r\n\r\n", GOOD]),
    Hostile("another protocol", BAD, [b"SSH-2.0-OpenSSH_9.2p1\r\n"]),
    Hostile("204", BAD, whole(b"", status="204 No Content")),
    Hostile("206", BAD, whole(GOOD, status="206 Partial Content")),
    Hostile("304 unasked", BAD, whole(b"", status="304 Not Modified")),
    Hostile("status 999", Reason.SERVER_ERROR, whole(GOOD, status="999 ?")),
    Hostile("status 000", BAD, whole(GOOD, status="000 ?")),
    Hostile("error without end", Reason.SERVER_ERROR, Endless(head(status="500 X"), b"[" * 65_536)),
    Hostile("error full of lists", Reason.FORBIDDEN, whole(b"[" + many(b"[]") + b"]", status="403 X")),
    Hostile("error nested deeply", Reason.BAD_REQUEST, whole(b'{"ResponseStatus":' * 3000, status="400 X")),
    Hostile("redirect", BAD, whole(GOOD, "Location: http://127.0.0.1:1/", status="302 Found")),
]
ENCODINGS = [
    Hostile("gzip bomb", LARGE, encoded(bomb(), "gzip")),
    Hostile("gzip bomb in gzip", BAD, encoded(gzip.compress(bomb()), "gzip, gzip")),
    Hostile("gzip in gzip called gzip", BAD, encoded(gzip.compress(gzip.compress(GOOD)), "gzip")),
    Hostile("gzip bomb of an error", Reason.SERVER_ERROR, whole(bomb(), "Content-Encoding: gzip", status="500 X")),
    Hostile("gzip without end", LARGE, Endless(head("Content-Encoding: gzip"), bomb(8 * MEBI)[:4096])),
    Hostile("gzip of many members", BAD, encoded(gzip.compress(GOOD) * 1000, "gzip")),
    Hostile("gzip cut short", LOST, encoded(gzip.compress(GOOD)[:-4], "gzip")),
    Hostile("gzip that is none", BAD, encoded(GOOD, "gzip")),
    Hostile(
        "gzip with a name without end",
        LATE,
        Endless(head("Content-Encoding: gzip") + b"\x1f\x8b\x08\x08" + bytes(5) + b"\x03", b"n"),
        pause=0.1,
    ),
    *(Hostile(name, BAD, encoded(GOOD, name)) for name in ("deflate", "br", "zstd", "compress", "gzip,", "x", "")),
]
JSON = [
    Hostile("lists in lists", BAD, whole(b"[" * 200_000)),
    Hostile("objects in objects", BAD, whole(b'{"a":' * 100_000)),
    Hostile("lists in a field", BAD, value(b"[" * 100_000 + b"]" * 100_000, b"X")),
    Hostile("a million lists", LARGE, whole(b"[" + many(b"[]") + b"]")),
    Hostile("a million objects in a field", LARGE, value(b"[" + many(b"{}") + b"]", b"X")),
    Hostile("a million lists as status", LARGE, whole(b'{"SipTrunks":[],"ResponseStatus":[%b]}' % many(b"[]"))),
    Hostile("lists 900 deep", LARGE, whole(b"[" + many(b"[" * 900 + b"]" * 900) + b"]")),
    Hostile("a million keys", LARGE, whole(b"[{%b}]" % b",".join(b'"%d":0' % n for n in range(350_000)))),
    Hostile("NaN", UP, value(b"NaN")),
    Hostile("Infinity", UP, value(b"-Infinity")),
    Hostile("1e999", UP, value(b"1e999")),
    Hostile("10**400", UP, value(b"1" + b"0" * 400)),
    Hostile("a million digits", UP, value(b"1" * MEBI)),
    Hostile(
        "a million digits as TotalCount", Reason.INCOMPLETE, whole(GOOD.replace(b":1}", b":" + b"1" * MEBI + b"}"))
    ),
    Hostile("below zero", UP, value(b"-1")),
    Hostile("lone surrogates", UP, value(b'"' + b"\\ud800" * 600_000 + b'"', b"Name")),
    Hostile("NUL", UP, trunk(Name="\0" * 1000)),
    Hostile("a name of megabytes", UP, value(b'"' + b"n" * (4 * MEBI - 200) + b'"', b"Name")),
    Hostile("a name of ten megabytes", LARGE, value(b'"' + b"n" * (10 * MEBI) + b'"', b"Name")),
    Hostile("a name of megabytes of emoji", UP, value(b'"\xf0\x9f\x98\x80' + b"n" * (3 * MEBI) + b'"', b"Name")),
    Hostile(
        "a name that breaks out of its label", UP, trunk(Name='x"} 1\nsiptrunk_active{a="\\', CustomerReference="\r")
    ),
    Hostile("a Sid that breaks out of its label", UP, trunk(SipTrunkSid='ST1"} 1\nsiptrunk_active{a="\\')),
    Hostile("a Sid of kilobytes", LARGE, trunk(SipTrunkSid="S" * 2000)),
    Hostile("no Sid", BAD, trunk(SipTrunkSid="")),
    Hostile("duplicate keys", UP, whole(GOOD.replace(b"{", b'{"SipTrunks":[],"TotalCount":9,', 1))),
    Hostile("UTF-16", BAD, whole(GOOD.decode().encode("utf-16"))),
    Hostile("UTF-32", BAD, whole(GOOD.decode().encode("utf-32"))),
    Hostile("a byte order mark", UP, whole(b"\xef\xbb\xbf" + GOOD)),
    Hostile("no UTF-8", UP, value(b'"' + b"\xff" * MEBI + b'"', b"Name")),
    Hostile("UTF-8 of too many bytes", UP, value(b'"\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80"', b"Name")),
    Hostile("a page of too many trunks", LARGE, whole(b"[" + many(b'{"SipTrunkSid":"S"}', 200_020) + b"]")),
    Hostile("TotalCount beyond the limit", LARGE, whole(GOOD.replace(b":1}", b":2001}"))),
    Hostile("TotalCount beyond the list", Reason.INCOMPLETE, whole(GOOD.replace(b":1}", b":2}"))),
    Hostile("one page for ever", Reason.INCOMPLETE, whole(b'[{"SipTrunkSid":"A"},{"SipTrunkSid":"B"}]')),
    Hostile("a trunk twice", Reason.INCOMPLETE, whole(b'[{"SipTrunkSid":"S","Type":0},{"SipTrunkSid":"S","Type":1}]')),
    Hostile(
        "an error in the place of a list", BAD, whole(b'{"ResponseStatus":{"ErrorCode":"%b"}}' % (b"e" * 3_000_000))
    ),
    Hostile("HTML", BAD, whole(b"<html>" * 100_000)),
    Hostile("nothing but a body's end", BAD, whole(b"")),
]
TABLE = (*TRANSFER, *ENCODINGS, *JSON)


@dataclass
class HostileServer:
    """Answers each property with its kind of the table, or all with one good trunk once `good` is set.

    `round_ended` is set when each property was asked `rounds` times.
    """

    rounds: int
    good: bool = False
    asked: Counter[int] = field(default_factory=Counter)
    round_ended: asyncio.Event = field(default_factory=asyncio.Event)

    @staticmethod
    def sid(index: int) -> str:
        return f"S{index:031d}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while found := re.match(rb"GET /v2/Properties/S(\d{31})/", await reader.readuntil(b"\r\n\r\n")):
            index = int(found[1])
            self.asked[index] += 1
            if all(self.asked[each] >= self.rounds for each in range(len(TABLE) + 1)):
                self.round_ended.set()
            if self.good or index == len(TABLE):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(GOOD), GOOD))
                continue
            for piece in TABLE[index].pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(TABLE[index].pause)
            if TABLE[index].hangs:
                await reader.read()
            writer.close()
            await writer.wait_closed()
