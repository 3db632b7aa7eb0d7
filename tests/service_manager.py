"""systemd's end of the notifications, at a real socket."""

from __future__ import annotations

import asyncio
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Manager:
    """A service manager, where `address` is what it sets as NOTIFY_SOCKET."""

    def __init__(self, address: str, listening: socket.socket) -> None:
        self.address = address
        self.socket = listening

    def heard(self) -> list[str]:
        """The next message, which has come already."""
        return self.socket.recv(4096).decode().split("\n")

    async def hears(self) -> list[str]:
        async with asyncio.timeout(30):
            return (await asyncio.get_running_loop().sock_recv(self.socket, 4096)).decode().split("\n")

    async def hears_of(self, news: str) -> list[str]:
        """The next message with this line; pings of the watchdog may come before it."""
        async with asyncio.timeout(30):
            while news not in (message := await self.hears()):
                assert message[0] == "WATCHDOG=1"
        return message


@contextmanager
def managing(address: object) -> Iterator[Manager]:
    """Listen at a path, or with @ before it in the abstract namespace, until the block ends."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(0)
        listening.bind(str(address).replace("@", "\0", 1))
        yield Manager(str(address), listening)
