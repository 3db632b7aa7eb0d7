"""`make bench`: what a scrape and a poll cost beside plain prometheus_client, measured in turn in one run."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest

from exporter.api.payload import TRUNKS
from exporter.config import Metrics
from exporter.errors import Reason
from exporter.metrics.exposition import FamiliesCollector, Renderer
from exporter.metrics.scrape import Scraper
from exporter.metrics.snapshot import Snapshot
from exporter.model import Health, Identity, PropertyView
from exporter.simulator import Carrier, CarrierOptions, TrunkFilter

if TYPE_CHECKING:
    from collections.abc import Callable

PROPERTIES, TRUNKS_EACH, PAIRS = 400, 50, 5
NOW = 1_790_000_000.0


def pages() -> dict[str, bytes]:
    carrier = Carrier(CarrierOptions(properties=PROPERTIES, trunks=TRUNKS_EACH, exact=True), NOW)
    return {
        sid: b"[" + b",".join(trunk.encoded for trunk in carrier.listing(sid, TrunkFilter(), NOW)) + b"]"
        for sid in carrier.property_sids
    }


def published(answers: dict[str, bytes]) -> Snapshot:
    """Read and render every property, as their first polls do."""
    snapshot = Snapshot(Renderer(Metrics()))
    for sid, body in answers.items():
        health = Health(1, dict.fromkeys(Reason, 0), NOW, 0.1, None, NOW)
        snapshot.publish(PropertyView(Identity(sid, "A1", sid), health, TRUNKS.read(body).records, NOW))
    return snapshot


def seconds(do: Callable[[], object]) -> float:
    started = time.process_time()
    do()
    return time.process_time() - started


def main() -> None:
    answers = pages()
    snapshot = published(answers)
    views = [shown.view for shown in snapshot.properties.values()]
    naive = CollectorRegistry()
    naive.register(FamiliesCollector(snapshot.renderer.families, views))
    scraper = Scraper(snapshot, CollectorRegistry())

    # A loop of its own for each scrape would be most of what is measured.
    loop = asyncio.new_event_loop()

    def scrape(encoding: str) -> None:
        loop.run_until_complete(scraper.scrape("", encoding))

    candidates: dict[str, Callable[[], object]] = {
        "prometheus_client renders a scrape": lambda: generate_latest(naive),
        "scrape, text": lambda: scrape("identity"),
        "scrape, gzip, data unchanged": lambda: scrape("gzip"),
        "first poll: read and render all": lambda: published(answers),
    }
    scrape("gzip")
    runs = [{name: seconds(do) for name, do in candidates.items()} for _ in range(PAIRS)]
    print(f"{PROPERTIES} properties of {TRUNKS_EACH} trunks, CPU, median of {PAIRS} runs in turn\n")
    print("| what | ms | to prometheus_client |\n| --- | --- | --- |")
    base = next(iter(candidates))
    for name in candidates:
        took = statistics.median(run[name] for run in runs)
        ratio = statistics.median(run[name] / run[base] for run in runs)
        print(f"| {name} | {took * 1000:.2f} | {ratio:.5f} |")
    loop.close()


main()
