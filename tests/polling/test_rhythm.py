"""When the next poll comes."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import PollError, Reason
from exporter.polling.rhythm import Rhythm
from tests import fake_clock
from tests.polling.builders import on_fake_clock

AUTH = PollError(Reason.AUTH, "HTTP 401")
SERVER = PollError(Reason.SERVER_ERROR, "HTTP 500")
TOLERANCE = 1e-6
"""Seconds by which floats and the loop's clock may be wrong."""


def now() -> float:
    return asyncio.get_running_loop().time()


def begun(sid: str) -> Rhythm:
    """Give the rhythm of a property whose first poll has begun."""
    rhythm = Rhythm(sid)
    rhythm.begin()
    return rhythm


async def until_next(rhythm: Rhythm, error: PollError | None = None, interval: float = 60) -> float:
    """Give the seconds from the end of a poll to the next."""
    ended = now()
    rhythm.ended(error, interval)
    await asyncio.sleep(max(0.0, rhythm.due - ended))
    rhythm.begin()
    return now() - ended


@pytest.mark.parametrize(
    "sids",
    [
        [f"S{number:031d}" for number in range(1000)],
        ["S" + hashlib.sha256(bytes([number % 256, number // 256])).hexdigest()[:31].upper() for number in range(1000)],
    ],
    ids=["numbered", "random"],
)
@on_fake_clock
async def test_properties_are_spread_over_the_interval(sids: list[str]) -> None:
    waits = await asyncio.gather(*(until_next(begun(sid)) for sid in sids))
    slots = Counter(int(wait) % 60 for wait in waits)

    # A fair draw puts 17 into each of 60 slots, give or take 4 (the standard deviation of a binomial distribution
    # with 1000 tries of 1 in 60). 37 is five of those above, which among 60 slots happens once in 50,000 draws.
    assert max(slots.values()) <= 37
    assert len(slots) == 60


@given(st.text(), st.floats(1, 86_400), st.floats(0, 1e7), st.sampled_from((None, SERVER)))
def test_the_next_poll_comes_within_one_interval_of_the_end_of_the_last(
    key: str, interval: float, ended: float, error: PollError | None
) -> None:
    @on_fake_clock
    async def test() -> None:
        await asyncio.sleep(ended)
        assert 0 < await until_next(begun(key), error, interval) <= interval + TOLERANCE

    test()


@given(st.text(), st.floats(1, 86_400), st.lists(st.floats(0.001, 0.99), min_size=2, max_size=5))
def test_polls_come_one_interval_apart_however_long_they_take(key: str, interval: float, took: list[float]) -> None:
    @on_fake_clock
    async def test() -> None:
        rhythm = begun(key)
        await until_next(rhythm, interval=interval)
        for share in took:
            began = now()
            await asyncio.sleep(share * interval)
            await until_next(rhythm, interval=interval)
            assert abs(now() - began - interval) < TOLERANCE

    test()


@pytest.mark.parametrize(
    ("interval", "waits"),
    [
        (1, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]),
        (60, [60, 120, 240, 480, 600, 600]),
        (400, [400, 600, 600]),
        (600, [600, 600]),
        (3600, [3600, 3600]),
    ],
)
@on_fake_clock
async def test_rejected_credentials_are_tried_at_a_falling_rate(interval: float, waits: list[float]) -> None:
    rhythm = begun("S1")

    assert waits == [pytest.approx(await until_next(rhythm, AUTH, interval)) for _ in waits]


@on_fake_clock
async def test_rejected_credentials_go_on_at_the_slowest_rate_for_ever() -> None:
    rhythm = begun("S1")
    for _ in range(3000):
        await until_next(rhythm, AUTH, 60.0)

    assert pytest.approx(600) == await until_next(rhythm, AUTH, 60.0)


@pytest.mark.parametrize("accepted", [None, SERVER])
@on_fake_clock
async def test_the_rate_falls_anew_once_the_credentials_were_accepted(accepted: PollError | None) -> None:
    rhythm = begun("S1")
    for error in (AUTH, AUTH, AUTH, accepted):
        await until_next(rhythm, error)

    assert not rhythm.rejected
    assert pytest.approx(60) == await until_next(rhythm, AUTH)
    assert rhythm.rejected


@pytest.mark.parametrize(
    ("after", "interval", "longest"), [(3600, 60, 300), (math.inf, 60, 300), (3600, 1000, 1000), (900, 1000, 900)]
)
@on_fake_clock
async def test_a_retry_after_silences_for_5_minutes_or_an_interval_at_most_and_a_reload_ends_it(
    after: float, interval: float, longest: float
) -> None:
    rhythm = begun("S1")
    rhythm.ended(PollError(Reason.SERVER_ERROR, "HTTP 503", retry_after=after), interval)
    usual = begun("S1")
    usual.ended(SERVER, interval)
    assert rhythm.due == max(now() + longest, usual.due)
    await asyncio.sleep(1)
    rhythm.replan(interval)
    usual.replan(interval)
    assert rhythm.due <= now() < usual.due


@pytest.mark.parametrize("after", [0.0, 1.0, 59.0, 61.0, 100.0, 300.0])
@on_fake_clock
async def test_retry_after_is_obeyed_and_does_not_hasten_anything(after: float) -> None:
    usual = await until_next(begun("S1"))
    await asyncio.sleep(60 - usual)
    error = PollError(Reason.RATE_LIMITED, "HTTP 429", retry_after=after)

    assert pytest.approx(max(usual, after)) == await until_next(begun("S1"), error)


@on_fake_clock
async def test_after_a_long_retry_after_the_property_is_back_in_its_place() -> None:
    rhythm = begun("S1")
    first = await until_next(rhythm)
    await until_next(rhythm, PollError(Reason.RATE_LIMITED, "HTTP 429", retry_after=100))
    await until_next(rhythm)

    assert pytest.approx(first) == now() % 60


@pytest.mark.parametrize("error", [None, AUTH, PollError(Reason.RATE_LIMITED, "HTTP 429", retry_after=100)])
@on_fake_clock
async def test_what_is_asked_for_while_waiting_is_due_at_once(error: PollError | None) -> None:
    rhythm = begun("S1")
    rhythm.ended(error, 60)
    assert rhythm.due > now()
    rhythm.ask()

    assert rhythm.due <= now()


@pytest.mark.parametrize("error", [None, AUTH, PollError(Reason.RATE_LIMITED, "HTTP 429", retry_after=100)])
@on_fake_clock
async def test_what_is_asked_for_during_a_poll_comes_when_that_has_ended_and_once(error: PollError | None) -> None:
    rhythm = begun("S1")
    rhythm.ask()

    assert await until_next(rhythm, error) == 0
    assert await until_next(rhythm, error) > 0


@pytest.mark.parametrize(
    ("error", "interval"), [(None, 10), (None, 3600), (AUTH, 10), (AUTH, 3600)], ids=["sooner", "later"] * 2
)
@on_fake_clock
async def test_another_interval_counts_from_the_end_of_the_last_poll(error: PollError | None, interval: float) -> None:
    expected = await until_next(begun("S1"), error, interval)
    await asyncio.sleep(36_000 - now())
    rhythm = begun("S1")
    rhythm.ended(error, 60)
    await asyncio.sleep(0.25)
    rhythm.plan(interval)

    assert pytest.approx(36_000 + expected) == rhythm.due


@on_fake_clock
async def test_an_interval_that_has_passed_already_has_the_poll_come_at_once() -> None:
    rhythm = begun("S1")
    rhythm.ended(AUTH, 60)
    await asyncio.sleep(30)
    rhythm.plan(10)

    assert rhythm.due <= now()


@on_fake_clock
async def test_a_rhythm_that_was_stopped_stays_so() -> None:
    rhythm = begun("S1")
    rhythm.stop()
    for error in (None, AUTH):
        rhythm.ended(error, 60)

    assert rhythm.due == float("inf")


@on_fake_clock
async def test_planning_anew_does_not_take_back_what_was_asked_for() -> None:
    rhythm = begun("S1")
    rhythm.ask()
    rhythm.plan(60)

    assert await until_next(rhythm) == 0


@on_fake_clock
async def test_the_first_poll_comes_at_once_whatever_the_interval() -> None:
    rhythm = Rhythm("S1")
    await asyncio.sleep(30)
    rhythm.replan(60)

    assert rhythm.due <= now()


def test_each_property_has_a_place_of_its_own_that_does_not_depend_on_the_others() -> None:
    async def place() -> None:
        places.append(await until_next(begun("S1")))

    places: list[float] = []
    fake_clock.run(place())
    fake_clock.run(place())

    assert places[0] == places[1]
