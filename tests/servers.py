"""Debian's servers that store, judge and tell metrics, as processes of a test's own at free ports of the loopback."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.programs import program
from tests.running import asking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

ROOT = Path(__file__).parents[1]


async def read_until(stream: asyncio.StreamReader, text: bytes) -> bytes:
    """Read lines until one holds `text`, and give it."""
    seen = b""
    async with asyncio.timeout(30):
        while line := await stream.readline():
            if text in line:
                return line
            seen += line
    raise AssertionError(f"ended without {text!r}: {seen.decode()}")


@asynccontextmanager
async def _process(*command: str | Path, says: bytes) -> AsyncIterator[bytes]:
    """Run a server, and give the line in which it first says so on standard error."""
    # From the project's root an unpacked Alertmanager finds its templates.
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE, cwd=ROOT)
    assert process.stderr
    try:
        line = await read_until(process.stderr, says)
        # What it logs later must not fill the pipe.
        reading = asyncio.create_task(process.stderr.read())
        try:
            yield line
        finally:
            reading.cancel()
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def serving(*command: str | Path) -> AsyncIterator[httpx.AsyncClient]:
    """Run a server of the Prometheus project, and give a client for the address it logs."""
    options = ("--web.listen-address=127.0.0.1:0", "--log.format=json")
    async with (
        _process(*command, *options, says=b'"Listening on"') as line,
        asking(json.loads(line)["address"]) as http,
    ):
        yield http


@asynccontextmanager
async def prometheus(folder: Path, *targets: str, **config: Any) -> AsyncIterator[httpx.AsyncClient]:  # noqa: ANN401 - whatever Prometheus takes
    """Run Prometheus, scraping the exporters every second, and give a client for its API."""
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "scrape_configs": [{"job_name": "siptrunk", "static_configs": [{"targets": list(targets)}]}],
        **config,
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = (
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        "--storage.tsdb.retention.time=40d",  # changes within 30 days are recorded
        # At a scrape a second the default is 300 scrapes: so long would a series live on whose stale marker was lost.
        "--query.lookback-delta=15s",
    )
    async with serving(program("prometheus"), *command) as http:
        yield http


@asynccontextmanager
async def alertmanager(folder: Path, config: dict[str, Any]) -> AsyncIterator[httpx.AsyncClient]:
    """Run Alertmanager without peers, and give a client for its API."""
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
    command = (
        f"--config.file={folder}/alertmanager.yml",
        f"--storage.path={folder}/alertmanager",
        "--cluster.listen-address=",
    )
    async with serving(program("prometheus-alertmanager"), *command) as http:
        yield http


@asynccontextmanager
async def victoria_metrics(name: str, *options: str) -> AsyncIterator[httpx.AsyncClient]:
    """Run VictoriaMetrics, or one of its tools, and give a client for it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        # It does not tell which port it has got where it may choose.
        port = free.getsockname()[1]
    command = (program(name), f"-httpListenAddr=127.0.0.1:{port}", "-memory.allowedBytes=64MB", *options)
    async with (
        _process(*command, says=b"starting http server at"),
        asking(f"127.0.0.1:{port}") as http,
    ):
        yield http


async def query(http: httpx.AsyncClient, expression: str) -> list[dict[str, Any]]:
    """What Prometheus answers to an instant query: metric and value of each series."""
    answer = (await http.get("/api/v1/query", params={"query": expression})).json()
    assert answer["status"] == "success", answer
    result: list[dict[str, Any]] = answer["data"]["result"]
    return result
