"""The daemon as a process of its own whose time passes faster: what it is, sockets, files and threads, is real.

Standard output gets one line of JSON with the address, and then one with a sample again and again.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import resource
import selectors
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from exporter import heartbeat, log
from exporter.config import load
from exporter.daemon import Address, Daemon, Serving
from exporter.metrics import snapshot
from exporter.polling import poller
from exporter.web import listening, sending

if TYPE_CHECKING:
    from collections.abc import Sequence

SAMPLES_A_SECOND = 4
THREADS = 4
"""Of each of the two pools."""


class _Selector(selectors.EpollSelector):
    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(timeout and timeout / self._speed)


class FastLoop(asyncio.SelectorEventLoop):
    """A loop for which so many seconds pass in one."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._began = time.monotonic()
        super().__init__(_Selector(speed))

    def time(self) -> float:
        return (time.monotonic() - self._began) * self._speed


class _Mallinfo(ctypes.Structure):
    # mallinfo(3): ten numbers, of which the eighth are the bytes in use.
    _fields_ = [("before", ctypes.c_size_t * 7), ("in_use", ctypes.c_size_t), ("behind", ctypes.c_size_t * 2)]


_libc = ctypes.CDLL(None)
_libc.mallinfo2.restype = _Mallinfo


def sample() -> dict[str, float]:
    """What must not grow: resident bytes, what Python and malloc have in use, file descriptors, threads and tasks.

    Small objects are Python's own blocks, larger ones are malloc's. What nobody has any more is given back first:
    garbage waits for a collection, and what malloc has free comes and goes in megabytes, with the largest answers.
    """
    gc.collect()
    _libc.malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "memory": pages * resource.getpagesize(),
        "heap": _libc.mallinfo2().in_use,
        "blocks": sys.getallocatedblocks(),
        "files": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - nothing else is wanted of them
        "threads": threading.active_count(),
        "tasks": len(asyncio.all_tasks()),
    }


def polls(daemon: Daemon) -> dict[str, int]:
    return {sid: each.health.polls for sid, each in daemon.poller.properties.items()}


async def fill(pool: ThreadPoolExecutor, size: int) -> None:
    """Have a pool start all its threads: else it does so one by one, whenever none is idle at the moment."""
    together = threading.Barrier(size)
    await asyncio.gather(*(asyncio.get_running_loop().run_in_executor(pool, together.wait) for _ in range(size)))


async def serve(path: Path, speed: float, began: float) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(pool := ThreadPoolExecutor(THREADS))
    for each in (pool, sending._threads):  # noqa: SLF001 - nobody else has it
        await fill(each, THREADS)
    daemon = Daemon(partial(load, path), lambda: began + loop.time())
    daemon.on_signals(stop)

    def started(addresses: Sequence[Address]) -> None:
        print(json.dumps({"address": str(addresses[0])}), flush=True)

    async def tell() -> None:
        while True:
            await asyncio.sleep(speed / SAMPLES_A_SECOND)
            print(json.dumps({**sample(), "polls": polls(daemon), "now": began + loop.time()}), flush=True)

    telling = asyncio.create_task(tell())
    await daemon.run(Serving((Address("127.0.0.1", 0),)), stop, started)
    telling.cancel()


def main() -> None:
    path, speed, began = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    # What is looked at each second is so ten times in a real one: thousands of times would leave no time to poll.
    snapshot.REFRESH_EVERY *= speed / 10
    poller.FILES_CHECKED_EVERY *= speed / 10
    heartbeat.EVERY *= speed / 10
    listening.LOOK_EVERY *= speed / 10
    # The scrapers' time, and what holds the loop up, are real.
    heartbeat.HELD_UP *= speed
    sending.SLOWEST_READER *= speed
    for name in ("SLOW_SECONDS", "HEAD_SECONDS", "IDLE_SECONDS", "ANSWER_SECONDS", "LINGER_SECONDS"):
        setattr(listening, name, getattr(listening, name) * speed)
    log.configure("info", "json")
    with asyncio.Runner(loop_factory=partial(FastLoop, speed)) as runner:
        runner.run(serve(path, speed, began))


if __name__ == "__main__":
    main()
