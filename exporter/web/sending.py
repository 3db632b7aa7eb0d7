"""A large body on its way: sent beside the event loop to who takes it as fast as it comes, within it to all others."""

from __future__ import annotations

import asyncio
import logging
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING

from exporter.turns import TurnsAmong

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aiohttp import web

log = logging.getLogger(__name__)

Piece = bytes | memoryview

SLOWEST_READER = 120.0
"""Most seconds that a body may take: Prometheus gives up long before."""
BESIDE = 2.0
"""Most seconds of a body that are sent beside the loop, for few can be at once."""
PATIENCE_MS = 20
"""Milliseconds after which a connection that takes nothing is left to the loop."""
BLOCK = 2**16
"""Bytes up to which small pieces are put together."""
AT_ONCE = 2**20
"""Bytes that the system is given at once, as far as it takes them."""
_threads = ThreadPoolExecutor(4, "sending")


async def send(
    pieces: Iterator[bytes],
    request: web.BaseRequest,
    response: web.StreamResponse,
    sending: asyncio.Lock,
    *,
    ready: bool,
) -> None:
    """Send the pieces, of which there is one at least, as the body of a response that was prepared.

    `ready` tells whether they lie ready: to have others made in a thread would have both wait for the interpreter. All
    that send wait at `sending` for their turn, so that many do not have theirs in one round of the loop.
    What is held for a slow reader is some `BLOCK` bytes, and the pieces, which others share as long as they are
    those of the latest data. One that has not taken all in `SLOWEST_READER` seconds is cut off.
    """
    transport = request.transport
    turns = TurnsAmong(sending)
    try:
        async with asyncio.timeout(SLOWEST_READER):
            await turns.give()
            await response.write(next(pieces))
            begun: list[Piece] = []
            if ready and transport and _is_free(transport):
                own = _own(transport.get_extra_info("socket"))
                if own:
                    begun = await asyncio.get_running_loop().run_in_executor(_threads, _send_beside, own, pieces)
            for block in _blocks(chain(begun, pieces)):
                await response.write(block)
                await turns.give()
    except ConnectionError:
        # Who hangs up knows it.
        return
    except TimeoutError:
        log.warning("a reader that had not taken its answer in %g s was cut off", SLOWEST_READER)
        if transport:
            transport.abort()


def _is_free(transport: asyncio.Transport) -> bool:
    return not transport.get_write_buffer_size() and not transport.get_extra_info("ssl_object")


def _own(connection: socket.socket) -> socket.socket | None:
    try:
        return socket.fromfd(connection.fileno(), connection.family, connection.type)
    except OSError:
        # File descriptors are used up, and the loop needs none.
        return None


def _send_beside(connection: socket.socket, pieces: Iterator[bytes]) -> list[Piece]:
    """Send what is taken without delay, and give the pieces that are not; in a thread, and closes the connection.

    What goes wrong with a connection the loop will see too, which alone can deal with it.
    """
    writable, until = select.poll(), time.monotonic() + BESIDE
    with connection:
        writable.register(connection, select.POLLOUT)
        while time.monotonic() < until and (batch := _batch(pieces, AT_ONCE)):
            blocks: list[Piece] = list(_blocks(batch))
            while blocks:
                try:
                    blocks = _behind(blocks, connection.sendmsg(blocks))
                    continue
                except BlockingIOError:
                    if time.monotonic() <= until and writable.poll(PATIENCE_MS):
                        continue
                except OSError:
                    pass
                # Others share the pieces; the blocks would be held for this reader alone.
                return _behind(batch, sum(map(len, batch)) - sum(map(len, blocks)))
    return []


def _batch(pieces: Iterator[Piece], most: int) -> list[Piece]:
    """Take pieces until they are so many bytes together, or all."""
    batch: list[Piece] = []
    size = 0
    for piece in pieces:
        batch.append(piece)
        size += len(piece)
        if size >= most:
            break
    return batch


def _blocks(pieces: Iterable[Piece]) -> Iterator[bytes]:
    """Put small pieces together: each block is a call to the system."""
    rest = iter(pieces)
    while small := _batch(rest, BLOCK):
        yield b"".join(small)


def _behind(pieces: list[Piece], sent: int) -> list[Piece]:
    """Give what is left of the pieces behind so many bytes."""
    for at, piece in enumerate(pieces):
        if sent < len(piece):
            return [memoryview(piece)[sent:], *pieces[at + 1 :]]
        sent -= len(piece)
    return []
