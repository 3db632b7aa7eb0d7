"""What is expected of trunks, compared with what is there."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.config import Expected, ExpectedTrunk
from exporter.drift import drift_of
from exporter.model import UNREADABLE
from tests.metrics.builders import NOW, trunk


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
