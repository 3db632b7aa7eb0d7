"""The quick form of `make fuzz`: its seeds and finds, and what hypothesis makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, seeds, words

if TYPE_CHECKING:
    from collections.abc import Iterator

EVERY_SEED = [pytest.param(name, data, id=f"{name}-{file}") for name in TARGETS for file, data in seeds(name).items()]


@pytest.fixture(autouse=True, scope="module")
def environment() -> Iterator[None]:
    """Set what the tests' configurations name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKEN", "hunter2")
        yield


@pytest.mark.parametrize(("name", "data"), EVERY_SEED)
def test_what_is_promised_holds_for_every_seed_and_find(name: str, data: bytes) -> None:
    TARGETS[name](data)


def slips(name: str) -> st.SearchStrategy[bytes]:
    """Seeds in which a few places hold something else, and words one after another."""
    some = st.sampled_from(sorted(seeds(name).values()))
    piece = st.sampled_from(words(name)) | st.binary(max_size=4)
    place = st.integers(0, 2000)

    def slipped(seed: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
        for at, length, new in changes:
            start = at % (len(seed) + 1)
            seed = seed[:start] + new + seed[start + length :]
        return seed

    changed = st.builds(slipped, some, st.lists(st.tuples(place, st.integers(0, 8), piece), max_size=4))
    return changed | st.lists(piece, max_size=30).map(b"".join)


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_promised_holds_for_what_is_almost_a_seed(name: str) -> None:
    examples = {"payload": 1000, "walk": 600, "configuration": 400}[name]

    @settings(max_examples=examples, deadline=None)
    @given(slips(name))
    def holds(data: bytes) -> None:
        TARGETS[name](data)

    holds()
