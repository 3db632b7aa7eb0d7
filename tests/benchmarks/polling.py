"""Stages about polling: the start, the steady state as fast as it goes, and what growth costs."""

import re
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace

from tests.benchmarks.figures import Row, ms, number, percentile, worst_growth
from tests.benchmarks.processes import Process
from tests.benchmarks.scraper import small
from tests.benchmarks.world import READY_SECONDS, TRUNKS, Bench, carrier, exporter

GROWTH_SECONDS, ASK_SECONDS = 900.0, 0.05
REQUESTS = "siptrunk_exporter_api_requests_total"


def start(bench: Bench) -> Iterator[Row]:
    starts = []
    with carrier(bench) as api:
        for _ in range(1 + bench.times(5, 3)):
            with exporter(bench, api, "1h") as subject:
                healthy = subject.until("/-/healthy", READY_SECONDS, 0.002)
                ready = subject.until("/-/ready", READY_SECONDS, ASK_SECONDS)
                starts.append((healthy, ready, subject.cpu() / bench.properties * 1000))
    # During the first start the stand-in makes its trunks.
    healthy, ready, cpu = (statistics.median(each) for each in zip(*starts[1:], strict=True))
    detail = f"ready after {number(ready)} s; median of {len(starts) - 1} starts"
    yield Row("start", "CPU from the start to ready, a page", cpu, 1, "ms", detail=detail)
    yield Row("start", "from the start to healthy", healthy, 0.5, "s")


def steady(bench: Bench) -> Iterator[Row]:
    with carrier(bench) as api, exporter(bench, api, "1s") as subject:
        subject.until("/-/ready", READY_SECONDS, ASK_SECONDS)
        before, cpu, began = requests(subject), subject.cpu(), time.monotonic()
        time.sleep(bench.times(20, 5))
        cpu, seconds, after = subject.cpu() - cpu, time.monotonic() - began, requests(subject)
        took = [each * 1000 for each in bench.ask(small, subject.port, bench.times(1000, 200), 0.01)]
        end = requests(subject)
    if not before < after < end:
        raise RuntimeError("nothing was polled")
    detail = f"{number((after - before) / seconds)} pages a second, {number(cpu / seconds * 100)} % of a core"
    yield Row("steady", "CPU of polling, a page", cpu / (after - before) * 1000, 0.45, "ms", detail=detail)
    detail = f"of {len(took)}, one every 10 ms; median {number(statistics.median(took))}, worst {number(max(took))} ms"
    figure = "GET /-/healthy while polling as fast as it goes, 99th percentile"
    yield Row("steady", figure, percentile(took, 0.99), 15, "ms", detail=detail)


def requests(subject: Process) -> float:
    """How many requests to the API the exporter says it has made, asked for alone: a whole scrape costs far more."""
    _, body = subject.get(f"/metrics?name[]={REQUESTS}")
    return sum(float(value) for value in re.findall(rf"(?m)^{REQUESTS}\{{.*\}} (\S+)$", body.decode()))


def measured(bench: Bench) -> tuple[float, float, float, float]:
    """Give the seconds to ready, the CPU seconds for it, the resident bytes, and the seconds of a gzip scrape."""
    with carrier(bench) as api:
        # The stand-in makes its trunks when first asked for them.
        with exporter(bench, api, "1h") as first:
            first.until("/-/ready", GROWTH_SECONDS, ASK_SECONDS)
        with exporter(bench, api, "60s") as subject:
            ready, cpu, took = subject.until("/-/ready", GROWTH_SECONDS, ASK_SECONDS), subject.cpu(), []
            for _ in range(bench.times(12, 6)):
                took.append(bench.scrape(subject.port).seconds)
                time.sleep(bench.times(1, 0))
            # The first scrape compresses everything.
            return ready, cpu, subject.memory(), statistics.median(took[1:])


def growth(bench: Bench) -> Iterator[Row]:
    sizes = (20, 200) if bench.quick else (200, 2_000, 20_000)
    trunks = [size * TRUNKS for size in sizes]
    by_figure = list(zip(*(measured(replace(bench, properties=size)) for size in sizes), strict=True))
    names = ("time to ready", "CPU to ready", "memory", "gzip scrape")
    units = ((1e6, "µs"), (1e6, "µs"), (1, "bytes"), (1e9, "ns"))
    for what, (scale, unit), values in zip(names, units, by_figure, strict=True):
        each = [value / count for value, count in zip(values, trunks, strict=True)]
        at = ", ".join(f"{number(one * scale)} {unit} at {count:,}" for one, count in zip(each, trunks, strict=True))
        yield Row("growth", f"{what} a trunk, the larger ÷ the smaller", worst_growth(each), 1.1, detail=at)
    (*_, resident), (*scrapes, scrape) = by_figure[2:]
    yield Row("growth", f"resident memory at {trunks[-1]:,} trunks", resident / 1e6, 500, "MB")
    detail = ", ".join(f"{ms(took)} at {count:,}" for took, count in zip(scrapes, trunks, strict=False))
    yield Row("growth", f"gzip scrape at {trunks[-1]:,} trunks", scrape * 1000, 150, "ms", detail=detail)
