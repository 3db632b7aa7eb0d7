"""Who is due polls, in order, and what waits is no task."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from exporter.api.budget import Budget
from exporter.polling.rhythm import Rhythm
from exporter.polling.schedule import BEGUN_AT_ONCE, Schedule
from tests.polling.builders import on_fake_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from exporter.errors import PollError


def now() -> float:
    return asyncio.get_running_loop().time()


class Runner:
    """Polls by the budget for so many seconds, and notes when in `begun`, which runners may share."""

    def __init__(
        self, name: str, budget: Budget, begun: list[tuple[str, float]], seconds: float = 1.0, turns: int = 1
    ) -> None:
        self.rhythm = Rhythm(name)
        self.name = name
        self.error: PollError | None = None
        self.breaks = False
        self.at_end: Callable[[], None] | None = None
        self._budget = budget
        self._begun = begun
        self._seconds = seconds
        self._turns = turns

    async def poll(self) -> None:
        self._begun.append((self.name, now()))
        if self.breaks:
            raise ZeroDivisionError
        for _ in range(self._turns):
            async with self._budget.turn(self.rhythm.manner.kind):
                await asyncio.sleep(self._seconds)
        self.rhythm.ended(self.error, 60)
        if self.at_end:
            self.at_end()


class World:
    """A schedule, and runners that note what they do."""

    def __init__(self, in_flight: int = 8, per_second: float = 0) -> None:
        self.budget = Budget(in_flight, per_second)
        self.schedule = Schedule(self.budget)
        self.begun: list[tuple[str, float]] = []

    def runners(self, names: Iterable[str], seconds: float = 1.0, turns: int = 1) -> list[Runner]:
        made = [Runner(name, self.budget, self.begun, seconds, turns) for name in names]
        for runner in made:
            self.schedule.plan(runner)
        return made

    def times(self, name: str) -> list[float]:
        return [at for who, at in self.begun if who == name]


@pytest.mark.parametrize("per_second", [0, 50])
@on_fake_clock
async def test_thousands_that_are_due_are_a_handful_of_tasks(per_second: float) -> None:
    world = World(in_flight=8, per_second=per_second)
    names = [f"S{number}" for number in range(2000)]
    world.runners(names, seconds=0.1)
    most = 0
    while len(world.begun) < len(names):
        await asyncio.sleep(0.05)
        most = max(most, len(asyncio.all_tasks()) - 1)
    await world.schedule.stop()

    assert [name for name, _ in world.begun[: len(names)]] == names
    assert 8 <= most <= 2 * 8 + BEGUN_AT_ONCE


@on_fake_clock
async def test_who_has_waited_longest_comes_first_whoever_came_first() -> None:
    world = World(in_flight=1)
    late, early = world.runners(["late", "early"])
    late.rhythm.due, early.rhythm.due = 20, 10
    for runner in (late, early):
        world.schedule.plan(runner)
    (long,) = world.runners(["long"], seconds=30)
    await asyncio.sleep(50)
    await world.schedule.stop()

    assert [name for name, _ in world.begun[:3]] == ["long", "early", "late"]
    assert long.rhythm.due > 30


@on_fake_clock
async def test_suspects_that_wait_keep_nobody_else_from_beginning() -> None:
    world = World(in_flight=4)
    world.runners(["other"])
    suspects = world.runners([f"H{number}" for number in range(50)], seconds=600)
    for suspect in suspects:
        suspect.rhythm.begin()
        suspect.rhythm.manner.took(60, 60)
        suspect.rhythm.ended(None, 60)
        world.schedule.plan(suspect)
    await asyncio.sleep(100)
    world.runners(["good"])
    began = now()
    await asyncio.sleep(100)
    await world.schedule.stop()

    assert world.times("good")[0] == pytest.approx(began)
    assert any(name.startswith("H") for name, _ in world.begun)


@pytest.mark.parametrize("per_second", [0, 10])
@on_fake_clock
async def test_polls_of_many_pages_keep_nobody_else_from_beginning(per_second: float) -> None:
    world = World(in_flight=8, per_second=per_second)
    world.runners([f"G{number}" for number in range(20)], seconds=0.2, turns=300)
    small = [f"S{number}" for number in range(50)]
    world.runners(small, seconds=0.2)
    await asyncio.sleep(20)
    await world.schedule.stop()

    assert {name for name, _ in world.begun} >= set(small)


@on_fake_clock
async def test_those_that_come_when_all_others_are_dropped_begin() -> None:
    world = World(in_flight=4, per_second=20)
    before = world.runners([f"B{number}" for number in range(100)], seconds=0.01)

    def reload() -> None:
        world.schedule.plan(before[-1])
        for runner in before:
            world.schedule.drop(runner)
        world.runners(["after"])

    # The row of those that wait is full, and the schedule is about to look already.
    before[4].at_end = reload
    await asyncio.sleep(5)
    await world.schedule.stop()

    assert len(world.times("after")) == 1


@on_fake_clock
async def test_planning_the_same_again_and_again_takes_no_room() -> None:
    world = World()
    runners = world.runners(["S1", "S2"])
    await asyncio.sleep(2)
    for _ in range(100):
        for runner in runners:
            world.schedule.plan(runner)
    held = sum(map(len, world.schedule._waiting.values()))  # noqa: SLF001 - it cannot be seen from outside
    await world.schedule.stop()

    assert held == 2


@on_fake_clock
async def test_what_is_asked_for_comes_at_once_and_then_in_its_rhythm() -> None:
    world = World()
    (runner,) = world.runners(["S1"])
    await asyncio.sleep(2)
    runner.rhythm.ask()
    world.schedule.plan(runner)
    await asyncio.sleep(200)
    await world.schedule.stop()
    first, asked, *more = world.times("S1")

    assert (first, asked) == (0, 2)
    assert more[0] < 63
    assert [later - earlier for earlier, later in pairwise(more)] == [pytest.approx(60)] * 2


@on_fake_clock
async def test_what_is_asked_for_during_a_poll_waits_for_its_end() -> None:
    world = World()
    (runner,) = world.runners(["S1"], seconds=5)
    for _ in range(3):
        await asyncio.sleep(1)
        runner.rhythm.ask()
        world.schedule.plan(runner)
    await asyncio.sleep(4)
    await world.schedule.stop()

    assert world.times("S1") == [0, 5]


@pytest.mark.parametrize("after", [0.0, 0.5, 30.0])
@on_fake_clock
async def test_who_is_dropped_polls_no_more(after: float) -> None:
    world = World()
    dropped, stays = world.runners(["dropped", "stays"])
    await asyncio.sleep(after)
    world.schedule.drop(dropped)
    count = len(world.times("dropped"))
    await asyncio.sleep(200)
    await world.schedule.stop()

    assert len(world.times("dropped")) == count
    assert len(world.times("stays")) >= 4
    assert stays.rhythm.due > now()


@on_fake_clock
async def test_a_poll_that_breaks_is_cried_out_and_not_begun_again_and_again(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    broken, _ = world.runners(["broken", "stays"])
    broken.breaks = True
    await asyncio.sleep(200)
    await world.schedule.stop()

    assert len(world.times("broken")) == 1
    assert len(world.times("stays")) >= 4
    assert world.schedule.broken
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]
