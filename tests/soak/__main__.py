"""`make soak`: every fault, more than a week in minutes, and an hour of scrapers by the hundred; all of it bounded."""

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

from tests.benchmarks.__main__ import conditions
from tests.benchmarks.figures import HEAD, Row, mb, ms, number, percentile
from tests.benchmarks.processes import Process
from tests.benchmarks.world import Bench, carrier, exporter
from tests.faults import machine, network
from tests.markdown import table
from tests.soak import RESULTS
from tests.soak.days import SPEED, soak
from tests.soak.load import SMALL, Load, Plan, loading
from tests.soak.regression import growth

MEGABYTE = 1e6
POLLS, LONGEST = {False: 15_000, True: 900}, {False: 1200.0, True: 60.0}
WARMING_UP = 1 / 3
"""The share of a run's samples that is left out: connections are made, caches fill, that of 4,096 numbers' texts among
them, each fault comes once, and the allocator finds its size."""
PROPERTIES, TRUNKS = {False: 10_000, True: 200}, 5
REQUESTS, RATE = {False: 3_600_000, True: 60_000}, 1000.0
WHOLE_EVERY = 300
"""Of 200 scrapers' 1,000 requests a second, one in so many makes one a minute for each: Prometheus' own interval."""
FASTEST, ENDLESS = {False: 15.0, True: 1.0}, 10**9

FIGURES = {
    "memory": ("resident memory", "MB", MEGABYTE),
    "heap": ("what malloc has in use", "MB", MEGABYTE),
    "blocks": ("Python's blocks in use", "thousand", 1000.0),
    "files": ("open files", "", 1.0),
    "threads": ("threads", "", 1.0),
    "tasks": ("tasks", "", 1.0),
}
"""What is sampled: its name, its unit and the size of that."""
MOST_GROWTH = {
    "days": {"memory": 1.0, "heap": 0.5, "blocks": 5.0, "files": 2.0, "threads": 1.0, "tasks": 2.0},
    "load": {"memory": 10.0, "files": 2.0, "threads": 1.0},
}
"""The goals, for the upper end of what the growth may be. A byte lost in each poll of the days would be 40 kB."""


@dataclass(frozen=True)
class Options:
    """How large a run is: `requests` are those of the load."""

    quick: bool
    requests: int


def faults(folder: Path, options: Options) -> Iterator[Row]:
    """Every fault, one after the other, and how long the next poll was waited for when it had ended."""
    every = machine.FAULTS | {case.name: case.play for case in network.cases(quick=options.quick)}
    every |= {name: fault for name, (_, fault) in machine.PRELOADED.items()}
    for place, (name, fault) in enumerate(every.items()):
        own = folder / str(place)
        own.mkdir()
        found = asyncio.run(fault(own))
        detail = f"a scrape told of it after {number(found.seconds)} s"
        yield Row("faults", name, round(found.intervals, 1), 1, "intervals", detail=detail)


def days(folder: Path, options: Options) -> Iterator[Row]:
    """More than a week of polls each minute, compressed."""
    run = asyncio.run(soak(folder, POLLS[options.quick], LONGEST[options.quick]))
    happened = f"{run.faults} faults, {run.reloads} reloads, {run.scrapes:,} scrapes in {run.seconds:.0f} s"
    yield Row("days", "days passed", run.seconds * SPEED / 86_400, unit="days", detail=happened)
    polls, goal = (round(each * (1 - WARMING_UP)) for each in (run.least_polls, POLLS[options.quick]))
    detail = f"{run.least_polls - polls:,} more while warming up"
    yield Row("days", "polls of the property polled least", polls, goal, at_least=True, detail=detail)
    yield from grown("days", run.samples)


def grown(stage: str, samples: Sequence[dict[str, float]]) -> Iterator[Row]:
    """By how much each figure has grown at most: the upper end of what its slope may be, over the rest of the run."""
    samples = samples[int(len(samples) * WARMING_UP) :]
    for figure, most in MOST_GROWTH[stage].items():
        name, unit, scale = FIGURES[figure]
        values = [each[figure] / scale for each in samples]
        found = growth(values)
        detail = f"{number(found.least)} at least, with 95 % confidence; {number(statistics.fmean(values))} on average"
        yield Row(stage, f"growth of {name} at most", round(found.most, 3), most, unit, detail=detail)


def load(folder: Path, options: Options) -> Iterator[Row]:
    """200 scrapers of 10,000 properties that are polled each minute."""
    properties, seconds = PROPERTIES[options.quick], FASTEST[options.quick]
    with ProcessPoolExecutor(1, get_context("spawn")) as scrapers:
        bench = Bench(folder, scrapers, options.quick, properties)
        with carrier(bench, trunks=TRUNKS) as api, exporter(bench, api, "1m") as subject:
            subject.until("/-/ready", 120, 0.1)
            # What 200 answers under way take, the allocator keeps; it must not take more later.
            whole: Load = bench.ask(loading, subject.port, Plan(ENDLESS, seconds, whole_every=1))
            small: Load = bench.ask(loading, subject.port, Plan(ENDLESS, seconds))
            plan = Plan(options.requests, options.requests / RATE * 1.1, RATE, WHOLE_EVERY)
            before, began, samples = subject.memory(), subject.cpu(), list[dict[str, float]]()
            asking = scrapers.submit(loading, subject.port, plan)
            while wait((asking,), 0.5).not_done:
                samples.append(held(subject))
            paced, cpu = asking.result(), subject.cpu() - began
            yield from asked(plan, paced)
            failed = whole.failed + small.failed + paced.failed
            yield Row("load", "requests not answered with 200", failed, 0)
            detail = f"the scrapers took {paced.cpu / paced.seconds:.0%} of one"
            yield Row("load", "CPU of the exporter meanwhile", cpu / paced.seconds, unit="cores", detail=detail)
            detail = f"{mb(before)} before; at most {mb(subject.memory('VmHWM'))} ever"
            yield Row("load", "resident memory after it", subject.memory() / MEGABYTE, unit="MB", detail=detail)
            yield from grown("load", samples)
            name = "small requests, as fast as it goes"
            yield Row("load", name, small.rate, unit="a second", detail=waited(small.small))
            detail = f"{mb(whole.received / len(whole.whole))} each; {waited(whole.whole)}"
            yield Row("load", "whole scrapes, as fast as it goes", whole.rate, unit="a second", detail=detail)


def asked(plan: Plan, done: Load) -> Iterator[Row]:
    """What became of requests that were due at a steady rate."""
    detail = f"in {done.seconds:,.0f} s, over {plan.scrapers} connections"
    yield Row("load", "requests", done.asked, plan.requests, at_least=True, detail=detail)
    name = f"requests answered, {plan.rate:,.0f} a second being due"
    yield Row("load", name, done.rate, plan.rate * 0.99, "a second", at_least=True)
    detail = f"{len(done.small):,}: {', '.join(sorted(set(SMALL)))}; median {ms(statistics.median(done.small))}"
    yield Row("load", "99 of 100 small requests within", percentile(done.small, 0.99) * 1000, 100, "ms", detail=detail)
    detail = (
        f"{len(done.whole):,}: /metrics as gzip, each scraper one in {plan.whole_every};"
        f" median {ms(statistics.median(done.whole))}; {done.received / 1e9:,.0f} GB in all"
    )
    yield Row("load", "99 of 100 whole scrapes within", percentile(done.whole, 0.99) * 1000, 1000, "ms", detail=detail)


def held(process: Process) -> dict[str, float]:
    """Resident bytes, file descriptors and threads."""
    folder = Path(f"/proc/{process.popen.pid}")
    counts = {name: len(os.listdir(folder / of)) for name, of in (("files", "fd"), ("threads", "task"))}  # noqa: PTH208 - nothing else is wanted of them
    return {"memory": process.memory(), **counts}


def waited(waits: Sequence[float]) -> str:
    return f"median {ms(statistics.median(waits))}, 99 of 100 within {ms(percentile(waits, 0.99))}"


STAGES = {stage.__name__: stage for stage in (faults, days, load)}


def keep(stage: str, found: Sequence[Row]) -> None:
    """Put what a stage has found in the place of what was known of it, with the conditions of its own run."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    on = {key: value for key, value in conditions(quick=False).items() if key in ("date", "cpu", "cores", "python")}
    kept[stage] = {"conditions": on, "rows": [asdict(row) for row in found]}
    RESULTS.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and short: does it work?")
    parser.add_argument("--only", metavar="STAGE", nargs="+", choices=STAGES, help=f"of {', '.join(STAGES)}")
    parser.add_argument("--requests", metavar="N", type=int, help=f"of the load; {REQUESTS[False]:,} where not given")
    flags = parser.parse_args()
    options = Options(flags.quick, flags.requests or REQUESTS[flags.quick])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    missed = False
    print(table(HEAD, []), flush=True)
    for stage in flags.only or STAGES:
        found = []
        with tempfile.TemporaryDirectory() as folder:
            for row in STAGES[stage](Path(folder), options):
                found.append(row)
                print(table(HEAD, [row.cells()]).splitlines()[-1], flush=True)
        missed |= any("**no**" in row.cells() for row in found)
        if not options.quick:
            keep(stage, found)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
