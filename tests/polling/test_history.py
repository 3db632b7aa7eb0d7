"""What polls tell of changes and of time in state, and what is no change."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from exporter.config import Expected, ExpectedTrunk, PropertySettings, State
from exporter.history.changes import Kind
from exporter.history.journal import LOGGED_AT_ONCE, Journal, Wanted
from exporter.model import Identity
from tests.fake_clock import EPOCH
from tests.history.state_builders import change
from tests.polling.builders import Polled, account, config, configured, on_fake_clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.polling.fake_api import FakeApi

SINCE = "siptrunk_provisioning_state_since_timestamp_seconds"


def counted(polled: Polled, sid: str = "S1") -> dict[str, float]:
    """Give the changes that were counted, by kind; every kind is there."""
    every = {kind.value: polled.value("siptrunk_changes_total", sid, kind=kind.value) for kind in Kind}
    assert None not in every.values()
    return {kind: count for kind, count in every.items() if count}


def journal(polled: Polled, **wanted: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - as Wanted has them
    """Give what the journal holds, the newest first."""
    return [(each.trunk_sid, each.kind.value) for each in polled.poller.journal.newest_first(Wanted(**wanted), 0, 1000)]


@on_fake_clock
async def test_trunks_and_since_when_they_are_in_their_state_go_together_whatever_comes_while_they_are_read(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Polled(config()) as polled:
        await polled.polls(1)
        api.give("S1", *(f"N{number}" for number in range(5)))

        async def slowly(read: Callable[[], object]) -> object:
            found = read()
            await polled.polls(2)
            return found

        monkeypatch.setattr(asyncio, "to_thread", slowly)
        view = await polled.poller.properties["S1"].viewed()
        assert view.trunks
        assert len(view.trunks) == len(view.since) == 5


def test_what_is_restored_goes_between_what_was_seen_before_and_after_it() -> None:
    kept = Journal(State(), lambda: EPOCH)
    seen = {number: change(number, EPOCH + number) for number in range(4)}
    kept.record(Identity("S1", "A1", ""), [seen[1], seen[3]])
    assert kept.restore([seen[0], seen[2], seen[3]]) == [seen[1]]
    assert list(kept) == list(seen.values())


@on_fake_clock
async def test_a_first_walk_and_one_that_brings_the_same_change_nothing(api: FakeApi) -> None:
    async with Polled(config()) as polled:
        assert counted(polled) == {}
        await polled.polls(3)

        assert counted(polled) == {}
        assert journal(polled) == []
        assert len(api.asked) == 3


@on_fake_clock
async def test_changes_are_counted_kept_and_logged_with_all_that_is_known_of_them(
    api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    api.trunks["S1"] = [
        {"SipTrunkSid": "T1", "Name": "One", "ChannelLimit": 30, "Modified": 5},
        {"SipTrunkSid": "T2", "Name": "Two"},
    ]
    async with Polled(config()) as polled:
        await polled.polls(1)
        api.trunks["S1"] = [
            {"SipTrunkSid": "T3", "Name": "Three"},
            {"SipTrunkSid": "T1", "Name": "Uno", "ChannelLimit": 10, "Modified": 7},
        ]
        await polled.polls(2)

        assert counted(polled) == {"added": 1, "removed": 1, "renamed": 1, "channel_limit": 1}
        newest = [("T2", "removed"), ("T1", "channel_limit"), ("T1", "renamed"), ("T3", "added")]
        assert journal(polled) == newest
        logged = [vars(record) for record in caplog.records if record.message == "trunk changed"]
        (limit,) = [each for each in logged if each["kind"] == "channel_limit"]
        expected = {"property_sid": "S1", "trunk_sid": "T1", "trunk": "Uno", "old": 30, "new": 10, "modified": 7}
        assert {key: limit[key] for key in expected} == expected
        assert len(logged) == 4


@on_fake_clock
async def test_a_property_back_from_staleness_is_compared_with_what_was_last_known(api: FakeApi) -> None:
    async with Polled(config(stale_after=70)) as polled:
        await polled.polls(1)
        api.faults["S1"] = 500
        await polled.polls(5)
        assert polled.trunks() == []
        api.give("S1", "T1", "T2", "T3", ChannelLimit=10, ProvisioningState=2)
        del api.faults["S1"]
        await polled.polls(6)

        assert journal(polled) == [("T3", "added")]


@pytest.mark.parametrize(
    "after",
    [
        config(account(configured("S1", active=True))),
        config(account("S1", sid="A2")),
    ],
    ids=["filters", "account"],
)
@on_fake_clock
async def test_a_list_that_means_other_trunks_after_a_reload_is_no_storm_of_changes(
    after: Any,  # noqa: ANN401 - a configuration
    api: FakeApi,
) -> None:
    async with Polled(config()) as polled:
        await polled.polls(1)
        api.give("S1", *(f"N{number}" for number in range(20)))
        await polled.reload(after)
        await polled.polls(1)

        assert len(polled.trunks()) == 20
        assert counted(polled) == {}


@on_fake_clock
async def test_a_name_cut_shorter_by_a_reload_is_no_rename(api: FakeApi) -> None:
    api.trunks["S1"] = [{"SipTrunkSid": "T1", "Name": "n" * 100}]
    async with Polled(config()) as polled:
        await polled.polls(1)
        await polled.reload(replace(config(), limits=replace(config().limits, label_bytes=64)))
        await polled.polls(2)
        assert "…" in polled.text

        assert counted(polled) == {}


@on_fake_clock
async def test_an_end_date_that_comes_is_seen_when_it_comes_though_no_page_has_changed(api: FakeApi) -> None:
    api.give("S1", "T1", EndDate=int(EPOCH) + 90)
    async with Polled(config()) as polled:
        await polled.polls(1)
        assert counted(polled) == {}
        await asyncio.sleep(90.5)

        assert counted(polled) == {"deactivated": 1}
        (change,) = polled.poller.journal
        assert change.seen == pytest.approx(EPOCH + 90)
        await polled.polls(4)
        assert counted(polled) == {"deactivated": 1}


@on_fake_clock
async def test_no_more_changes_are_kept_than_configured_and_none_for_longer(api: FakeApi) -> None:
    kept = replace(config(), state=State(changes=3, keep_for=300))
    async with Polled(kept) as polled:
        await polled.polls(1)
        for number in range(2):
            api.give("S1", f"N{number}", f"M{number}", ChannelLimit=10)
            await polled.polls(2 + number)
        assert [sid for sid, _ in journal(polled)] == ["M0", "N0", "M1"]
        assert sum(counted(polled).values()) == 8
        await asyncio.sleep(250)
        assert len(journal(polled)) == 3
        await asyncio.sleep(60)
        assert journal(polled) == []


@on_fake_clock
async def test_of_very_many_changes_at_once_the_log_tells_some_and_how_many_more(
    api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with Polled(config()) as polled:
        await polled.polls(1)
        api.give("S1", "T1", "T2", *(f"N{number}" for number in range(150)), ChannelLimit=10, ProvisioningState=2)
        await polled.polls(2)

    assert [record.message for record in caplog.records].count("trunk changed") == LOGGED_AT_ONCE
    assert "more trunks changed: 50 changes not logged" in caplog.messages


@on_fake_clock
async def test_changes_are_found_by_property_trunk_kind_and_time_page_by_page(api: FakeApi) -> None:
    async with Polled(config(account("S1", "S2"))) as polled:
        api.give("S2", "U1")
        await polled.polls(1, "S2")
        await polled.polls(1)
        api.give("S1", "T1", ChannelLimit=11, ProvisioningState=2)
        await polled.polls(2)
        first_seen = polled.poller.journal.newest_first(Wanted(), 0, 1)[0].seen
        api.give("S2", "U2")
        await polled.polls(3, "S2")
        await polled.polls(3)

        assert len(journal(polled)) == 4
        assert journal(polled, property_sid="S2") == [("U1", "removed"), ("U2", "added")]
        assert journal(polled, trunk_sid="T1") == [("T1", "channel_limit")]
        assert journal(polled, kinds=frozenset([Kind.ADDED])) == [("U2", "added")]
        assert {sid for sid, _ in journal(polled, until=first_seen)} == set()
        assert {sid for sid, _ in journal(polled, since=first_seen)} == {"T1", "T2", "U1", "U2"}
        pages = [polled.poller.journal.newest_first(Wanted(), skip, 3) for skip in (0, 3, 6)]
        assert [len(page) for page in pages] == [3, 1, 0]


@on_fake_clock
async def test_a_provisioning_state_lasts_from_the_last_modification_or_from_when_it_was_seen(api: FakeApi) -> None:
    api.trunks["S1"] = [{"SipTrunkSid": "T1", "ProvisioningState": 1, "Modified": 1000}]
    async with Polled(config()) as polled:
        await polled.polls(1)
        assert polled.value(SINCE, trunk_sid="T1") == 1000
        api.trunks["S1"] = [{"SipTrunkSid": "T1", "ProvisioningState": 1, "Modified": 2000, "Name": "new"}]
        await polled.polls(2)
        assert polled.value(SINCE, trunk_sid="T1") == 1000
        api.trunks["S1"] = [{"SipTrunkSid": "T1", "ProvisioningState": 2, "Modified": 3000}]
        await polled.polls(3)
        assert polled.value(SINCE, trunk_sid="T1") == pytest.approx(EPOCH + asyncio.get_running_loop().time(), abs=1)


@pytest.mark.parametrize("gaps", [1, 2])
@on_fake_clock
async def test_what_changed_while_answers_lacked_it_is_told_and_dated_when_it_is_seen(gaps: int, api: FakeApi) -> None:
    ends = int(EPOCH) + 90
    full = {"Type": 0, "ChannelLimit": 30, "ProvisioningState": 2, "EndDate": ends, "Modified": 1000}
    after = full | {"Type": 1, "ChannelLimit": 20, "ProvisioningState": 1}
    api.give("S1", "T1", "T2", **full)
    async with Polled(config()) as polled:
        await polled.polls(1)
        for number in range(gaps):
            api.give("S1", "T1", "T2", EndDate="soon", DefaultCallerId=str(number))
            await polled.polls(2 + number)
            assert polled.value(SINCE, trunk_sid="T1") is None
        assert set(counted(polled)) == {"caller_id"}
        api.trunks["S1"] = [{"SipTrunkSid": "T1", **after}, {"SipTrunkSid": "T2", **full}]
        await polled.polls(4)
        kinds = {"type": 1, "channel_limit": 1, "provisioning_state": 1, "deactivated": 2}
        assert {kind: count for kind, count in counted(polled).items() if kind != "caller_id"} == kinds
        assert polled.value(SINCE, trunk_sid="T1") == pytest.approx(EPOCH + 60 * (1 + gaps), abs=60)
        assert polled.value(SINCE, trunk_sid="T2") == 1000


@on_fake_clock
async def test_drift_is_shown_for_what_is_expected_and_follows_a_reload_at_once(api: FakeApi) -> None:
    def expecting(limit: int) -> PropertySettings:
        return PropertySettings("S1", expected=Expected(trunks=(ExpectedTrunk("T1", channel_limit=limit),)))

    def drift() -> float | None:
        return polled.value("siptrunk_drift", trunk_sid="T1", field="channel_limit")

    async with Polled(config(account(expecting(30)))) as polled:
        assert drift() is None
        await polled.polls(1)
        assert drift() == 1
        await polled.reload(config(account(expecting(10))))
        assert drift() == 0
        api.faults["S1"] = 500
        await asyncio.sleep(200)
        assert drift() == 0
        await asyncio.sleep(300)
        assert drift() is None
        await polled.reload(config())
        del api.faults["S1"]
        polled.poller.ask(polled.poller.properties["S1"])
        await asyncio.sleep(1)
        assert polled.trunks() == ["T1", "T2"]
        assert "siptrunk_drift{" not in polled.text
