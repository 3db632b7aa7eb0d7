"""The whole chain on real programs: simulator, exporters, Prometheus, Alertmanager, and who is told in the end.

The rules and routes are those shipped, but for their times, which run sixty times as fast: a minute lasts a second.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from aiohttp import web

from exporter.simulator import Simulator, SimulatorOptions
from tests.deploy.shipped_rules import DEPLOY, RULES
from tests.running import configuration, running, write
from tests.servers import alertmanager, prometheus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import httpx


SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def hurried(text: str) -> str:
    """The text with every duration in it a sixtieth as long."""
    return re.sub(
        r"(?<=[\[: ])(\d+)([smhdw])\b", lambda found: f"{int(found[1]) * SECONDS[found[2]] * 1000 // 60}ms", text
    )


def hurried_rules(folder: Path) -> list[str]:
    """Write the shipped rules, hurried, and give their paths."""
    written = []
    for shipped in sorted(RULES.glob("*.yml")):
        path = folder / shipped.name
        path.write_text(hurried(shipped.read_text()))
        written.append(str(path))
    return written


class Told:
    """Receives what Alertmanager sends by webhook, in the order of arrival: the receiver and the message."""

    def __init__(self) -> None:
        self.url = ""
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def next(self) -> tuple[str, str, list[str]]:
        """The next message's receiver and status, and the alerts in it."""
        async with asyncio.timeout(60):
            message = await self.messages.get()
        return (
            message["receiver"],
            message["status"],
            sorted(
                " ".join(filter(None, map(alert["labels"].get, ("alertname", "property_sid"))))
                for alert in message["alerts"]
            ),
        )


@asynccontextmanager
async def told() -> AsyncIterator[Told]:
    """Listen as a webhook receiver does."""
    receiver = Told()

    async def take(request: web.Request) -> web.Response:
        await receiver.messages.put(await request.json())
        return web.Response()

    application = web.Application()
    application.router.add_post("/", take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = "http://{}:{}/".format(*runner.addresses[0])
    try:
        yield receiver
    finally:
        await runner.cleanup()


def routed_to(receiver: Told) -> dict[str, Any]:
    """The shipped routes and inhibitions, hurried, with the webhook in the place of mail."""
    config: dict[str, Any] = yaml.safe_load(hurried((DEPLOY / "alertmanager" / "alertmanager.yml").read_text()))
    del config["templates"]
    for each in config["receivers"]:
        (mail,) = each.pop("email_configs")
        each["webhook_configs"] = [{"url": receiver.url, "send_resolved": mail["send_resolved"]}]
    return config


async def until(http: httpx.AsyncClient, path: str, holds: Callable[[Any], bool]) -> None:
    """Wait until what Prometheus answers is as wanted; it tells nobody when that is."""
    async with asyncio.timeout(60):
        # As long as it starts it says 503.
        while not ((answer := await http.get(path)).is_success and holds(answer.json()["data"])):  # noqa: ASYNC110 - another program's state
            await asyncio.sleep(0.1)


@asynccontextmanager
async def chain(folder: Path, receiver: Told, simulator: Simulator) -> AsyncIterator[None]:
    """Run two exporters in parallel, Prometheus and Alertmanager, the last from when all is well."""
    path = write(folder, simulator, configuration(simulator, poll="interval: 1s", api="max_attempts: 1"))
    found = folder / "alertmanagers.yml"
    async with (
        running(path) as one,
        running(path) as other,
        prometheus(
            folder,
            *(str(exporter.http.base_url.netloc, "ascii") for exporter in (one, other)),
            rule_files=hurried_rules(folder),
            alerting={"alertmanagers": [{"file_sd_configs": [{"files": [str(found)]}]}]},
        ) as metrics,
    ):
        await one.ready()
        await other.ready()
        await until(metrics, "/api/v1/query?query=sum(up)==2", lambda data: bool(data["result"]))
        await until(metrics, "/api/v1/alerts", lambda data: "firing" not in str(data["alerts"]))
        async with alertmanager(folder, routed_to(receiver)) as alerts:
            found.write_text(yaml.safe_dump([{"targets": [str(alerts.base_url.netloc, "ascii")]}]))
            await until(metrics, "/api/v1/alertmanagers", lambda data: bool(data["activeAlertmanagers"]))
            yield


@pytest.mark.parametrize("share", ["one", "all"])
async def test_what_goes_down_is_told_once_and_so_is_its_recovery(share: str, tmp_path: Path) -> None:
    async with (
        told() as receiver,
        Simulator(SimulatorOptions(properties=20, trunks=5)) as simulator,
        chain(tmp_path, receiver, simulator),
    ):
        struck = simulator.carrier.property_sids[: 1 if share == "one" else None]
        for sid in struck:
            simulator.fail(sid, "500")
        down = await receiver.next()
        for sid in struck:
            simulator.heal(sid)
        up = await receiver.next()

    alert = f"SipTrunkPropertyDown {struck[0]}" if share == "one" else "SipTrunkMostPropertiesDown"
    assert [down, up] == [("pager", "firing", [alert]), ("pager", "resolved", [alert])]
    assert receiver.messages.empty()
