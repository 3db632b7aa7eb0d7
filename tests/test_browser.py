"""A real browser at the endpoints."""

from __future__ import annotations

import asyncio
import gzip
import html
import re
from typing import TYPE_CHECKING, Any

from exporter.simulator import Simulator, SimulatorOptions
from tests.programs import program
from tests.running import running, write

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.metrics.scrape import Scrape

# Root has no sandbox; the rest keeps the browser from talking to anybody but us.
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-component-update",
    "--disable-background-networking",
    "--disable-sync",
]


async def dom(folder: Path, url: str) -> str:
    """The page as Chromium has it after loading."""
    chromium = await asyncio.create_subprocess_exec(
        *(program("chromium"), *QUIET, f"--user-data-dir={folder}/profile", "--dump-dom", url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(60):
        page, _ = await chromium.communicate()
    return page.decode()


async def test_a_browser_shows_the_metrics_that_were_sent_compressed(tmp_path: Path) -> None:
    sent: list[Scrape] = []
    async with (
        Simulator(SimulatorOptions(properties=3, trunks=200)) as simulator,
        running(write(tmp_path, simulator)) as exporter,
    ):
        await exporter.ready()
        scrape = exporter.daemon.scraper.scrape

        async def noted(*arguments: Any) -> Scrape:  # noqa: ANN401 - passes everything through
            sent.append(await scrape(*arguments))
            return sent[-1]

        exporter.daemon.scraper.scrape = noted  # type: ignore[method-assign, assignment]  # watched
        page = await dom(tmp_path, f"{exporter.http.base_url}/metrics")
    shown = re.search(r"(?s)<pre[^>]*>(.*)</pre>", page)

    assert [answer.gzip for answer in sent] == [True]
    assert shown
    assert html.unescape(shown[1]) == gzip.decompress(sent[0].body).decode()
