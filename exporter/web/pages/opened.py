"""The answer to somebody who opens a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from exporter.web.pages.changes import changes
from exporter.web.pages.html import h
from exporter.web.pages.layout import HEADERS, document
from exporter.web.pages.overview import overview
from exporter.web.pages.trunks import UP, trunks
from exporter.web.pages.wanted import Wanted

if TYPE_CHECKING:
    from exporter.web.app import Endpoints


async def opened(endpoints: Endpoints, request: web.Request) -> web.Response:
    """Give the page of an address, compressed where the browser takes that."""
    wanted = Wanted.of(request.query)
    sid = request.match_info.get("sid")
    text: str | None
    if sid is not None:
        text = await trunks(endpoints, sid, wanted)
    elif request.path == "/changes":
        text = await changes(endpoints, wanted)
    else:
        text = await overview(endpoints, wanted)
    status = 200 if text is not None else 404
    if text is None:
        told = "No such property is polled here: it may be gone, or another shard's."
        main = [h.h1("Not here"), h.p(told), h.p(h.a("All properties", href=UP))]
        text = document("Not here", main, endpoints, up=UP)
    response = web.Response(status=status, text=text, content_type="text/html", headers=HEADERS)
    response.enable_compression()
    return response
