"""How the API says no, and worse: error answers of both kinds, and answers that are no answer at all."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Literal, get_args

import msgspec
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON: Final = "application/json; charset=utf-8"
HTML: Final = "text/html; charset=utf-8"

Fault = Literal[
    "400",
    "401",
    "403",
    "404",
    "429",
    "500",
    "500-html",
    "502",
    "503",
    "hang",
    "disconnect",
    "garbage",
    "neither",
    "flood",
    "half",
]
FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)
# What a share of requests is answered with at random.
TRANSIENT: Final[tuple[Fault, ...]] = ("500", "500-html", "502", "503")
# These come from the web server in front of the API, which knows no JSON.
_HTML_FAULTS: Final = ("500-html", "502", "503")
_HINTED: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_FLOOD: Final = b"{}," * 20_000


def refuse(status: HTTPStatus, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Make the API's own error answer: JSON with a `ResponseStatus` of `ErrorCode` and `Message`."""
    code = status.phrase.title().replace(" ", "")
    body = msgspec.json.encode({"ResponseStatus": {"ErrorCode": code, "Message": message}})
    return web.Response(body=body, status=status, headers={"Content-Type": JSON, **(headers or {})})


def refuse_html(status: HTTPStatus) -> web.Response:
    """Make the other kind of error answer: a page for people, not JSON."""
    title = f"{status.value} {status.phrase}"
    body = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return web.Response(body=body.encode(), status=status, headers={"Content-Type": HTML})


async def play(fault: Fault, request: web.BaseRequest, answer: web.Response, retry_after: str) -> web.StreamResponse:
    """Put a fault in the place of `answer`; `retry_after`, where there is one, goes with a 429 or 503."""
    match fault:
        case "hang":
            await asyncio.Event().wait()
        case "disconnect":
            if request.transport is not None:  # pragma: no branch - None only where the client is gone already
                request.transport.abort()
            return web.Response()
        case "garbage":
            return web.Response(body=b"OK: \xff\xfe not JSON", headers={"Content-Type": JSON})
        case "neither":
            return web.Response(body=b'{"Status":"OK"}', headers={"Content-Type": JSON})
        case "flood":
            return await _flood(request)
        case "half":
            return await _half(request, answer)
    return _status(fault, retry_after)


def _status(fault: Fault, retry_after: str) -> web.Response:
    status = HTTPStatus(int(fault[:3]))
    answer = refuse_html(status) if fault in _HTML_FAULTS else refuse(status, "Asked for by the simulator's user.")
    if status in _HINTED and retry_after:
        answer.headers["Retry-After"] = retry_after
    return answer


async def _flood(request: web.BaseRequest) -> web.StreamResponse:
    """Send a JSON array that never ends, until the client goes."""
    answer = web.StreamResponse(headers={"Content-Type": JSON})
    await answer.prepare(request)
    await answer.write(b"[")
    while True:
        await answer.write(_FLOOD)


async def _half(request: web.BaseRequest, whole: web.Response) -> web.StreamResponse:
    """Promise the whole body, send half of it, and close the connection."""
    body = whole.body if isinstance(whole.body, bytes) else b""
    answer = web.StreamResponse(headers={**whole.headers, "Content-Length": str(len(body))})
    await answer.prepare(request)
    await answer.write(body[: len(body) // 2])
    if request.transport is not None:  # pragma: no branch - None only where the client is gone already
        request.transport.close()
    return answer
