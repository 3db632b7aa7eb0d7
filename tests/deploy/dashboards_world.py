"""What the dashboards' queries are tried on: a small carrier at rest, two exporters, Prometheus with its rules."""

from __future__ import annotations

import asyncio
import subprocess
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from aiohttp import web
from msgspec import UNSET
from msgspec.structs import replace

from exporter.simulator import Simulator, SimulatorOptions
from exporter.simulator.trunks import ACTIVE, DAY
from tests.programs import program
from tests.running import Running, configuration, running, write
from tests.servers import prometheus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import httpx

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules"
GREW = 7
"""By how many channels each property grew in each of the last 30 days."""


@dataclass
class World:
    """The carrier, a client for Prometheus, and what ends the exporters."""

    simulator: Simulator
    http: httpx.AsyncClient
    exporters: AsyncExitStack

    @property
    def sids(self) -> Sequence[str]:
        return self.simulator.carrier.property_sids


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    """Run it all; Prometheus scrapes the exporter, and a second that knows everything by other names."""
    async with Simulator(SimulatorOptions(properties=3, trunks=12)) as simulator:
        _rest(simulator)
        _write_history(folder, simulator)
        text = configuration(
            simulator,
            accounts=f"discover: {{}}\n    properties: [{_agreed(simulator)}]",
            api="max_attempts: 2",
            poll="interval: 2s, stale_after: 5s",
        )
        async with AsyncExitStack() as exporters:
            exporter = await exporters.enter_async_context(running(write(folder, simulator, text)))
            await exporter.ready()
            other = await exporters.enter_async_context(_renamed(exporter))
            targets = str(exporter.http.base_url.netloc, "ascii"), other
            async with prometheus(folder, *targets, rule_files=_hasty_rules(folder)) as http:
                async with asyncio.timeout(30):
                    # It listens before it is ready, and does not tell when it is.
                    while (await http.get("/-/ready")).is_error:  # noqa: ASYNC110
                        await asyncio.sleep(0.1)
                yield World(simulator, http, exporters)


def _rest(simulator: Simulator) -> None:
    """Leave the carrier without anything that an alert or a change is about; one trunk of each property will end."""
    for sid in simulator.carrier.property_sids:
        for at, trunk in enumerate(simulator.carrier.trunks(sid)):
            past, end = trunk.created - 30 * DAY, UNSET if at else int(time.time()) + 30 * DAY
            rested = replace(trunk, created=past, modified=past, provisioning_state=ACTIVE, end_date=end)
            simulator.carrier.put(sid, rested)


def _agreed(simulator: Simulator) -> str:
    """Expect of the first property's last trunk what it is at rest, and no other trunk than there is."""
    sid = simulator.carrier.property_sids[0]
    sids = [trunk.sip_trunk_sid for trunk in simulator.carrier.trunks(sid)]
    trunks = ", ".join(
        [*(f"{{sid: {each}}}" for each in sids[:-1]), f"{{sid: {sids[-1]}, provisioning_state: active}}"]
    )
    return f"{{sid: {sid}, expected: {{only: true, trunks: [{trunks}]}}}}"


def _write_history(folder: Path, simulator: Simulator) -> None:
    """Let Prometheus know each property's capacity of a day, a week and 30 days ago."""
    name = "property:siptrunk_property_active_channel_limit:max"
    lines = []
    for sid in simulator.carrier.property_sids:
        channels = sum(trunk.channel_limit for trunk in simulator.carrier.trunks(sid))
        for days in (30, 7, 1):
            then = time.time() - days * DAY - 60
            lines.append(f'{name}{{property_sid="{sid}"}} {channels - GREW * days} {then}')
    history = folder / "history.txt"
    history.write_text("\n".join((f"# TYPE {name} gauge", *lines, "# EOF\n")))
    command = (program("promtool"), "tsdb", "create-blocks-from", "openmetrics", history, folder / "data")
    subprocess.run(command, check=True, capture_output=True)


def _hasty_rules(folder: Path) -> list[str]:
    """Write the rules so that all are evaluated each second, and alerts wait for a few of them at most."""
    written = []
    for path in RULES.glob("*.yml"):
        content = yaml.safe_load(path.read_text())
        for group in content["groups"]:
            group.pop("interval", None)
            for rule in group["rules"]:
                rule.pop("for", None)
                for patient, hasty in (("[3m]", "[3s]"), ("> 3600", "> 3")):
                    rule["expr"] = rule["expr"].replace(patient, hasty)
        (folder / path.name).write_text(yaml.safe_dump(content))
        written.append(str(folder / path.name))
    return written


@asynccontextmanager
async def _renamed(exporter: Running) -> AsyncIterator[str]:
    """Serve what the exporter serves under other names, as a second exporter does while a rename reaches it first."""

    async def answer(_: web.BaseRequest) -> web.Response:
        text = (await exporter.http.get("/metrics")).text
        return web.Response(text=text.replace(',name="', ',name="Other '))

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield "{}:{}".format(*runner.addresses[0])
    finally:
        await runner.cleanup()
