"""Which shard has a property: everywhere the same one, and a shard more moves only its share."""

from __future__ import annotations

import math
import random
import re
import subprocess
from string import ascii_uppercase, digits

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.shard import Shard, parse

SIDS = st.from_regex(r"[A-Za-z0-9]{1,64}", fullmatch=True)
MANY = 4000


def owner(sid: str, shards: int) -> int:
    (ordinal,) = [each for each in range(shards) if Shard(each, shards).owns(sid)]
    return ordinal


@settings(deadline=None)
@given(sid=SIDS, shards=st.integers(1, 40))
def test_each_property_is_one_shards_and_a_shard_more_takes_what_it_wins_and_moves_no_other(
    sid: str, shards: int
) -> None:
    assert owner(sid, shards + 1) in {owner(sid, shards), shards}


@pytest.mark.parametrize("shards", [1, 2, 3, 10, 40])
def test_random_properties_are_spread_evenly(shards: int) -> None:
    """Each shard's number is binomial; five standard deviations are left once in a million times."""
    draw = random.Random(7)  # noqa: S311 - reproducible on purpose
    sids = ["S" + "".join(draw.choices(ascii_uppercase + digits, k=31)) for _ in range(MANY)]
    counts = [sum(map(Shard(each, shards).owns, sids)) for each in range(shards)]
    share = 1 / shards
    assert sum(counts) == MANY
    assert all(abs(count - MANY * share) <= 5 * math.sqrt(MANY * share * (1 - share)) for count in counts)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 3), (3, 4), (4, 8)])
def test_what_moves_to_new_shards_is_their_share(before: int, after: int) -> None:
    sids = [f"S{number:031}" for number in range(MANY)]
    moved = sum(not Shard(owner(sid, before), after).owns(sid) for sid in sids)
    share = 1 - before / after
    assert abs(moved - MANY * share) <= 5 * math.sqrt(MANY * share * (1 - share))


def test_the_placing_is_what_others_compute_by_its_definition() -> None:
    """The weights are told by coreutils, and not by the exporter's code."""
    for sid in ("S1", "S1234567890ABCDEF1234567890ABCDE", "x"):
        weights = {
            ordinal: subprocess.run(
                ["b2sum", "-l", "64"],  # noqa: S607 - wherever coreutils are
                input=f"{ordinal}/{sid}",
                capture_output=True,
                text=True,
                check=True,
            ).stdout.split()[0]
            for ordinal in range(5)
        }
        assert owner(sid, 5) == max(weights, key=lambda ordinal: int(weights[ordinal], 16))


def test_the_placing_is_that_of_the_versions_before() -> None:
    """Exporters of two versions may run side by side."""
    assert "".join(str(owner(f"S{number}", 5)) for number in range(40)) == "2030022124032202343430114210210120401230"


@pytest.mark.parametrize(
    ("text", "pod", "shard"),
    [
        ("0/1", "", Shard(0, 1)),
        ("2/3", "", Shard(2, 3)),
        ("999/1000", "", Shard(999, 1000)),
        ("auto/3", "trunks-siptrunk-exporter-2", Shard(2, 3)),
        ("auto/12", "a-1-11", Shard(11, 12)),
        ("1/2", "a-7", Shard(1, 2)),
    ],
)
def test_a_shard_is_given_by_number_or_by_the_pods_name(text: str, pod: str, shard: Shard) -> None:
    assert parse(text, pod) == shard
    assert parse(str(shard), "") == shard


@pytest.mark.parametrize(
    ("text", "pod", "said"),
    [
        ("3/3", "", "shards count from 0: of 3 the last is 2/3, not 3"),
        ("auto/3", "x-3", "shards count from 0: of 3 the last is 2/3, not 3 of the pod 'x-3'"),
        ("auto/3", "x-5d8f7-abcde", "auto/3 needs a pod's name that ends in -0, -1, …; 'x-5d8f7-abcde' does not"),
        ("auto/3", "", "'' does not: give I/N"),
        ("0/0", "", "expected 1 to 1000 shards, not 0"),
        ("0/1001", "", "expected 1 to 1000 shards, not 1001"),
        ("1", "", "expected I/N like 0/3, or auto/3 in a StatefulSet, not '1'"),
        ("-1/3", "", "expected I/N"),
        ("1/3/5", "", "expected I/N"),
        ("\u0661/\u0663", "", "expected I/N"),
        ("auto", "x-1", "expected I/N"),
        ("", "", "expected I/N"),
    ],
)
def test_what_is_no_shard_is_refused_with_what_was_expected(text: str, pod: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse(text, pod)
