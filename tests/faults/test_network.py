"""Every fault of the network and of the API, with the daemon as a process of its own behind a proxy that plays it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.faults.network import cases

if TYPE_CHECKING:
    from pathlib import Path

AT_ONCE = 7


async def test_under_every_fault_of_the_network_the_promises_hold_and_it_ends_with_the_next_poll(
    tmp_path: Path,
) -> None:
    # Most of the time all wait, so several wait at once.
    played, room = cases(quick=True), asyncio.Semaphore(AT_ONCE)

    async def play(number: int) -> float:
        async with room:
            return await played[number].play(tmp_path / str(number))

    ended = await asyncio.gather(*map(play, range(len(played))), return_exceptions=True)
    assert [each for each in ended if isinstance(each, BaseException)] == []
