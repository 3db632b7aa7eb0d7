"""Connections: bounded in number, in time and in what they may bring, so that none keeps another from its answer."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
from itertools import chain
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from exporter.polling.schedule import failed
from exporter.web.guard import closing
from exporter.web.sending import SLOWEST_READER

if TYPE_CHECKING:
    import ssl
    from asyncio import Task
    from collections.abc import Awaitable, Iterable, Iterator

    from exporter.web.guard import Guard

log = logging.getLogger(__name__)

MOST = 512
"""Most connections at once, and half of the file descriptors: the other half is for polls and files.

Beyond it one that has had no answer yet is ended, else a slow reader, else one that waits for its next request, else
the new one.
"""
SLOW_SECONDS = 5.0
"""Seconds after which an answer that is not taken may be ended to make room."""
HEAD_SECONDS = 10.0
"""Most seconds that a TLS handshake may take, and then the head of a request, from its first byte."""
IDLE_SECONDS = 600.0
"""Most seconds between two requests: more than any usual interval of scrapes."""
ANSWER_SECONDS = SLOWEST_READER + HEAD_SECONDS
"""Most seconds until an answer is taken; a large one has its own limit, which says more."""
LINGER_SECONDS = 1.0
"""Seconds for which a body that nobody reads is taken, so that its sender reads the answer."""
UNSENT = 2**18
"""Bytes that the system takes for a reader beyond those that are on their way to it: else they may be mebibytes."""
LOOK_EVERY = 1.0
QUIET_SECONDS = 60.0
"""Seconds for which the same is not said again of connections that were refused."""
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Listener:
    """Accepts connections for the server, and bounds them; `guard` judges them and their requests."""

    def __init__(self, server: web.Server, guard: Guard, most: int = MOST) -> None:
        self._server = server
        self._guard = guard
        self._most = min(most, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
        self._answer = server.request_handler
        server.request_handler = self._handle
        self._tasks: set[Task[None]] = set()
        self._tls = guard.tls()
        self._sockets: list[socket.socket] = []
        self._quiet_until: dict[str, float] = {}
        self.connections: set[Connection] = set()
        # Those that have had no answer yet, and those that wait for their next request: the oldest comes first.
        self.new: dict[Connection, None] = {}
        self.idle: dict[Connection, None] = {}
        # Since when, on the loop's clock, they have been answered: the slowest reader comes first.
        self.answering: dict[Connection, float] = {}

    def start(self, sockets: list[socket.socket]) -> None:
        """Accept at sockets that listen, until the listener is closed."""
        self._sockets = sockets
        for each in sockets:
            each.setblocking(False)  # noqa: FBT003 - the library's own
            if each.family != socket.AF_UNIX:
                # Connections have it from the socket that listens.
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
            self._begin(self._accept(each))
        self._begin(self._look())

    async def close(self) -> None:
        """Accept no more; those connections that are there stay."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for each in self._sockets:
            each.close()

    def _begin(self, work: Awaitable[None]) -> Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(failed)
        return task

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                accepted, _ = listening.accept()
                self._take(accepted)
            except BlockingIOError:
                # To wait for the connection itself could lose one, where the wait is cancelled as it comes.
                await _readable(listening)
            except (OSError, MemoryError) as error:
                # A client that has gone already is no reason to wait. To end other connections would free little, for
                # what they may take is bounded: something else has used up the rest.
                if isinstance(error, MemoryError) or error.errno in _EXHAUSTED:
                    self.complain(f"no connection can be accepted: {getattr(error, 'strerror', None) or 'no memory'}")
                    await asyncio.sleep(LOOK_EVERY)
            # Where connections come without end, others have their turn too.
            await asyncio.sleep(0)

    def _take(self, accepted: socket.socket) -> None:
        self._keep_to_terms()
        context = self._tls.context if self._tls else None
        if len(self.connections) >= self._most and not self._make_room(self.new, self._slow(), self.idle):
            self.complain(f"connections are refused: {self._most} wait for their answer")
            _refuse(accepted, plain=context is None)
            return
        connection = Connection(self, self._server, self._guard)
        self.connections.add(connection)
        self.new[connection] = None
        connection.shaking_hands = self._begin(self._shake_hands(connection, accepted, context))
        # A task that is cancelled before it begins does not even come to that.
        connection.shaking_hands.add_done_callback(lambda _task: self._shaken(connection, accepted))

    def _keep_to_terms(self) -> bool:
        """End connections made under other terms than those in force; say whether others may come in than before."""
        old, new = self._tls, self._guard.tls()
        if new is old:
            return False
        self._tls = new
        others = not old or not new or old.clients != new.clients
        for connection in list(self.connections):
            if connection in self.answering:
                # Who asked for it could.
                connection.close()
            elif others:
                connection.cut()
            elif connection in self.idle:
                connection.force_close()
        return others

    async def _shake_hands(self, connection: Connection, accepted: socket.socket, tls: ssl.SSLContext | None) -> None:
        timeout = HEAD_SECONDS if tls else None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, accepted, ssl=tls, ssl_handshake_timeout=timeout, ssl_shutdown_timeout=timeout
            )
        except (OSError, MemoryError) as error:
            log.debug("no connection came about: %s", error)
            # Its frames hold it in turn, and what asyncio has of the handshake: a quarter of a mebibyte.
            error.__traceback__ = None
        finally:
            # Likewise where the task was cancelled: the task holds why.
            self._shaken(connection, accepted)

    def _shaken(self, connection: Connection, accepted: socket.socket) -> None:
        connection.shaking_hands = None
        if not connection.made:
            accepted.close()
            self.forget(connection)

    def forget(self, connection: Connection) -> None:
        """Count a connection no more."""
        self.connections.discard(connection)
        self.new.pop(connection, None)
        self.idle.pop(connection, None)
        self.answering.pop(connection, None)

    def _slow(self) -> Iterator[Connection]:
        slow = asyncio.get_running_loop().time() - SLOW_SECONDS
        return (connection for connection, since in self.answering.items() if since < slow)

    def _make_room(self, *kinds: Iterable[Connection]) -> bool:
        """End the first connection of the first kind that has any: the one that has waited longest."""
        connection = next(chain(*kinds), None)
        if connection:
            self.forget(connection)
            connection.cut()
        return connection is not None

    def complain(self, message: str) -> None:
        """Log something that a client can bring about as often as it likes, one of a few messages, now and then."""
        now = asyncio.get_running_loop().time()
        if now >= self._quiet_until.get(message, 0):
            self._quiet_until[message] = now + QUIET_SECONDS
            log.warning("%s", message)

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_EVERY)
            now = loop.time()
            for connection in [each for each in self.connections if each.until < now]:
                connection.cut()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection: Connection = request.protocol  # type: ignore[assignment]  # no other is made
        connection.begin()
        if self._keep_to_terms():
            connection.cut()
        if connection.ended:
            return closing(web.Response(status=403))
        return await self._guard.refusal(request) or await self._answer(request)


class Connection(web.RequestHandler):
    """One connection; at `until`, on the loop's clock, it is cut off."""

    __slots__ = ("_guard", "_head", "_listener", "_way", "ended", "made", "shaking_hands", "until")

    def __init__(self, listener: Listener, server: web.Server, guard: Guard) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=IDLE_SECONDS,
            access_log=None,  # type: ignore[arg-type]  # what switches it off
            auto_decompress=False,
            lingering_time=LINGER_SECONDS,
        )
        self._listener = listener
        self._guard = guard
        self._way: asyncio.BaseTransport | None = None
        self._head = False
        self.made = self.ended = False
        self.shaking_hands: Task[None] | None = None
        self.until = loop.time() + HEAD_SECONDS

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, once the handshake is done: who has no allowed name gets no answer."""
        self.made = True
        self._way = transport
        self.until = self._loop.time() + HEAD_SECONDS
        super().connection_made(transport)
        if not self._guard.knows(transport.get_extra_info("peercert")):
            self._listener.complain("a client is refused: it showed no certificate with one of client_allowed_sans")
            self.cut()

    def data_received(self, data: bytes) -> None:
        """Take bytes; with the first of a request its time begins."""
        if self in self._listener.idle and not self._head:
            self._head = True
            self.until = self._loop.time() + HEAD_SECONDS
        super().data_received(data)

    def begin(self) -> None:
        """Note that a request has come."""
        self._head = False
        self.until = self._loop.time() + ANSWER_SECONDS
        self._listener.new.pop(self, None)
        self._listener.idle.pop(self, None)
        self._listener.answering[self] = self._loop.time()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer, and wait for the next request."""
        if not resp.prepared:
            await self._guard.dress(request, resp)
        finished = await super().finish_response(request, resp, start_time)
        self._listener.answering.pop(self, None)
        if not self.ended:
            self.until = self._loop.time() + (IDLE_SECONDS if resp.keep_alive else HEAD_SECONDS)
            self._listener.idle[self] = None
        return finished

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Give the answer to a request that cannot be answered."""
        if isinstance(exc, (HttpProcessingError, ConnectionError)):
            # What is no HTTP is not logged, and not told back: whoever sends it would write the log. So would who hangs
            # up before the answer, again and again.
            return closing(web.Response(status=400, text="bad request\n"))
        return super().handle_error(request, status, exc, message)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count it no more."""
        self.ended = True
        self._listener.forget(self)
        super().connection_lost(exc)

    def cut(self) -> None:
        """End it at once, whatever it is about."""
        self.ended = True
        if isinstance(self._way, asyncio.WriteTransport):
            self._way.abort()
        elif self.shaking_hands:
            self.shaking_hands.cancel()


async def _readable(listening: socket.socket) -> None:
    """Wait until somebody connects."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(listening, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(listening)


def _refuse(accepted: socket.socket, *, plain: bool) -> None:
    with accepted:
        if plain:
            try:
                accepted.setblocking(False)  # noqa: FBT003 - the library's own
                accepted.send(_BUSY)
            except OSError:
                return
