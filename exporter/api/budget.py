"""The budget of requests that all properties share: so many in flight, so many a second."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import product
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Waiter = tuple[int, asyncio.Future[None]]

LARGE_AT_ONCE = 8
"""Most large answers in flight, and not read yet, however many requests may be."""
SPARED_FOR = 120.0
"""Seconds for which places are kept free of suspects, counted from when others last wanted as many."""
LONG = 0.25
"""The part of the time limit beyond which answers take long: many such have others wait much as if none came."""
NEWEST = 1 / 3
"""How much the newest answer counts in how long answers take: one that hangs is enough, one that is slow is not."""


class Kind(NamedTuple):
    """What is known of a request before it is sent: each kind waits in a row of its own."""

    suspect: bool = False
    large: bool = False


KINDS = tuple(Kind(*each) for each in product((False, True), repeat=2))
ORDINARY = KINDS[0]


class Manner(msgspec.Struct):
    """How whoever asks was answered: `suspect` where answers took long, in the last poll or in the one under way.

    `large` where much came. `slow` is whether they took long in the one under way, at any time; `seconds` are how long
    they take of late.
    """

    suspect: bool = False
    large: bool = False
    slow: bool = False
    seconds: float = 0.0

    @property
    def kind(self) -> Kind:
        """The kind of the next request."""
        return KINDS[2 * self.suspect + self.large]

    def took(self, seconds: float, limit: float) -> None:
        """Note how long an answer took, or was waited for in vain, where it had so many seconds at most."""
        self.seconds += (seconds - self.seconds) * NEWEST
        if self.seconds > LONG * limit:
            self.suspect = self.slow = True
            # So that those who are quick again are so at once.
            self.seconds = LONG * limit

    def ended(self) -> None:
        """Note that a poll has ended: whoever was quick throughout is no suspect any more."""
        self.suspect, self.slow = self.slow, False


class Budget:
    """Hands out turns to send a request, first come, first served.

    Turns are spaced evenly instead of given in bursts, so that no second holds more than the budget, wherever one
    starts to count. Suspects, which had others wait before, may hold only half of the places in flight where others
    want the rest, or did of late: an API that is slow with everybody has all places. Nor must those keep others waiting
    whose answers are large, of which no more are held in memory at once.
    """

    def __init__(self, in_flight: int, per_second: float) -> None:
        self._waiting: dict[Kind, deque[Waiter]] = {kind: deque() for kind in KINDS}
        self._held = dict.fromkeys(KINDS, 0)
        self._wanted = {kind: (0, 0.0) for kind in KINDS if not kind.suspect}
        """Most turns of a kind that were held and waited for together of late, and when that was."""
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
        self._want(turn.kind)
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
        self._want(turn.kind)
        return turn.kind == large

    def _want(self, kind: Kind) -> None:
        if kind.suspect:
            return
        now, wanted = asyncio.get_running_loop().time(), self._held[kind] + len(self._waiting[kind])
        if wanted >= self._wanted[kind][0] or now > self._wanted[kind][1] + SPARED_FOR:
            self._wanted[kind] = wanted, now

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
        heads = []
        for kind, waiting in self._waiting.items():
            while waiting and waiting[0][1].done():
                waiting.popleft()
            if waiting and self._has_place(kind):
                heads.append((waiting[0][0], kind))
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
            (kind.suspect and sum(count for each, count in held if each.suspect) >= self._left(self._in_flight, KINDS))
            or (kind.large and sum(count for each, count in held if each.large) >= large)
            # Among the large ones too the suspects must not keep the others waiting.
            or (kind.suspect and kind.large and self._held[kind] >= self._left(large, [Kind(large=True)]))
        )

    def _left(self, places: int, kinds: Iterable[Kind]) -> int:
        """Tell how many of the places suspects may hold: what others of these kinds do not want, but half at least."""
        since = asyncio.get_running_loop().time() - SPARED_FOR
        recent = (self._wanted[kind] for kind in kinds if not kind.suspect)
        return max(1, places // 2, places - sum(count for count, at in recent if at >= since))


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
