"""The soak in small: what it measures can be measured, and nothing but warming up shows."""

from __future__ import annotations

import random
import signal
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from exporter.simulator import Simulator, SimulatorOptions
from tests.benchmarks.figures import Row
from tests.running import configuration, running, write
from tests.soak import __main__
from tests.soak.__main__ import FIGURES, grown
from tests.soak.days import soak
from tests.soak.load import Plan, load
from tests.soak.regression import BLOCKS, growth

if TYPE_CHECKING:
    from pathlib import Path


def test_what_grows_is_told_from_what_only_varies() -> None:
    chance = random.Random(1)  # noqa: S311 - reproducible
    noise = [chance.gauss(100, 3) for _ in range(2000)]
    flat = growth(noise)
    rising = growth([value + 5 * at / 2000 for at, value in enumerate(noise)])

    assert flat.least < 0 < flat.most < 2
    assert 3 < rising.least < 5 < rising.most < 7
    assert growth([7] * 2 * BLOCKS).most == 0


def test_a_run_that_is_too_short_is_no_proof() -> None:
    with pytest.raises(ValueError, match="39 values are too few"):
        growth([1.0] * 39)


@pytest.mark.parametrize(
    ("figure", "leak"), [("memory", 1.5e6), ("heap", 6e5), ("blocks", 6e3), ("files", 3), ("tasks", 3)]
)
def test_what_is_lost_in_a_run_misses_its_goal(figure: str, leak: float) -> None:
    chance = random.Random(1)  # noqa: S311 - reproducible
    samples = [{name: size * (50 + chance.random()) for name, (_, _, size) in FIGURES.items()} for _ in range(600)]
    flat = {row.figure: row.cells()[-1] for row in grown("days", samples)}
    for at, sample in enumerate(samples):
        sample[figure] += leak * at / 400
    leaking = {row.figure: row.cells()[-1] for row in grown("days", samples)}

    assert set(flat.values()) == {"yes"}
    assert [name for name, holds in leaking.items() if holds != "yes"] == [f"growth of {FIGURES[figure][0]} at most"]


@pytest.mark.parametrize(("measured", "status"), [(1, 0), (2, 1)])
def test_a_goal_that_is_missed_is_told_by_the_exit_status(
    measured: int, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["tests.soak", "--quick"])
    monkeypatch.setattr(__main__, "STAGES", {"days": lambda *_: [Row("days", "figure", measured, 1)]})

    assert __main__.main() == status


async def test_hours_with_faults_and_reloads_leave_no_memory_files_threads_or_tasks_behind(tmp_path: Path) -> None:
    run = await soak(tmp_path, polls=300, longest=30)

    assert run.least_polls >= 50
    assert min(run.faults, run.reloads, run.scrapes) >= 1
    last = run.samples[-1]
    # Ten kilobytes lost in each poll of the four properties would be more.
    assert last["memory"] - run.samples[0]["memory"] <= 12e6
    assert last["files"] <= 30
    assert last["threads"] <= 12
    assert last["tasks"] <= 30


async def test_many_scrapers_are_all_answered_some_with_everything(tmp_path: Path) -> None:
    async with (
        Simulator(SimulatorOptions(properties=2, trunks=3)) as simulator,
        running(write(tmp_path, simulator, configuration(simulator))) as exporter,
    ):
        await exporter.ready()
        port = exporter.http.base_url.port
        assert port
        done = await load(port, Plan(requests=400, longest=30, rate=400, whole_every=4))
    assert len(done.whole) == 100
    assert len(done.small) == 300
    assert done.failed == 0
    assert done.received > 100 * 1000


async def test_requests_that_nobody_answers_are_counted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    done = await load(port, Plan(requests=10, longest=30, scrapers=3))

    assert done.failed == done.asked == 10
