"""A large body arrives whole however it is read, and no reader holds anybody up."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from exporter.turns import TurnsAmong
from exporter.web import sending

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PIECES = [os.urandom(size) for size in (10, 300_000, 1, 70_000, *(200_000,) * 100)]
BODY = b"".join(PIECES)
SLOW_READERS = 8
REQUEST = b"GET /large HTTP/1.1\r\nHost: test\r\n\r\n"


@asynccontextmanager
async def served(*, ready: bool = True) -> AsyncIterator[tuple[int, list[web.Request]]]:
    """Serve `BODY` at /large and a word at /small; give the port, and the requests for what is large as they come."""
    requests: list[web.Request] = []
    turns = asyncio.Lock()

    async def large(request: web.Request) -> web.StreamResponse:
        requests.append(request)
        response = web.StreamResponse()
        response.content_length = len(BODY)
        await response.prepare(request)
        await sending.send(iter(PIECES), request, response, turns, ready=ready)
        return response

    async def small(_request: web.Request) -> web.Response:
        return web.Response(text="small")

    app = web.Application()
    app.add_routes([web.get("/large", large), web.get("/small", small)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1], requests
    finally:
        await runner.cleanup()


async def ask(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for what is large over a connection that holds little of what is not read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
    connection.setblocking(False)  # noqa: FBT003 - it takes no keyword
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=2**16)
    writer.write(REQUEST)
    return reader, writer


async def body(reader: asyncio.StreamReader, piece: int = 2**20) -> bytes:
    """Read an answer piece by piece, and give its body."""
    await reader.readuntil(b"\r\n\r\n")
    read = bytearray()
    while len(read) < len(BODY):
        got = await reader.read(piece)
        assert got, "the answer was cut short"
        read += got
    return bytes(read)


async def get(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.partition(b"\r\n\r\n")[2]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def close(writers: list[asyncio.StreamWriter]) -> None:
    for writer in writers:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("ready", [True, False])
async def test_readers_get_all_of_it_however_many_there_are(ready: bool) -> None:  # noqa: FBT001 - a parameter of the test
    async with served(ready=ready) as (port, _):
        bodies = await asyncio.gather(*(get(port, "/large") for _ in range(10)))

    assert [each == BODY for each in bodies] == [True] * 10


async def test_where_file_descriptors_are_used_up_a_large_body_arrives_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def used_up(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "fromfd", used_up)
    async with served() as (port, _):
        reader, writer = await ask(port)
        assert await body(reader) == BODY
        await close([writer])


async def test_the_connection_goes_on_after_a_large_body() -> None:
    async with served() as (port, _):
        reader, writer = await ask(port)
        assert await body(reader) == BODY
        writer.write(REQUEST)
        assert await body(reader, 10_000) == BODY
        await close([writer])


async def test_slow_readers_hold_up_nobody_and_little_is_held_for_them() -> None:
    async with served() as (port, requests):
        slow = [await ask(port) for _ in range(SLOW_READERS)]
        while len(requests) < SLOW_READERS:
            assert await get(port, "/small") == b"small"
        assert await get(port, "/large") == BODY
        held = [request.transport.get_write_buffer_size() for request in requests if request.transport]
        assert len(held) >= SLOW_READERS
        assert max(held) <= max(map(len, PIECES))

        assert [await body(reader, 5000) == BODY for reader, _ in slow[:2]] == [True] * 2
        await close([writer for _, writer in slow])


async def test_no_two_that_send_have_their_turn_in_the_same_round_of_the_loop() -> None:
    lock, rounds, turns = asyncio.Lock(), 0, []

    async def work() -> None:
        await TurnsAmong(lock).give()
        turns.append(rounds)

    async with asyncio.TaskGroup() as group:
        working = [group.create_task(work()) for _ in range(50)]
        while not all(each.done() for each in working):
            await asyncio.sleep(0)
            rounds += 1
    assert len(set(turns)) == 50


async def test_a_reader_that_goes_away_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as (port, _):
        open_before = open_files()
        for _ in range(3):
            reader, writer = await ask(port)
            await reader.readuntil(b"\r\n\r\n")
            writer.transport.abort()
        assert await get(port, "/large") == BODY
        while open_files() > open_before:
            assert await get(port, "/small") == b"small"
    assert caplog.messages == []


async def test_a_reader_that_takes_nothing_for_long_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sending, "SLOWEST_READER", 0.1)
    async with served() as (port, requests):
        reader, writer = await ask(port)
        while not requests or requests[0].transport:
            assert await get(port, "/small") == b"small"
        # What was under way still comes, and then the end.
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await reader.readexactly(len(BODY))
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    assert caplog.messages == ["a reader that had not taken its answer in 0.1 s was cut off"]
