"""An event loop that was held up is told of for a while, and counted; one that goes round is not."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, Counter

from exporter.heartbeat import EVERY, HELD_UP, TOLD_FOR, Heartbeat
from tests.fake_clock import FakeClockLoop
from tests.polling.builders import on_fake_clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def hold_up(seconds: float) -> None:
    """Have time pass while nothing else can happen."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, FakeClockLoop)
    loop.now += seconds


@asynccontextmanager
async def beating() -> AsyncIterator[tuple[Heartbeat, CollectorRegistry]]:
    registry = CollectorRegistry()
    heartbeat = Heartbeat(Counter("delays", "Seconds.", registry=registry))
    task = asyncio.create_task(heartbeat.keep_beating())
    await asyncio.sleep(10.5 * EVERY)
    yield heartbeat, registry
    task.cancel()


@on_fake_clock
async def test_one_that_goes_round_is_no_trouble() -> None:
    async with beating() as (heartbeat, registry):
        await asyncio.sleep(3600)
        assert heartbeat.trouble is None
        assert registry.get_sample_value("delays_total") == pytest.approx(0)


@on_fake_clock
async def test_being_held_up_is_told_before_the_late_beat_and_for_a_while_after_it() -> None:
    async with beating() as (heartbeat, registry):
        hold_up(EVERY / 2 + 7)
        before = heartbeat.trouble
        await asyncio.sleep(EVERY)
        assert before == heartbeat.trouble == "the event loop was held up for 7.0 s"
        assert registry.get_sample_value("delays_total") == pytest.approx(7)
        await asyncio.sleep(TOLD_FOR - 2 * EVERY)
        assert heartbeat.trouble == before
        await asyncio.sleep(2 * EVERY)
        assert heartbeat.trouble is None


@on_fake_clock
async def test_a_short_delay_is_counted_and_no_trouble() -> None:
    async with beating() as (heartbeat, registry):
        hold_up(EVERY / 2 + HELD_UP / 2)
        assert heartbeat.trouble is None
        await asyncio.sleep(EVERY)
        assert heartbeat.trouble is None
        assert registry.get_sample_value("delays_total") == pytest.approx(HELD_UP / 2)
