"""Every fault, with the daemon as a process of its own: the promises hold, and the next poll ends what it did."""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING

import pytest

from tests.faults import machine, network
from tests.programs import library, program

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.machine import Fault
    from tests.faults.promises import Recovery

AT_ONCE = 6
"""Most of the time all wait."""


async def play(faults: dict[str, Fault], folder: Path) -> None:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, fault: Fault) -> Recovery:
        async with room:
            own = folder / str(number)
            own.mkdir()
            return await fault(own)

    ended = await asyncio.gather(*(one(*each) for each in enumerate(faults.values())), return_exceptions=True)
    failed = [
        # Where it was, too: pytest does not tell what was compared there.
        f"{name}:\n{''.join(traceback.format_exception(each)[-3:])}"
        for name, each in zip(faults, ended, strict=True)
        if isinstance(each, BaseException)
    ]
    assert not failed, "\n".join(failed)


async def test_under_every_fault_the_promises_hold_and_it_ends_with_the_next_poll(tmp_path: Path) -> None:
    program("openssl")
    cases = network.cases(quick=True)
    await play(machine.FAULTS | {case.name: case.play for case in cases}, tmp_path)


@pytest.mark.parametrize("name", machine.PRELOADED)
async def test_a_name_that_is_not_known_or_a_clock_that_jumps_breaks_no_promise(name: str, tmp_path: Path) -> None:
    needed, fault = machine.PRELOADED[name]
    library(needed)
    await fault(tmp_path)
