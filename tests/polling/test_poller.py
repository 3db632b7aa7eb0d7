"""All properties together: none waits for another, all end together."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from exporter.api.client import Answer, ApiClient
from exporter.errors import PollError, Reason
from tests.polling.builders import API, EVERY, Polled, account, config, on_fake_clock
from tests.polling.fake_api import LATENCY, FakeApi, Hangs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from exporter.config import Config, Discover

REFUSED = PollError(Reason.CONNECT, "refused")


def gaps(times: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(times)]


@pytest.mark.parametrize(("hanging", "in_flight", "attempts"), [(1, 2, 4), (1, 8, 1), (20, 8, 4), (100, 8, 4)])
@on_fake_clock
async def test_properties_that_hang_do_not_delay_the_others(
    hanging: int, in_flight: int, attempts: int, api: FakeApi
) -> None:
    bad = [f"H{number}" for number in range(hanging)]
    good = [f"G{number}" for number in range(5)]
    api.faults = dict.fromkeys(bad, Hangs())
    limits = replace(API, max_concurrency=in_flight, max_attempts=attempts)
    async with Polled(config(account(*bad, *good), api=limits)) as polled:
        # In its first round nobody knows yet who will hang.
        await asyncio.sleep(900)
        known = len(api.asked)
        await asyncio.sleep(600)
        late = api.asked[known:]

        for sid in good:
            times = [asked.time for asked in late if asked.whose == sid]
            assert gaps(times) == [pytest.approx(60)] * 9
            assert polled.value("siptrunk_property_last_poll_duration_seconds", sid) == pytest.approx(LATENCY)
            assert polled.value("siptrunk_property_up", sid) == 1
        assert {asked.whose for asked in late} & set(bad)


def slow(api: FakeApi, sids: list[str], seconds: Callable[[int], float], trunks: int = 30) -> None:
    """Have each page of these properties come after so many seconds, told by the record that it begins with."""
    for sid in sids:
        api.give(sid, *(f"{sid}T{number}" for number in range(trunks)))
        api.latency_of_page[sid] = seconds


@pytest.mark.parametrize("seconds", [lambda _skip: 9.0, lambda skip: (0.1, 9.0)[skip % 2]], ids=["all", "every other"])
@on_fake_clock
async def test_properties_that_are_slow_but_in_time_do_not_delay_the_others(
    seconds: Callable[[int], float], api: FakeApi
) -> None:
    good = ["G0", "G1"]
    slow(api, bad := [f"S{number}" for number in range(24)], seconds)
    slow(api, good, lambda skip: 4.0 if skip == 5 else LATENCY, trunks=10)
    async with Polled(config(account(*bad, *good), api=replace(API, max_concurrency=8, page_size=2))) as polled:
        # In its first round nobody knows yet who will be slow.
        await asyncio.sleep(900)
        known = len(api.asked)
        await asyncio.sleep(1200)
        late = api.asked[known:]

        for sid in good:
            asked = [each for each in late if each.whose == sid]
            begun = [each.time for each in asked if each.query["Results_Skip"] == "0"]
            assert gaps(begun) == [pytest.approx(60)] * 19
            # One answer that takes long is no reason to wait among those with whom all do.
            took = pytest.approx(4.0 + (len(asked) / len(begun) - 1) * LATENCY)
            assert polled.value("siptrunk_property_last_poll_duration_seconds", sid) == took
        assert {asked.whose for asked in late} >= set(bad)


@pytest.mark.parametrize("discover", [None, EVERY])
@on_fake_clock
async def test_an_api_that_is_slow_with_everybody_has_all_places_but_those_that_others_want(
    discover: Discover | None, api: FakeApi
) -> None:
    api.projects["A1"] = {}
    slow(api, sids := [f"S{number}" for number in range(24)], lambda _skip: 9.0)
    async with Polled(config(account(*sids, discover=discover), api=replace(API, max_concurrency=8, page_size=2))):
        await asyncio.sleep(600)
        assert sum(api.in_flight[sid] for sid in sids) == (7 if discover else 8)


@on_fake_clock
async def test_one_propertys_failure_is_not_anothers(api: FakeApi) -> None:
    api.faults["S2"] = 500
    async with Polled(config(account("S1", "S2", "S3"))) as polled:
        await asyncio.sleep(300)

        assert [polled.value("siptrunk_property_up", sid) for sid in ("S1", "S2", "S3")] == [1, 0, 1]


@on_fake_clock
async def test_rejected_credentials_of_one_account_do_not_slow_another_down(api: FakeApi) -> None:
    api.tokens = {"A1": "another"}
    async with Polled(config(account("S1"), account("S2", sid="A2"))):
        await asyncio.sleep(3000)

    assert gaps(api.times("S1")) == [pytest.approx(gap + LATENCY) for gap in (60, 120, 240, 480, 600, 600, 600)]
    assert gaps(api.times("S2"))[1:] == [pytest.approx(60)] * (len(api.times("S2")) - 2)
    assert len(api.times("S2")) >= 50


@pytest.mark.parametrize("fault", [None, REFUSED])
@on_fake_clock
async def test_it_is_ready_once_every_property_was_tried_and_stays_so(fault: PollError | None, api: FakeApi) -> None:
    api.projects["A1"] = {"S2": "Two"}
    api.latency = {"S2": 5, "S3": 7}
    if fault:
        api.faults = dict.fromkeys(("S1", "S2"), fault)
    async with Polled(config(account("S1", discover=EVERY))) as polled:
        readiness = []
        for _ in range(2):
            readiness.append(polled.poller.ready)
            await asyncio.sleep(5)
        await asyncio.sleep(0.2)
        assert readiness == [False, False]
        assert polled.poller.ready
        await polled.reload(config(account("S1", "S3", discover=EVERY)))
        assert polled.poller.properties["S3"].health.polls == 0
        assert polled.poller.ready


@pytest.mark.parametrize("found", [{}, {"S1": "One"}])
@on_fake_clock
async def test_it_is_not_ready_before_the_account_was_looked_up(found: dict[str, str], api: FakeApi) -> None:
    api.projects["A1"] = found
    api.latency["A1"] = 5
    async with Polled(config(account(discover=EVERY))) as polled:
        await asyncio.sleep(4.9)
        assert not polled.poller.ready
        await asyncio.sleep(1)
        assert polled.poller.ready


@on_fake_clock
async def test_an_account_that_cannot_be_looked_up_was_tried_too(api: FakeApi) -> None:
    api.faults["A1"] = REFUSED
    async with Polled(config(account(discover=EVERY))) as polled:
        await asyncio.sleep(1)

        assert polled.poller.ready


@pytest.mark.parametrize("after", [0, 0.05, 3, 61])
@on_fake_clock
async def test_stopping_ends_all_tasks_and_keeps_what_was_published(after: float, api: FakeApi) -> None:
    api.projects["A1"] = {"S2": "Two"}
    async with Polled(config(account("S1", discover=EVERY))) as polled:
        await asyncio.sleep(after)
        before = polled.text
    asked = len(api.asked)
    await asyncio.sleep(300)

    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert len(api.asked) == asked
    assert before == polled.text


@on_fake_clock
async def test_a_reload_that_comes_after_the_stop_begins_nothing(api: FakeApi) -> None:
    async with Polled(config()) as polled:
        await polled.polls(1)
    asked = len(api.asked)
    await polled.reload(config(account("S1", "S2")))
    await asyncio.sleep(300)

    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert len(api.asked) == asked


ONCE = config(account("S1", "S2", discover=EVERY))


@pytest.mark.parametrize(
    ("settings", "only", "expected"),
    [
        (config(), None, ["S1"]),
        (ONCE, None, ["A1", "S1", "S2", "S3"]),
        (ONCE, "S2", ["A1", "S2"]),
        (ONCE, "S3", ["A1", "S3"]),
        (ONCE, "S9", ["A1"]),
    ],
)
@on_fake_clock
async def test_a_single_round_asks_each_once_and_leaves_nothing_running(
    settings: Config, only: str | None, expected: list[str], api: FakeApi
) -> None:
    api.projects["A1"] = {"S2": "Two", "S3": "Three"}
    polled = Polled(settings)
    await polled.poller.poll_once(only)
    await polled.poller.stop()

    assert sorted(asked.whose for asked in api.asked) == expected
    assert sorted(polled.served) == [sid for sid in expected if sid != "A1"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize(("per_second", "warnings"), [(0.01, 1), (0.02, 1), (0.05, 0), (0, 0)])
@on_fake_clock
async def test_a_budget_that_cannot_carry_one_request_for_each_property_is_warned_of(
    per_second: float, warnings: int, api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    async with Polled(config(account("S1", "S2"), api=replace(API, requests_per_second=per_second))):
        await asyncio.sleep(1)

    assert len(api.asked) > 0
    assert sum("request budget is too small" in message for message in caplog.messages) == warnings


@on_fake_clock
async def test_a_task_that_ends_against_all_expectation_is_cried_out(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    async with Polled(config()) as polled:
        await polled.polls(1)
        monkeypatch.setattr("exporter.api.credentials.Credentials.refresh", broken)
        well = polled.poller.trouble
        await asyncio.sleep(2)
        assert (well, polled.poller.trouble) == (None, "polling has ended in part; the log says why")
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]
    assert api.asked


@pytest.mark.parametrize("fault", [Hangs(), 503, REFUSED, None])
@pytest.mark.parametrize("interval", [1, 3600])
@on_fake_clock
async def test_polls_that_go_on_however_slowly_and_badly_are_no_trouble(
    fault: Hangs | int | PollError | None, interval: float, api: FakeApi
) -> None:
    if fault:
        api.faults = {"S1": fault, "S2": fault}
    api.headers["Retry-After"] = "30"
    limits = replace(API, requests_per_second=0.1, max_attempts=20)
    async with Polled(config(account("S1", "S2"), interval=interval, api=limits)) as polled:
        seen = []
        for _ in range(2000):
            await asyncio.sleep(7)
            seen.append(polled.poller.trouble)
    assert set(seen) == {None}


@on_fake_clock
async def test_polls_that_make_no_progress_are_told_of_until_one_does(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = asyncio.Event()
    ask = ApiClient.ask

    @asynccontextmanager
    async def never(*arguments: Any) -> AsyncIterator[Answer]:  # noqa: ANN401 - passed on
        await stuck.wait()
        async with ask(*arguments) as answer:
            yield answer

    async with Polled(config()) as polled:
        await polled.polls(1)
        monkeypatch.setattr(ApiClient, "ask", never)
        await asyncio.sleep(3600)
        told = polled.poller.trouble
        stuck.set()
        await polled.polls(2)
        assert (told, polled.poller.trouble) == ("no request has ended for 140 s", None)
    assert len(api.asked) == 2
