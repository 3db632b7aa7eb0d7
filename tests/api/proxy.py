"""A proxy and a TLS server that write down every byte they could read."""

from __future__ import annotations

import asyncio
import re
import ssl
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]

EMPTY_LIST = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"


@asynccontextmanager
async def listening(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve at a port of the loopback, which is given; connections end with the block."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            await serve(reader, writer)
        if not writer.is_closing():
            writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class Recorder:
    """An HTTP server that answers every request alike; `requests` holds their heads as they came."""

    answer: bytes = EMPTY_LIST
    requests: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.answer)
            await writer.drain()


@dataclass
class Proxy:
    """Forwards to `port` of the loopback, whatever host is asked for; `heard` is all that it could read or guess from.

    `refusal` is what it answers instead. `tunnels` counts the connections it passed on unread.
    """

    port: int
    refusal: bytes = b""
    heard: bytes = b""
    tunnels: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heard += head
        if self.refusal:
            writer.write(self.refusal)
            await writer.drain()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            if head.startswith(b"CONNECT "):
                self.tunnels += 1
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                back.write(re.sub(rb"^GET http://[^/]+", b"GET ", head))
            await asyncio.gather(self._pass_on(reader, back), self._pass_on(there, writer))
        finally:
            back.transport.abort()

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            self.heard += data
            sink.write(data)
            await sink.drain()
        sink.close()
