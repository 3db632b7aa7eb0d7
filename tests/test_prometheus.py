"""A real Prometheus beside the daemon."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from exporter.simulator import Simulator, SimulatorOptions
from tests.carrier_truth import truth
from tests.programs import program
from tests.running import Running, running, write
from tests.servers import prometheus, query

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from tests.running import Samples


async def scrapes(exporter: Running, count: int) -> None:
    """Wait until the daemon has answered so many more scrapes."""
    scraped = asyncio.Semaphore(0)
    scraper = exporter.daemon.scraper
    scrape = scraper.scrape

    async def scrape_and_tell(*arguments: Any) -> Any:  # noqa: ANN401 - passes everything through
        answer = await scrape(*arguments)
        scraped.release()
        return answer

    scraper.scrape = scrape_and_tell  # type: ignore[method-assign, assignment]  # watched
    async with asyncio.timeout(60):
        for _ in range(count):
            await scraped.acquire()


async def values(http: httpx.AsyncClient, expression: str) -> Samples:
    """The answer to an instant query, without what Prometheus knows of the target."""
    samples: Samples = {}
    for each in await query(http, expression):
        metric = {key: value for key, value in each["metric"].items() if key not in ("job", "instance")}
        samples.setdefault(metric.pop("__name__"), {})[frozenset(metric.items())] = float(each["value"][1])
    return samples


def without_empty_labels(samples: Samples) -> Samples:
    """To Prometheus a label with an empty value is no label."""
    return {
        name: {frozenset(pair for pair in key if pair[1]): value for key, value in values.items()}
        for name, values in samples.items()
    }


async def test_prometheus_answers_with_the_values_that_the_carrier_has(tmp_path: Path) -> None:
    async with (
        Simulator(SimulatorOptions(properties=5, trunks=40)) as simulator,
        running(write(tmp_path, simulator)) as exporter,
    ):
        await exporter.ready()
        async with prometheus(tmp_path, str(exporter.http.base_url.netloc, "ascii")) as http:
            expected = without_empty_labels(truth(simulator.carrier, time.time()))
            stored: Samples = {}
            # It tells nobody when a scrape is stored, and where the machine halts, one that comes too late is not.
            with suppress(TimeoutError):
                async with asyncio.timeout(60):
                    while {name: stored.get(name) for name in expected} != expected:
                        await asyncio.sleep(0.1)
                        stored = await values(http, '{__name__=~"siptrunk_.*"}')
    assert {name: stored.get(name) for name in expected} == expected
    assert set(stored["siptrunk_property_up"].values()) == {1}


async def test_promtool_finds_nothing_to_say_about_the_metrics(tmp_path: Path) -> None:
    async with (
        Simulator(SimulatorOptions(properties=2, trunks=20)) as simulator,
        running(write(tmp_path, simulator)) as exporter,
    ):
        await exporter.ready()
        text = (await exporter.http.get("/metrics")).content
    process = await asyncio.create_subprocess_exec(
        *(program("promtool"), "check", "metrics"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate(text)
    assert (process.returncode, output.decode()) == (0, "")
