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
            await asyncio.sleep(0)
            self._until = time.monotonic() + LONGEST
