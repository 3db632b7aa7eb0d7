"""The budget of requests that all properties share: so many in flight, so many a second."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import product
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

Waiter = tuple[int, asyncio.Future[None]]

LARGE_AT_ONCE = 8
"""Most large answers in flight, and not read yet, however many requests may be."""


class Kind(NamedTuple):
    """What is known of a request before it is sent: each kind waits in a row of its own."""

    suspect: bool = False
    large: bool = False


KINDS = tuple(Kind(*each) for each in product((False, True), repeat=2))
ORDINARY = KINDS[0]


class Manner(msgspec.Struct):
    """How whoever asks was answered of late: `suspect` where nothing came in time, `large` where much came."""

    suspect: bool = False
    large: bool = False

    @property
    def kind(self) -> Kind:
        """The kind of the next request."""
        return KINDS[2 * self.suspect + self.large]


class Budget:
    """Hands out turns to send a request, first come, first served.

    Turns are spaced evenly instead of given in bursts, so that no second holds more than the budget, wherever one
    starts to count. Suspects, which have hung before, may hold only half of the places in flight: they must not
    keep the others waiting. Nor must those whose answers are large, of which no more are held in memory at once.
    """

    def __init__(self, in_flight: int, per_second: float) -> None:
        self._waiting: dict[Kind, deque[Waiter]] = {kind: deque() for kind in KINDS}
        self._held = dict.fromkeys(KINDS, 0)
        self._came = 0
        self._last_turn = float("-inf")
        self.last_end = float("-inf")
        """The loop's time at which the latest request ended."""
        self._timer: asyncio.TimerHandle | None = None
        self._in_flight = in_flight
        self._per_second = per_second
        self.moved_on: Callable[[Kind], None] = lambda _kind: None
        """Called after somebody has left those of a kind that wait, with a turn or without."""

    def room(self, kind: Kind) -> int:
        """Give how many more of a kind may come and wait not much longer than for one round of answers."""
        return self._in_flight - sum(not given.done() for _, given in self._waiting[kind])

    @property
    def held(self) -> int:
        """How many requests are in flight."""
        return sum(self._held.values())

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return sum(not given.done() for waiting in self._waiting.values() for _, given in waiting)

    def configure(self, in_flight: int, per_second: float) -> None:
        """Go by other numbers from now on, for those that wait already too; 0 a second is no limit."""
        self._in_flight, self._per_second = in_flight, per_second
        if any(self._waiting.values()):
            self._give_turns()

    def turn(self, kind: Kind) -> Turn:
        """Give a turn to wait for, by entering its context, and to hold until that ends."""
        return Turn(self, kind)

    def join(self, turn: Turn) -> None:
        """Let a turn wait for a place and for the time to send."""
        self._came += 1
        self._waiting[turn.kind].append((self._came, turn.given))
        self._give_turns()

    def leave(self, turn: Turn) -> None:
        """Let a turn wait no more, or give its place back."""
        # It may have been given at the very moment at which its waiter was cancelled.
        if turn.given.done() and not turn.given.cancelled():
            self._held[turn.kind] -= 1
            self.last_end = asyncio.get_running_loop().time()
        else:
            self.moved_on(turn.kind)
        self._give_turns()

    def enlarge(self, turn: Turn) -> bool:
        """Count a turn as one whose answer is large; say False where it may not go on, for others wait for that."""
        large = Kind(turn.kind.suspect, large=True)
        if turn.kind == large:
            return True
        self._held[turn.kind] -= 1
        if self._has_place(large) and all(given.done() for _, given in self._waiting[large]):
            turn.kind = large
        self._held[turn.kind] += 1
        return turn.kind == large

    def _give_turns(self) -> None:
        loop = asyncio.get_running_loop()
        if self._timer:
            self._timer.cancel()
        while (kind := self._next()) is not None:
            gap = 1 / self._per_second if self._per_second else 0.0
            if (left := self._last_turn + gap - loop.time()) > 0:
                self._timer = loop.call_later(left, self._give_turns)
                return
            self._waiting[kind].popleft()[1].set_result(None)
            self._held[kind] += 1
            self._last_turn = loop.time()
            self.moved_on(kind)

    def _next(self) -> Kind | None:
        """Tell of which kind the next is; None where nobody waits who may have a place."""
        for waiting in self._waiting.values():
            while waiting and waiting[0][1].done():
                waiting.popleft()
        heads = [(waiting[0][0], kind) for kind, waiting in self._waiting.items() if waiting and self._has_place(kind)]
        return min(heads)[1] if heads else None

    def _has_place(self, kind: Kind) -> bool:
        if self.held >= self._in_flight:
            return False
        if kind == ORDINARY:
            return True
        half = max(1, self._in_flight // 2)
        large = min(half, LARGE_AT_ONCE)
        held = self._held.items()
        return not (
            (kind.suspect and sum(count for each, count in held if each.suspect) >= half)
            or (kind.large and sum(count for each, count in held if each.large) >= large)
            # Among the large ones too the suspects must not keep the others waiting.
            or (kind.suspect and kind.large and self._held[kind] >= max(1, large // 2))
        )


class Turn:
    """A place in flight, waited for and held as one of its kind as long as the context lasts."""

    __slots__ = ("_budget", "given", "kind")

    def __init__(self, budget: Budget, kind: Kind) -> None:
        self._budget = budget
        self.kind = kind

    async def __aenter__(self) -> Self:
        self.given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._budget.join(self)
        try:
            await self.given
        except BaseException:
            self._budget.leave(self)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._budget.leave(self)
