"""httpx's requests, sent by aiohttp at half of what httpx's own way costs.

When aiohttp is imported it makes two TLS contexts with all that OpenSSL trusts, which would take a sixth of the
exporter's start. So where nobody else has imported it before, those trust nobody; each session here has its own.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import httpx

_PLACES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Where OpenSSL looks for what it trusts, if they are set."""

_before = {name: os.environ[name] for name in _PLACES if name in os.environ}
os.environ.update(dict.fromkeys(_PLACES, os.devnull))
try:
    import aiohttp
finally:
    for _name in _PLACES:
        del os.environ[_name]
    os.environ.update(_before)

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

__all__ = ["AiohttpTransport", "aiohttp"]

# Longer than the default interval, so that a property's next poll finds the connection of its last one.
KEEP_ALIVE = 75.0
PIECE = 2**16
"""Most bytes of a body that are given at once."""


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._response.content.iter_chunked(PIECE)

    async def aclose(self) -> None:
        self._response.release()
        await self._response.wait_for_close()


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends requests that have no body, follows nothing, unpacks nothing, keeps no cookies.

    A connection may take `connect` seconds to be made. What `handle_async_request` raises, and the iteration over the
    body, are errors of aiohttp: `aiohttp.ClientError`, `TimeoutError`, `OSError`.
    """

    def __init__(self, tls: ssl.SSLContext, proxy: httpx.Proxy | None, connect: float) -> None:
        self._tls = tls
        self._proxy = proxy
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect)
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        # What bounds the connections is the budget.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE, ssl=self._tls)
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=self._timeout, auto_decompress=False
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and give the answer as soon as its head has come."""
        # It needs a loop that runs.
        self._session = self._session or self._open()
        response = await self._session.request(
            request.method,
            str(request.url),
            headers={name.decode(): value.decode() for name, value in request.headers.raw},
            allow_redirects=False,
            proxy=str(self._proxy.url) if self._proxy else None,
            proxy_headers=self._proxy.headers if self._proxy else None,
        )
        return httpx.Response(response.status, headers=response.raw_headers, stream=_Body(response))

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session:
            await self._session.close()
