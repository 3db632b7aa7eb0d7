"""Two walks compared: every kind of change, and nothing where nothing has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from exporter.history.changes import Change, Kind, Value, as_last_told, compare, states_since
from exporter.model import UNREADABLE, Trunk
from tests.metrics.builders import NOW, lines_of, trunk, view
from tests.metrics.strategies import TRUNKS

if TYPE_CHECKING:
    from collections.abc import Sequence

THEN = NOW - 60
SINCE = "siptrunk_provisioning_state_since_timestamp_seconds"
LISTS = st.lists(TRUNKS, max_size=5, unique_by=lambda each: each.sid)
AHEAD, BETWEEN = int(NOW) + 1, int(NOW) - 30


def changes(before: list[Trunk], after: list[Trunk]) -> list[tuple[str, Kind, str, Value, Value]]:
    found = compare("S1", before, THEN, after, NOW)[0]
    assert all((each.seen, each.property_sid) == (NOW, "S1") for each in found)
    return [(each.trunk_sid, each.kind, each.field, each.old, each.new) for each in found]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"name": "a"}, {"name": "b"}, (Kind.RENAMED, "name", "a", "b")),
        ({"channel_limit": 30}, {"channel_limit": 0}, (Kind.CHANNEL_LIMIT, "channel_limit", 30, 0)),
        (
            {"provisioning_state": 1},
            {"provisioning_state": 2},
            (Kind.PROVISIONING_STATE, "provisioning_state", "provisioning", "active"),
        ),
        (
            {"provisioning_state": 2},
            {"provisioning_state": UNREADABLE},
            (Kind.PROVISIONING_STATE, "provisioning_state", "active", "unknown"),
        ),
        ({"type": 0}, {"type": 1}, (Kind.TYPE, "trunk_type", "ip_to_ip", "authenticated")),
        ({"customer_reference": "a"}, {"customer_reference": "b"}, (Kind.REFERENCE, "customer_reference", "a", "b")),
        ({"external_reference": "a"}, {"external_reference": ""}, (Kind.REFERENCE, "external_reference", "a", "")),
        ({"external_reference": "a"}, {}, (Kind.REFERENCE, "external_reference", "a", None)),
        ({"default_caller_id": "1"}, {"default_caller_id": "2"}, (Kind.CALLER_ID, "default_caller_id", "1", "2")),
        ({}, {"end_date": BETWEEN}, (Kind.DEACTIVATED, "deactivated", None, None)),
        # Nobody wrote anything: the time that was set has come.
        ({"end_date": BETWEEN}, {"end_date": BETWEEN}, (Kind.DEACTIVATED, "deactivated", None, None)),
        ({"end_date": 1}, {"end_date": 0}, (Kind.REACTIVATED, "reactivated", None, None)),
        ({"end_date": 1}, {"end_date": AHEAD}, (Kind.REACTIVATED, "reactivated", None, None)),
    ],
)
def test_each_kind_of_change_is_told_with_the_old_and_the_new_value(
    before: dict[str, Any], after: dict[str, Any], expected: tuple[Kind, str, Value, Value]
) -> None:
    assert changes([trunk(**before)], [trunk(**after)]) == [("T1", *expected)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"end_date": AHEAD}, {"end_date": AHEAD}),
        ({}, {"end_date": AHEAD}),
        ({"end_date": 1}, {"end_date": 2}),
        ({"end_date": 1}, {"end_date": UNREADABLE}),
        ({"end_date": UNREADABLE}, {}),
        ({"modified": 1}, {"modified": 2}),
        ({"provisioning_state": None}, {"provisioning_state": UNREADABLE}),
        ({"provisioning_state": 2}, {"provisioning_state": None}),
        ({"channel_limit": 30}, {"channel_limit": None}),
        ({"name": None}, {"name": "b"}),
        ({"type": None}, {"type": 0}),
    ],
)
def test_what_nobody_can_tell_or_nobody_asks_for_is_no_change(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert changes([trunk(**before)], [trunk(**after)]) == []


def test_trunks_that_come_and_go_are_named_and_dated() -> None:
    gone, new = trunk("T1", name="old", modified=1, channel_limit=3), trunk("T2", name="new", modified=2)

    assert compare("S1", [gone], THEN, [new], NOW)[0] == [
        Change(NOW, "S1", "T2", "new", Kind.ADDED, "added", None, None, 2),
        Change(NOW, "S1", "T1", "old", Kind.REMOVED, "removed", None, None, 1),
    ]


@given(LISTS, st.randoms())
def test_the_same_trunks_in_another_order_have_not_changed(trunks: list[Trunk], random: Any) -> None:  # noqa: ANN401 - hypothesis has no name for it
    shuffled = random.sample(trunks, len(trunks))
    assert compare("S1", trunks, NOW, shuffled, NOW)[0] == []


@given(LISTS, LISTS)
def test_each_trunk_that_is_in_one_list_alone_came_or_went_and_no_other_did(
    before: list[Trunk], after: list[Trunk]
) -> None:
    found = changes(before, after)
    were, are = {each.sid for each in before}, {each.sid for each in after}

    assert {sid for sid, kind, *_ in found if kind is Kind.ADDED} == are - were
    assert {sid for sid, kind, *_ in found if kind is Kind.REMOVED} == were - are


def test_a_state_lasts_since_it_was_first_seen_whatever_else_changes() -> None:
    before = [trunk("T1", provisioning_state=1, modified=100), trunk("T2", provisioning_state=1, modified=200)]
    since = states_since((), (), before, THEN)
    after = [
        trunk("T2", provisioning_state=2, modified=300),
        trunk("T1", provisioning_state=1, modified=300, name="renamed"),
    ]

    assert list(since) == [100, 200]
    assert list(states_since(before, since, after, NOW)) == [int(NOW), 100]


@pytest.mark.parametrize(("modified", "expected"), [(None, int(NOW)), (0, int(NOW)), (7, 7), (AHEAD, int(NOW))])
def test_at_first_sight_a_state_lasts_since_the_trunk_was_last_modified(modified: int | None, expected: int) -> None:
    assert list(states_since((), (), [trunk(modified=modified, provisioning_state=1)], NOW)) == [expected]


@pytest.mark.parametrize(("state", "since"), [(1, int(NOW)), (None, -int(NOW))])
def test_a_time_told_by_a_clock_that_was_ahead_is_put_right(state: int | None, since: int) -> None:
    before, after = trunk(provisioning_state=1), trunk(provisioning_state=state)
    for ahead in (AHEAD, -AHEAD):
        assert list(states_since([before], [ahead], [after], NOW)) == [since]


def test_a_clock_that_is_behind_for_a_while_spoils_no_time() -> None:
    known = trunk(provisioning_state=1, modified=int(THEN))
    assert list(states_since([known], [int(THEN)], [known], 30)) == [int(THEN)]


def test_an_answer_that_lacks_the_state_tells_no_time_and_the_next_one_goes_on_with_it() -> None:
    known, lacking = trunk(provisioning_state=1, modified=100), trunk(modified=100)
    hidden = states_since([known], [100], [lacking], NOW)

    assert list(hidden) == [-100]
    assert list(states_since([lacking], hidden, [known], NOW + 60)) == [100]
    shown = [
        len(lines_of(SINCE, replace(view(each), since=since))) for each, since in ((lacking, hidden), (known, [1]))
    ]
    assert shown == [0, 1]


UNTOLD = {"channel_limit": None, "provisioning_state": None, "type": None, "end_date": UNREADABLE}


@given(TRUNKS, TRUNKS, st.lists(st.sets(st.sampled_from(sorted(UNTOLD))), max_size=3))
def test_what_answers_in_between_lack_hides_no_change_and_no_time(
    before: Trunk, after: Trunk, gaps: list[set[str]]
) -> None:
    after = replace(after, sid=before.sid)
    told: Sequence[Trunk] = [before]
    since = at_first = states_since((), (), told, THEN)
    for gap in gaps:
        answer = [replace(before, **{field: UNTOLD[field] for field in gap})]
        found, lacking = compare("S1", told, THEN, answer, THEN)
        assert found == []
        since, told = states_since(told, since, answer, THEN), as_last_told(answer, lacking)

    assert compare("S1", told, THEN, [after], NOW)[0] == compare("S1", [before], THEN, [after], NOW)[0]
    assert states_since(told, since, [after], NOW) == states_since([before], at_first, [after], NOW)
