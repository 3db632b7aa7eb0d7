"""Days of polling in minutes: churn, faults, reloads and scrapes, and nothing may grow."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, get_args

import httpx

from exporter.simulator import Fault, Simulator, SimulatorOptions
from tests.carrier_truth import truth
from tests.faults.proxy import Proxy, Trouble, proxying
from tests.running import parse
from tests.secrets import holds
from tests.test_cycle import data_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SPEED = 3000.0
"""Seconds that pass in one: a minute, the default interval, takes 20 ms."""
WARMING_UP_SECONDS = 0.2
STEADY, PASSING, TRUNKS = 2, 2, 10
CHURN = 0.01
CHANGES = 1_000
"""Most changes that are kept, so few that they are so many before the warming up has ended."""
TOKEN = "hunter2-of-the-soak"
WRONG = "hunter2-is-wrong"
FAULTS: tuple[Fault, ...] = get_args(Fault)
TROUBLES = (Trouble.REFUSED, Trouble.RESET_ACCEPTED, Trouble.RESET_AFTER_HEAD, Trouble.RESET_IN_BODY, Trouble.HOLE)
FORMATS = ("text/plain", "application/openmetrics-text", "text/plain;version=1.0.0")
METRICS = ("", "metrics: {detail: property}\n", "metrics: {info_labels: [name], exclude: [siptrunk_active]}\n")


@dataclass
class Run:
    """What a run has brought: the samples, how long it took, and what was done to the daemon."""

    samples: list[dict[str, float]] = field(default_factory=list)
    polls: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    now: float = 0.0
    faults: int = 0
    reloads: int = 0
    scrapes: int = 0

    @property
    def least_polls(self) -> int:
        """Polls of the property that was polled least, of those that were there all the time."""
        return min(self.polls.values(), default=0)


class Soak:
    """The daemon, the carrier and all that happens to both."""

    def __init__(self, folder: Path, simulator: Simulator, proxy: Proxy, process: asyncio.subprocess.Process) -> None:
        self.run = Run()
        self.chance = random.Random(1)  # noqa: S311 - reproducible
        self.address = ""
        self.polled = asyncio.Event()
        self._folder = folder
        self._simulator = simulator
        self._proxy = proxy
        self._process = process

    async def read(self) -> None:
        """Take what the daemon tells, for ever."""
        assert self._process.stdout
        steady = self._simulator.carrier.property_sids[:STEADY]
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            if "address" in told:
                self.address = told["address"]
                continue
            self.run.now = told.pop("now")
            polls = told.pop("polls")
            self.run.polls = {sid: polls.get(sid, 0) for sid in steady}
            self.run.samples.append(told)
            if self.run.least_polls:
                self.polled.set()

    async def trouble(self) -> None:
        """One fault after the other, of a property or of all, for ever.

        First comes each of them for all: what the largest answers take at once the allocator keeps from then on.
        """
        for fault in FAULTS:
            for sid in self._simulator.carrier.property_sids:
                self._simulator.fail(sid, fault)
            self.run.faults += 1
            await asyncio.sleep(WARMING_UP_SECONDS)
        await self.heal()
        for trouble in TROUBLES:
            await self._proxy.make(trouble)
            self.run.faults += 1
            await asyncio.sleep(WARMING_UP_SECONDS)
        await self.heal()
        while True:
            await asyncio.sleep(self.chance.uniform(0.8, 2.5))
            self.run.faults += 1
            kind, lasts = self.chance.random(), self.chance.uniform(0.03, 0.2)
            sid = self.chance.choice(self._simulator.carrier.property_sids)
            if kind < 0.2:
                await self._proxy.make(self.chance.choice(TROUBLES))
                await asyncio.sleep(lasts)
                await self._proxy.make(None)
            elif kind < 0.3:
                (self._folder / "token").write_text(WRONG)
                await asyncio.sleep(lasts)
                (self._folder / "token").write_text(TOKEN)
            else:
                self._simulator.fail(sid, self.chance.choice(FAULTS))
                await asyncio.sleep(lasts)
                self._simulator.heal(sid)

    async def reload(self) -> None:
        """Properties that come and go, other labels, a file that is wrong, for ever."""
        for number in count():
            await asyncio.sleep(self.chance.uniform(0.3, 0.9))
            self.configure(METRICS[number % len(METRICS)], number % (PASSING + 1), wrong=number % 7 == 6)
            self._process.send_signal(signal.SIGHUP)
            self.run.reloads += 1

    async def scrape(self) -> None:
        """Scrape in one format or another, for ever."""
        async with httpx.AsyncClient(base_url=f"http://{self.address}", trust_env=False) as http:
            while True:
                accept = {"Accept": self.chance.choice(FORMATS), "Accept-Encoding": self.chance.choice(("gzip", ""))}
                (await http.get(self.chance.choice(("/metrics", "/metrics", "/")), headers=accept)).raise_for_status()
                self.run.scrapes += 1
                await asyncio.sleep(self.chance.uniform(0.05, 0.3))

    async def heal(self) -> None:
        """End whatever fault there is."""
        await self._proxy.make(None)
        (self._folder / "token").write_text(TOKEN)
        for sid in self._simulator.carrier.property_sids:
            self._simulator.heal(sid)

    def configure(self, metrics: str = "", passing: int = PASSING, *, wrong: bool = False) -> None:
        """Write a configuration."""
        sids = self._simulator.carrier.property_sids[: STEADY + passing]
        configure(self._folder, self._proxy.port, self._simulator.options.account_sid, sids, metrics + "x: 1\n" * wrong)

    async def told_truly(self) -> None:
        """See that a scrape tells the truth in the end; the carrier must stand still."""
        self.configure()
        self._process.send_signal(signal.SIGHUP)
        async with httpx.AsyncClient(base_url=f"http://{self.address}", trust_env=False) as http, asyncio.timeout(30):
            while True:
                samples = data_of(parse((await http.get("/metrics")).text))
                if samples == truth(self._simulator.carrier, self.run.now):
                    return
                await asyncio.sleep(0.1)


def configure(folder: Path, port: int, account_sid: str, sids: tuple[str, ...], more: str = "") -> None:
    chosen = ", ".join(f"{{sid: {sid}}}" for sid in sids)
    (folder / "exporter.yaml").write_text(
        f"api: {{base_url: 'http://127.0.0.1:{port}', timeout: 10m, requests_per_second: 0}}\n{more}"
        f"state: {{changes: {CHANGES}}}\n"
        f"accounts: [{{account_sid: {account_sid}, token_file: token, properties: [{chosen}]}}]\n"
    )


@asynccontextmanager
async def soaking(folder: Path) -> AsyncIterator[tuple[Soak, list[float]]]:
    """Bring all up; a time put into the list is where the carrier's clock stands still from then on."""
    began, start, still = time.time(), time.monotonic(), list[float]()

    def clock() -> float:
        return still[0] if still else began + (time.monotonic() - start) * SPEED

    (folder / "token").write_text(TOKEN)
    options = SimulatorOptions(properties=STEADY + PASSING, trunks=TRUNKS, token=TOKEN, churn=CHURN, shape="object")
    async with Simulator(options, clock) as simulator, proxying(simulator.port) as proxy:
        configure(folder, proxy.port, options.account_sid, simulator.carrier.property_sids)
        with (folder / "log").open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.soak.daemon", str(folder / "exporter.yaml"), str(SPEED), str(clock())),
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
            )
        try:
            yield Soak(folder, simulator, proxy, process), still
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            assert await process.wait() == 0


async def soak(folder: Path, polls: int, longest: float) -> Run:
    """Run until each property that stays was polled so often, or for so many seconds.

    Raises AssertionError where the last scrapes do not tell the truth, or the log holds the token.
    """
    async with soaking(folder) as (it, still):
        reading = asyncio.create_task(it.read())
        async with asyncio.timeout(60):
            await it.polled.wait()
        tasks = [asyncio.create_task(each) for each in (it.trouble(), it.reload(), it.scrape())]
        began = time.monotonic()
        while it.run.least_polls < polls and time.monotonic() - began < longest:
            done, _ = await asyncio.wait((*tasks, reading), timeout=0.2)
            for each in done:
                each.result()
                raise AssertionError("the daemon has ended")
        it.run.seconds = time.monotonic() - began
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await it.heal()
        still.append(it.run.now)
        await it.told_truly()
        reading.cancel()
    log = (folder / "log").read_text()
    assert not holds(log, TOKEN)
    assert not holds(log, WRONG)
    return it.run
