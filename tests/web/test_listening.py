"""Connections that mean no good: none keeps another from its answer, and none gets more than its own."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import math
import re
import resource
import socket
from asyncio.sslproto import SSLProtocol
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from aiohttp import web

from exporter.config.web import Tls, parse_web
from exporter.web import listening
from exporter.web.guard import Guard
from exporter.web.listening import Connection, Listener
from exporter.web.sockets import bound
from tests.web.authority import Authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GET = b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n"
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Served:
    """A server whose /held answers when `open` is set; `posts` counts the posts that got through."""

    listener: Listener
    port: int
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    posts: int = 0

    async def connect(self, sent: bytes = b"") -> Stream:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(writer)
        writer.write(sent)
        return reader, writer

    async def said(self, sent: bytes) -> bytes:
        """All that is answered until the server ends the connection."""
        reader, _ = await self.connect(sent)
        async with asyncio.timeout(30):
            return await reader.read()

    async def small(self) -> None:
        """See that a request of good faith is answered."""
        reader, writer = await self.connect(GET)
        async with asyncio.timeout(30):
            assert (await reader.readuntil(b"small")).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()

    async def counted(self, number: int) -> None:
        """Wait until so many connections are there."""
        async with asyncio.timeout(30):
            while len(self.listener.connections) != number:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0)


@asynccontextmanager
async def served(most: int = listening.MOST, guard: Guard | None = None) -> AsyncIterator[Served]:
    async def small(_request: web.Request) -> web.Response:
        return web.Response(text="small")

    async def post(_request: web.Request) -> web.Response:
        it.posts += 1
        return web.Response(text="posted")

    async def held(_request: web.Request) -> web.Response:
        await it.open.wait()
        return web.Response(text="held")

    async def piecemeal(request: web.Request) -> web.StreamResponse:
        await it.open.wait()
        response = web.StreamResponse()
        await response.prepare(request)
        return response

    async def large(_request: web.Request) -> web.Response:
        return web.Response(body=bytes(10**7))

    app = web.Application()
    routes = [web.get("/small", small), web.post("/post", post), web.get("/held", held), web.get("/large", large)]
    routes.append(web.get("/piecemeal", piecemeal))
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    assert runner.server
    listener = Listener(runner.server, guard or Guard(), most)
    sockets = await bound("127.0.0.1", 0)
    it = Served(listener, sockets[0].getsockname()[1])
    listener.start(sockets)
    try:
        yield it
    finally:
        for writer in it.writers:
            writer.transport.abort()
        await listener.close()
        await runner.cleanup()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEAD_SECONDS", "IDLE_SECONDS", "ANSWER_SECONDS", "LOOK_EVERY"):
        monkeypatch.setattr(listening, name, 0.05)


@pytest.mark.parametrize("sent", [b"", b"GET /small HT", GET[:-2], b"POST /post HTTP/1.1\r\nHost: x\r\nA: "])
@pytest.mark.usefixtures("quick")
async def test_a_request_that_does_not_come_is_not_waited_for(sent: bytes) -> None:
    async with served() as it:
        reader, _ = await it.connect(sent)
        async with asyncio.timeout(30):
            assert await reader.read() == b""
        await it.counted(0)


@pytest.mark.usefixtures("quick")
async def test_a_request_that_comes_byte_by_byte_has_no_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "HEAD_SECONDS", 2.0)
    async with served() as it:
        reader, writer = await it.connect(b"GET /small HTTP/1.1\r\nHost: x\r\nA: ")
        dripped = 0
        while not reader.at_eof():
            writer.write(b"a")
            dripped += 1
            try:
                async with asyncio.timeout(0.01):
                    await reader.read(1)
            except (TimeoutError, ConnectionError):
                continue
        assert dripped > 3
        await it.counted(0)


async def test_the_next_request_may_be_long_in_coming_but_not_in_arriving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(listening, "HEAD_SECONDS", 0.5)
    async with served() as it:
        reader, writer = await it.connect(GET)
        await reader.readuntil(b"small")
        await asyncio.sleep(1)
        writer.write(GET)
        await reader.readuntil(b"small")
        writer.write(GET[:10])
        async with asyncio.timeout(30):
            assert await reader.read() == b""


@pytest.mark.usefixtures("quick")
async def test_an_answer_that_nobody_takes_is_not_waited_for() -> None:
    async with served() as it:
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(("127.0.0.1", it.port))
            slow.sendall(GET.replace(b"small", b"large"))
            await it.counted(1)
            await it.counted(0)


async def test_connections_take_no_more_than_half_of_the_file_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", Mock(return_value=(7, 4096)))
    async with served() as it:
        for _ in range(20):
            await it.connect()
            await it.small()
        assert len(it.listener.connections) == 3


async def test_500_half_open_connections_that_come_again_and_again_keep_nobody_from_an_answer() -> None:
    async with served(most=100) as it:
        came = 0

        async def come_again(number: int) -> None:
            nonlocal came
            while True:
                came += 1
                reader, writer = await it.connect(GET[: number % len(GET)])
                with suppress(ConnectionError):
                    await reader.read()
                writer.transport.abort()

        attackers = [asyncio.ensure_future(come_again(number)) for number in range(500)]
        await it.counted(100)
        for _ in range(10):
            await it.small()
        assert came > 500
        for attacker in attackers:
            attacker.cancel()
        await asyncio.gather(*attackers, return_exceptions=True)
        for writer in it.writers:
            writer.transport.abort()
        await it.small()
        await it.counted(0)


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01", b"GET"], ids=["nothing", "TLS", "no TLS"])
@pytest.mark.parametrize("hangs_up", [False, True])
async def test_no_handshake_that_came_to_nothing_is_left_as_garbage(
    tmp_path: Path, sent: bytes, *, hangs_up: bool
) -> None:
    Authority(tmp_path).issue("server", "DNS:localhost")
    text = "tls_server_config: {cert_file: server.crt, key_file: server.key}"
    async with served(3, Terms(parse_web(text, "web.yml", tmp_path).config.tls_server_config)) as it:
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                _, writer = await it.connect(sent)
                await writer.drain()
                if hangs_up:
                    writer.close()
                await asyncio.sleep(0.01)
            for writer in it.writers:
                writer.transport.abort()
            async with asyncio.timeout(10):
                while any(isinstance(each, SSLProtocol) for each in gc.get_objects()):  # noqa: ASYNC110 - likewise
                    await asyncio.sleep(0.01)
        finally:
            gc.enable()


async def test_who_comes_takes_the_place_of_one_that_waits_those_without_an_answer_before_others() -> None:
    async with served(most=3) as it:
        regular, _ = await it.connect(GET)
        await regular.readuntil(b"small")
        first, _ = await it.connect()
        second, _ = await it.connect(GET[:5])
        await it.counted(3)
        for expected in (first, second):
            await it.small()
            assert await expected.read() == b""
            it.writers.pop()
        await it.small()
        assert not regular.at_eof()
        assert len(it.listener.connections) <= 3


async def test_where_all_wait_for_their_answer_the_next_is_refused_politely_and_said_so_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a machine that halts they would be slow readers, who make room.
    monkeypatch.setattr(listening, "SLOW_SECONDS", math.inf)
    async with served(most=2) as it:
        held = [await it.connect(GET.replace(b"small", b"held")) for _ in range(2)]
        await it.counted(2)
        while it.listener.new:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)
        for _ in range(3):
            assert (await it.said(b"")).startswith(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n")
        it.open.set()
        for reader, _ in held:
            await reader.readuntil(b"held")
        await it.small()
    assert [record.getMessage() for record in caplog.records] == ["connections are refused: 2 wait for their answer"]


async def test_where_all_take_their_answer_slowly_the_slowest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "SLOW_SECONDS", -1.0)
    async with served(most=2) as it:
        readers = [(await it.connect(GET.replace(b"small", b"held")))[0] for _ in range(2)]
        while len(it.listener.answering) < 2:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)
        await it.small()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await readers[0].readuntil(b"held")


async def test_a_slow_reader_makes_room_before_one_that_waits_for_its_next_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listening, "SLOW_SECONDS", -1.0)
    async with served(most=2) as it:
        regular, writer = await it.connect(GET)
        await regular.readuntil(b"small")
        slow, _ = await it.connect(GET.replace(b"small", b"held"))
        while not it.listener.answering:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)
        await it.small()
        async with asyncio.timeout(10):
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await slow.readuntil(b"held")
        writer.write(GET)
        await regular.readuntil(b"small")


@pytest.mark.parametrize("error", [OSError(errno.EMFILE, "no"), MemoryError(), OSError(errno.ECONNABORTED, "gone")])
async def test_an_accept_that_fails_is_tried_again_and_costs_no_other_its_connection(
    monkeypatch: pytest.MonkeyPatch, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listening, "LOOK_EVERY", 0.01)
    async with served() as it:
        regular, writer = await it.connect(GET)
        await regular.readuntil(b"small")
        await it.small()
        accept, failures = socket.socket.accept, [error] * 3

        def failing(listener: socket.socket) -> tuple[socket.socket, object]:
            if failures:
                raise failures.pop()
            return accept(listener)

        monkeypatch.setattr(socket.socket, "accept", failing)
        for _ in range(3):
            await it.small()
        writer.write(GET)
        await regular.readuntil(b"small")
    assert failures == []
    assert [record.getMessage() for record in caplog.records] == [
        f"no connection can be accepted: {'no' if isinstance(error, OSError) else 'no memory'}"
    ] * ("gone" not in str(error))


async def test_where_there_is_no_memory_for_a_connection_the_next_one_is_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with served() as it:
        with monkeypatch.context() as patched:
            patched.setattr(asyncio.get_running_loop(), "connect_accepted_socket", Mock(side_effect=MemoryError))
            assert await it.said(b"") == b""
        await it.small()
    assert caplog.records == []


async def test_who_comes_as_the_listener_closes_is_let_go() -> None:
    ours, theirs = socket.socketpair()
    async with served() as it:
        it.listener._take(ours)  # noqa: SLF001 - as if it were accepted now
        await it.listener.close()
        assert it.listener.connections == set()
        assert theirs.recv(1) == b""
    theirs.close()


async def test_a_listener_that_breaks_cries_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(socket.socket, "accept", Mock(side_effect=ZeroDivisionError))
    async with served():
        async with asyncio.timeout(30):
            while not caplog.records:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0)
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]


@dataclass
class Terms(Guard):
    now: Tls = field(default_factory=Tls)

    def tls(self) -> Tls:
        return self.now


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"client_allowed_sans": ("other",)},
        {"client_ca": "other"},
        {"client_ca_file": Path("other")},
        {"client_auth_type": "RequireAndVerifyClientCert"},
    ],
)
async def test_under_other_terms_an_answer_under_way_is_ended_well_and_no_more_is_answered_to_who_may_not_come(
    change: dict[str, Any],
) -> None:
    terms = Terms()
    async with served(guard=terms) as it:
        held, _ = await it.connect(GET.replace(b"small", b"held") + GET)
        idle, _ = await it.connect(GET)
        asking, asks = await it.connect(GET)
        for reader in (idle, asking):
            await reader.readuntil(b"small")
        new, _ = await it.connect()
        await it.counted(4)
        terms.now = Tls(**change)
        asks.write(GET)
        async with asyncio.timeout(30):
            assert (await asking.read()).count(b"HTTP/") == (not change)
            assert await idle.read() == b""
            if change:
                assert await new.read() == b""
            it.open.set()
            assert (await held.read()).endswith(b"\r\n\r\nheld")
        await it.small()


POST = b"POST /post HTTP/1.1\r\nHost: x\r\n"
SMUGGLED = b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n"
REFUSED = {
    "CL and TE": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE and CL": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n" + SMUGGLED,
    "two lengths in one": POST + b"Content-Length: 0, 5\r\n\r\n" + SMUGGLED,
    "signed length": POST + b"Content-Length: +0\r\n\r\n" + SMUGGLED,
    "negative length": POST + b"Content-Length: -1\r\n\r\n" + SMUGGLED,
    "hexadecimal length": POST + b"Content-Length: 0x1\r\n\r\n" + SMUGGLED,
    "length that overflows": POST + b"Content-Length: 18446744073709551616\r\n\r\n" + SMUGGLED,
    "folded header": POST + b"Content-Length:\r\n 0\r\n\r\n" + SMUGGLED,
    "folded TE": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "space before the colon": POST + b"Content-Length : 0\r\n\r\n" + SMUGGLED,
    "unknown TE": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE that is not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two TE": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "tab in TE": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunk of bad size": POST + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\nA\r\n0\r\n\r\n" + SMUGGLED,
    "chunk of huge size": POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + SMUGGLED,
    "chunked": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nA\r\n0\r\n\r\n" + SMUGGLED,
    "chunk ended by LF": POST + b"Transfer-Encoding: chunked\r\n\r\n1\nA\r\n0\r\n\r\n" + SMUGGLED,
    "large body": POST + b"Content-Length: 65537\r\n\r\n" + bytes(65537) + SMUGGLED,
    "packed body": POST + b"Content-Encoding: gzip\r\nContent-Length: 99999999\r\n\r\n" + SMUGGLED,
    "no host": b"GET /small HTTP/1.1\r\n\r\n" + SMUGGLED,
    "two hosts": b"GET /small HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + SMUGGLED,
    "NUL in a header": b"GET /small HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n" + SMUGGLED,
    "CR in a header": b"GET /small HTTP/1.1\r\nHost: x\r\nA: a\rB: b\r\n\r\n" + SMUGGLED,
    "NUL in the path": b"GET /small\0 HTTP/1.1\r\nHost: x\r\n\r\n" + SMUGGLED,
    "CR in the path": b"GET /small\rHTTP/1.1\r\nHost: x\r\n\r\n" + SMUGGLED,
    "header without a name": b"GET /small HTTP/1.1\r\nHost: x\r\n: a\r\n\r\n" + SMUGGLED,
    "space before a header": b"GET /small HTTP/1.1\r\n Host: x\r\n\r\n" + SMUGGLED,
    "unknown version": b"GET /small HTTP/3.7\r\nHost: x\r\n\r\n" + SMUGGLED,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SMUGGLED,
    "HTTP/0.9": b"GET /small\r\n\r\n" + SMUGGLED,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + SMUGGLED,
    "garbage": bytes(range(256)) * 4 + SMUGGLED,
    "huge path": b"GET /" + b"a" * 10**5 + b" HTTP/1.1\r\nHost: x\r\n\r\n" + SMUGGLED,
    "huge header": b"GET /small HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 10**5 + b"\r\n\r\n" + SMUGGLED,
    "many headers": b"GET /small HTTP/1.1\r\nHost: x\r\n" + b"A: a\r\n" * 1000 + b"\r\n" + SMUGGLED,
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_others_might_read_otherwise_is_refused_and_ends_the_connection(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with served() as it:
        said = await it.said(REFUSED[name])
        assert said.count(b"HTTP/1.") == 1, said
        assert said.split(b" ")[1] in (b"400", b"413"), said
        assert b"\r\nServer: siptrunk-exporter\r\n" in said
        assert it.posts == 0
        await it.small()
    assert caplog.records == []


@pytest.mark.parametrize("path", [b"held", b"piecemeal"])
async def test_who_hangs_up_before_the_answer_writes_nothing_into_the_log(
    path: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with served() as it:
        _, writer = await it.connect(GET.replace(b"small", path))
        while not it.listener.answering:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)
        writer.transport.abort()
        await it.counted(0)
        it.open.set()
        await it.small()
    assert caplog.records == []


@pytest.mark.parametrize("start", [b"GET /", b"GET /small HTTP/1.1\r\nHost: x\r\nA: ", b"GET /small HTTP/1.1\r\nA"])
async def test_a_head_without_end_is_taken_to_no_great_length(start: bytes) -> None:
    async with served() as it:
        _, writer = await it.connect(start)
        sent = 0
        while not writer.transport.is_closing():
            writer.write(b"a" * 2**16)
            sent += 2**16
            await asyncio.sleep(0)
            assert sent < 2**27
        await it.small()


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (GET * 3, [200, 200, 200]),
        (GET.replace(b"small", b"nothing") + GET, [404, 200]),
        (b"GET http://elsewhere.example/small HTTP/1.1\r\nHost: x\r\n\r\n" + GET, [200, 200]),
        (b"GET /small HTTP/1.1\r\nHost:\r\n\r\n" + GET, [200, 200]),
        (b"GET /small HTTP/1.1\r\nHost: [::1\r\n\r\n" + GET, [200, 200]),
        (b"GET /small HTTP/1.1\r\nHost: a@b:99999/\xff\r\n\r\n" + GET, [200, 200]),
        (b"GET http://[::1/small HTTP/1.1\r\nHost: x\r\n\r\n", [400]),
        (b"GET /small?%ff%00=%zz;[] HTTP/1.1\r\nHost: x\r\n\r\n" + GET, [200, 200]),
        (b"GET /%2e%2e/small HTTP/1.1\r\nHost: x\r\n\r\n" + GET, [404, 200]),
        (b"GET //small HTTP/1.1\r\nHost: x\r\n\r\n" + GET, [404, 200]),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n" + GET, [404, 200]),
        (b"TRACE /small HTTP/1.1\r\nHost: x\r\n\r\n" + GET, [405, 200]),
        (b"GET /small HTTP/1.0\r\n\r\n", [200]),
        (POST + b"Content-Length: 0\r\n\r\n" + GET, [200, 200]),
        (POST + b"Content-Length: 3\r\n\r\nabc" + GET, [200, 200]),
        (POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc" + GET, [100, 200, 200]),
        (GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + GET, [200, 200]),
        (GET[:-2] + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n\r\n", [200]),
    ],
)
async def test_what_is_odd_but_clear_gets_its_own_answer_and_the_next_its_own(sent: bytes, statuses: list[int]) -> None:
    async with served() as it:
        reader, writer = await it.connect(sent)
        said = b""
        async with asyncio.timeout(30):
            while len(found := [int(each) for each in re.findall(rb"HTTP/1\.\d (\d+) ", said)]) < len(statuses):
                more = await reader.read(4096)
                assert more, said
                said += more
        writer.close()
    assert found == statuses


async def test_endless_pipelining_is_taken_no_faster_than_it_is_answered() -> None:
    async with served() as it:
        reader, writer = await it.connect(GET.replace(b"small", b"held"))
        sent = 0
        # What the server does not take, the system's buffers do, and then nobody.
        while writer.transport.get_write_buffer_size() < 2**16 and sent < 10**8:
            writer.write(GET * 1000)
            sent += len(GET) * 1000
            await asyncio.sleep(0)
        assert sent < 10**8
        (connection,) = it.listener.connections
        assert len(connection._messages) <= 64  # noqa: SLF001 - there is no other way to see it
        await it.small()
        it.open.set()
        await reader.readuntil(b"held")


async def test_the_end_of_listening_leaves_no_socket_and_no_task() -> None:
    before = asyncio.all_tasks()
    async with served() as it:
        await it.connect()
        await it.connect(GET[:5])
        await it.small()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    assert it.listener.connections == set()
    assert all(not isinstance(each, Connection) for each in it.listener.idle)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", it.port)
