"""What the numbers of one property promise, whatever becomes of its polls."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.api.payload import TRUNKS
from exporter.config import Api, Discover, Metrics
from exporter.errors import PollError, Reason
from exporter.metrics.exposition import Renderer
from tests import fake_clock
from tests.fake_clock import EPOCH
from tests.polling.builders import API, HEALTH, HEALTH_BEFORE_THE_FIRST_POLL, Polled, account, config, on_fake_clock
from tests.polling.fake_api import LATENCY, FakeApi, Hangs

DATA = {
    "siptrunk_info",
    "siptrunk_channel_limit",
    "siptrunk_active",
    "siptrunk_provisioning_state",
    "siptrunk_provisioning_state_since_timestamp_seconds",
    "siptrunk_property_trunks",
    "siptrunk_property_active_trunks",
    "siptrunk_property_active_channel_limit",
}
SMALL_PAGES = Api(base_url="https://api.test", requests_per_second=0, max_attempts=1, page_size=3)


def now() -> float:
    return asyncio.get_running_loop().time()


def failures(polled: Polled) -> dict[str, float]:
    """Give the failures that were counted, by reason."""
    every = {
        reason: polled.value("siptrunk_property_poll_failures_total", reason=reason.value) or 0 for reason in Reason
    }
    return {reason.value: count for reason, count in every.items() if count}


@on_fake_clock
async def test_before_the_first_poll_has_ended_it_is_not_known_whether_the_property_is_up(api: FakeApi) -> None:
    api.latency["S1"] = 5
    async with Polled(config()) as polled:
        await asyncio.sleep(4.9)

        assert api.in_flight["S1"] == 1
        assert polled.families() == HEALTH_BEFORE_THE_FIRST_POLL
        assert polled.value("siptrunk_property_polls_total") == 0
        assert [polled.value("siptrunk_property_poll_failures_total", reason=each.value) for each in Reason] == [0] * 12


@on_fake_clock
async def test_a_good_poll_publishes_the_list_and_how_it_went(api: FakeApi) -> None:
    api.latency["S1"] = 5
    async with Polled(config()) as polled:
        await polled.polls(1)

        assert polled.families() == HEALTH | DATA
        assert polled.trunks() == ["T1", "T2"]
        assert polled.value("siptrunk_property_up") == 1
        assert polled.value("siptrunk_property_stale") == 0
        assert polled.value("siptrunk_property_last_poll_timestamp_seconds") == EPOCH + 5
        assert polled.value("siptrunk_property_last_success_timestamp_seconds") == EPOCH + 5
        assert polled.value("siptrunk_property_last_poll_duration_seconds") == 5
        assert polled.value("siptrunk_property_polls_total") == 1
        assert polled.value("siptrunk_property_active_channel_limit") == 20
        assert failures(polled) == {}


@on_fake_clock
async def test_a_trunk_that_is_gone_from_a_complete_walk_is_gone(api: FakeApi) -> None:
    async with Polled(config()) as polled:
        await polled.polls(1)
        api.give("S1", "T2", "T3")
        await polled.polls(2)

        assert polled.trunks() == ["T2", "T3"]
        assert 'trunk_sid="T1"' not in polled.text


@on_fake_clock
async def test_an_empty_list_is_a_list(api: FakeApi) -> None:
    async with Polled(config()) as polled:
        await polled.polls(1)
        api.give("S1")
        await polled.polls(2)

        assert polled.trunks() == []
        assert polled.value("siptrunk_property_up") == 1
        assert polled.value("siptrunk_property_active_trunks") == 0


@on_fake_clock
async def test_what_was_there_stays_while_a_poll_is_under_way(api: FakeApi) -> None:
    async with Polled(config(api=SMALL_PAGES)) as polled:
        await polled.polls(1)
        await polled.polls(2)
        before, asked = polled.text, len(api.asked)
        api.give("S1", *(f"N{number}" for number in range(9)))
        api.latency["S1"] = 5
        await asyncio.sleep(60 + 7)

        assert len(api.asked) == asked + 2
        assert before == polled.text
        await polled.polls(3)
        assert polled.trunks() == [f"N{number}" for number in range(9)]


@on_fake_clock
async def test_a_walk_that_fails_half_way_leaves_what_was_there_before(api: FakeApi) -> None:
    api.give("S1", "T1", "T2", "T3", "T4", "T5", "T6")
    async with Polled(config(api=SMALL_PAGES)) as polled:
        await polled.polls(1)
        api.give("S1", "N1", "N2", "N3", "N4", "N5", "N6")
        api.faults["S1"], api.fault_from = 500, 3
        asked = len(api.asked)
        await polled.polls(2)

        assert len(api.asked) > asked
        assert polled.trunks() == ["T1", "T2", "T3", "T4", "T5", "T6"]
        assert polled.value("siptrunk_property_up") == 0


@on_fake_clock
async def test_a_poll_that_fails_is_seen_at_once_and_the_data_stay_until_they_are_too_old(api: FakeApi) -> None:
    async with Polled(config(stale_after=200)) as polled:
        await polled.polls(1)
        api.faults["S1"] = 500
        await polled.polls(2)

        assert polled.value("siptrunk_property_up") == 0
        assert polled.value("siptrunk_property_stale") == 1
        assert polled.value("siptrunk_property_last_poll_timestamp_seconds") == pytest.approx(fake_clock.unix_time())
        assert polled.value("siptrunk_property_last_success_timestamp_seconds") == pytest.approx(EPOCH + LATENCY)
        assert polled.families() == HEALTH | DATA
        await asyncio.sleep(LATENCY + 199.9 - now())
        assert polled.families() == HEALTH | DATA
        await asyncio.sleep(0.2)
        assert polled.families() == HEALTH
        assert polled.value("siptrunk_property_up") == 0
        assert polled.value("siptrunk_property_stale") == 0


@on_fake_clock
async def test_data_go_one_interval_and_stale_after_later_where_the_poll_for_new_ones_does_not_end(
    api: FakeApi,
) -> None:
    async with Polled(config(api=replace(API, timeout=600), interval=50, stale_after=100)) as polled:
        await polled.polls(1)
        good = now()
        api.faults["S1"] = Hangs()
        await asyncio.sleep(149.9)
        assert polled.families() == HEALTH | DATA
        await asyncio.sleep(0.2)
        assert polled.families() == HEALTH
        assert polled.poller.properties["S1"].health.polls == 1
        assert now() < good + 151


@on_fake_clock
async def test_data_older_than_stale_after_go_with_the_first_poll_that_fails_and_not_before(api: FakeApi) -> None:
    async with Polled(config(interval=100, stale_after=10)) as polled:
        await polled.polls(2)
        api.faults["S1"] = 500
        await asyncio.sleep(99)
        assert polled.families() == HEALTH | DATA
        await polled.polls(3)
        assert polled.families() == HEALTH


@on_fake_clock
async def test_a_property_that_works_again_is_up_with_its_new_data(api: FakeApi) -> None:
    api.faults["S1"] = 500
    async with Polled(config(stale_after=50)) as polled:
        await polled.polls(1)
        assert polled.families() == HEALTH - {"siptrunk_property_last_success_timestamp_seconds"}
        assert polled.value("siptrunk_property_stale") == 0
        del api.faults["S1"]
        await polled.polls(2)
        await asyncio.sleep(51)

        assert polled.families() == HEALTH | DATA
        assert polled.value("siptrunk_property_up") == 1
        assert failures(polled) == {"server_error": 1}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Hangs(), "timeout"),
        (PollError(Reason.CONNECT, "refused"), "connect"),
        (PollError(Reason.TLS, "certificate"), "tls"),
        (PollError(Reason.TOO_LARGE, "17 MiB"), "too_large"),
        (401, "auth"),
        (403, "forbidden"),
        (404, "not_found"),
        (429, "rate_limited"),
        (400, "bad_request"),
        (422, "bad_request"),
        (500, "server_error"),
        (503, "server_error"),
        (302, "bad_payload"),
        (b"<html>", "bad_payload"),
        (b"", "bad_payload"),
        (b"{}", "bad_payload"),
        (b'[{"Name": "no Sid"}]', "bad_payload"),
        (json.dumps({"SipTrunks": [], "TotalCount": 3}).encode(), "incomplete"),
    ],
)
@on_fake_clock
async def test_a_failure_is_counted_under_its_reason(
    fault: int | bytes | PollError | Hangs, reason: str, api: FakeApi
) -> None:
    api.faults["S1"] = fault
    async with Polled(config()) as polled:
        await polled.polls(2)

        assert failures(polled) == {reason: 2}
        assert polled.value("siptrunk_property_polls_total") == 2


@pytest.mark.parametrize("latency", [5, 9.9])
@on_fake_clock
async def test_there_is_never_more_than_one_walk_of_a_property_at_a_time(latency: float, api: FakeApi) -> None:
    api.latency["S1"] = latency
    async with Polled(config(interval=1)) as polled:
        for seconds in range(5):
            asyncio.get_running_loop().call_later(seconds, polled.poller.ask, polled.poller.properties["S1"])
        await polled.polls(5)

    assert api.most_in_flight == {"S1": 1}


@on_fake_clock
async def test_the_log_tells_of_each_change_once(api: FakeApi, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="exporter.polling")
    refused, slow = PollError(Reason.CONNECT, "refused"), PollError(Reason.TIMEOUT, "slow")
    reset = PollError(Reason.CONNECT, "reset")
    async with Polled(config()) as polled:
        for count, fault in enumerate([None, refused, reset, slow, slow, slow, None, None, refused], start=1):
            api.faults = {"S1": fault} if fault else {}
            await polled.polls(count)

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "poll failed: connect: refused"),
        ("WARNING", "poll failed: timeout: slow"),
        ("INFO", "poll succeeded again"),
        ("WARNING", "poll failed: connect: refused"),
    ]
    assert {vars(record)["property_sid"] for record in caplog.records} == {"S1"}


@on_fake_clock
async def test_the_first_poll_that_fails_is_logged(api: FakeApi, caplog: pytest.LogCaptureFixture) -> None:
    api.faults["S1"] = PollError(Reason.CONNECT, "refused")
    async with Polled(config()) as polled:
        await polled.polls(2)

    assert caplog.messages == ["poll failed: connect: refused"]


@pytest.mark.parametrize("failing", [False, True], ids=["up", "failing"])
@on_fake_clock
async def test_a_trunk_whose_end_date_is_reached_between_polls_is_no_longer_active(
    failing: bool,  # noqa: FBT001 - a parameter of the test
    api: FakeApi,
) -> None:
    api.give("S1", "T1", EndDate=int(EPOCH) + 3000, ChannelLimit=10)
    async with Polled(config(interval=2000, stale_after=50_000)) as polled:
        await polled.polls(1)
        if failing:
            api.faults["S1"] = 500
        await polled.polls(2)
        asked, version = len(api.asked), polled.snapshot.version
        for seconds, active in ((2999.9, 1), (3000.1, 0)):
            await asyncio.sleep(seconds - now())
            assert polled.value("siptrunk_active", trunk_sid="T1") == active
            assert polled.value("siptrunk_property_active_trunks") == active
            assert polled.value("siptrunk_property_active_channel_limit") == 10 * active

        assert len(api.asked) == asked
        assert polled.snapshot.version == version + 1


@on_fake_clock
async def test_where_pages_could_not_be_kept_data_that_are_no_longer_true_go_until_a_poll_that_comes_at_once(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.api.client.MOST_KEPT", 0)
    api.give("S1", "T1", EndDate=int(EPOCH) + 3000)
    async with Polled(config(interval=2000, stale_after=50_000)) as polled:
        seen = []
        for polls, seconds in ((1, 0.0), (2, 0.0), (2, 3000.05), (2, 3000.15)):
            await polled.polls(polls)
            await asyncio.sleep(max(seconds - now(), 0.0))
            seen.append(polled.value("siptrunk_active", trunk_sid="T1"))
        assert seen == [1, 1, None, 0]
        assert polled.value("siptrunk_property_up") == 1
        assert polled.own("payload_anomalies_total", kind="not_kept") == 3

        # As a reload may want it.
        polled.snapshot.render_with(Renderer(Metrics(detail="property")), polled.poller.views())
        polled.snapshot.render_with(Renderer(Metrics()), polled.poller.views())
        seen = [polled.value("siptrunk_active", trunk_sid="T1")]
        await asyncio.sleep(0.15)
        assert [*seen, polled.value("siptrunk_active", trunk_sid="T1")] == [None, 0]


@on_fake_clock
async def test_where_pages_could_not_be_kept_a_poll_that_fails_is_asked_for_but_once(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.api.client.MOST_KEPT", 0)
    api.give("S1", "T1", EndDate=int(EPOCH) + 3000)
    async with Polled(config(interval=2000, stale_after=50_000)) as polled:
        await polled.polls(2)
        api.faults["S1"] = 500
        await asyncio.sleep(3001 - now())
        assert polled.value("siptrunk_property_polls_total") == 3
        assert polled.value("siptrunk_active", trunk_sid="T1") is None


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(outcomes=st.lists(st.booleans(), min_size=1, max_size=8), stale_after=st.sampled_from((10, 61, 130, 290)))
def test_at_any_time_the_data_are_there_just_where_the_last_poll_or_a_recent_one_was_good(
    api: FakeApi, outcomes: list[bool], stale_after: float
) -> None:
    @on_fake_clock
    async def test() -> None:
        api.faults = {}
        async with Polled(config(stale_after=stale_after)) as polled:
            await polled.polls(2)
            success = now()
            for count, good in enumerate(outcomes, start=3):
                api.faults = {} if good else {"S1": 500}
                await polled.polls(count)
                success = now() if good else success
                for _ in range(7):
                    expected = DATA if good or now() < success + stale_after else set()
                    assert polled.families() - HEALTH == expected
                    assert polled.value("siptrunk_property_up") == good
                    await asyncio.sleep(8)

    test()


@on_fake_clock
async def test_pages_that_are_the_same_byte_for_byte_are_neither_decoded_nor_rendered(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.give("S1", *(f"T{number}" for number in range(8)))
    async with Polled(config(api=SMALL_PAGES)) as polled:
        await polled.polls(1)
        before, asked = polled.trunks(), len(api.asked)
        with monkeypatch.context() as patched:
            patched.setattr(TRUNKS, "read", None)
            patched.setattr(polled.snapshot.renderer, "trunks", None)
            await polled.polls(3)

        assert len(api.asked) == 3 * asked
        assert polled.trunks() == before
        assert polled.value("siptrunk_property_polls_total") == 3
        assert polled.value("siptrunk_property_up") == 1


@on_fake_clock
async def test_data_that_were_withdrawn_come_back_with_the_next_good_poll_though_no_page_has_changed(
    api: FakeApi,
) -> None:
    async with Polled(config(stale_after=70)) as polled:
        await polled.polls(1)
        api.faults["S1"] = 500
        await polled.polls(4)
        assert polled.families() == HEALTH
        del api.faults["S1"]
        await polled.polls(5)
        assert polled.families() == HEALTH | DATA
        assert polled.trunks() == ["T1", "T2"]


@on_fake_clock
async def test_a_clock_that_is_set_back_makes_a_trunk_active_again(api: FakeApi) -> None:
    api.give("S1", "T1", EndDate=int(EPOCH) + 1000)
    ahead = 2000.0
    async with Polled(config(), lambda: fake_clock.unix_time() + ahead) as polled:
        await polled.polls(1)
        assert polled.value("siptrunk_active", trunk_sid="T1") == 0
        ahead = 0.0
        await polled.polls(2)
        assert polled.value("siptrunk_active", trunk_sid="T1") == 1


@on_fake_clock
async def test_odd_answers_are_counted_and_the_trunks_published(api: FakeApi) -> None:
    api.give("S1", "T1", Type=7, ChannelLimit="many")
    async with Polled(config()) as polled:
        await polled.polls(2)

        assert polled.trunks() == ["T1"]
        assert polled.own("payload_anomalies_total", kind="undocumented_code") == 2
        assert polled.own("payload_anomalies_total", kind="wrong_type") == 2


@on_fake_clock
async def test_data_that_cannot_be_published_are_withdrawn_and_the_polling_goes_on(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with Polled(config()) as polled:
        await polled.polls(1)
        with monkeypatch.context() as patched:
            patched.setattr(polled.snapshot.renderer, "trunks", lambda *_: 1 / 0)
            api.give("S1", "T9", ChannelLimit=1)
            await polled.polls(2)
            assert polled.value("siptrunk_property_up") == 0
            assert polled.families() == HEALTH
            assert failures(polled) == {"bad_payload": 1}
        await polled.polls(4)
        assert polled.value("siptrunk_property_up") == 1
        assert polled.trunks() == ["T9"]
    assert "ZeroDivisionError" in caplog.text


@on_fake_clock
async def test_what_is_kept_of_a_failure_holds_none_of_what_it_came_through(api: FakeApi) -> None:
    api.faults = dict.fromkeys(("S1", "A1"), 500)
    async with Polled(config(account("S1", discover=Discover()))) as polled:
        await polled.polls(2)
        for runner in (polled.poller.properties["S1"], polled.poller.discoveries["A1"]):
            kept = runner.rhythm._last_error  # noqa: SLF001 - what is held cannot be seen from outside
            assert kept
            assert (kept.__traceback__, kept.__context__, kept.__cause__) == (None, None, None)


@on_fake_clock
async def test_what_the_pages_tell_of_the_last_hour_and_of_a_failure_is_kept(api: FakeApi) -> None:
    api.latency["S1"] = 5
    async with Polled(config()) as polled:
        await polled.polls(1)
        poller = polled.poller.properties["S1"]
        assert (poller.down_since, poller.last_failure) == (None, None)
        assert poller.hour.minutes(now())[-1] == 5

        api.faults["S1"] = 500
        await polled.polls(2)
        first = polled.value("siptrunk_property_last_poll_timestamp_seconds")
        await polled.polls(4)
        last = polled.value("siptrunk_property_last_poll_timestamp_seconds")
        assert first != last
        assert poller.down_since == first
        assert poller.last_failure
        assert poller.last_failure[0] == last
        assert poller.last_failure[1].startswith("server_error: ")
        assert sum(minute < 0 for minute in poller.hour.minutes(now())) == 3

        del api.faults["S1"]
        await polled.polls(5)
        assert poller.down_since is None
        assert poller.last_failure[0] == last
