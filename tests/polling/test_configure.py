"""A reload changes what it says and nothing else; a token that changes is tried at once."""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from exporter.config import Discover, TokenSource
from exporter.errors import ConfigError, PollError, Reason
from tests.fake_clock import EPOCH
from tests.polling.builders import (
    API,
    EVERY,
    HEALTH,
    HEALTH_BEFORE_THE_FIRST_POLL,
    Polled,
    account,
    config,
    configured,
    on_fake_clock,
)
from tests.polling.fake_api import LATENCY, FakeApi

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.config import Account, Config

BASE_URL = API.base_url
REFUSED = PollError(Reason.CONNECT, "refused")


def now() -> float:
    return asyncio.get_running_loop().time()


def write(path: Path, token: str) -> TokenSource:
    """Put a token into a file, which looks changed even where the file system's clock stands still."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(token)
    os.utime(path, ns=(before + 1_000_000_000, before + 1_000_000_000))
    return TokenSource(file=path)


@on_fake_clock
async def test_a_property_that_is_the_same_in_both_keeps_its_data_rhythm_and_counters(api: FakeApi) -> None:
    async with Polled(config()) as polled:
        await polled.polls(3)
        before = polled.text
        await asyncio.sleep(17)
        await polled.reload(config(account("S0", "S1"), stale_after=200))
        assert set(before.splitlines()) <= set(polled.text.splitlines())
        await polled.polls(4)

        assert polled.value("siptrunk_property_polls_total") == 4
        assert [after - before for before, after in zip(api.times("S1")[1:], api.times("S1")[2:], strict=False)] == [
            pytest.approx(60)
        ] * 2


@pytest.mark.parametrize(
    "changed",
    [
        config(account(configured("S1", active=True))),
        config(account("S1", sid="A2")),
        config(api=replace(API, base_url="https://other.test")),
    ],
    ids=["filters", "account", "base_url"],
)
@on_fake_clock
async def test_a_property_that_is_another_list_now_begins_anew(changed: Config, api: FakeApi) -> None:
    async with Polled(config()) as polled:
        await polled.polls(3)
        await asyncio.sleep(17)
        await polled.reload(changed)
        assert polled.families() == HEALTH_BEFORE_THE_FIRST_POLL
        assert polled.value("siptrunk_property_polls_total") == 0
        reloaded = now()
        await polled.polls(1)

        assert api.times("S1")[-1] == pytest.approx(reloaded)
        assert polled.trunks() == ["T1", "T2"]


@on_fake_clock
async def test_another_base_url_is_all_that_is_asked_from_then_on(api: FakeApi) -> None:
    api.projects["A1"] = {"S2": "Two"}
    async with Polled(config(account("S1", discover=EVERY))) as polled:
        await asyncio.sleep(20)
        asked = len(api.asked)
        await polled.reload(config(account("S1", discover=EVERY), api=replace(API, base_url="https://other.test")))
        assert polled.served == {"S1"}
        await asyncio.sleep(1)

    assert [each.base_url for each in api.asked[:asked]] == [BASE_URL] * asked
    assert [(each.base_url, each.whose) for each in api.asked[asked:]] == [
        ("https://other.test", "A1"),
        ("https://other.test", "S1"),
        ("https://other.test", "S2"),
    ]


@on_fake_clock
async def test_the_filters_in_force_are_asked_for(api: FakeApi) -> None:
    async with Polled(config()) as polled:
        await polled.polls(1)
        await polled.reload(
            config(account(configured("S1", type="ip_to_ip", active=False, provisioning_state="active")))
        )
        await polled.polls(1)
        paging = {"Results_Skip": "0", "Results_Count": "50"}

        assert [asked.query for asked in api.asked] == [
            paging,
            {"Type": "0", "Active": "false", "ProvisioningState": "2", **paging},
        ]


@on_fake_clock
async def test_another_name_is_shown_at_once_and_the_data_stay(api: FakeApi) -> None:
    async with Polled(config()) as polled:
        await polled.polls(1)
        api.faults["S1"] = REFUSED
        await polled.reload(config(account(configured("S1", "New name"))))

        assert polled.value("siptrunk_property_info", name="New name", account_sid="A1") == 1
        assert polled.value("siptrunk_property_info", name="", account_sid="A1") is None
        assert polled.trunks() == ["T1", "T2"]
        assert polled.value("siptrunk_property_polls_total") == 1


@pytest.mark.parametrize("accounts", [(account("S2"),), (account("S2", sid="A2"),)])
@on_fake_clock
async def test_a_property_that_is_left_out_goes_whole_and_a_new_one_is_polled_at_once(
    accounts: tuple[Account, ...], api: FakeApi
) -> None:
    async with Polled(config()) as polled:
        await polled.polls(1)
        asked = len(api.asked)
        await polled.reload(config(*accounts))
        assert "S1" not in polled.text
        reloaded = now()
        await asyncio.sleep(300)

        assert {each.whose for each in api.asked[asked:]} == {"S2"}
        assert api.times("S2")[0] == pytest.approx(reloaded)
        assert "S1" not in polled.text


@pytest.mark.parametrize("latency", [LATENCY, 5])
@on_fake_clock
async def test_a_poll_under_way_of_a_property_that_is_left_out_publishes_nothing(latency: float, api: FakeApi) -> None:
    api.latency["S1"] = latency
    async with Polled(config()) as polled:
        await asyncio.sleep(latency / 2)
        await polled.reload(config(account("S2")))
        await asyncio.sleep(30)

        assert "S1" not in polled.text


@on_fake_clock
async def test_an_end_date_of_a_property_that_is_left_out_stirs_nothing(api: FakeApi) -> None:
    api.give("S1", "T1", EndDate=int(EPOCH) + 100)
    async with Polled(config()) as polled:
        await polled.polls(1)
        await polled.reload(config(account("S2")))
        await asyncio.sleep(200)

        assert polled.served == {"S2"}


@pytest.mark.parametrize(("stale_after", "families"), [(100, HEALTH), (1000, None)])
@on_fake_clock
async def test_another_stale_after_counts_at_once(stale_after: float, families: set[str] | None, api: FakeApi) -> None:
    async with Polled(config(stale_after=300)) as polled:
        await polled.polls(1)
        everything = polled.families()
        api.faults["S1"] = REFUSED
        await asyncio.sleep(200)
        assert polled.families() == everything
        await polled.reload(config(stale_after=stale_after))
        assert polled.families() == (families or everything)
        await asyncio.sleep(200)
        assert polled.families() == (families or everything)


@pytest.mark.parametrize("whose", ["S1", "A1"])
@pytest.mark.parametrize("interval", [5, 600])
@on_fake_clock
async def test_another_interval_counts_at_once(interval: float, whose: str, api: FakeApi) -> None:
    api.projects["A1"] = {}
    async with Polled(config(account("S1", discover=EVERY))) as polled:
        await polled.polls(2)
        await polled.reload(config(account("S1", discover=EVERY), interval=interval))
        reloaded = now()
        await asyncio.sleep(4 * interval)
    first, *_, before, last = [each for each in api.times(whose) if each > reloaded]

    assert first - reloaded <= interval
    assert last - before == pytest.approx(interval)


@on_fake_clock
async def test_another_token_is_tried_at_once_where_the_old_one_was_rejected(api: FakeApi) -> None:
    api.tokens = {"A1": "new", "A2": "another"}
    api.projects = {"A1": {"S1": "One"}}
    async with Polled(config(account("S1", discover=EVERY), account("S2", sid="A2"))) as polled:
        await asyncio.sleep(1000)
        asked = len(api.asked)
        await polled.reload(config(account("S1", token="new", discover=EVERY), account("S2", sid="A2")))
        reloaded = now()
        await asyncio.sleep(1)

        # The reload alone is reason enough to try again what was rejected.
        assert {(each.whose, each.token, each.time - reloaded) for each in api.asked[asked:]} == {
            ("A1", "new", 0),
            ("S1", "new", 0),
            ("S2", "t1", 0),
        }
        assert polled.trunks() == ["T1", "T2"]


@on_fake_clock
async def test_another_token_waits_for_the_next_poll_where_the_old_one_was_good(api: FakeApi) -> None:
    async with Polled(config()) as polled:
        await polled.polls(2)
        await polled.reload(config(account("S1", token="new")))
        assert polled.trunks() == ["T1", "T2"]
        await polled.polls(3)

        assert [each.token for each in api.asked] == ["t1", "t1", "new"]
        assert api.times("S1")[2] - api.times("S1")[1] == pytest.approx(60)


@on_fake_clock
async def test_a_token_file_that_changes_is_tried_at_once_by_those_that_were_rejected(
    api: FakeApi, tmp_path: Path
) -> None:
    api.tokens["A1"] = "new"
    one, two, three = (write(tmp_path / name, "old") for name in ("one", "two", "three"))
    api.projects["A1"] = {}
    rejecting = account("S1", token=one, discover=EVERY)
    async with Polled(config(rejecting, account("S2", sid="A2", token=two), account("S3", sid="A3", token=three))):
        api.tokens["A3"] = "other"
        await asyncio.sleep(5000)
        asked, changed = len(api.asked), now()
        write(tmp_path / "one", "new")
        write(tmp_path / "two", "new")
        await asyncio.sleep(1.5)

    early = [(each.whose, each.token) for each in api.asked[asked:]]
    assert [each for each in early if each[0] != "S2"] == [("A1", "new"), ("S1", "new")]
    assert all(each.time - changed <= 1 + LATENCY for each in api.asked[asked:])
    assert all(
        pytest.approx(after - before) == 60
        for before, after in zip(api.times("S2")[1:], api.times("S2")[2:], strict=False)
    )


@on_fake_clock
async def test_a_request_that_waited_for_its_turn_carries_the_token_of_then(api: FakeApi, tmp_path: Path) -> None:
    source = write(tmp_path / "token", "old")
    async with Polled(config(account("S1", "S2", token=source), api=replace(API, requests_per_second=0.1))):
        await asyncio.sleep(3)
        write(tmp_path / "token", "new")
        await asyncio.sleep(8)

    assert [(each.whose, each.token) for each in api.asked] == [("S1", "old"), ("S2", "new")]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [(EVERY, {"S1", "S2", "S3"}), (Discover(exclude=re.compile("Two")), {"S1", "S3"}), (None, {"S1"})],
)
@on_fake_clock
async def test_another_rule_of_discovery_counts_at_once(
    rule: Discover | None, expected: set[str], api: FakeApi
) -> None:
    api.projects["A1"] = {"S2": "Two", "S3": "Three"}
    async with Polled(config(account("S1", discover=EVERY))) as polled:
        await asyncio.sleep(1)
        assert polled.own("discovery_up", account_sid="A1") == 1
        await polled.reload(config(account("S1", discover=rule)))

        assert polled.served == expected
        for _ in range(2):
            assert polled.own("discovery_up", account_sid="A1") == (1 if rule else None)
            assert polled.own("discovery_failures_total", account_sid="A1", reason="auth") == (0 if rule else None)
            await asyncio.sleep(300)


@on_fake_clock
async def test_discovery_that_is_switched_on_looks_up_at_once(api: FakeApi) -> None:
    api.projects["A1"] = {"S2": "Two"}
    async with Polled(config()) as polled:
        await asyncio.sleep(30)
        await polled.reload(config(account("S1", discover=EVERY)))
        await asyncio.sleep(1)

        assert api.times("A1") == [30]
        assert polled.served == {"S1", "S2"}


@on_fake_clock
async def test_a_token_that_changes_while_the_old_one_is_under_way_is_tried_as_soon_as_that_was_rejected(
    api: FakeApi, tmp_path: Path
) -> None:
    api.tokens["A1"] = "new"
    api.latency["S1"] = 3
    source = write(tmp_path / "token", "old")
    async with Polled(config(account("S1", token=source), interval=3600)) as polled:
        await asyncio.sleep(0.5)
        write(tmp_path / "token", "new")
        await polled.polls(2)
        assert polled.value("siptrunk_property_up") == 1
    assert [each.token for each in api.asked] == ["old", "new"]
    assert api.times("S1") == pytest.approx([0, 3])


@on_fake_clock
async def test_the_same_goes_for_the_look_up_of_an_account(api: FakeApi, tmp_path: Path) -> None:
    api.tokens["A1"] = "new"
    api.latency["A1"] = 3
    api.projects["A1"] = {"S7": "Perth"}
    source = write(tmp_path / "token", "old")
    async with Polled(config(account(token=source, discover=EVERY), interval=3600)) as polled:
        await asyncio.sleep(0.5)
        write(tmp_path / "token", "new")
        await polled.polls(1, "S7")
    assert api.times("A1") == pytest.approx([0, 3])


@on_fake_clock
async def test_a_token_that_cannot_be_read_is_a_fault_of_its_account(api: FakeApi, tmp_path: Path) -> None:
    async with Polled(config()) as polled:
        await polled.polls(1)
        with pytest.raises(ConfigError, match="No such file or directory"):
            await polled.reload(config(account("S9", token=TokenSource(file=tmp_path / "gone"))))
        assert polled.families() > HEALTH
        assert "S9" not in polled.poller.properties
    assert api.asked
