"""Long work in the event loop, broken so that nobody else waits long, and not more often than that takes."""

from __future__ import annotations

import asyncio
import time

LONGEST = 0.005
"""Most seconds of work without a break, as far as its steps are short."""


class Turns:
    """Gives others their turn between the steps of one piece of work that runs now."""

    def __init__(self) -> None:
        self._until = time.monotonic() + LONGEST

    async def give(self) -> None:
        """Let others run, where the last time is long ago."""
        if time.monotonic() > self._until:
            await self._pass()
            self._until = time.monotonic() + LONGEST

    async def _pass(self) -> None:
        await asyncio.sleep(0)


class TurnsAmong(Turns):
    """Turns of one of many like it, of whom no two have theirs in the same round of the loop: `lock` is their own."""

    def __init__(self, lock: asyncio.Lock) -> None:
        super().__init__()
        self._until = 0.0
        self._lock = lock

    async def _pass(self) -> None:
        async with self._lock:
            await asyncio.sleep(0)
