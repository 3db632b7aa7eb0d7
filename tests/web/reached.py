"""The daemon as a process, with a web configuration, and curl to reach it with."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.simulator import Simulator, SimulatorOptions
from tests.programs import program
from tests.running import Command, command, write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ENDPOINTS = ("/", "/metrics", "/-/healthy", "/-/ready", "/config", "/api/v1/status", "/nothing")
NONE = 0
"""What curl gives for the status where no answer came."""
MARK = "---\n"


@dataclass
class Answer:
    """What curl saw: `exit` is its own status."""

    exit: int
    status: int
    body: bytes
    headers: dict[str, list[str]]
    said: str


@dataclass
class Reached:
    """A daemon at a free port of the loopback, whose web configuration lies in `folder`."""

    exporter: Command
    folder: Path
    port: int

    @property
    def web(self) -> Path:
        return self.folder / "web.yml"

    async def curl(self, path: str, *words: str | Path, scheme: str = "https") -> Answer:
        """Ask for a path, the authority of the tests being trusted; no proxy and no file of curl's own is used."""
        process = await asyncio.create_subprocess_exec(
            *(program("curl"), "-q", "--silent", "--show-error", "--noproxy", "*", "--max-time", "30"),
            *("--write-out", f"%{{stderr}}\n{MARK}%{{json}}%{{header_json}}"),
            *("--cacert", self.folder / "authority.pem", *words, f"{scheme}://localhost:{self.port}{path}"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        body, told = await process.communicate()
        said, _, seen = told.decode().partition(MARK)
        decoder = json.JSONDecoder()
        summary, end = decoder.raw_decode(seen)
        headers, _ = decoder.raw_decode(seen[end:].lstrip())
        return Answer(summary["exitcode"], summary["http_code"], body, headers, said)

    async def status(self, path: str, *words: str | Path, scheme: str = "https") -> int:
        return (await self.curl(path, *words, scheme=scheme)).status


@asynccontextmanager
async def reached(folder: Path, text: str, *flags: str, properties: int = 1, trunks: int = 3) -> AsyncIterator[Reached]:
    """Run the daemon with this web configuration."""
    (folder / "web.yml").write_text(text)
    async with Simulator(SimulatorOptions(properties=properties, trunks=trunks, exact=True)) as simulator:
        path = write(folder, simulator)
        words = (f"--config.file={path}", f"--web.config.file={folder}/web.yml", "--web.listen-address=127.0.0.1:0")
        async with command(*words, *flags, module="tests.unhurried") as exporter:
            address = (await exporter.logged("listening"))["addresses"]
            yield Reached(exporter, folder, int(address.rpartition(":")[2]))
