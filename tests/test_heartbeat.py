"""An event loop that was held up is told of for a while, and counted; one that goes round is not."""

from __future__ import annotations

import asyncio
import random
import re
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from prometheus_client import CollectorRegistry, Counter

from exporter.heartbeat import EVERY, HELD_UP, TOLD_AGAIN, TOLD_FOR, Heartbeat
from tests.fake_clock import FakeClockLoop
from tests.polling.builders import on_fake_clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

DEPLOY = Path(__file__).parents[1] / "deploy"


@pytest.fixture(autouse=True)
def as_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other tests' daemons take no halt amiss."""
    monkeypatch.setattr("exporter.heartbeat.HELD_UP", HELD_UP)


def probes() -> Iterator[tuple[str, int, int]]:
    """What asks `/-/healthy`: every how many seconds, and after how many refusals in a row it acts."""
    chart = yaml.safe_load((DEPLOY / "helm/siptrunk-exporter/values.yaml").read_text())
    for name in ("startupProbe", "livenessProbe"):
        yield name, chart[name]["periodSeconds"], chart[name]["failureThreshold"]
    # The Dockerfile reference and the compose specification: 3 where nothing is said of it.
    compose = yaml.safe_load((DEPLOY / "docker/compose.yaml").read_text())["services"]["exporter"]["healthcheck"]
    yield "compose", int(compose["interval"].removesuffix("s")), compose.get("retries", 3)
    (every,) = re.findall(r"^HEALTHCHECK --interval=(\d+)s", (DEPLOY / "docker/Dockerfile").read_text(), re.MULTILINE)
    yield "image", int(every), 3


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


@on_fake_clock
async def test_one_that_is_held_up_again_and_again_is_told_once_a_minute() -> None:
    async with beating() as (heartbeat, _):
        told = []
        for _ in range(int(3 * TOLD_AGAIN / 5)):
            hold_up(5 - EVERY)
            await asyncio.sleep(EVERY)
            told.append(heartbeat.trouble is not None)
    assert [(each, len(list(run))) for each, run in groupby(told)] == [(True, 2), (False, 10)] * 3


@pytest.mark.parametrize(("name", "every", "threshold"), [*probes()])
@on_fake_clock
async def test_no_probe_restarts_an_exporter_that_is_throttled_but_works(name: str, every: int, threshold: int) -> None:
    chance = random.Random(1)  # noqa: S311 - reproducible
    async with beating() as (heartbeat, _):
        refused = []
        due = asyncio.get_running_loop().time()
        while due < 6 * 3600:
            hold_up(chance.uniform(0, 3 * HELD_UP))
            await asyncio.sleep(EVERY)
            while due <= asyncio.get_running_loop().time():
                refused.append(heartbeat.trouble is not None)
                due += every
    assert any(refused)
    assert max(len(list(run)) for each, run in groupby(refused) if each) < threshold, name
