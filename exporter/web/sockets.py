"""The sockets to listen at: bound to an address, or passed by systemd, sd_listen_fds(3)."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

BACKLOG = 512
"""Connections that the system keeps until they are accepted."""
_FIRST_PASSED = 3


async def bound(host: str, port: int) -> list[socket.socket]:
    """Listen at every address that the host has, or for an empty one the machine; raise OSError where that fails."""
    loop = asyncio.get_running_loop()
    places = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    missing = OSError(errno.EADDRNOTAVAIL, f"{host} has no address")
    for family, _, _, _, place in dict.fromkeys(places):
        try:
            sockets.append(socket.create_server(place, family=family, backlog=BACKLOG))
        except OSError as error:
            # A machine without IPv6 may name its addresses all the same.
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                for each in sockets:
                    each.close()
                raise
            missing = error
    if not sockets:
        raise missing
    return sockets


def passed(environment: MutableMapping[str, str]) -> list[socket.socket]:
    """Take the sockets that systemd passed, as the environment says; raise OSError where there are none to listen at.

    What it says is taken out: no child is to take it for its own.
    """
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal() or not int(count):
        raise OSError("--web.systemd-socket: systemd has passed no socket: start siptrunk-exporter.socket")
    sockets = [socket.socket(fileno=number) for number in range(_FIRST_PASSED, _FIRST_PASSED + int(count))]
    for each in sockets:
        each.set_inheritable(False)
        if each.type != socket.SOCK_STREAM or not each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError("--web.systemd-socket: systemd has passed a socket that does not listen: Accept=no is needed")
    return sockets
