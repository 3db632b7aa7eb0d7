"""VictoriaMetrics in the place of Prometheus: two shards, each polled by a pair, scraped twice and counted once."""

from __future__ import annotations

import asyncio
import json
import re
import time
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

import yaml

from exporter.shard import Shard
from exporter.simulator import Simulator, SimulatorOptions
from tests.carrier_truth import truth
from tests.deploy.shipped_rules import DEPLOY, RULES
from tests.running import configuration, running, write
from tests.servers import alertmanager, query, victoria_metrics
from tests.test_prometheus import scrapes

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

PAIRS = (Shard(0, 2), Shard(0, 2), Shard(1, 2), Shard(1, 2))
INTERVAL = 500
"""Milliseconds between two scrapes."""
CAPACITY = "siptrunk_property_active_channel_limit"


async def number(http: httpx.AsyncClient, expression: str) -> float | None:
    """The value of the one series that the query gives, None where it gives none."""
    found = await query(http, expression)
    assert len(found) <= 1, found
    return float(found[0]["value"][1]) if found else None


async def times(http: httpx.AsyncClient, selector: str) -> list[int]:
    """The milliseconds of the samples that a series is answered with."""
    lines = (await http.get("/api/v1/export", params={"match[]": selector})).text.splitlines()
    return [each for line in lines for each in json.loads(line)["timestamps"]]


async def test_pairs_scraped_by_a_pair_are_counted_once(tmp_path: Path) -> None:
    scrape = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    (job,) = scrape["scrape_configs"]
    async with Simulator(SimulatorOptions(properties=6, trunks=8)) as simulator, AsyncExitStack() as stack:
        path = write(tmp_path, simulator, configuration(simulator, poll="interval: 1s"))
        exporters = [await stack.enter_async_context(running(path, shard=shard)) for shard in PAIRS]
        for exporter in exporters:
            await exporter.ready()
        job["static_configs"] = [{"targets": [str(each.http.base_url.netloc, "ascii") for each in exporters]}]
        job["scrape_interval"] = f"{INTERVAL}ms"
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(scrape))
        scraping = f"-promscrape.config={tmp_path}/prometheus.yml", "-promscrape.config.strictParse=false"
        stored = await stack.enter_async_context(
            victoria_metrics(
                "victoria-metrics",
                *scraping,
                f"-storageDataPath={tmp_path}/data",
                f"-dedup.minScrapeInterval={INTERVAL}ms",
                "-search.latencyOffset=0s",
            )
        )
        await stack.enter_async_context(
            victoria_metrics(
                "vmagent",
                *scraping,
                f"-remoteWrite.url={stored.base_url}/api/v1/write",
                f"-remoteWrite.tmpDataPath={tmp_path}/buffer",
            )
        )
        told = await stack.enter_async_context(
            alertmanager(tmp_path, {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]})
        )
        # What it was asked for in vain it takes for absent for ten seconds: nothing is asked for before it is there.
        for exporter in exporters:
            await scrapes(exporter, 6)
        await stored.get("/internal/force_flush")
        for shipped in RULES.glob("*.yml"):
            (tmp_path / shipped.name).write_text(re.sub(r"\n *keep_firing_for:.*", "", shipped.read_text()))
        rules = await stack.enter_async_context(
            victoria_metrics(
                "vmalert",
                f"-rule={tmp_path}/siptrunk-*.yml",
                f"-datasource.url={stored.base_url}",
                f"-remoteWrite.url={stored.base_url}",
                "-remoteWrite.flushInterval=100ms",
                f"-notifier.url={told.base_url}",
                "-evaluationInterval=1s",
            )
        )
        twice = re.compile(
            r'^vmalert_iteration_duration_seconds_count{group="siptrunk-properties",.* [2-9]$', re.MULTILINE
        )
        async with asyncio.timeout(30):
            while not twice.search((await rules.get("/metrics")).text):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.1)
        await stored.get("/internal/force_flush")
        capacity = truth(simulator.carrier, time.time())[CAPACITY]

        async def sums() -> tuple[list[tuple[str, float]], float | None, float | None]:
            # With a matcher of its own, for the rules may have asked in vain.
            recorded = await query(stored, f'property:{CAPACITY}:max{{property_sid!=""}}')
            return (
                sorted((each["metric"]["property_sid"], float(each["value"][1])) for each in recorded),
                await number(stored, f"sum(max by (property_sid) ({CAPACITY}))"),
                await number(stored, f"sum({CAPACITY})"),
            )

        by_property = sorted((dict(key)["property_sid"], value) for key, value in capacity.items())
        expected = by_property, sum(capacity.values()), 2 * sum(capacity.values())
        found = None
        # Where the machine halts, a scrape comes too late, and nothing is stored until the next.
        with suppress(TimeoutError):
            async with asyncio.timeout(60):
                while (found := await sums()) != expected:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.1)
        series = f'up{{instance="{job["static_configs"][0]["targets"][0]}"}}'
        kept = await times(stored, series)
        written = (await stored.get("/metrics")).text
        firing = await query(stored, 'ALERTS{alertstate="firing"}')
    assert found == expected
    # By whichever of both, one sample for each of the intervals.
    assert len({-(-at // INTERVAL) for at in kept}) == len(kept) > 1
    assert re.search(r'^vm_rows_inserted_total{type="promremotewrite"} [1-9]', written, re.MULTILINE)
    assert firing == []
