"""The budget of requests that all properties share: so many in flight, so many a second."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

Waiter = tuple[int, asyncio.Future[None]]


class Budget:
    """Hands out turns to send a request, first come, first served.

    Turns are spaced evenly instead of given in bursts, so that no second holds more than the budget, wherever one
    starts to count. Suspects, which have hung before, may hold only half of the places in flight: they must not
    keep the others waiting.
    """

    def __init__(self, in_flight: int, per_second: float) -> None:
        self._waiting: dict[bool, deque[Waiter]] = {False: deque(), True: deque()}
        self._held = {False: 0, True: 0}
        self._came = 0
        self._last_turn = float("-inf")
        self.last_end = float("-inf")
        """The loop's time at which the latest request ended."""
        self._timer: asyncio.TimerHandle | None = None
        self._in_flight = in_flight
        self._per_second = per_second
        self.moved_on: Callable[[bool], None] = lambda _suspect: None
        """Called after somebody has left those that wait, suspects or the others, with a turn or without."""

    def room(self, *, suspect: bool) -> int:
        """Give how many more may come and wait not much longer than for one round of answers."""
        return self._in_flight - sum(not turn.done() for _, turn in self._waiting[suspect])

    def configure(self, in_flight: int, per_second: float) -> None:
        """Go by other numbers from now on, for those that wait already too; 0 a second is no limit."""
        self._in_flight, self._per_second = in_flight, per_second
        if any(self._waiting.values()):
            self._give_turns()

    @asynccontextmanager
    async def turn(self, *, suspect: bool) -> AsyncIterator[None]:
        """Wait for a place and for the time to send; the place is held until the context ends."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._came += 1
        self._waiting[suspect].append((self._came, turn))
        self._give_turns()
        try:
            await turn
            yield
        finally:
            # A turn may be given at the very moment at which its waiter is cancelled.
            if turn.done() and not turn.cancelled():
                self._held[suspect] -= 1
                self.last_end = asyncio.get_running_loop().time()
            else:
                self.moved_on(suspect)
            self._give_turns()

    def _give_turns(self) -> None:
        loop = asyncio.get_running_loop()
        if self._timer:
            self._timer.cancel()
        while (suspect := self._next()) is not None:
            gap = 1 / self._per_second if self._per_second else 0.0
            if (left := self._last_turn + gap - loop.time()) > 0:
                self._timer = loop.call_later(left, self._give_turns)
                return
            self._waiting[suspect].popleft()[1].set_result(None)
            self._held[suspect] += 1
            self._last_turn = loop.time()
            self.moved_on(suspect)

    def _next(self) -> bool | None:
        """Tell whose turn it is, a suspect's or another's; None where nobody waits who may have a place."""
        for waiting in self._waiting.values():
            while waiting and waiting[0][1].done():
                waiting.popleft()
        if sum(self._held.values()) >= self._in_flight:
            return None
        suspects_full = self._held[True] >= max(1, self._in_flight // 2)
        heads = [
            (waiting[0][0], suspect)
            for suspect, waiting in self._waiting.items()
            if waiting and not (suspect and suspects_full)
        ]
        return min(heads)[1] if heads else None
