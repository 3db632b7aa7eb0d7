"""Whether the event loop goes round: what it does late, everybody waits for."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Counter

log = logging.getLogger(__name__)

EVERY = 0.5
"""Seconds between two beats."""
HELD_UP = 3.0
"""Seconds by which a beat is late where that is told."""
TOLD_FOR = 10.0
"""Seconds for which it is told: the usual time between two probes, so that one of them learns of it."""
TOLD_AGAIN = 60.0
"""Seconds after which it may be told anew: who is throttled is not to be restarted by a probe that counts refusals."""


class Heartbeat:
    """A task that should wake up at each beat, and sees how late it does; `delays` counts these seconds."""

    def __init__(self, delays: Counter) -> None:
        self._delays = delays
        self._due = math.inf
        self._longest = 0.0
        self._told_at = -math.inf

    @property
    def trouble(self) -> str | None:
        """What there is to tell of the event loop, None where it goes round."""
        now = asyncio.get_running_loop().time()
        if now < self._told_at + TOLD_FOR:
            return _told_of(self._longest)
        # Who asks may come before the beat that is late.
        late = now - self._due
        return _told_of(late) if late >= HELD_UP and now >= self._told_at + TOLD_AGAIN else None

    async def keep_beating(self) -> None:
        """Beat again and again, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            self._due = loop.time() + EVERY
            await asyncio.sleep(EVERY)
            late = loop.time() - self._due
            self._delays.inc(max(late, 0.0))
            if late >= HELD_UP:
                log.warning("%s: nothing was polled or served", _told_of(late))
                if loop.time() >= self._told_at + TOLD_AGAIN:
                    self._longest, self._told_at = late, loop.time()


def _told_of(late: float) -> str:
    return f"the event loop was held up for {late:.1f} s"
