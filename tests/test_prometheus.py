"""A real Prometheus beside the daemon."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import yaml

from exporter.simulator import Simulator, SimulatorOptions
from tests.carrier_truth import truth
from tests.programs import program
from tests.running import Running, running, write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.running import Samples


ROOT = Path(__file__).parents[1]


async def read_until(stream: asyncio.StreamReader, text: bytes) -> bytes:
    """Read lines until one holds `text`, and give it."""
    async with asyncio.timeout(30):
        while line := await stream.readline():
            if text in line:
                return line
    raise AssertionError(f"ended without {text!r}")


@asynccontextmanager
async def prometheus(folder: Path, target: str) -> AsyncIterator[httpx.AsyncClient]:
    """Run Prometheus, scraping `target` every second, and give a client for its API."""
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "siptrunk", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    process = await asyncio.create_subprocess_exec(
        program("prometheus"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        "--web.listen-address=127.0.0.1:0",
        "--log.format=json",
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr
    try:
        line = await read_until(process.stderr, b'"Listening on"')
        address = yaml.safe_load(line)["address"]
        async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as http:
            yield http
    finally:
        process.terminate()
        await process.communicate()


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


async def query(http: httpx.AsyncClient, expression: str) -> Samples:
    answer = (await http.get("/api/v1/query", params={"query": expression})).json()
    assert answer["status"] == "success"
    samples: Samples = {}
    for each in answer["data"]["result"]:
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
            # When the third scrape comes, the first is long stored.
            await scrapes(exporter, 3)
            expected = truth(simulator.carrier, time.time())
            stored = await query(http, '{__name__=~"siptrunk_.*"}')
            (up,) = (await query(http, 'up{job="siptrunk"}'))["up"].values()
    assert up == 1
    assert {name: stored.get(name) for name in expected} == without_empty_labels(expected)
    assert set(stored["siptrunk_property_up"].values()) == {1}


async def test_promtool_accepts_the_configuration_shipped_which_the_readme_shows() -> None:
    shipped = ROOT / "deploy" / "prometheus" / "prometheus.yml"
    process = await asyncio.create_subprocess_exec(
        *(program("promtool"), "check", "config", shipped),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert shipped.read_text().partition("\n")[2] in (ROOT / "README.md").read_text()


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
