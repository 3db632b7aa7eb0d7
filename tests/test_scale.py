"""100,000 trunks in 2,000 properties, over real sockets."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

from exporter.simulator import Simulator, SimulatorOptions, TrunkFilter
from tests.running import configuration, running, write

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_790_000_000.0
PROPERTIES, TRUNKS = 2000, 50


def clock() -> float:
    return NOW


async def test_100_000_trunks_are_polled_and_served(tmp_path: Path) -> None:
    options = SimulatorOptions(properties=PROPERTIES, trunks=TRUNKS, exact=True, shape="object")
    async with Simulator(options, clock) as simulator:
        path = write(tmp_path, simulator, configuration(simulator, poll="interval: 1h, stale_after: 2h"))
        async with running(path, clock) as exporter:
            await exporter.ready()
            packed = (await exporter.daemon.scraper.scrape("", "gzip")).body
            plain = (await exporter.http.get("/metrics", headers={"Accept-Encoding": "identity"})).content
        active = sum(
            trunk.channel_limit
            for sid in simulator.carrier.property_sids
            for trunk in simulator.carrier.trunks(sid)
            if trunk.active(NOW)
        )
        assert simulator.carrier.count(simulator.carrier.property_sids[-1], TrunkFilter(), NOW) == TRUNKS
    lines = plain.splitlines()
    assert sum(line.startswith(b"siptrunk_channel_limit{") for line in lines) == PROPERTIES * TRUNKS
    assert sum(line.startswith(b"siptrunk_property_up{") and line.endswith(b" 1.0") for line in lines) == PROPERTIES
    sums = [line for line in lines if line.startswith(b"siptrunk_property_active_channel_limit{")]
    assert sum(float(line.rsplit(b" ", 1)[1]) for line in sums) == active
    # Behind the data comes how the polling went, which may have gone on.
    data = plain.partition(b"# HELP siptrunk_property_info")[0]
    assert gzip.decompress(packed).startswith(data)
