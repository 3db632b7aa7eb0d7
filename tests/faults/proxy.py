"""A TCP proxy between the daemon and the simulator that does to connections what networks do."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

HOST = "127.0.0.1"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_LENGTH = re.compile(rb"(?im)^content-length: *(\d+)")
_TARGET = re.compile(r"GET (\S+) HTTP/1\.1\r\n")
_PASSING = (OSError, EOFError, ValueError)
"""What a connection may end with that one of the two sides has cut."""


class Trouble(Enum):
    """What befalls connections, or the requests on them."""

    REFUSED = auto()
    UNHEARD = auto()
    """SYNs are dropped: the queue of the listening socket is full."""
    RESET_ACCEPTED = auto()
    TLS_CUT = auto()
    """The connection ends behind the first message of the handshake."""
    TLS_PLAIN = auto()
    """The handshake is answered in plain HTTP."""
    RESET_IN_REQUEST = auto()
    RESET_AFTER_REQUEST = auto()
    RESET_AFTER_HEAD = auto()
    RESET_IN_BODY = auto()
    CLOSED_IN_BODY = auto()
    HOLE = auto()
    """The request is taken, and nothing ever comes back."""
    SLOW_BODY = auto()
    """The body comes a byte a second."""


OF_CONNECTIONS = frozenset(
    {Trouble.REFUSED, Trouble.UNHEARD, Trouble.RESET_ACCEPTED, Trouble.TLS_CUT, Trouble.TLS_PLAIN}
)


class Proxy:
    """Passes requests on, as long as there is no trouble; `seen` is called with the target of each that it passes.

    With `tls` it speaks TLS to the client; to `upstream`, a port of the loopback, it never does.
    """

    def __init__(
        self, upstream: int, seen: Callable[[str], None] = lambda _target: None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.connections = 0
        self._upstream = upstream
        self._seen = seen
        self._tls = tls
        self._trouble: Trouble | None = Trouble.REFUSED
        self._victim = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._queued: list[socket.socket] = []
        self._socket = _bound(0)
        self.port: int = self._socket.getsockname()[1]

    async def make(self, trouble: Trouble | None, victim: str = "") -> None:
        """Have this befall all from now on, or requests alone whose target holds `victim`; None ends it.

        Connections of before are reset where the trouble is one of all.
        """
        if trouble is Trouble.UNHEARD:
            # First, for who is cut off comes again at once, and is to find this trouble and no other.
            await self._fill()
        before, self._trouble, self._victim = self._trouble, trouble, victim
        if not victim:
            await self._end_connections()
        if trouble is not Trouble.UNHEARD and {before, trouble} & {Trouble.REFUSED, Trouble.UNHEARD}:
            self._open()

    def _open(self) -> None:
        """Begin anew with a socket that refuses, by not listening, or takes who comes."""
        # Bound before the other is closed, so that nobody else gets the port.
        successor = _bound(self.port)
        asyncio.get_running_loop().remove_reader(self._socket)
        for each in (*self._queued, self._socket):
            each.close()
        self._queued.clear()
        self._socket = successor
        if self._trouble is not Trouble.REFUSED:
            self._socket.listen(1000)
            asyncio.get_running_loop().add_reader(self._socket, self._accept)

    async def _fill(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.listen(0)
        while True:
            self._queued.append(socket.socket())
            self._queued[-1].settimeout(0)
            try:
                async with asyncio.timeout(0.05):
                    await asyncio.get_running_loop().sock_connect(self._queued[-1], (HOST, self.port))
            except TimeoutError:
                return

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            connection, _ = self._socket.accept()
            self.connections += 1
            task = asyncio.create_task(self._serve(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            # One that is cancelled before it begins closes nothing itself.
            task.add_done_callback(lambda _task: connection.close())

    async def _end_connections(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, connection: socket.socket) -> None:
        # Whatever ends here unsaid ends as a reset.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        # asyncio sets it for its own sockets alone; without it a body waits 40 ms for the head's acknowledgement.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            await self._handle(reader, writer, connection)
        except _PASSING:
            pass
        finally:
            writer.transport.abort()

    async def _handle(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: socket.socket
    ) -> None:
        match self._trouble:
            case Trouble.RESET_ACCEPTED:
                return
            case Trouble.TLS_CUT:
                await reader.read(1)
                return
            case Trouble.TLS_PLAIN:
                writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                await reader.read()
                return
        if self._tls:
            loop = asyncio.get_running_loop()
            transport = await loop.start_tls(
                writer.transport, writer.transport.get_protocol(), self._tls, server_side=True
            )
            assert transport
            writer._transport = transport  # type: ignore[attr-defined]  # noqa: SLF001 - as start_tls of the stream does
            reader._transport = transport  # type: ignore[attr-defined]  # noqa: SLF001 - likewise
        up_reader, up_writer = await asyncio.open_connection(HOST, self._upstream)
        try:
            while await self._request(reader, writer, up_reader, up_writer):
                pass
        finally:
            up_writer.transport.abort()
        if self._trouble is Trouble.CLOSED_IN_BODY:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))

    async def _request(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> bool:
        """Pass one request on, and tell whether another may come."""
        beginning = await reader.readexactly(20)
        if self._hits("") is Trouble.RESET_IN_REQUEST:
            return False
        request = beginning + await reader.readuntil(b"\r\n\r\n")
        found = _TARGET.match(request.decode())
        assert found, request
        trouble = self._hits(found[1])
        if trouble in (Trouble.RESET_AFTER_REQUEST, Trouble.RESET_IN_REQUEST):
            return False
        if trouble is Trouble.HOLE:
            await asyncio.Event().wait()
        self._seen(found[1])
        up_writer.write(request)
        head = await up_reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await up_reader.readexactly(int(length[1]) if length else 0)
        writer.write(head)
        await writer.drain()
        if trouble is None and not length:
            # The simulator's answer without an end.
            while piece := await up_reader.read(2**16):
                writer.write(piece)
                await writer.drain()
        match trouble:
            case None:
                writer.write(body)
                await writer.drain()
                return True
            case Trouble.SLOW_BODY:
                for at in range(len(body)):
                    writer.write(body[at : at + 1])
                    await asyncio.sleep(1)
            case Trouble.RESET_IN_BODY | Trouble.CLOSED_IN_BODY:
                writer.write(body[: len(body) // 2])
                await writer.drain()
        return False

    def _hits(self, target: str) -> Trouble | None:
        return self._trouble if self._victim in target else None


def _bound(port: int) -> socket.socket:
    made = socket.socket()
    made.settimeout(0)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind((HOST, port))
    return made


@asynccontextmanager
async def proxying(
    upstream: int, seen: Callable[[str], None] = lambda _target: None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Proxy]:
    """Run a proxy in front of a port of the loopback until the block ends."""
    proxy = Proxy(upstream, seen, tls)
    await proxy.make(None)
    try:
        yield proxy
    finally:
        await proxy.make(Trouble.REFUSED)
        proxy._socket.close()  # noqa: SLF001 - nobody else has it
