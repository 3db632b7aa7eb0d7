"""The daemon as tests run it: in this process or as one of its own, against the simulator, over real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from exporter.config import load
from exporter.daemon import Address, Daemon, Serving
from exporter.shard import WHOLE, Shard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from exporter.model import Shown
    from exporter.simulator import Simulator

Labels = frozenset[tuple[str, str]]
Samples = dict[str, dict[Labels, float]]


def configuration(simulator: Simulator, *, accounts: str = "discover: {}", **sections: str) -> str:
    """An exporter.yaml for the simulator: no limit of requests, and what the sections add."""
    api = sections.pop("api", "")
    more = "".join(f"{name}: {{{body}}}\n" for name, body in sections.items())
    return (
        f"api: {{base_url: {simulator.base_url}, requests_per_second: 0{', ' * bool(api)}{api}}}\n{more}"
        f"accounts:\n  - account_sid: {simulator.options.account_sid}\n    token_file: token\n    {accounts}\n"
    )


def listing(*sids: str, **keys: str) -> str:
    """The accounts' part of a configuration that lists properties, each with the same further keys."""
    more = "".join(f", {key}: {value}" for key, value in keys.items())
    return "properties: [" + ", ".join(f"{{sid: {sid}{more}}}" for sid in sids) + "]"


def write(folder: Path, simulator: Simulator, text: str | None = None) -> Path:
    """Write the configuration and the token file beside it; give the configuration's path."""
    (folder / "token").write_text(simulator.options.token)
    path = folder / "exporter.yaml"
    path.write_text(configuration(simulator) if text is None else text)
    return path


def parse(exposition: str) -> Samples:
    """The values by sample name and labels."""
    samples: Samples = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            samples.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return samples


def asking(address: str) -> httpx.AsyncClient:
    """Give a client for what listens at host and port, which waits for longer than a machine halts."""
    return httpx.AsyncClient(base_url=f"http://{address}", trust_env=False, timeout=60)


@dataclass
class Running:
    """A daemon in this process, and a client for its endpoints."""

    daemon: Daemon
    http: httpx.AsyncClient

    async def samples(self) -> Samples:
        return parse((await self.http.get("/metrics")).text)

    async def ready(self) -> None:
        await self.until(lambda: self.daemon.poller.ready)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds, looking again whenever something new is published."""
        published = asyncio.Event()
        snapshot = self.daemon.snapshot

        def telling(publish: Callable[..., Shown]) -> Callable[..., Shown]:
            def publish_and_tell(*what: object) -> Shown:
                published.set()
                return publish(snapshot, *what)

            return publish_and_tell

        snapshot.publish = telling(type(snapshot).publish)  # type: ignore[method-assign]  # watched
        snapshot.publish_health = telling(type(snapshot).publish_health)  # type: ignore[method-assign]  # likewise
        async with asyncio.timeout(120):
            while not holds():
                await published.wait()
                published.clear()

    async def poll(self, sid: str) -> None:
        """Have one property polled now, and wait until that has ended."""
        poller = self.daemon.poller.properties[sid]
        before = poller.health.polls
        self.daemon.poller.ask(poller)
        await self.until(lambda: poller.health.polls > before)


@asynccontextmanager
async def running(
    path: Path, clock: Callable[[], float] | None = None, *, lifecycle: bool = True, shard: Shard = WHOLE
) -> AsyncIterator[Running]:
    """Run the daemon in this process at a free port, until the block ends."""
    stop = asyncio.Event()
    bound: asyncio.Future[Sequence[Address]] = asyncio.get_running_loop().create_future()
    daemon = Daemon(partial(load, path), **({"clock": clock} if clock else {}), shard=shard)
    serving = Serving((Address("127.0.0.1", 0),), lifecycle=lifecycle)
    task = asyncio.create_task(daemon.run(serving, stop, bound.set_result))
    futures: set[asyncio.Future[Any]] = {task, bound}
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
    try:
        async with asking(str(bound.result()[0])) as http:
            yield Running(daemon, http)
    finally:
        stop.set()
        await task


@dataclass
class Command:
    """The command as a process of its own; `log` holds what it has logged as JSON so far."""

    process: asyncio.subprocess.Process
    log: list[dict[str, str]]

    def cpu(self) -> float:
        """CPU seconds so far, the system's included."""
        # proc(5): utime and stime, counted from behind the name, which may hold anything.
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def logged(self, message: str) -> dict[str, str]:
        """Wait for the next log line with this message."""
        assert self.process.stderr
        async with asyncio.timeout(30):
            while line := await self.process.stderr.readline():
                self.log.append(json.loads(line))
                if self.log[-1]["msg"].startswith(message):
                    return self.log[-1]
        raise AssertionError(f"ended without logging {message!r}: {self.log}")

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        _, rest = await self.process.communicate()
        self.log += [json.loads(line) for line in rest.splitlines()]
        assert self.process.returncode is not None
        return self.process.returncode


@asynccontextmanager
async def command(
    *arguments: str | Path, shell: str = 'exec "$@"', module: str = "exporter", **environment: str
) -> AsyncIterator[Command]:
    """Run `siptrunk-exporter`, or another module, with its log as JSON, until the block ends; `shell` begins it."""
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", shell, "sh", sys.executable, "-m", module, "--log.format=json", *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    try:
        yield Command(process, [])
    finally:
        if process.returncode is None:
            process.terminate()
            await process.communicate()


async def finished(*arguments: str | Path, **environment: str) -> tuple[int, str, str]:
    """Run `siptrunk-exporter` to its end; give its exit status, standard output and standard error."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "exporter", *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()
