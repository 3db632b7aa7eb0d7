"""systemd's notification protocol, sd_notify(3): a service manager, where there is one, learns how the daemon does."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from exporter.polling.schedule import failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

log = logging.getLogger(__name__)

STATUS_EVERY = 30.0
"""Most seconds between two looks at the status; a watchdog may want to hear from us more often."""


class Notifier:
    """Tells of the start, reloads and the stop, and, as long as the event loop goes round, that it does.

    `environment` says where to, as systemd sets it; nothing is told without NOTIFY_SOCKET. `status` gives the line
    that `systemctl status` shows.
    """

    def __init__(self, environment: Mapping[str, str], status: Callable[[], str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # The abstract namespace, where no file stands for the socket, is written with @ for its first byte, NUL.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._status = status
        self._alive: tuple[str, ...] = ()
        self._every = STATUS_EVERY
        own = str(os.getpid())
        patience = environment.get("WATCHDOG_USEC", "") if environment.get("WATCHDOG_PID", own) == own else ""
        if patience.isdecimal() and int(patience):
            self._alive = ("WATCHDOG=1",)
            self._every = min(STATUS_EVERY, int(patience) / 2 / 1e6)
        self._serving = False
        self._failed = False
        self._owed: tuple[str, ...] = ()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Tell that the daemon can be reached, as long as the block runs that it is alive, and then that it stops."""
        self._serving = True
        self._tell_ready()
        telling = asyncio.create_task(self._keep_telling())
        telling.add_done_callback(failed)
        try:
            yield
        finally:
            telling.cancel()
            self._serving = False
            self._tell("STOPPING=1")

    @asynccontextmanager
    async def reloading(self) -> AsyncIterator[None]:
        """Tell that the block is a reload; before the start is told, and after the stop, nobody wants to know."""
        if self._serving:
            self._owed = ()
            self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            if self._serving:
                self._tell_ready()

    def _tell_ready(self) -> None:
        # Unheard, it would leave the manager waiting for the end of the start or the reload for ever.
        self._owed = () if self._tell("READY=1") else ("READY=1",)

    async def _keep_telling(self) -> None:
        while self._address:
            await asyncio.sleep(self._every)
            if self._tell(*self._alive, *self._owed):
                self._owed = ()

    def _tell(self, *news: str) -> bool:
        """Tell it, and give whether it was heard; that nobody hears is complained of once, until somebody does."""
        if not self._address:
            return True
        # After the end a status would be the last one that was true, shown for ever.
        status = self._status() if self._serving else ""
        message = "\n".join((*news, f"STATUS={status}"))
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                # Better no word than scrapes that wait for a service manager.
                sender.sendto(message.encode(), socket.MSG_DONTWAIT, self._address)
        except OSError as error:
            if not self._failed:
                self._failed = True
                log.warning("the service manager cannot be told: %s", error)
        else:
            self._failed = False
        return not self._failed
