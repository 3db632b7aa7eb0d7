"""A walk gives every record of the list once, or says that it cannot."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exporter.api.pagination import MAX_RECORDS, MAX_WALKS, walk
from exporter.api.payload import Page
from exporter.errors import Anomaly, PollError, Reason
from exporter.model import Trunk
from tests.api.fake_list import FakeList, trunk

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.api.fake_list import Change

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SEVERAL = st.integers(min_value=2, max_value=9)
ANY_CAP = st.integers(min_value=1, max_value=9)
LISTS = st.integers(min_value=0, max_value=len(LETTERS)).map(lambda length: LETTERS[:length])


def given_total(length: int) -> int:
    return length


def no_total(_length: int) -> None:
    return None


TOTALS = st.sampled_from([given_total, no_total])


def insert(where: float, sid: str) -> Change:
    return lambda sids: sids.insert(int(where * (len(sids) + 1)), sid)


def delete(where: float) -> Change:
    def change(sids: list[str]) -> None:
        if sids:
            del sids[int(where * len(sids))]

    return change


def move(where: float, to: float) -> Change:
    def change(sids: list[str]) -> None:
        if sids:
            moved = sids.pop(int(where * len(sids)))
            sids.insert(int(to * (len(sids) + 1)), moved)

    return change


PLACES = st.floats(min_value=0, max_value=1, exclude_max=True)
NEW = st.uuids().map(str)
INSERTS = st.builds(insert, PLACES, NEW)
DELETES = st.builds(delete, PLACES)
MOVES = st.builds(move, PLACES, PLACES)


def between_fetches(changes: st.SearchStrategy[Change]) -> st.SearchStrategy[list[list[Change]]]:
    """Make up to two changes before each of the first fetches, but none before many of them."""
    return st.lists(st.just([]) | st.lists(changes, max_size=2), max_size=12)


def walked(served: FakeList) -> list[str] | None:
    """Walk through the list: the Sids, or None where that was given up as incomplete."""
    try:
        found = asyncio.run(walk(served.fetch))
    except PollError as error:
        if error.reason == Reason.INCOMPLETE:
            return None
        raise
    return [record.sid for record in found.records]


def refused(served: FakeList) -> PollError:
    with pytest.raises(PollError) as caught:
        asyncio.run(walk(served.fetch))
    return caught.value


def assert_nothing_hidden_or_repeated(served: FakeList) -> None:
    found = walked(served)
    if found is None:
        return
    assert len(found) == len(set(found))
    assert served.always_there() <= set(found) <= served.ever_there()
    stayed = served.always_there()
    assert [sid for sid in found if sid in stayed] == [sid for sid in served.sids if sid in stayed]


@settings(deadline=None)
@given(sids=LISTS, cap=ANY_CAP, total=TOTALS)
def test_a_list_at_rest_comes_whole_and_in_order_whatever_the_cap(
    sids: str, cap: int, total: Callable[[int], int | None]
) -> None:
    assert walked(FakeList(sids, cap, total=total)) == list(sids)


@settings(deadline=None)
@given(sids=LISTS, caps=st.lists(SEVERAL, min_size=1), total=TOTALS)
def test_pages_of_changing_lengths_lose_nothing(sids: str, caps: list[int], total: Callable[[int], int | None]) -> None:
    assert walked(FakeList(sids, *caps, total=total)) == list(sids)


@pytest.mark.parametrize(
    ("sids", "cap", "total", "skips"),
    [
        ("", 3, no_total, [0]),
        ("ABC", 3, given_total, [0]),
        ("ABC", 9, no_total, [0, 2]),
        ("ABCDE", 3, no_total, [0, 2, 4]),
        ("ABCDE", 3, given_total, [0, 2]),
        ("A", 50, no_total, [0, 1, 0]),
        ("AB", 1, no_total, [0, 1, 0, 2, 1]),
    ],
)
def test_pages_overlap_by_one_record_and_no_more_are_fetched_than_needed(
    sids: str, cap: int, total: Callable[[int], int | None], skips: list[int]
) -> None:
    served = FakeList(sids, cap, total=total)
    asyncio.run(walk(served.fetch))
    assert served.skips == skips


@settings(deadline=None)
@given(sids=LISTS, cap=SEVERAL, changes=between_fetches(INSERTS | DELETES), total=TOTALS)
def test_whatever_comes_and_goes_no_trunk_that_stayed_during_the_last_walk_is_hidden_or_repeated(
    sids: str, cap: int, changes: list[list[Change]], total: Callable[[int], int | None]
) -> None:
    """The overlap shows that the last known record is where it was, in the same answer as what follows it."""
    assert_nothing_hidden_or_repeated(FakeList(sids, cap, changes=changes, total=total))


@settings(deadline=None)
@example(sids="ABCD", changes=[[], [], [delete(0.3), delete(0.4)]], total=given_total)
@given(sids=LISTS, changes=between_fetches(INSERTS) | between_fetches(DELETES), total=TOTALS)
def test_pages_of_one_record_hide_nothing_where_trunks_only_come_or_only_go(
    sids: str, changes: list[list[Change]], total: Callable[[int], int | None]
) -> None:
    """One record cannot overlap: a deletion and an insertion between the two looks at a place can cancel out."""
    assert_nothing_hidden_or_repeated(FakeList(sids, 1, changes=changes, total=total))


@settings(deadline=None)
@given(sids=LISTS, cap=ANY_CAP, changes=between_fetches(MOVES), total=TOTALS)
def test_a_list_that_only_changes_its_order_comes_whole(
    sids: str, cap: int, changes: list[list[Change]], total: Callable[[int], int | None]
) -> None:
    """As many different records as the list is long are all of them."""
    found = walked(FakeList(sids, cap, changes=changes, total=total))
    assert found is None or sorted(found) == sorted(sids)


@settings(deadline=None)
@given(sids=LISTS, cap=ANY_CAP, changes=between_fetches(INSERTS | DELETES | MOVES), total=TOTALS)
def test_even_where_all_kinds_of_change_mix_nothing_comes_twice_and_nothing_is_left_from_an_earlier_walk(
    sids: str, cap: int, changes: list[list[Change]], total: Callable[[int], int | None]
) -> None:
    """A trunk that moves to the front while another goes cannot be told from one that was deleted."""
    served = FakeList(sids, cap, changes=changes, total=total)
    found = walked(served)
    assert found is None or (len(found) == len(set(found)) and set(found) <= served.ever_there())


@pytest.mark.parametrize("change", [insert(0, "X"), delete(0)])
def test_a_list_that_moved_once_is_walked_again_and_that_is_counted(change: Change) -> None:
    served = FakeList("ABCDE", 3, changes=[[], [change]])
    found = asyncio.run(walk(served.fetch))
    assert [record.sid for record in found.records] == served.sids
    assert +found.anomalies == Counter({Anomaly.LIST_CHANGED: 1})
    assert served.skips[:3] == [0, 2, 0]


def test_a_list_that_never_rests_is_incomplete_after_a_bounded_number_of_walks() -> None:
    served = FakeList("ABCDE", 3, changes=[[insert(0, str(n))] for n in range(99)])
    assert refused(served).reason == Reason.INCOMPLETE
    assert served.skips == [0, 2] * MAX_WALKS


@pytest.mark.parametrize(("sids", "cap"), [("ABCDE", 3), ("ABCDE", 50), ("AB", 50), ("A", 50), ("ABC", 1)])
def test_a_server_that_ignores_results_skip_is_incomplete_after_a_bounded_number_of_requests(
    sids: str, cap: int
) -> None:
    served = FakeList(sids, cap, honours_skip=False)
    assert refused(served).reason == Reason.INCOMPLETE
    assert len(served.skips) <= 3 * MAX_WALKS


@pytest.mark.parametrize(
    ("sids", "cap", "total"),
    [("ABCDE", cap, total) for cap in (1, 3, 50) for total in (0, 6, MAX_RECORDS)]
    + [("ABCDE", 3, 4), ("ABCDE", 50, 4), ("", 50, 1), ("", 50, 50)],
)
def test_a_total_count_that_does_not_fit_is_incomplete(sids: str, cap: int, total: int) -> None:
    served = FakeList(sids, cap, total=lambda _length: total)
    assert refused(served).reason == Reason.INCOMPLETE
    assert len(served.skips) <= 11 * MAX_WALKS


def test_the_same_record_twice_in_one_page_is_survived_and_counted() -> None:
    found = asyncio.run(walk(FakeList("AABCD", 3).fetch))
    assert [record.sid for record in found.records] == list("ABCD")
    assert +found.anomalies == Counter({Anomaly.REPEATED_SID: 1})


def test_the_same_record_on_two_pages_is_incomplete() -> None:
    assert refused(FakeList("ABCDA", 3)).reason == Reason.INCOMPLETE


def test_two_different_records_of_one_sid_in_one_page_are_incomplete() -> None:
    async def fetch(_skip: int) -> Page[Trunk]:
        return Page((trunk("A"), Trunk(sid="A", name="other")), 2)

    with pytest.raises(PollError, match="A came twice") as caught:
        asyncio.run(walk(fetch))
    assert caught.value.reason == Reason.INCOMPLETE


def test_what_was_odd_on_each_page_is_counted() -> None:
    async def fetch(skip: int) -> Page[Trunk]:
        return Page((trunk("A"), trunk("B"))[skip:], None, (Anomaly.WRONG_TYPE,))

    assert +asyncio.run(walk(fetch)).anomalies == Counter({Anomaly.WRONG_TYPE: 2})


def test_a_list_without_end_is_too_large() -> None:
    async def fetch(skip: int) -> Page[Trunk]:
        return Page(tuple(trunk(str(n)) for n in range(skip, skip + 5)), None)

    with pytest.raises(PollError, match="the list holds 21 records, and at most 20 are taken") as caught:
        asyncio.run(walk(fetch, most=20))
    assert caught.value.reason == Reason.TOO_LARGE


def test_a_list_may_have_as_many_records_as_are_taken() -> None:
    served = FakeList("ABCDE", 3, total=lambda length: length)
    assert [record.sid for record in asyncio.run(walk(served.fetch, most=5)).records] == list("ABCDE")


def test_a_list_that_says_that_it_is_too_large_is_not_walked_to_its_end() -> None:
    served = FakeList("ABCDE", 3, total=lambda length: length)
    with pytest.raises(PollError) as caught:
        asyncio.run(walk(served.fetch, most=4))
    assert (caught.value.reason, served.skips) == (Reason.TOO_LARGE, [0])


def test_why_a_page_did_not_come_is_passed_on_as_it_is() -> None:
    error = PollError(Reason.FORBIDDEN, "no")

    async def fetch(_skip: int) -> Page[Trunk]:
        raise error

    with pytest.raises(PollError) as caught:
        asyncio.run(walk(fetch))
    assert caught.value is error
