"""A drill: the daemon as a process of its own, healthy; then a fault; then its end, and how long recovery took."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exporter.simulator import Simulator, SimulatorOptions
from tests.faults.promises import Generations, Recovery, Watch, watching
from tests.faults.proxy import HOST, Proxy, proxying
from tests.running import Command, command, write
from tests.secrets import holds

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

INTERVAL, STALE_AFTER, TIMEOUT = 1.0, 2.0, 4.0
TOKEN = "hunter2-of-the-drill"
PROPERTIES, TRUNKS, PAGE = 3, 7, 3


@dataclass
class Drill:
    """All that takes part in a drill."""

    simulator: Simulator
    proxy: Proxy
    exporter: Command
    watch: Watch
    address: str
    closing: ExitStack

    async def connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the daemon; the connection ends with the drill, however that ends."""
        host, port = self.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        self.closing.callback(writer.close)
        return reader, writer

    @property
    def sids(self) -> tuple[str, ...]:
        return self.simulator.carrier.property_sids

    async def well(self) -> None:
        """Wait until all properties are up."""
        await self.watch.until(self.watch.up, "up")

    async def recovered(self, *sids: str) -> Recovery:
        """Wait for all to be well again, or these, a fault having ended now.

        Raises AssertionError where the next poll failed, or did not come within an interval.
        """
        return await self.watch.recovery(time.time(), *sids)


def configuration(base_url: str, account_sid: str, api: str = "") -> str:
    return (
        f"api: {{base_url: '{base_url}', requests_per_second: 0, timeout: {TIMEOUT:g}s, page_size: {PAGE},"
        f" max_attempts: 2{', ' * bool(api)}{api}}}\n"
        f"poll: {{interval: {INTERVAL:g}s, stale_after: {STALE_AFTER:g}s}}\n"
        f"accounts: [{{account_sid: {account_sid}, token_file: token, discover: {{}}}}]\n"
    )


@asynccontextmanager
async def drill(  # noqa: PLR0913 - all by name
    folder: Path,
    *,
    host: str = HOST,
    tls: ssl.SSLContext | None = None,
    shell: str = "",
    environment: Mapping[str, str] | None = None,
    state: str = "",
    **options: Any,  # noqa: ANN401 - as the simulator has them
) -> AsyncIterator[Drill]:
    """Bring all up; the log must not hold the token, and the process must end well, at the end.

    `shell` begins the daemon with its standard error somewhere else; `state` is where its state file is to be.
    """
    world = {"properties": PROPERTIES, "trunks": TRUNKS, "exact": True, "shape": "object", "token": TOKEN, **options}
    async with Simulator(SimulatorOptions(**world)) as simulator:
        generations = Generations(simulator.carrier)
        async with proxying(simulator.port, generations.seen, tls) as proxy:
            base_url = f"http{'s' * bool(tls)}://{host}:{proxy.port}"
            text = configuration(base_url, simulator.options.account_sid)
            path = write(folder, simulator, text + f"state: {{path: {state}}}\n" * bool(state))
            address = f"{HOST}:{free_port() if shell else 0}"
            words = (f"--config.file={path}", f"--web.listen-address={address}", "--log.level=debug")
            async with command(*words, **({"shell": shell} if shell else {}), **(environment or {})) as exporter:
                if not shell:
                    address = (await exporter.logged("listening"))["addresses"]
                async with watching(address, generations, INTERVAL, STALE_AFTER) as watch:
                    watch.excused = True
                    await watch.until(lambda: watch.scrapes > 0, "reached")
                    watch.excused = False
                    with ExitStack() as closing:
                        yield Drill(simulator, proxy, exporter, watch, address, closing)
                assert exporter.process.returncode is None
                assert await exporter.stop() == 0
                assert not holds(str(exporter.log), TOKEN)


def free_port() -> int:
    """A port that is free now, for who must know it before anybody listens."""
    with socket.create_server((HOST, 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
