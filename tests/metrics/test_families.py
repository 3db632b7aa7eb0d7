"""The table of families: what comes out for what goes in, and the names that users rely on."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import pytest

from exporter.errors import Reason
from exporter.metrics.families import FAMILIES
from exporter.model import UNREADABLE, Health, PropertyView
from tests.metrics.builders import FAILING, HEALTHY, NEVER_POLLED, NOW, lines_of, trunk, view

PAST, FUTURE = int(NOW) - 1, int(NOW) + 1
TRUNK = ("property_sid", "trunk_sid")
PROPERTY = ("property_sid",)
TABLE: dict[str, tuple[str, tuple[str, ...]]] = {
    "siptrunk_info": (
        "gauge",
        (*TRUNK, "name", "trunk_type", "customer_reference", "external_reference", "default_caller_id"),
    ),
    "siptrunk_channel_limit": ("gauge", TRUNK),
    "siptrunk_active": ("gauge", TRUNK),
    "siptrunk_provisioning_state": ("gauge", (*TRUNK, "state")),
    "siptrunk_provisioning_state_since_timestamp_seconds": ("gauge", TRUNK),
    "siptrunk_created_timestamp_seconds": ("gauge", TRUNK),
    "siptrunk_modified_timestamp_seconds": ("gauge", TRUNK),
    "siptrunk_end_timestamp_seconds": ("gauge", TRUNK),
    "siptrunk_property_trunks": ("gauge", (*PROPERTY, "trunk_type", "state")),
    "siptrunk_property_active_trunks": ("gauge", PROPERTY),
    "siptrunk_property_active_channel_limit": ("gauge", PROPERTY),
    "siptrunk_drift": ("gauge", (*PROPERTY, "trunk_sid", "field")),
    "siptrunk_changes_total": ("counter", (*PROPERTY, "kind")),
    "siptrunk_property_info": ("gauge", (*PROPERTY, "name", "account_sid")),
    "siptrunk_property_up": ("gauge", PROPERTY),
    "siptrunk_property_stale": ("gauge", PROPERTY),
    "siptrunk_property_last_poll_timestamp_seconds": ("gauge", PROPERTY),
    "siptrunk_property_last_success_timestamp_seconds": ("gauge", PROPERTY),
    "siptrunk_property_last_poll_duration_seconds": ("gauge", PROPERTY),
    "siptrunk_property_polls_total": ("counter", PROPERTY),
    "siptrunk_property_failing": ("gauge", (*PROPERTY, "reason")),
    "siptrunk_property_poll_failures_total": ("counter", (*PROPERTY, "reason")),
}
REASONS = (
    "timeout",
    "connect",
    "tls",
    "auth",
    "forbidden",
    "not_found",
    "rate_limited",
    "bad_request",
    "server_error",
    "bad_payload",
    "incomplete",
    "too_large",
)
STATES = ("inactive", "provisioning", "active", "deprovisioning")


def states(**ones: int) -> list[str]:
    every = dict.fromkeys(STATES, 0) | ones
    return [f'{{property_sid="S1",state="{state}",trunk_sid="T1"}} {one}.0' for state, one in every.items()]


def info(**labels: str) -> list[str]:
    every = {
        "customer_reference": "",
        "default_caller_id": "",
        "external_reference": "",
        "name": "",
        "property_sid": "S1",
        "trunk_sid": "T1",
        "trunk_type": "unknown",
    }
    return ["{" + ",".join(f'{name}="{value}"' for name, value in (every | labels).items()) + "} 1.0"]


def one(number: str) -> list[str]:
    return [f'{{property_sid="S1",trunk_sid="T1"}} {number}']


def of_property(number: str) -> list[str]:
    return [f'{{property_sid="S1"}} {number}']


def test_the_families_are_those_that_users_rely_on() -> None:
    assert {family.name: (family.type, family.label_names) for family in FAMILIES} == TABLE


def test_every_family_says_in_one_sentence_what_it_means() -> None:
    assert [family.name for family in FAMILIES if not family.help.endswith(".") or "\n" in family.help] == []


def test_the_reasons_are_those_that_users_rely_on() -> None:
    assert tuple(reason.value for reason in Reason) == REASONS


@pytest.mark.parametrize(
    ("family", "fields", "expected"),
    [
        ("info", {}, info()),
        ("info", {"name": "Main"}, info(name="Main")),
        ("info", {"name": 'a"b\\c\nd'}, info(name='a\\"b\\\\c\\nd')),
        ("info", {"type": 0}, info(trunk_type="ip_to_ip")),
        ("info", {"type": 1}, info(trunk_type="authenticated")),
        ("info", {"type": UNREADABLE}, info(trunk_type="unknown")),
        ("info", {"customer_reference": "C-7"}, info(customer_reference="C-7")),
        ("info", {"external_reference": "E-7"}, info(external_reference="E-7")),
        ("info", {"default_caller_id": "+61255500000"}, info(default_caller_id="+61255500000")),
        ("channel_limit", {}, []),
        ("channel_limit", {"channel_limit": 0}, one("0.0")),
        ("channel_limit", {"channel_limit": 30}, one("30.0")),
        ("channel_limit", {"channel_limit": 2**53}, one("9.007199254740992e+15")),
        ("active", {}, one("1.0")),
        ("active", {"end_date": None}, one("1.0")),
        ("active", {"end_date": 0}, one("1.0")),
        ("active", {"end_date": PAST}, one("0.0")),
        ("active", {"end_date": int(NOW)}, one("0.0")),
        ("active", {"end_date": FUTURE}, one("1.0")),
        ("active", {"end_date": UNREADABLE}, []),
        ("active", {"provisioning_state": 0}, one("1.0")),
        ("provisioning_state", {}, []),
        ("provisioning_state", {"provisioning_state": 0}, states(inactive=1)),
        ("provisioning_state", {"provisioning_state": 1}, states(provisioning=1)),
        ("provisioning_state", {"provisioning_state": 2}, states(active=1)),
        ("provisioning_state", {"provisioning_state": 3}, states(deprovisioning=1)),
        ("provisioning_state", {"provisioning_state": UNREADABLE}, states(unknown=1)),
        ("created_timestamp_seconds", {}, []),
        ("created_timestamp_seconds", {"created": 0}, []),
        ("created_timestamp_seconds", {"created": 1_700_000_123}, one("1.700000123e+09")),
        ("modified_timestamp_seconds", {}, []),
        ("modified_timestamp_seconds", {"modified": 0}, []),
        ("modified_timestamp_seconds", {"modified": 1_700_000_456}, one("1.700000456e+09")),
        ("end_timestamp_seconds", {}, []),
        ("end_timestamp_seconds", {"end_date": None}, []),
        ("end_timestamp_seconds", {"end_date": 0}, []),
        ("end_timestamp_seconds", {"end_date": PAST}, one("1.799999999e+09")),
        ("end_timestamp_seconds", {"end_date": FUTURE}, one("1.800000001e+09")),
        ("end_timestamp_seconds", {"end_date": UNREADABLE}, []),
    ],
)
def test_a_trunk_gives_just_the_samples_that_its_fields_are_good_for(
    family: str, fields: dict[str, Any], expected: list[str]
) -> None:
    name = f"siptrunk_{family}"

    assert lines_of(name, view(trunk(**fields))) == [name + line for line in expected]


@pytest.mark.parametrize(
    ("family", "shown", "expected"),
    [
        ("info", view(), ['{account_sid="A1",name="Sydney office",property_sid="S1"} 1.0']),
        (
            "info",
            view(health=NEVER_POLLED, shown=False),
            ['{account_sid="A1",name="Sydney office",property_sid="S1"} 1.0'],
        ),
        ("up", view(health=NEVER_POLLED, shown=False), []),
        ("up", view(health=HEALTHY), of_property("1.0")),
        ("up", view(health=FAILING), of_property("0.0")),
        ("stale", view(health=NEVER_POLLED, shown=False), []),
        ("stale", view(health=HEALTHY), of_property("0.0")),
        ("stale", view(health=FAILING), of_property("1.0")),
        ("stale", view(health=Health(1, {}, NOW, 1.0, "tls: bad"), shown=False), of_property("0.0")),
        ("last_poll_timestamp_seconds", view(health=NEVER_POLLED, shown=False), []),
        ("last_poll_timestamp_seconds", view(health=FAILING), of_property("1.8e+09")),
        ("last_success_timestamp_seconds", view(health=NEVER_POLLED, shown=False), []),
        ("last_success_timestamp_seconds", view(health=FAILING), of_property("1.79999994e+09")),
        ("last_poll_duration_seconds", view(health=NEVER_POLLED, shown=False), []),
        ("last_poll_duration_seconds", view(health=HEALTHY), of_property("0.25")),
        ("polls_total", view(health=NEVER_POLLED, shown=False), of_property("0.0")),
        ("polls_total", view(health=HEALTHY), of_property("3.0")),
        ("active_trunks", view(shown=False), []),
        ("active_trunks", view(), of_property("0.0")),
        ("active_trunks", view(trunk("T1"), trunk("T2", end_date=PAST)), of_property("1.0")),
        ("active_trunks", view(trunk("T1"), trunk("T2", end_date=UNREADABLE)), of_property("1.0")),
        ("active_channel_limit", view(shown=False), []),
        ("active_channel_limit", view(), of_property("0.0")),
        (
            "active_channel_limit",
            view(trunk("T1", channel_limit=30), trunk("T2", channel_limit=12), trunk("T3", end_date=PAST)),
            of_property("42.0"),
        ),
        (
            "active_channel_limit",
            view(trunk("T1", channel_limit=30), trunk("T2", channel_limit=12, end_date=PAST)),
            of_property("30.0"),
        ),
        ("active_channel_limit", view(trunk("T1", channel_limit=30), trunk("T2")), []),
        (
            "active_channel_limit",
            view(trunk("T1", channel_limit=30), trunk("T2", channel_limit=12, end_date=UNREADABLE)),
            [],
        ),
    ],
)
def test_a_property_gives_just_the_samples_that_are_known(
    family: str, shown: PropertyView, expected: list[str]
) -> None:
    name = f"siptrunk_property_{family}"

    assert lines_of(name, shown) == [name + line for line in expected]


def counts(each: PropertyView) -> dict[tuple[str, str], str]:
    line = re.compile(r'siptrunk_property_trunks{property_sid="S1",state="(\w+)",trunk_type="(\w+)"} (.+)')
    found = [line.fullmatch(text) for text in lines_of("siptrunk_property_trunks", each)]
    return {(match[2], match[1]): match[3] for match in found if match}


EVERY_PAIR = dict.fromkeys(product(("ip_to_ip", "authenticated"), STATES), "0.0")


@pytest.mark.parametrize(
    ("trunks", "others"),
    [
        ((), {}),
        ((trunk("T1", type=0, provisioning_state=2),), {("ip_to_ip", "active"): "1.0"}),
        (
            (trunk("T1", type=1, provisioning_state=3), trunk("T2", type=1, provisioning_state=3, end_date=PAST)),
            {("authenticated", "deprovisioning"): "2.0"},
        ),
        ((trunk("T1", type=UNREADABLE, provisioning_state=2),), {("unknown", "active"): "1.0"}),
        ((trunk("T1", type=0, provisioning_state=UNREADABLE),), {("ip_to_ip", "unknown"): "1.0"}),
        ((trunk("T1"), trunk("T2")), {("unknown", "unknown"): "2.0"}),
    ],
)
def test_every_documented_pair_of_type_and_state_is_counted_even_where_it_is_none(
    trunks: tuple[Any, ...], others: dict[tuple[str, str], str]
) -> None:
    assert counts(view(*trunks)) == EVERY_PAIR | others


def test_trunks_are_not_counted_where_no_data_may_be_shown() -> None:
    assert lines_of("siptrunk_property_trunks", view(shown=False)) == []


@pytest.mark.parametrize(("health", "others"), [(NEVER_POLLED, {}), (HEALTHY, {"timeout": 1}), (FAILING, {"auth": 2})])
def test_every_reason_of_a_failure_is_counted_even_where_it_is_none(health: Health, others: dict[str, int]) -> None:
    every = dict.fromkeys(REASONS, 0) | others

    assert lines_of("siptrunk_property_poll_failures_total", view(health=health, shown=False)) == [
        f'siptrunk_property_poll_failures_total{{property_sid="S1",reason="{reason}"}} {count}.0'
        for reason, count in every.items()
    ]


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        (NEVER_POLLED, []),
        (HEALTHY, []),
        (FAILING, ['siptrunk_property_failing{property_sid="S1",reason="auth"} 1.0']),
    ],
)
def test_why_a_property_is_down_is_told_just_where_it_is_down(health: Health, expected: list[str]) -> None:
    assert lines_of("siptrunk_property_failing", view(health=health, shown=False)) == expected
