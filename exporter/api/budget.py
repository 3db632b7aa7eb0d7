"""The budget of requests that all properties share: so many in flight, so many a second."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Budget:
    """Hands out turns to send a request, first come, first served.

    Requests are spaced evenly instead of let through in bursts, so that no second holds more than the budget,
    wherever one starts to count. What has just failed may hold only half of the places in flight: properties
    that hang until their time-out must not keep the others waiting.
    """

    def __init__(self, in_flight: int, per_second: float) -> None:
        self._places = asyncio.Semaphore(in_flight)
        self._places_for_suspects = asyncio.Semaphore(max(1, in_flight // 2))
        self._gap = 1 / per_second if per_second else 0.0
        self._next_turn = 0.0

    @asynccontextmanager
    async def turn(self, *, suspect: bool) -> AsyncIterator[None]:
        """Wait for a place and for the time to send; the place is held until the context ends."""
        async with self._places_for_suspects if suspect else nullcontext(), self._places:
            now = asyncio.get_running_loop().time()
            turn = max(now, self._next_turn)
            self._next_turn = turn + self._gap
            if turn > now:
                await asyncio.sleep(turn - now)
            yield
