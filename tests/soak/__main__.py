"""`make soak`: every fault, a week in minutes, and scrapers by the hundred; bounded in count and time."""

import argparse
import asyncio
import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

from tests.benchmarks.__main__ import conditions
from tests.benchmarks.figures import HEAD, Row, ms, percentile
from tests.benchmarks.processes import Process
from tests.benchmarks.world import Bench, carrier, exporter
from tests.faults import machine, network
from tests.markdown import table
from tests.soak.days import SPEED, Run, soak
from tests.soak.load import PATHS, Load, loading
from tests.soak.regression import growth

RESULTS = Path(__file__).with_name("results.json")
POLLS, LONGEST = {False: 10_000, True: 100}, {False: 420.0, True: 20.0}
PROPERTIES, TRUNKS, SCRAPERS = {False: 10_000, True: 200}, 5, 200
LOADED = {False: 45.0, True: 3.0}
HOUR = 3_600_000
MEGABYTE = 1e6
WARMING_UP = 0.5
"""The share of a run that is left out: caches fill, that of 4,096 numbers' texts among them."""


def faults(folder: Path, *, quick: bool) -> Iterator[Row]:
    """Every fault, one after the other: the seconds from its end until every property has had a success since."""
    every = machine.FAULTS | {case.name: case.play for case in network.cases(quick=quick)}
    every |= {name: fault for name, (_, fault) in machine.PRELOADED.items()}
    for number, (name, fault) in enumerate(every.items()):
        own = folder / str(number)
        own.mkdir()
        yield Row("faults", name, asyncio.run(fault(own)), unit="s to recover")


def days(folder: Path, *, quick: bool) -> Iterator[Row]:
    """A week of polls each minute, compressed."""
    run = asyncio.run(soak(folder, POLLS[quick], LONGEST[quick]))
    days_passed = run.seconds * SPEED / 86_400
    happened = f"{run.faults} faults, {run.reloads} reloads, {run.scrapes} scrapes in {run.seconds:.0f} s"
    yield Row("days", "days passed", days_passed, unit="days", detail=happened)
    yield Row("days", "polls of the property polled least", run.least_polls, POLLS[quick], at_least=True)
    for figure, unit, scale, goal in (
        ("memory", "MB", MEGABYTE, 1.0),
        ("allocations", "thousand", 1000, 5),
        ("files", "", 1, 1),
        ("threads", "", 1, 1),
        ("tasks", "", 1, 1),
    ):
        yield grown(run, figure, unit, scale, goal)


def grown(run: Run, figure: str, unit: str, scale: float, goal: float) -> Row:
    values = [each[figure] / scale for each in run.samples[int(len(run.samples) * WARMING_UP) :]]
    found = growth(values)
    detail = f"{found.least:.2g} to {found.most:.2g} with 95 % confidence, of {statistics.fmean(values):.3g}"
    return Row("days", f"growth of {figure} over the run", round(found.estimate, 3), goal, unit, detail=detail)


def load(folder: Path, *, quick: bool) -> Iterator[Row]:
    """200 scrapers of 10,000 properties that are polled each minute."""
    context = get_context("spawn")
    with ProcessPoolExecutor(1, context) as scrapers:
        bench = Bench(folder, scrapers, quick, PROPERTIES[quick])
        with carrier(bench, trunks=TRUNKS) as api, exporter(bench, api, "1m") as subject:
            subject.until("/-/ready", 120, 0.1)
            # What 200 answers under way take, the allocator keeps; it must not take more the second time.
            bench.ask(loading, subject.port, SCRAPERS, ("/metrics",), LOADED[quick] / 2)
            before = held(subject)
            paced = bench.ask(loading, subject.port, SCRAPERS, PATHS, LOADED[quick], 1000.0)
            yield from answered("small requests, 1,000 a second asked for", paced, 1000 * 0.98)
            most = bench.ask(loading, subject.port, SCRAPERS, PATHS, LOADED[quick])
            yield from answered("small requests, as fast as it goes", most)
            whole = bench.ask(loading, subject.port, SCRAPERS, ("/metrics",), LOADED[quick] / 2)
            yield from answered("whole scrapes as gzip, as fast as it goes", whole)
            size = whole.received / len(whole.waits) / MEGABYTE
            yield Row("load", "a whole scrape as gzip", size, unit="MB", detail=f"{PROPERTIES[quick]:,} properties")
            asked = sum(len(each.waits) for each in (paced, most, whole))
            seconds = sum(each.seconds for each in (paced, most, whole))
            detail = f"in {seconds:.0f} s; {asked / HOUR:.0%} of an hour's worth at 1,000 a second"
            yield Row("load", "requests in all", asked, detail=detail)
            failed = sum(each.failed for each in (paced, most, whole))
            yield Row("load", "requests not answered with 200", failed, 0)
            time.sleep(2)
            for name, then, now in zip(("files", "threads", "memory"), before, held(subject), strict=True):
                scale, unit, goal = (
                    (MEGABYTE, "MB", 20.0) if name == "memory" else (1, "", {"files": 2, "threads": 8}[name])
                )
                detail = f"{then / scale:.3g} before, {now / scale:.3g} after"
                yield Row(
                    "load",
                    f"more {name} after it than after the first such load",
                    (now - then) / scale,
                    goal,
                    unit,
                    detail=detail,
                )


def held(process: Process) -> tuple[int, int, int]:
    """File descriptors, threads, and resident bytes."""
    folder = Path(f"/proc/{process.popen.pid}")
    return len(list((folder / "fd").iterdir())), len(list((folder / "task").iterdir())), process.memory()


def answered(figure: str, done: Load, goal: float | None = None) -> Iterator[Row]:
    waits = f"median {ms(statistics.median(done.waits))}, 99 of 100 within {ms(percentile(done.waits, 0.99))}"
    yield Row("load", figure, done.rate, goal, "a second", at_least=True, detail=waits)


STAGES = {stage.__name__: stage for stage in (faults, days, load)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and short: does it work?")
    parser.add_argument("--only", metavar="STAGE", nargs="+", choices=STAGES, help=f"of {', '.join(STAGES)}")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    found = []
    print(table(HEAD, []), flush=True)
    for stage in options.only or STAGES:
        with tempfile.TemporaryDirectory() as folder:
            for row in STAGES[stage](Path(folder), quick=options.quick):
                found.append(row)
                print(table(HEAD, [row.cells()]).splitlines()[-1], flush=True)
    if not options.quick:
        kept = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
        by_stage = {stage: [each for each in kept if each["stage"] == stage] for stage in STAGES}
        for stage in options.only or STAGES:
            by_stage[stage] = [asdict(row) for row in found if row.stage == stage]
        on = {key: value for key, value in conditions(quick=False).items() if key in ("date", "cpu", "cores", "python")}
        results = {"conditions": on, "rows": list(chain.from_iterable(by_stage.values()))}
        RESULTS.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    return int(any("**no**" in row.cells() for row in found))


if __name__ == "__main__":
    sys.exit(main())
