"""Who polls when: a task for each poll under way, and for what waits no more than a place in a heap."""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
from itertools import count
from typing import TYPE_CHECKING, Protocol

from exporter.api.budget import KINDS

if TYPE_CHECKING:
    from exporter.api.budget import Budget, Kind
    from exporter.polling.rhythm import Rhythm

log = logging.getLogger(__name__)

BEGUN_AT_ONCE = 2
"""Most polls that begin before others have their turn; so their answers do not come all at once either."""


class Runner(Protocol):
    """What is polled again and again, by its rhythm; `poll` survives whatever may go wrong."""

    rhythm: Rhythm

    async def poll(self) -> None:
        """Poll once, and plan the next in the rhythm."""
        ...


class Schedule:
    """Has each runner poll when its rhythm says so, never twice at once.

    Of many that are due, those begin that have waited longest, and no more of them than soon have their turn in the
    budget: thousands of polls that do nothing but wait for it would cost memory. But one begins for each that moves on,
    or polls of many pages would keep all others out. Each kind waits in a row of its own, as it does in the budget.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._waiting: dict[Kind, list[tuple[float, int, Runner]]] = {kind: [] for kind in KINDS}
        self._came = count()
        self._polling: dict[Runner, asyncio.Task[None]] = {}
        self._timer: asyncio.Handle | None = None
        self._moved_on = dict.fromkeys(KINDS, False)
        self._last_begin = -math.inf
        self.broken = False
        """Whether a poll has ended as none may, and its runner polls no more."""
        budget.moved_on = self._one_moved_on

    def plan(self, runner: Runner) -> None:
        """Have a runner poll from now on, by the plan that its rhythm now has."""
        rhythm = runner.rhythm
        if rhythm.planned != rhythm.due:
            rhythm.planned = rhythm.due
            heapq.heappush(self._waiting[rhythm.manner.kind], (rhythm.due, next(self._came), runner))
        self._soon()

    def stalled(self, patience: float) -> bool:
        """Tell whether polls are under way, or overdue, and no request ended or poll began for so many seconds."""
        since = asyncio.get_running_loop().time() - patience
        waits = bool(self._polling) or any(waiting[0][0] < since for waiting in self._waiting.values() if waiting)
        return waits and max(self._last_begin, self._budget.last_end) < since

    def drop(self, runner: Runner) -> None:
        """Have a runner poll no more; a poll under way is cancelled."""
        runner.rhythm.stop()
        if task := self._polling.pop(runner, None):
            task.cancel()

    async def stop(self) -> None:
        """End all polls, and begin no more."""
        for waiting in self._waiting.values():
            waiting.clear()
        if self._timer:
            self._timer.cancel()
        tasks = list(self._polling.values())
        self._polling.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _one_moved_on(self, kind: Kind) -> None:
        self._moved_on[kind] = True
        self._soon()

    def _soon(self) -> None:
        """Look for who is due when all that has just begun has asked for its turn."""
        if isinstance(self._timer, asyncio.TimerHandle):
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_soon(self._begin_due)

    def _begin_due(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        upcoming = math.inf
        for kind, waiting in self._waiting.items():
            room, left = max(self._budget.room(kind), self._moved_on[kind]), BEGUN_AT_ONCE
            self._moved_on[kind] = False
            while waiting and room > 0:
                due, _, runner = waiting[0]
                if due != runner.rhythm.planned or runner in self._polling:
                    # It was planned anew since, or dropped.
                    self._forget(heapq.heappop(waiting))
                elif due > loop.time() or not left:
                    upcoming = min(upcoming, due)
                    break
                else:
                    self._forget(heapq.heappop(waiting))
                    self._begin(runner)
                    left, room = left - 1, room - 1
        if upcoming <= loop.time():
            self._soon()
        elif upcoming < math.inf:
            self._timer = loop.call_at(upcoming, self._begin_due)

    def _forget(self, entry: tuple[float, int, Runner]) -> None:
        due, _, runner = entry
        if due == runner.rhythm.planned:
            runner.rhythm.planned = None

    def _begin(self, runner: Runner) -> None:
        runner.rhythm.begin()
        self._last_begin = asyncio.get_running_loop().time()
        self._polling[runner] = task = asyncio.create_task(runner.poll())
        task.add_done_callback(lambda task: self._ended(runner, task))

    def _ended(self, runner: Runner, task: asyncio.Task[None]) -> None:
        if self._polling.get(runner) is not task:
            return
        del self._polling[runner]
        if not failed(task):
            self.plan(runner)
        elif not task.cancelled():
            self.broken = True


def failed(task: asyncio.Task[None]) -> bool:
    """Tell whether a task was cut short; where it failed, cry out: nobody thought that it could, and nobody waits."""
    error = None if task.cancelled() else task.exception()
    if error:
        log.critical("a task has ended: restart the exporter and report this", exc_info=error)
    return task.cancelled() or error is not None
