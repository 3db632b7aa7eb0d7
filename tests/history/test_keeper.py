"""What outlives a restart, what is served of it, and what becomes of a file that cannot be used."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import pytest
from msgspec.structs import replace as replace_struct

from exporter.config import State
from exporter.history.changes import Kind
from exporter.history.journal import Wanted
from exporter.history.keeper import SEEN_EVERY, START_SECONDS, STOP_SECONDS, TRIED_EVERY, WRITTEN_EVERY, Keeper
from exporter.history.state import Batch, StateError, StateFile
from exporter.model import Identity
from tests import fake_clock
from tests.fake_clock import EPOCH
from tests.history.state_builders import batch, change, opened
from tests.polling.builders import EVERY, Polled, account, config, configured, on_fake_clock
from tests.polling.test_history import SINCE, counted, journal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from exporter.config import Config, Unusable
    from tests.polling.fake_api import FakeApi

SEEN = "siptrunk_property_last_success_timestamp_seconds"


class Kept(Polled):
    """A poller at work with a state file, as long as the context lasts; a run that was `killed` writes nothing more."""

    def __init__(
        self,
        path: Path,
        config: Config,
        clock: Callable[[], float] = fake_clock.unix_time,
        unusable: Unusable = "ignore",
        keep_for: float = 30 * 86_400,
    ) -> None:
        super().__init__(config, clock)
        self.state = State(path, unusable=unusable, keep_for=keep_for)
        self.clock = clock
        self.killed = False

    async def __aenter__(self) -> Self:
        self.keeper = Keeper(self.state, self.poller, self.telemetry, self.clock)
        await self.keeper.start()
        # What was recalled is shown by and by.
        await asyncio.sleep(0.01)
        return await super().__aenter__()

    async def __aexit__(self, *what: object) -> None:
        await super().__aexit__(*what)
        if self.killed:
            self.file.close()
            self.keeper.file = None
        await self.keeper.stop()

    @property
    def file(self) -> StateFile:
        assert self.keeper.file
        return self.keeper.file

    @property
    def connection(self) -> sqlite3.Connection:
        assert self.file.connection
        return self.file.connection


def remembered(polled: Kept) -> list[str]:
    """Of which properties lists are in the file."""
    keys = polled.connection.execute("SELECT list FROM lists JOIN seen USING (id) ORDER BY list")
    return [sid for (key,) in keys if (sid := key.split("/")[-2]).startswith("S")]


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged of the state file, whatever level others have set."""
    return [each for each in caplog.messages if "state file" in each]


async def written() -> None:
    await asyncio.sleep(WRITTEN_EVERY + 0.1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@on_fake_clock
async def test_with_the_api_down_the_last_good_data_is_served_at_once_marked_stale_and_not_for_longer(
    path: Path, api: FakeApi
) -> None:
    async with Kept(path, config(stale_after=300)) as polled:
        await polled.polls(1)
        seen = polled.value(SEEN)
    api.faults["S1"] = 500
    api.latency["S1"] = 50
    async with Kept(path, config(stale_after=300)) as polled:
        assert polled.trunks() == ["T1", "T2"]
        assert polled.value("siptrunk_property_stale") == 1
        assert polled.value("siptrunk_property_up") is None
        assert polled.value(SEEN) == seen
        assert not polled.poller.ready
        await polled.polls(1)
        assert polled.trunks() == ["T1", "T2"]
        assert polled.value("siptrunk_property_up") == 0
        assert polled.value("siptrunk_property_stale") == 1
        assert seen is not None
        await asyncio.sleep(seen + 300 - fake_clock.unix_time() - 0.1)
        assert polled.trunks() == ["T1", "T2"]
        await asyncio.sleep(0.2)
        assert polled.trunks() == []
        assert polled.value(SEEN) == seen


@pytest.mark.usefixtures("api")
@on_fake_clock
async def test_the_first_good_poll_ends_the_staleness_and_what_did_not_change_is_no_change(path: Path) -> None:
    async with Kept(path, config()) as polled:
        await polled.polls(1)
    async with Kept(path, config()) as polled:
        await polled.polls(1)
        assert polled.value("siptrunk_property_stale") == 0
        assert polled.value("siptrunk_property_up") == 1
        assert polled.trunks() == ["T1", "T2"]
        assert counted(polled) == {}


@on_fake_clock
async def test_data_older_than_they_may_be_served_are_not_but_are_compared_with(path: Path, api: FakeApi) -> None:
    async with Kept(path, config(stale_after=100)) as polled:
        await polled.polls(1)
    await asyncio.sleep(101)
    api.give("S1", "T1", ChannelLimit=10, ProvisioningState=2)
    async with Kept(path, config(stale_after=100)) as polled:
        assert polled.trunks() == []
        await polled.polls(1)
        assert journal(polled) == [("T2", "removed")]


@on_fake_clock
async def test_active_trunks_that_went_over_a_restart_are_known_to_have_been_there(path: Path, api: FakeApi) -> None:
    async with Kept(path, config(stale_after=100)) as polled:
        await polled.polls(1)
        ended = fake_clock.unix_time()
    await asyncio.sleep(101)
    api.trunks["S1"] = []
    async with Kept(path, config(stale_after=100)) as polled:
        await polled.polls(1)
        assert polled.poller.properties["S1"].active_until == pytest.approx(ended, abs=1)


@on_fake_clock
async def test_a_trunk_that_ended_in_a_future_that_was_none_is_not_reactivated(path: Path, api: FakeApi) -> None:
    api.give("S1", "T1", EndDate=int(EPOCH) + 500)
    async with Kept(path, config(), lambda: fake_clock.unix_time() + 1000) as polled:
        await polled.polls(1)
    async with Kept(path, config()) as polled:
        await polled.polls(1)
        assert journal(polled) == []


@pytest.mark.usefixtures("api")
@on_fake_clock
async def test_data_from_the_future_are_not_served_for_nobody_knows_their_age(path: Path) -> None:
    async with Kept(path, config(), lambda: fake_clock.unix_time() + 1000) as polled:
        await polled.polls(1)
    async with Kept(path, config()) as polled:
        assert polled.trunks() == []
        assert polled.value(SEEN) is None
        await polled.polls(1)
        assert counted(polled) == {}


@on_fake_clock
async def test_just_what_changed_while_nobody_looked_is_counted_and_the_changes_go_on(path: Path, api: FakeApi) -> None:
    async with Kept(path, config()) as polled:
        await polled.polls(1)
        api.give("S1", "T1", "T2", "T3", ChannelLimit=10, ProvisioningState=2)
        await polled.polls(2)
        assert counted(polled) == {"added": 1}
    api.trunks["S1"][0]["ChannelLimit"] = 7
    async with Kept(path, config()) as polled:
        assert counted(polled) == {}
        assert journal(polled) == [("T3", "added")]
        await polled.polls(1)
        assert counted(polled) == {"channel_limit": 1}
        assert journal(polled) == [("T1", "channel_limit"), ("T3", "added")]
        (change,) = polled.poller.journal.newest_first(_wanted_limit(), 0, 9)
        assert (change.old, change.new) == (10, 7)
    async with Kept(path, config()) as polled:
        assert journal(polled) == [("T1", "channel_limit"), ("T3", "added")]
        assert counted(polled) == {}


def _wanted_limit() -> Wanted:
    return Wanted(kinds=frozenset([Kind.CHANNEL_LIMIT]))


@on_fake_clock
async def test_after_a_kill_nothing_written_is_lost_and_what_was_not_is_found_again(path: Path, api: FakeApi) -> None:
    async with Kept(path, config()) as polled:
        await polled.polls(1)
        await written()
        api.give("S1", "T1", ChannelLimit=10, ProvisioningState=2)
        await polled.polls(2)
        assert counted(polled) == {"removed": 1}
        polled.killed = True
    async with Kept(path, config()) as polled:
        assert counted(polled) == {}
        await polled.polls(1)
        assert counted(polled) == {"removed": 1}
        await written()
        polled.killed = True
    async with Kept(path, config()) as polled:
        await polled.polls(1)
        assert counted(polled) == {}
        assert journal(polled) == [("T2", "removed")]


@on_fake_clock
async def test_a_provisioning_state_lasts_over_a_restart(path: Path, api: FakeApi) -> None:
    async with Kept(path, config()) as polled:
        await polled.polls(1)
        api.give("S1", "T1", "T2", ChannelLimit=10, ProvisioningState=3)
        await polled.polls(2)
        since = polled.value(SINCE, trunk_sid="T1")
        assert since == pytest.approx(EPOCH + asyncio.get_running_loop().time(), abs=1)
    await asyncio.sleep(60)
    async with Kept(path, config()) as polled:
        assert polled.value(SINCE, trunk_sid="T1") == since
        api.trunks["S1"][0]["Name"] = "renamed"
        await polled.polls(1)
        assert polled.value(SINCE, trunk_sid="T1") == since


@on_fake_clock
async def test_what_the_last_list_before_a_restart_lacked_hides_no_change(path: Path, api: FakeApi) -> None:
    async with Kept(path, config()) as polled:
        await polled.polls(1)
        api.give("S1", "T1", "T2")
        await polled.polls(2)
    async with Kept(path, config()) as polled:
        api.trunks["S1"][0] |= {"ChannelLimit": 20, "ProvisioningState": 1}
        await polled.polls(1)
        assert counted(polled) == {"channel_limit": 1, "provisioning_state": 1}
        assert polled.value(SINCE, trunk_sid="T1") == pytest.approx(fake_clock.unix_time(), abs=1)


@on_fake_clock
async def test_an_end_date_that_came_while_nobody_looked_is_one_deactivation(path: Path, api: FakeApi) -> None:
    api.give("S1", "T1", EndDate=int(EPOCH) + 90)
    async with Kept(path, config()) as polled:
        await polled.polls(1)
    await asyncio.sleep(100)
    async with Kept(path, config()) as polled:
        assert counted(polled) == {"deactivated": 1}
        await polled.polls(1)
    async with Kept(path, config()) as polled:
        await polled.polls(1)
        assert counted(polled) == {}
        assert journal(polled) == [("T1", "deactivated")]


@on_fake_clock
async def test_an_end_date_between_two_polls_is_one_deactivation_after_a_kill_too(path: Path, api: FakeApi) -> None:
    api.give("S1", "T1", EndDate=int(EPOCH) + 90)
    async with Kept(path, config(interval=600)) as polled:
        await polled.polls(1)
        await asyncio.sleep(EPOCH + 91 - fake_clock.unix_time())
        assert counted(polled) == {"deactivated": 1}
        await written()
        polled.killed = True
    async with Kept(path, config()) as polled:
        await polled.polls(1)
        assert journal(polled) == [("T1", "deactivated")]


@on_fake_clock
async def test_discovered_properties_are_served_with_the_api_down(path: Path, api: FakeApi) -> None:
    api.projects["A1"] = {"S1": "One", "S2": "Two"}
    async with Kept(path, config(account(discover=EVERY))) as polled:
        await polled.polls(1, "S1")
        await polled.polls(1, "S2")
        found = polled.own("discovery_last_success_timestamp_seconds", account_sid="A1")
    api.faults = dict.fromkeys(("A1", "S1", "S2"), 500)
    async with Kept(path, config(account(discover=EVERY))) as polled:
        assert polled.served == {"S1", "S2"}
        assert polled.trunks("S1") == ["T1", "T2"]
        assert polled.own("discovery_last_success_timestamp_seconds", account_sid="A1") == found
        await polled.polls(1)
        assert polled.served == {"S1", "S2"}
        assert 'siptrunk_property_info{account_sid="A1",name="Two",property_sid="S2"} 1.0' in polled.text


@pytest.mark.parametrize(
    "other",
    [
        config(account(configured("S1", active=True))),
        config(account("S1", sid="A2")),
        config(api=replace(config().api, base_url="https://other.test")),
    ],
    ids=["filters", "account", "base_url"],
)
@pytest.mark.usefixtures("api")
@on_fake_clock
async def test_what_was_another_list_is_not_recalled_but_left_alone(other: Config, path: Path) -> None:
    async with Kept(path, config()) as polled:
        await polled.polls(1)
    async with Kept(path, other) as polled:
        assert polled.trunks() == []
        await polled.polls(1)
        assert counted(polled) == {}
        await written()
    async with Kept(path, config()) as polled:
        assert polled.trunks() == ["T1", "T2"]


@pytest.mark.usefixtures("api")
@on_fake_clock
async def test_what_nobody_polls_any_more_leaves_the_file_by_its_age(path: Path) -> None:
    async with Kept(path, config(account("S1", "S2"))) as polled:
        await polled.polls(1, "S1")
        await polled.polls(1, "S2")
    async with Kept(path, config(account("S2"), interval=200), keep_for=100) as polled:
        await polled.polls(1, "S2")
        await written()
        assert remembered(polled) == ["S1", "S2"]
        await asyncio.sleep(420)
        assert remembered(polled) == ["S2"]


@pytest.mark.usefixtures("api")
@on_fake_clock
async def test_what_is_polled_again_is_anothers_no_more_and_stays(path: Path) -> None:
    async with Kept(path, config(account("S1", "S2"))) as polled:
        await polled.polls(1, "S1")
        await polled.polls(1, "S2")
    async with Kept(path, config(account("S2")), keep_for=100) as polled:
        await polled.reload(config(account("S1", "S2")))
        await asyncio.sleep(420)
        assert remembered(polled) == ["S1", "S2"]


@pytest.mark.usefixtures("api")
@on_fake_clock
async def test_a_property_taken_out_of_the_configuration_leaves_the_file(path: Path) -> None:
    async with Kept(path, config(account("S1", "S2"))) as polled:
        await polled.polls(1, "S1")
        await polled.polls(1, "S2")
        await written()
        await polled.reload(config(account("S1")))
        await written()
        polled.killed = True
    with sqlite3.connect(path) as database:
        assert [key.split("/")[-2] for (key,) in database.execute("SELECT list FROM lists")] == ["S1"]
        assert database.execute("SELECT count(*) FROM seen").fetchall() == [(1,)]


@pytest.mark.usefixtures("api")
@on_fake_clock
async def test_polls_that_bring_nothing_new_are_written_now_and_then_as_a_time_alone(path: Path) -> None:
    async with Kept(path, config(interval=1)) as polled:
        await polled.polls(1)
        await written()
        before = polled.connection.total_changes
        await asyncio.sleep(10 * SEEN_EVERY)
        assert 9 <= polled.connection.total_changes - before <= 11


def content(path: Path) -> bytes:
    return path.read_bytes()


def remove(path: Path) -> None:
    path.rmdir() if path.is_dir() else path.unlink()


def make_directory(path: Path) -> None:
    path.mkdir()


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


TEXT = b"t0ken\n"


def text(path: Path) -> None:
    path.write_bytes(TEXT)


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE anothers (text)")
    database.close()


def damaged(path: Path) -> None:
    path.unlink(missing_ok=True)
    with opened(path):
        pass
    path.write_bytes(path.read_bytes()[:4096])


def newer(path: Path) -> None:
    with opened(path):
        pass
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()


SPOILS: dict[str, tuple[Callable[[Path], object], str]] = {
    "damaged": (damaged, "is damaged (database disk image is malformed)"),
    "newer": (newer, "was written by a newer exporter (schema 99, not 1): run that one"),
}


@pytest.mark.parametrize("unusable", ["set_aside", "ignore"])
@pytest.mark.parametrize(
    ("make", "why"),
    [
        (text, "is no state file: name another"),
        (foreign, "is another application's database: name another file"),
    ],
)
@pytest.mark.usefixtures("api")
@on_fake_clock
async def test_a_file_that_is_no_exporters_is_never_touched_whatever_is_configured(
    make: Callable[[Path], object], why: str, unusable: Unusable, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(path)
    before = untouched(path)
    async with Kept(path, config(), unusable=unusable) as polled:
        await polled.polls(1)
        await asyncio.sleep(10 * TRIED_EVERY)
        assert polled.trunks() == ["T1", "T2"]
        assert polled.own("state_up") == 0
        assert untouched(path) == before
        assert names(path.parent) == ["state.db"]
        assert said(caplog) == [f"the state file {path} {why}; going on in memory alone"]
        remove(path)
        await asyncio.sleep(TRIED_EVERY + WRITTEN_EVERY + 1)
        assert polled.own("state_up") == 1


def untouched(path: Path) -> tuple[bytes, float, int]:
    """What a look does not change."""
    known = path.stat()
    return path.read_bytes(), known.st_ctime, known.st_ino


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.usefixtures("api")
@on_fake_clock
async def test_an_unusable_file_is_set_aside_untouched_and_a_new_one_begun(
    spoil: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make, why = SPOILS[spoil]
    make(path)
    before = content(path)
    async with Kept(path, config(), unusable="set_aside") as polled:
        await polled.polls(1)
        assert polled.own("state_up") == 1
    (aside,) = path.parent.glob("state.db.unusable-2027*Z")
    assert content(aside) == before
    assert said(caplog) == [f"the state file {path} {why}; it is set aside as {aside}, and a new one begun"]
    async with Kept(path, config()) as polled:
        assert polled.trunks() == ["T1", "T2"]


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.usefixtures("api")
@on_fake_clock
async def test_an_unusable_file_is_ignored_untouched_where_that_is_wanted_until_a_reload(
    spoil: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make, why = SPOILS[spoil]
    make(path)
    before = content(path)
    async with Kept(path, config()) as polled:
        await polled.polls(1)
        assert polled.trunks() == ["T1", "T2"]
        await asyncio.sleep(10 * TRIED_EVERY)
        assert polled.own("state_up") == 0
        assert content(path) == before
        assert names(path.parent) == ["state.db"]
        (line,) = said(caplog)
        assert line.startswith(
            f"the state file {path} {why}; restart or reload when that is mended; going on in memory"
        )
        remove(path)
        polled.keeper.configure(polled.state)
        await asyncio.sleep(TRIED_EVERY + WRITTEN_EVERY + 1)
        assert polled.own("state_up") == 1


@pytest.mark.usefixtures("api")
@on_fake_clock
async def test_what_cannot_be_mended_by_setting_aside_is_tried_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    make_directory(path)
    async with Kept(path, config(), unusable="set_aside") as polled:
        await polled.polls(1)
        assert polled.own("state_up") == 0
        await asyncio.sleep(10 * TRIED_EVERY)
        remove(path)
        await asyncio.sleep(TRIED_EVERY + WRITTEN_EVERY + 1)
        assert polled.own("state_up") == 1
    assert said(caplog) == [
        f"the state file {path} is a directory: name a file in it; going on in memory alone",
        f"the state file {path} was opened late: it is served where no poll was sooner",
    ]
    async with Kept(path, config()) as polled:
        assert polled.trunks() == ["T1", "T2"]


@on_fake_clock
async def test_a_file_in_use_by_another_is_left_alone_and_taken_up_later_with_its_history(
    path: Path, api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    async with Kept(path, config()) as polled:
        await polled.polls(1)
        api.give("S1", "T1", ChannelLimit=10, ProvisioningState=2)
        await polled.polls(2)
    other = StateFile(path)
    other.open()
    async with Kept(path, config(), unusable="set_aside") as polled:
        await polled.polls(1)
        api.give("S1", ChannelLimit=10, ProvisioningState=2)
        await polled.polls(2)
        assert journal(polled) == [("T1", "removed")]
        assert (
            f"the state file {path} is in use by another process: give each exporter a file of its own" in caplog.text
        )
        other.close()
        await asyncio.sleep(TRIED_EVERY + WRITTEN_EVERY + 1)
        assert journal(polled) == [("T1", "removed"), ("T2", "removed")]
    async with Kept(path, config()) as polled:
        assert journal(polled) == [("T1", "removed"), ("T2", "removed")]
    assert names(path.parent) == ["state.db"]


@on_fake_clock
async def test_a_file_opened_late_is_served_as_at_the_start_and_keeps_what_was_not_polled(
    path: Path, api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    api.give("S2", "T3", ProvisioningState=2)
    api.projects["A2"] = {"S3": "Three"}
    api.give("S3", "T5")
    configuration = config(account("S1", "S2"), account(sid="A2", discover=EVERY), stale_after=600)
    async with Kept(path, configuration) as polled:
        for sid in ("S1", "S2", "S3"):
            await polled.polls(1, sid)
        api.give("S2", "T3", ProvisioningState=3)
        await polled.polls(2, "S2")
        since, seen = polled.value(SINCE, "S2", trunk_sid="T3"), polled.value(SEEN, "S2")
        assert since is not None
    await asyncio.sleep(30)
    other = StateFile(path)
    other.open()
    api.give("S1", "T2", ChannelLimit=10, ProvisioningState=2)
    api.faults = {"S2": 500, "A2": 500}
    async with Kept(path, configuration) as polled:
        await polled.polls(1, "S1")
        await polled.polls(1, "S2")
        assert (polled.trunks("S1"), polled.trunks("S2")) == (["T2"], [])
        other.close()
        await asyncio.sleep(TRIED_EVERY + WRITTEN_EVERY + 1)
        assert said(caplog)[-1] == f"the state file {path} was opened late: it is served where no poll was sooner"
        assert (polled.trunks("S1"), polled.trunks("S2")) == (["T2"], ["T3"])
        assert counted(polled, "S1") == {}
        assert polled.value("siptrunk_property_stale", "S2") == 1
        assert polled.value("siptrunk_property_up", "S2") == 0
        assert polled.value(SINCE, "S2", trunk_sid="T3") == since
        assert polled.value(SEEN, "S2") == seen
        await polled.polls(1, "S3")
        assert polled.trunks("S3") == ["T5"]
        await polled.polls(polled.poller.properties["S1"].health.polls + 1, "S1")
        assert counted(polled, "S1") == {}
        await written()
        assert remembered(polled) == ["S1", "S2", "S3"]
        polled.killed = True
    api.faults["S1"] = 500
    async with Kept(path, configuration) as polled:
        assert [polled.trunks(sid) for sid in ("S1", "S2")] == [["T2"], ["T3"]]
        assert polled.value(SINCE, "S2", trunk_sid="T3") == since
        api.faults = {}
        api.give("S2", "T4", ProvisioningState=3)
        await polled.polls(2, "S2")
        assert journal(polled, property_sid="S2")[:2] == [("T3", "removed"), ("T4", "added")]
        assert counted(polled) == {}


@on_fake_clock
async def test_a_slow_disk_at_the_start_is_said_and_costs_none_of_what_is_remembered(
    path: Path, api: FakeApi, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    async with Kept(path, config()) as polled:
        await polled.polls(1)
    at_once = Keeper._in_thread  # noqa: SLF001 - what waits for the disk

    async def slowly(self: Keeper, work: Callable[..., object], *args: object) -> object:
        if getattr(work, "__name__", "") == "open":
            await asyncio.sleep(START_SECONDS + 1)
        return await at_once(self, work, *args)

    monkeypatch.setattr(Keeper, "_in_thread", slowly)
    api.faults["S1"] = 500
    async with Kept(path, config()) as polled:
        assert polled.trunks() == []
        await asyncio.sleep(2)
        assert polled.trunks() == ["T1", "T2"]
        await asyncio.sleep(2 * SEEN_EVERY)
        assert remembered(polled) == ["S1"]
    assert said(caplog) == [
        f"the state file {path} is not open after 2 s; in memory until it is",
        f"the state file {path} was opened late: it is served where no poll was sooner",
    ]


@pytest.mark.usefixtures("api")
@on_fake_clock
async def test_another_exporter_that_takes_the_file_over_takes_nothing_away(path: Path) -> None:
    async with AsyncExitStack() as second:
        async with Kept(path, config()) as first:
            await first.polls(1)
            polled = await second.enter_async_context(Kept(path, config(account("S2"))))
            await polled.polls(1, "S2")
        await asyncio.sleep(TRIED_EVERY + WRITTEN_EVERY + 1)
        assert polled.own("state_up") == 1
        await written()
        assert remembered(polled) == ["S1", "S2"]


@on_fake_clock
async def test_a_file_that_was_removed_is_begun_anew_with_all_that_is_known(
    path: Path, api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    async with Kept(path, config()) as polled:
        await polled.polls(1)
        api.give("S1", "T1", ChannelLimit=10, ProvisioningState=2)
        await polled.polls(2)
        await written()
        remove(path)
        await asyncio.sleep(2 * SEEN_EVERY + TRIED_EVERY + 60)
        assert polled.own("state_write_failures_total") == 1
        assert polled.own("state_up") == 1
        polled.killed = True
    assert said(caplog) == [f"the state file {path} was removed or replaced: it is begun anew"]
    async with Kept(path, config()) as polled:
        assert polled.trunks() == ["T1"]
        assert journal(polled) == [("T2", "removed")]


@on_fake_clock
async def test_what_a_write_that_failed_should_have_written_is_written_by_the_next(
    path: Path, api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with Kept(path, config()) as polled:
        await polled.polls(1)
        polled.connection.execute("PRAGMA max_page_count = 1")
        pages = polled.connection.execute("PRAGMA max_page_count").fetchone()[0]
        api.give("S1", *(f"N{number:05}" for number in range(3000)))
        await polled.polls(2)
        await asyncio.sleep(5 * TRIED_EVERY)
        assert polled.own("state_up") == 0
        failures = polled.own("state_write_failures_total")
        assert failures is not None
        assert failures >= 2
        assert len(polled.trunks()) == 3000
        full = f"the state file {path} cannot be written, the disk is full: make room; going on in memory alone"
        assert said(caplog) == [full]
        polled.connection.execute(f"PRAGMA max_page_count = {1000 * pages}")
        await asyncio.sleep(TRIED_EVERY + WRITTEN_EVERY)
        assert polled.own("state_up") == 1
        assert said(caplog)[-1] == "the state file is written again"
        polled.killed = True
    async with Kept(path, config()) as polled:
        assert len(polled.trunks()) == 3000
        assert len([*polled.poller.journal]) == 3002


@on_fake_clock
async def test_a_change_seen_while_a_write_fails_is_written_by_the_next(
    path: Path, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Kept(path, config()) as polled:
        await polled.polls(1)
        await written()

        def failing(_file: StateFile, _batch: Batch) -> None:
            polled.poller.journal.record(Identity("S1", "A1", ""), [change(3, fake_clock.unix_time())])
            raise StateError(path, "cannot be written")

        api.give("S1", "T1", ChannelLimit=10, ProvisioningState=2)
        with monkeypatch.context() as for_once:
            for_once.setattr(StateFile, "write", failing)
            await polled.polls(2)
            await written()
        assert polled.own("state_write_failures_total") == 1
        await asyncio.sleep(TRIED_EVERY + WRITTEN_EVERY + 1)
        polled.killed = True
    with opened(path) as (_, contents):
        assert [each.trunk_sid for each in contents.changes] == ["T2", "T3"]


@on_fake_clock
async def test_a_file_found_damaged_while_it_is_written_is_set_aside_and_begun_anew(
    path: Path, api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    async with Kept(path, config(), unusable="set_aside") as polled:
        await polled.polls(1)
        await written()
        polled.connection.execute("DROP TABLE seen")
        api.give("S1", "T1")
        await polled.polls(2)
        await written()
        await written()
        assert polled.own("state_up") == 1
        assert "is damaged (no such table: seen); it is set aside as" in caplog.text
        polled.killed = True
    async with Kept(path, config()) as polled:
        assert polled.trunks() == ["T1"]
        assert ("T2", "removed") in journal(polled)


@pytest.mark.usefixtures("api")
@on_fake_clock
async def test_no_more_than_a_few_files_are_ever_set_aside(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(8):
        damaged(path)
        async with Kept(path, config(), unusable="set_aside") as polled:
            await polled.polls(1)
            assert polled.trunks() == ["T1", "T2"]
        await asyncio.sleep(1)
    assert len(list(path.parent.glob("state.db.unusable-*"))) == 5
    assert "5 files are set aside already: look at them and remove them" in caplog.text


@pytest.mark.parametrize(
    ("there", "why"),
    [
        (False, "cannot be opened: let the exporter's user read and write it"),
        (True, "cannot be written: let the exporter's user write to it and to its directory"),
    ],
)
@pytest.mark.usefixtures("api")
@on_fake_clock
async def test_a_read_only_directory_costs_the_memory_and_nothing_else(
    there: bool,  # noqa: FBT001 - a parameter of the test
    why: str,
    path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    as_root = os.geteuid() == 0
    place = path.parent / "place"
    place.mkdir()
    if as_root:
        for each in (path.parent.parent.parent, path.parent.parent, path.parent):
            each.chmod(0o755)
    if there:
        with opened(place / "state.db"):
            pass
        (place / "state.db").chmod(0o666)
    place.chmod(0o555)
    if as_root:
        os.seteuid(65534)
    try:
        async with Kept(place / "state.db", config(), unusable="set_aside") as polled:
            await polled.polls(1)
            assert polled.trunks() == ["T1", "T2"]
            assert polled.own("state_up") == 0
    finally:
        if as_root:
            os.seteuid(0)
        place.chmod(0o755)
    (line,) = said(caplog)
    assert why in line


@pytest.mark.usefixtures("api")
@on_fake_clock
async def test_a_disk_that_hangs_holds_up_neither_start_nor_polls_nor_stop_for_long(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(Keeper, "_in_thread", never)
    began = fake_clock.unix_time()
    async with Kept(path, config()) as polled:
        assert fake_clock.unix_time() - began < START_SECONDS + 1
        await polled.polls(3)
        assert polled.trunks() == ["T1", "T2"]
        assert polled.own("state_up") == 0
        ended = fake_clock.unix_time()
    assert fake_clock.unix_time() - ended < STOP_SECONDS + 1


@pytest.mark.usefixtures("api")
@on_fake_clock
async def test_a_disk_that_wakes_up_after_the_stop_tells_nothing_any_more(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken, in_thread = asyncio.Event(), Keeper._in_thread  # noqa: SLF001 - it is what hangs

    async def late(*arguments: Any) -> object:  # noqa: ANN401 - passes everything through
        await woken.wait()
        return await in_thread(*arguments)

    monkeypatch.setattr(Keeper, "_in_thread", late)
    async with Kept(path, config()) as polled:
        assert polled.own("state_up") == 0
    woken.set()
    assert polled.keeper._task  # noqa: SLF001 - nothing else ends when it does
    await polled.keeper._task  # noqa: SLF001 - likewise
    assert polled.own("state_up") == 0


@pytest.mark.parametrize("broken", ["records", "since"])
@on_fake_clock
async def test_what_cannot_be_read_of_what_was_remembered_costs_that_alone(
    broken: str, path: Path, api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    api.projects["A1"] = {"S1": "One"}
    configuration = config(account(discover=EVERY))
    async with Kept(path, configuration) as polled:
        await polled.polls(1)
    with opened(path) as (file, contents):
        for key, (seen, known) in contents.lists.items():
            kept = tuple(page._replace(packed=b"junk") for page in known.listing.kept)
            listing = replace_struct(known.listing, kept=kept) if broken == "records" else known.listing
            spoilt = replace_struct(known, listing=listing, since=(1,))
            file.write(batch(lists=[(key, spoilt)], seen=[(key, seen)]))
    async with Kept(path, configuration) as polled:
        await polled.polls(1)
        api.give("S1", "T1", "T3")
        await polled.polls(3)
        assert polled.trunks() == ["T1", "T3"]
        assert polled.value("siptrunk_property_up") == 1
        assert polled.poller.trouble is None
    assert ("what was remembered" in caplog.text) == (broken == "records")


@on_fake_clock
async def test_of_a_list_that_memory_has_no_room_for_no_older_one_is_remembered(
    path: Path, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Kept(path, config()) as polled:
        await polled.polls(1)
        await written()
        monkeypatch.setattr("exporter.api.listing.MOST_KEPT_OF_ONE", 0)
        api.give("S1", "T1", ChannelLimit=10, ProvisioningState=2)
        await polled.polls(2)
        await written()
        polled.killed = True
    async with Kept(path, config()) as polled:
        assert polled.trunks() == []
        await polled.polls(1)
        assert polled.trunks() == ["T1"]
        assert journal(polled) == [("T2", "removed")]
