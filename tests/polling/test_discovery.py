"""Which properties are polled, where an account's are looked up."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import replace
from itertools import pairwise
from typing import cast

import pytest

from exporter.config import Discover, Limits
from exporter.config.settings import LONGEST_NAME
from exporter.errors import PollError, Reason
from tests.fake_clock import EPOCH
from tests.polling.builders import EVERY, Polled, account, config, configured, on_fake_clock
from tests.polling.fake_api import LATENCY, FakeApi

REFUSED = PollError(Reason.CONNECT, "refused")


async def settled() -> None:
    """Let the first look-ups and polls end."""
    await asyncio.sleep(3)


def name_of(polled: Polled, sid: str) -> str:
    shown = polled.snapshot.get(sid)
    assert shown
    return shown.identity.name


async def looked_up(times: int) -> None:
    """Let so many more look-ups come, at the default interval."""
    await asyncio.sleep(60 * times)


@on_fake_clock
async def test_what_is_configured_and_what_is_discovered_is_polled(api: FakeApi) -> None:
    api.projects["A1"] = {"S2": "Two", "S3": "Three"}
    async with Polled(config(account("S1", discover=EVERY))) as polled:
        await settled()

        assert polled.served == {"S1", "S2", "S3"}
        assert [polled.value("siptrunk_property_up", sid) for sid in ("S1", "S2", "S3")] == [1, 1, 1]
        assert polled.value("siptrunk_property_info", "S2", name="Two", account_sid="A1") == 1


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (".*", None, {"S1", "S2", "S3"}),
        ("^Office", None, {"S1", "S2"}),
        ("Sydney", None, {"S1", "S3"}),
        (".*", "^test ", {"S1", "S2"}),
        ("Sydney", "^test ", {"S1"}),
        (".*", "", set()),
        ("sydney", None, set()),
    ],
)
@on_fake_clock
async def test_the_names_say_which_are_polled(
    include: str, exclude: str | None, expected: set[str], api: FakeApi
) -> None:
    api.projects["A1"] = {"S1": "Office Sydney", "S2": "Office Perth", "S3": "test Sydney"}
    rule = Discover(re.compile(include), None if exclude is None else re.compile(exclude))
    async with Polled(config(account(discover=rule))) as polled:
        await settled()

        assert polled.served == expected


@on_fake_clock
async def test_the_rule_is_for_the_whole_name_which_only_its_label_cuts(api: FakeApi) -> None:
    api.projects["A1"] = {"S1": "n" * 70 + " decommissioned", "S2": "m" * 70 + " in use"}
    settings = replace(
        config(account(discover=Discover(exclude=re.compile("decommissioned")))), limits=Limits(label_bytes=64)
    )
    async with Polled(settings) as polled:
        await settled()

        assert polled.served == {"S2"}
        assert name_of(polled, "S2") == "m" * 61 + "…"
        assert polled.own("payload_anomalies_total", kind="label_too_long") == 2


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (EVERY, {"S1", "S2"}),
        (Discover(re.compile("^n")), {"S1"}),
        (Discover(exclude=re.compile("z")), {"S1"}),
    ],
)
@on_fake_clock
async def test_a_name_beyond_all_measure_is_for_no_rule_to_match(
    rule: Discover, expected: set[str], api: FakeApi
) -> None:
    api.projects["A1"] = {"S1": "n" * LONGEST_NAME, "S2": "n" * (LONGEST_NAME + 1)}
    async with Polled(config(account(discover=rule))) as polled:
        await settled()

        assert polled.served == expected


async def test_a_rule_that_takes_its_time_with_many_names_lets_others_run(api: FakeApi) -> None:
    matched, others = 0, 0

    class Slow:
        def search(self, _name: str) -> bool:
            nonlocal matched
            matched += 1
            time.sleep(0.006)
            return True

    api.latency["A1"] = 0
    api.projects["A1"] = {f"S{number}": "One" for number in range(10)}
    async with Polled(config(account(discover=Discover(cast("re.Pattern[str]", Slow()))))):
        while matched < 10:
            await asyncio.sleep(0)
            others += matched > 0
    assert others >= 9


@pytest.mark.parametrize(
    ("name", "rule", "expected"),
    [
        (None, EVERY, "Found"),
        (None, Discover(re.compile("nothing")), "Found"),
        ("Given", EVERY, "Given"),
        ("", EVERY, ""),
    ],
)
@on_fake_clock
async def test_a_configured_property_has_the_name_given_else_the_one_found(
    name: str | None, rule: Discover, expected: str, api: FakeApi
) -> None:
    api.projects["A1"] = {"S1": "Found"}
    async with Polled(config(account(configured("S1", name), discover=rule))) as polled:
        await settled()

        assert name_of(polled, "S1") == expected


@on_fake_clock
async def test_a_property_both_configured_and_discovered_is_polled_once_as_configured(api: FakeApi) -> None:
    api.projects["A1"] = {"S1": "Found"}
    async with Polled(config(account(configured("S1", type="authenticated"), discover=EVERY))) as polled:
        await settled()

        assert [asked.query.get("Type") for asked in api.asked if asked.whose == "S1"] == ["1"]
        assert polled.own("payload_anomalies_total", kind="repeated_property") == 0


@on_fake_clock
async def test_a_property_of_two_accounts_is_polled_once_for_the_first_and_counted_as_odd(api: FakeApi) -> None:
    api.projects = {"A1": {"S1": "One"}, "A2": {"S1": "Uno"}}
    async with Polled(config(account(discover=EVERY), account(sid="A2", discover=EVERY))) as polled:
        await polled.polls(2)

        assert {asked.account_sid for asked in api.asked if asked.whose == "S1" and asked.time > 1} == {"A1"}
        assert name_of(polled, "S1") == "One"
        assert (polled.own("payload_anomalies_total", kind="repeated_property") or 0) > 0


@on_fake_clock
async def test_a_property_belongs_to_the_account_that_configures_it_whoever_else_finds_it(api: FakeApi) -> None:
    api.projects = {"A1": {"S1": "One"}, "A2": {}}
    async with Polled(config(account(discover=EVERY), account("S1", sid="A2"))) as polled:
        await polled.polls(2)

        assert {asked.account_sid for asked in api.asked if asked.whose == "S1"} == {"A2"}
        assert (polled.own("payload_anomalies_total", kind="repeated_property") or 0) > 0


@on_fake_clock
async def test_a_sid_that_does_not_belong_into_a_url_is_left_out_and_counted(api: FakeApi) -> None:
    evil = (
        "../S2",
        "S 3",
        "S4?x",
        "é",
        "//evil.test",
        "@evil.test",
        "S1@evil.test",
        "S1:1@evil.test/",
        "https://evil.test",
        ".",
        "..",
        "S1/../..",
        "%2e%2e",
        "S1%2f",
        "S1\\..",
        "S1#",
        "S1;x",
        "S1\r\nHost: evil.test",
        "S1\n",
        "S1\0",
        "S" * 65,
        "\u0661",
        "\uff331",
    )
    api.projects["A1"] = {"S1": "One", **dict.fromkeys(evil, "Evil")}
    async with Polled(config(account(discover=EVERY))) as polled:
        await settled()

        assert polled.served == {"S1"}
        assert polled.own("payload_anomalies_total", kind="invalid_sid") == len(evil)
        assert {asked.whose for asked in api.asked} == {"A1", "S1"}


@on_fake_clock
async def test_a_look_up_that_fails_keeps_what_was_found(api: FakeApi, caplog: pytest.LogCaptureFixture) -> None:
    api.projects["A1"] = {"S1": "One"}
    async with Polled(config(account(discover=EVERY))) as polled:
        await settled()
        api.faults["A1"] = REFUSED
        await looked_up(3)

        assert polled.trunks() == ["T1", "T2"]
        assert polled.value("siptrunk_property_up") == 1
        assert polled.own("discovery_up", account_sid="A1") == 0
        assert polled.own("discovery_last_success_timestamp_seconds", account_sid="A1") == EPOCH + LATENCY
        assert polled.own("discovery_failing", account_sid="A1", reason="connect") == 1
        assert polled.own("discovery_failures_total", account_sid="A1", reason="connect") == 3
        assert polled.own("discovery_failures_total", account_sid="A1", reason="auth") == 0
        assert caplog.messages == ["discovery failed: connect: refused"]


@on_fake_clock
async def test_a_look_up_that_finds_more_than_allowed_fails_whole_and_says_so(
    api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    api.projects["A1"] = {"S1": "One", "S2": "Two"}
    settings = config(account(discover=EVERY))
    async with Polled(replace(settings, limits=Limits(properties_per_account=2))) as polled:
        await settled()
        api.projects["A1"]["S3"] = "Three"
        await looked_up(2)
        assert polled.served == {"S1", "S2"}
        assert polled.own("discovery_failing", account_sid="A1", reason="too_large") == 1
        assert caplog.messages == ["discovery failed: too_large: the list holds 3 records, and at most 2 are taken"]
        await polled.reload(replace(settings, limits=Limits(properties_per_account=3)))
        await looked_up(1)

        assert polled.served == {"S1", "S2", "S3"}
        assert polled.own("discovery_failing", account_sid="A1", reason="too_large") is None


@on_fake_clock
async def test_a_look_up_that_failed_is_made_up_for(api: FakeApi) -> None:
    api.projects["A1"] = {"S1": "One"}
    api.faults["A1"] = REFUSED
    async with Polled(config(account(discover=EVERY))) as polled:
        await settled()
        assert polled.served == set()
        assert polled.own("discovery_last_success_timestamp_seconds", account_sid="A1") is None
        del api.faults["A1"]
        await looked_up(1)

        assert polled.trunks() == ["T1", "T2"]
        assert polled.own("discovery_up", account_sid="A1") == 1
        assert polled.own("discovery_failing", account_sid="A1", reason="connect") is None


@on_fake_clock
async def test_a_property_that_vanishes_goes_whole_and_one_that_appears_is_polled_at_once(api: FakeApi) -> None:
    api.projects["A1"] = {"S1": "One", "S2": "Two"}
    api.give("S3", "T3")
    async with Polled(config(account(discover=EVERY))) as polled:
        await settled()
        api.projects["A1"] = {"S1": "One", "S3": "Three"}
        await looked_up(1)

        assert "S2" not in polled.text
        assert polled.trunks("S3") == ["T3"]
        assert api.times("S3") == [pytest.approx(api.times("A1")[-1] + LATENCY)]
        asked = len(api.times("S2"))
        await looked_up(3)
        assert len(api.times("S2")) == asked


@on_fake_clock
async def test_a_property_with_another_name_shows_it_at_once_and_keeps_its_data(api: FakeApi) -> None:
    api.projects["A1"] = {"S1": "One"}
    async with Polled(config(account(discover=EVERY))) as polled:
        await polled.polls(2)
        api.projects["A1"] = {"S1": "Eins"}
        api.latency["S1"] = 10_000
        await looked_up(2)

        assert name_of(polled, "S1") == "Eins"
        assert polled.trunks() == ["T1", "T2"]
        assert polled.value("siptrunk_property_polls_total") == 2


@on_fake_clock
async def test_an_account_is_looked_up_every_interval(api: FakeApi) -> None:
    api.projects["A1"] = {}
    async with Polled(config(account(discover=EVERY), interval=90)):
        await asyncio.sleep(90 * 4)
    first, *others = (after - before for before, after in pairwise(api.times("A1")))

    assert 0 < first <= 90 + LATENCY
    assert others == [pytest.approx(90)] * 3


@on_fake_clock
async def test_an_account_whose_credentials_are_rejected_is_looked_up_at_a_falling_rate(api: FakeApi) -> None:
    api.projects["A1"] = {}
    api.tokens["A1"] = "another"
    async with Polled(config(account(discover=EVERY))):
        await asyncio.sleep(2200)
    gaps = [after - before - LATENCY for before, after in pairwise(api.times("A1"))]

    assert gaps == [pytest.approx(gap) for gap in (60, 120, 240, 480, 600, 600)]
