"""The budget holds: evenly spaced, so many in flight, first come first served."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.api.budget import SPARED_FOR, Budget, Kind
from tests import fake_clock

if TYPE_CHECKING:
    from collections.abc import Sequence

ROUNDING = 1e-6


class Turns:
    """Takes turns of a budget and notes who had one, when, and how many at once."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.order: list[int] = []
        self.times: list[float] = []
        self.held = {True: 0, False: 0}
        self.most = {True: 0, False: 0}

    async def take(
        self, name: int = 0, *, after: float = 0.0, seconds: float = 0.0, suspect: bool = False, large: bool = False
    ) -> None:
        await asyncio.sleep(after)
        async with self._budget.turn(Kind(suspect, large)):
            self.order.append(name)
            self.times.append(asyncio.get_running_loop().time())
            self.held[suspect] += 1
            self.most = {kind: max(self.most[kind], self.held[kind]) for kind in self.held}
            try:
                await asyncio.sleep(seconds)
            finally:
                self.held[suspect] -= 1


@pytest.mark.parametrize(("per_second", "gap"), [(0.5, 2.0), (1, 1.0), (10, 0.1), (400, 0.0025)])
def test_requests_are_spaced_evenly(per_second: float, gap: float) -> None:
    async def story() -> None:
        turns = Turns(Budget(1000, per_second))
        await asyncio.gather(*(turns.take() for _ in range(25)))
        assert turns.times == pytest.approx([n * gap for n in range(25)], abs=ROUNDING)

    fake_clock.run(story())


@settings(deadline=None)
@given(
    arrivals=st.lists(st.floats(min_value=0, max_value=5), max_size=40),
    per_second=st.integers(min_value=1, max_value=12),
    in_flight=st.integers(min_value=1, max_value=12),
)
def test_no_second_holds_more_than_the_budget(arrivals: Sequence[float], per_second: int, in_flight: int) -> None:
    async def story() -> None:
        turns = Turns(Budget(in_flight, per_second))
        await asyncio.gather(*(turns.take(after=after, seconds=after / 3) for after in arrivals))
        assert len(turns.times) == len(arrivals)
        assert all(
            later - earlier > 1 - ROUNDING
            for earlier, later in zip(turns.times, turns.times[per_second:], strict=False)
        )

    fake_clock.run(story())


def test_a_budget_that_was_not_used_is_not_saved_up() -> None:
    async def story() -> None:
        turns = Turns(Budget(9, 1))
        await asyncio.gather(*(turns.take(after=60) for _ in range(3)))
        assert turns.times == pytest.approx([60, 61, 62], abs=ROUNDING)

    fake_clock.run(story())


def test_without_a_limit_nobody_waits_for_a_time_to_send() -> None:
    async def story() -> None:
        turns = Turns(Budget(50, 0))
        await asyncio.gather(*(turns.take() for _ in range(50)))
        assert turns.times == [0.0] * 50

    fake_clock.run(story())


@pytest.mark.parametrize("in_flight", [1, 2, 8])
def test_as_many_as_configured_are_in_flight_and_no_more(in_flight: int) -> None:
    async def story() -> None:
        turns = Turns(Budget(in_flight, 0))
        await asyncio.gather(*(turns.take(seconds=1) for _ in range(20)))
        assert turns.most[False] == in_flight

    fake_clock.run(story())


@pytest.mark.parametrize(("in_flight", "suspects"), [(1, 1), (2, 1), (3, 1), (8, 4), (9, 4)])
def test_suspects_hold_half_of_the_places_at_most(in_flight: int, suspects: int) -> None:
    async def story() -> None:
        turns = Turns(Budget(in_flight, 0))
        await asyncio.gather(*(turns.take() for _ in range(20)))
        await asyncio.gather(*(turns.take(seconds=1, suspect=True) for _ in range(20)))
        assert turns.most[True] == suspects

    fake_clock.run(story())


@pytest.mark.parametrize(("in_flight", "large", "suspects"), [(8, False, 8), (8, True, 4), (64, True, 8)])
def test_suspects_hold_all_places_but_those_that_others_wanted_at_once_of_late(
    in_flight: int, suspects: int, *, large: bool
) -> None:
    async def story() -> None:
        turns = Turns(Budget(in_flight, 0))
        for seconds, others in ((0.0, 0), (SPARED_FOR, 1), (SPARED_FOR / 2, 0), (SPARED_FOR * 2, 0)):
            await asyncio.sleep(seconds)
            turns.most[True] = 0
            await asyncio.gather(*(turns.take(seconds=1, large=large) for _ in range(others)))
            await asyncio.gather(*(turns.take(seconds=1, suspect=True, large=large) for _ in range(40)))
            most.append(turns.most[True])
        assert most == [suspects, suspects - 1, suspects - 1, suspects]

    most: list[int] = []
    fake_clock.run(story())


@pytest.mark.parametrize(("in_flight", "large"), [(1, 1), (2, 1), (3, 1), (8, 4), (16, 8), (1000, 8)])
def test_large_answers_hold_half_of_the_places_at_most_and_never_more_than_a_few(in_flight: int, large: int) -> None:
    async def story() -> None:
        turns = Turns(Budget(in_flight, 0))
        await asyncio.gather(*(turns.take(seconds=10, large=True) for _ in range(20)))
        assert turns.most[False] == large

    fake_clock.run(story())


@pytest.mark.parametrize(("in_flight", "both", "others"), [(1, 1, 0), (8, 2, 2), (1000, 4, 4)])
def test_large_answers_that_hang_leave_places_to_those_that_do_not(in_flight: int, both: int, others: int) -> None:
    async def story() -> None:
        turns = Turns(Budget(in_flight, 0))
        await asyncio.gather(*(turns.take(large=True) for _ in range(20)))
        every = [asyncio.create_task(turns.take(seconds=100, suspect=True, large=True)) for _ in range(20)]
        every += [asyncio.create_task(turns.take(after=1, seconds=100, large=True)) for _ in range(20)]
        await asyncio.sleep(2)
        assert turns.held == {True: both, False: others}
        for each in every:
            each.cancel()

    fake_clock.run(story())


@pytest.mark.parametrize("kind", [Kind(suspect=True), Kind(large=True), Kind(suspect=True, large=True)])
def test_the_places_that_a_kind_may_not_have_are_free_for_the_others_at_once(kind: Kind) -> None:
    async def story() -> None:
        turns = Turns(Budget(4, 0))
        held = 1 if kind.suspect and kind.large else 2
        await asyncio.gather(*(turns.take(large=large) for large in (False, True) for _ in range(4)))
        turns.times.clear()
        every = [asyncio.create_task(turns.take(-1, seconds=100, **kind._asdict())) for _ in range(20)]
        await asyncio.gather(*(turns.take(name, after=1, seconds=1) for name in range(8 - 2 * held)))
        assert turns.held == {True: 0, False: 0} | {kind.suspect: held}
        assert turns.times == [0] * held + [1] * (4 - held) + [2] * (4 - held)
        for each in every:
            each.cancel()

    fake_clock.run(story())


def test_an_answer_that_turns_out_to_be_large_goes_on_where_there_is_a_place_and_nobody_waits_for_it() -> None:
    async def story() -> None:
        budget = Budget(4, 0)
        turns = Turns(budget)
        async with (
            budget.turn(Kind()) as first,
            budget.turn(Kind(suspect=True)) as second,
            budget.turn(Kind()) as third,
        ):
            assert [budget.enlarge(each) for each in (first, second, third, first)] == [True, True, False, True]
            waits = asyncio.create_task(turns.take(1, large=True))
            await asyncio.sleep(1)
            assert turns.order == []
        async with budget.turn(Kind()) as fourth:
            assert budget.enlarge(fourth)
            await waits

    fake_clock.run(story())


@pytest.mark.parametrize("suspect", [False, True])
@pytest.mark.parametrize("per_second", [0, 10])
def test_who_comes_first_is_served_first(per_second: float, *, suspect: bool) -> None:
    async def story() -> None:
        turns = Turns(Budget(2, per_second))
        await asyncio.gather(*(turns.take(name, seconds=1, suspect=suspect) for name in range(9)))
        assert turns.order == list(range(9))

    fake_clock.run(story())


@pytest.mark.parametrize("suspect", [False, True])
@pytest.mark.parametrize(
    ("per_second", "cancelled_at"),
    [
        pytest.param(0, 0.5, id="one in flight, others waiting for a place"),
        pytest.param(0.1, 5.0, id="one in flight, another waiting for its time"),
    ],
)
def test_whoever_is_cancelled_gives_its_place_back(per_second: float, cancelled_at: float, *, suspect: bool) -> None:
    async def story() -> None:
        turns = Turns(Budget(2, per_second))
        tasks = [asyncio.create_task(turns.take(seconds=1000, suspect=suspect)) for _ in range(5)]
        await asyncio.sleep(cancelled_at)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        turns.most = {True: 0, False: 0}
        await asyncio.gather(*(turns.take(seconds=100) for _ in range(4)))
        assert turns.most[False] == 2

    fake_clock.run(story())


def test_a_request_that_fails_gives_its_place_back() -> None:
    async def story() -> None:
        budget = Budget(1, 0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                async with budget.turn(Kind(suspect=True)):
                    raise ZeroDivisionError
        async with budget.turn(Kind()):
            assert asyncio.get_running_loop().time() == 0.0

    fake_clock.run(story())


def test_other_numbers_rule_those_that_wait_already() -> None:
    async def story() -> None:
        budget = Budget(1000, 0.02)
        turns = Turns(budget)
        waiting = asyncio.gather(*(turns.take(n) for n in range(30)))
        await asyncio.sleep(10)
        budget.configure(1000, 10)
        await waiting
        assert turns.order == list(range(30))
        assert turns.times == pytest.approx([0, *(10 + n * 0.1 for n in range(29))], abs=ROUNDING)

    fake_clock.run(story())


def test_changes_of_the_numbers_never_add_up() -> None:
    async def story() -> None:
        budget = Budget(4, 0)
        turns = Turns(budget)
        waiting = asyncio.gather(*(turns.take(n, seconds=10) for n in range(40)))
        for rate in range(1, 10):
            await asyncio.sleep(1)
            budget.configure(4, rate)
        await waiting
        assert turns.most[False] == 4

    fake_clock.run(story())


def test_a_turn_that_nobody_takes_any_more_is_not_spent() -> None:
    async def story() -> None:
        turns = Turns(Budget(100, 0.5))
        await turns.take()
        left = [asyncio.create_task(turns.take()) for _ in range(50)]
        await asyncio.sleep(0.1)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await turns.take()
        assert turns.times == pytest.approx([0, 2], abs=ROUNDING)

    fake_clock.run(story())
