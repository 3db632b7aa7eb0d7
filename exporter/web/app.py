"""The endpoints as an aiohttp application."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
from aiohttp import hdrs, web

from exporter.errors import ConfigError
from exporter.web.api import changes
from exporter.web.sending import send
from exporter.web.status import LINKS, written

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from exporter.metrics.scrape import Scraper
    from exporter.metrics.snapshot import Snapshot
    from exporter.polling.poller import Poller
    from exporter.telemetry import Telemetry


SMALL = 2**16
"""Most bytes of a body that is sent in one go."""
PROPERTIES = "/properties/"
FRESH = {"Cache-Control": "no-store"}
MOST_WAITING = 16
"""Most pages asked for that wait until those before them are made."""
RESERVED = ("/", "/changes", "/-/reload", "/api/v1/changes", *LINKS)
"""The paths that the metrics cannot have."""


class Queue:
    """Lets few pages be made at once, for there may be thousands of properties, or a hundred thousand trunks."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(2)
        self.waiting = 0

    async def __aenter__(self) -> None:
        """Wait until it is one's turn."""
        self.waiting += 1
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1

    async def __aexit__(self, *_: object) -> None:
        """Let the next one have its turn."""
        self._free.release()


QUEUE = web.AppKey("queue", Queue)


class Endpoints(msgspec.Struct, frozen=True):
    """What the endpoints show and do, since the Unix time `started`.

    `trouble` tells why the process does not work, None where it does; `reload` is None where it may not be asked for
    over HTTP; `sending` is what those who send wait at for their turn.
    """

    telemetry_path: str
    scraper: Scraper
    snapshot: Snapshot
    poller: Poller
    telemetry: Telemetry
    clock: Callable[[], float]
    config: Callable[[], str]
    trouble: Callable[[], str | None]
    reload: Callable[[], Awaitable[None]] | None
    started: float
    sending: asyncio.Lock = msgspec.field(default_factory=asyncio.Lock)

    def application(self) -> web.Application:
        """Make the application that answers them."""
        app = web.Application()
        app[QUEUE] = Queue()
        app.add_routes(
            [
                web.get(self.telemetry_path, self._metrics),
                *(web.get(path, self._page) for path in ("/", "/changes", PROPERTIES + "{sid}")),
                web.get("/-/healthy", self._healthy),
                web.get("/-/ready", self._is_ready),
                web.get("/config", self._config),
                web.get("/api/v1/status", self._status),
                web.get("/api/v1/changes", self._changes),
                web.post("/-/reload", self._reload),
            ]
        )
        return app

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        scrape = await self.scraper.scrape(
            ",".join(request.headers.getall("Accept", [])),
            ",".join(request.headers.getall("Accept-Encoding", [])),
            request.query.getall("name[]", []),
        )
        headers = {"Content-Type": scrape.content_type, "Vary": "Accept, Accept-Encoding"}
        if scrape.gzip:
            headers["Content-Encoding"] = "gzip"
        if scrape.length <= SMALL:
            return web.Response(body=scrape.body, headers=headers)
        response = web.StreamResponse(headers=headers)
        response.content_length = scrape.length
        return await self._send(request, response, scrape.pieces(), ready=scrape.gzip)

    async def _send(
        self, request: web.Request, response: web.StreamResponse, pieces: Iterator[bytes], *, ready: bool
    ) -> web.StreamResponse:
        await response.prepare(request)
        if request.method != hdrs.METH_HEAD:
            await send(pieces, request, response, self.sending, ready=ready)
        return response

    async def _page(self, request: web.Request) -> web.Response:
        # Nobody pays for the pages who opens none.
        from exporter.web.pages.opened import opened  # noqa: PLC0415 - see above

        queue = request.app[QUEUE]
        if queue.waiting >= MOST_WAITING:
            return web.Response(status=503, text="too many wait for a page\n", headers={hdrs.RETRY_AFTER: "2"})
        async with queue:
            # Who has gone is not told of here, and nothing is made for nobody.
            if request.transport is None or request.transport.is_closing():
                return web.Response()
            return await opened(self, request)

    async def _status(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=FRESH)
        response.content_type = "application/json"
        response.charset = "utf-8"
        pieces = written(self.poller, self.snapshot, self.clock)
        return await self._send(request, response, pieces, ready=False)

    async def _changes(self, request: web.Request) -> web.Response:
        try:
            return web.json_response(await changes(request.query, self.poller, self.clock()), headers=FRESH)
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)

    async def _healthy(self, _request: web.Request) -> web.Response:
        trouble = self.trouble()
        return web.Response(status=503, text=f"{trouble}\n") if trouble else web.Response(text="healthy\n")

    async def _is_ready(self, _request: web.Request) -> web.Response:
        if self.poller.ready:
            return web.Response(text="ready\n")
        return web.Response(status=503, text="not every property was tried yet\n")

    async def _config(self, _request: web.Request) -> web.Response:
        # With thousands of properties it takes a while to write.
        return web.Response(text=await asyncio.to_thread(self.config), headers=FRESH)

    async def _reload(self, request: web.Request) -> web.Response:
        if self.reload is None:
            return web.Response(status=403, text="start with --web.enable-lifecycle to reload over HTTP\n")
        if _is_of_another_site(request):
            return web.Response(status=403, text="another site's page may not have it reloaded\n")
        try:
            await self.reload()
        except (ConfigError, OSError) as error:
            return web.Response(status=500, text=f"the old configuration stays, for the new one is bad:\n{error}\n")
        return web.Response(text="reloaded\n")


def _is_of_another_site(request: web.Request) -> bool:
    """Say whether a browser sends it for another site's page: programs send neither header."""
    origin = request.headers.get(hdrs.ORIGIN)
    foreign = origin is not None and origin.partition("//")[2] != request.host
    return foreign or request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
