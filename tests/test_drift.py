"""What is expected of trunks, compared with what is there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from exporter.config import Expected, ExpectedTrunk
from exporter.drift import block, drift_of
from exporter.model import UNREADABLE, Identity, Trunk
from tests.config.reading import ACCOUNT, PROPERTY, read
from tests.metrics.builders import NOW, trunk, view
from tests.metrics.strategies import TEXT, TRUNKS

SIDS = st.from_regex("[A-Za-z0-9]{1,8}", fullmatch=True) | st.sampled_from(("null", "0123", "yes", "1e5")) | TEXT


def fields(expected: dict[str, Any], actual: dict[str, Any]) -> dict[str, int]:
    drift = drift_of(Expected(trunks=(ExpectedTrunk("T1", **expected),)), [trunk(**actual), trunk("T2")], NOW)
    assert {sid for (sid, _), _ in drift} == {"T1"}
    return {field: number for (_, field), number in drift}


@pytest.mark.parametrize(
    ("expected", "actual", "drift"),
    [
        ({}, {}, {}),
        ({"channel_limit": 30}, {"channel_limit": 30}, {"channel_limit": 0}),
        ({"channel_limit": 0}, {"channel_limit": 30}, {"channel_limit": 1}),
        ({"channel_limit": 30}, {}, {}),
        ({"provisioning_state": "active"}, {"provisioning_state": 2}, {"provisioning_state": 0}),
        ({"provisioning_state": "active"}, {"provisioning_state": 1}, {"provisioning_state": 1}),
        ({"provisioning_state": "active"}, {"provisioning_state": UNREADABLE}, {"provisioning_state": 1}),
        ({"provisioning_state": "active"}, {}, {}),
        ({"trunk_type": "ip_to_ip"}, {"type": 1}, {"trunk_type": 1}),
        ({"trunk_type": "ip_to_ip"}, {}, {}),
        ({"active": False}, {"end_date": 1}, {"active": 0}),
        ({"active": False}, {}, {"active": 1}),
        ({"active": True}, {"end_date": UNREADABLE}, {}),
        ({"active": True, "channel_limit": 1}, {"channel_limit": 1}, {"active": 0, "channel_limit": 0}),
    ],
)
def test_each_expectation_holds_or_not_and_what_is_not_known_is_neither(
    expected: dict[str, Any], actual: dict[str, Any], drift: dict[str, int]
) -> None:
    assert fields(expected, actual) == {"missing": 0, **drift}


def test_of_a_trunk_that_is_missing_that_alone_is_told() -> None:
    expected = Expected(trunks=(ExpectedTrunk("T1", channel_limit=30),))

    assert drift_of(expected, [], NOW) == ((("T1", "missing"), 1),)


def test_where_no_others_may_exist_each_that_is_there_is_as_agreed_or_unexpected() -> None:
    expected = Expected(only=True, trunks=(ExpectedTrunk("T1"), ExpectedTrunk("T3")))

    assert dict(drift_of(expected, [trunk("T1"), trunk("T2")], NOW)) == {
        ("T1", "missing"): 0,
        ("T3", "missing"): 1,
        ("T1", "unexpected"): 0,
        ("T2", "unexpected"): 1,
    }


@given(st.lists(st.builds(replace, TRUNKS, sid=SIDS), max_size=4, unique_by=lambda each: each.sid), TEXT)
def test_whatever_is_there_is_written_so_that_it_is_what_is_expected(trunks: list[Trunk], name: str) -> None:
    there = view(*trunks, identity=Identity(PROPERTY, ACCOUNT, name))
    written = block(there)
    text = f"accounts:\n  - account_sid: {ACCOUNT}\n    token: x\n    properties:\n{written}"
    (chosen,) = read(text).config.accounts[0].properties

    assert chosen.expected
    assert chosen.expected.only
    left_out = {each.sid for each in trunks} - {each.sid for each in chosen.expected.trunks}
    assert written.count("# left out") == len(left_out)
    assert not any(sid.isascii() and sid.isalnum() and sid.lower() != "null" for sid in left_out)
    differs = {key for key, number in drift_of(chosen.expected, trunks, NOW) if number}
    assert differs == {(sid, "unexpected") for sid in left_out}


def test_a_property_without_data_expects_nothing() -> None:
    assert block(view(shown=False)) == ""
