"""One HTTP request and its bounded answer: the border where foreign exceptions become `PollError`, by a table."""

from __future__ import annotations

import asyncio
import logging
import ssl
import zlib
from typing import TYPE_CHECKING, cast

import httpx
import msgspec

from exporter import __version__
from exporter.api.credentials import fingerprint
from exporter.api.proxy import proxy_for
from exporter.api.sessions import AiohttpTransport, aiohttp
from exporter.api.tls import context_for
from exporter.errors import PollError, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exporter.config import Api

log = logging.getLogger(__name__)

MAX_BODY = 4 * 2**20
"""Most bytes of one answer, after decompression: 10,000 trunks fit, and at most 1,000 are asked for."""
LARGE = 2**18
"""Bytes from which on an answer is large: few of those are held at once, and a thread reads them."""
MAX_ERROR = 2**16
"""Most bytes of the body of an error; of a longer one the status says enough."""

_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
    "User-Agent": f"siptrunk-exporter/{__version__}",
}

# The first row that fits counts.
REASON_OF_ERROR: tuple[tuple[tuple[type[Exception], ...], Reason], ...] = (
    ((aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch, ssl.SSLError), Reason.TLS),
    ((TimeoutError,), Reason.TIMEOUT),
    ((aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, aiohttp.ClientHttpProxyError), Reason.CONNECT),
    ((zlib.error, aiohttp.ClientError), Reason.BAD_PAYLOAD),
    ((OSError,), Reason.CONNECT),
)
TRANSIENT_STATUSES = frozenset({429, 500, 502, 503, 504})
FOREIGN_ERRORS = (aiohttp.ClientError, OSError, zlib.error)


class CrowdedError(Exception):
    """An answer was left, because it is large and no more such may be held now."""


class Response(msgspec.Struct, frozen=True):
    """What came back: the HTTP status, the headers (any case) and the body, decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Unparsed(httpx.URL):
    """A URL known to be good, parsed once more than its text is asked for: that is a tenth of what a request costs."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text

    def __getattr__(self, name: str) -> object:
        if name == "_text":
            # It is being copied, and has nothing yet.
            raise AttributeError(name)
        super().__init__(self._text)
        return object.__getattribute__(self, name)


class Transport:
    """Sends requests to the API's `base_url` and to no other host, through a proxy where the environment names one.

    Raises `OSError` where the files of TLS cannot be used, and `ValueError` where what the environment names is no
    proxy.
    """

    def __init__(self, api: Api) -> None:
        self.api = api
        self._base_url = api.base_url.rstrip("/")
        self._origin = httpx.URL(self._base_url)
        self._timeout = api.timeout
        self._seen = self._fingerprints()
        self._headers = httpx.Headers(_HEADERS)
        proxy = proxy_for(self._base_url)
        self._in_flight = 0
        self._retired = False
        # To load the certificates that are trusted takes a while; where nothing is encrypted, none is.
        encrypted = self._base_url.startswith("https:")
        trusts = encrypted or (proxy is not None and proxy.url.scheme == "https")
        tls = context_for(api) if trusts else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if proxy:
            log.info("requests go through a proxy", extra={"proxy": str(proxy.url)})
            if not encrypted:
                self._headers.update(proxy.headers)
                log.warning(
                    "the token travels readable to the proxy and beyond: use https", extra={"proxy": str(proxy.url)}
                )
        # Without a client around it: cookies, redirects, proxies and merged settings, none of which is wanted here,
        # would cost as much as the request itself. What bounds the time of the whole is below.
        self._connect = api.timeout / 2
        self._http = AiohttpTransport(tls, proxy, self._connect)

    @property
    def outdated(self) -> bool:
        """Whether a file of TLS has changed since it was last asked."""
        before, self._seen = self._seen, self._fingerprints()
        return before != self._seen

    def _fingerprints(self) -> list[object]:
        return [fingerprint(file) for file in (self.api.ca_file, self.api.cert_file, self.api.key_file)]

    async def retire(self) -> None:
        """Close the connections, once the requests in flight have ended."""
        self._retired = True
        if not self._in_flight:
            await self._http.aclose()

    async def get(
        self,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        statuses: list[int],
        enlarge: Callable[[], bool] = lambda: True,
    ) -> Response:
        """Send one GET request; `path` is relative to `base_url`, in it and in `query` is nothing to be escaped.

        Each status that comes is added to `statuses`, even where what should follow it does not come. `enlarge` is
        asked whether an answer may go on that turns out to be large.

        Raises `PollError` (timeout, connect, tls, too_large, bad_payload) where no whole answer came, and
        `CrowdedError` where it may not go on.
        """
        self._in_flight += 1
        try:
            request = self._request(f"{path}{'?' * bool(query)}{'&'.join(map('='.join, query.items()))}", headers)
            async with asyncio.timeout(self._timeout):
                return await self._send(request, statuses, enlarge)
        except FOREIGN_ERRORS as error:
            raise self._translate(error) from None
        finally:
            self._in_flight -= 1
            if self._retired:
                await self.retire()

    def _request(self, target: str, headers: Mapping[str, str]) -> httpx.Request:
        """Make a request, of which nothing is looked at again that is known to be good."""
        sent = self._headers.copy()
        for name, value in headers.items():
            sent[name] = value
        request = httpx.Request("GET", self._origin, headers=sent, stream=httpx.ByteStream(b""))
        request.url = _Unparsed(f"{self._base_url}{target}")
        return request

    async def _send(self, request: httpx.Request, statuses: list[int], enlarge: Callable[[], bool]) -> Response:
        response = await self._http.handle_async_request(request)
        statuses.append(response.status_code)
        try:
            if response.has_redirect_location:
                # Following would take the token along, or spend requests that no budget counts.
                raise PollError(Reason.BAD_PAYLOAD, "redirected, which is not followed: check base_url")
            return Response(response.status_code, response.headers, await _read_any(response, enlarge))
        finally:
            await response.aclose()

    def _translate(self, error: Exception) -> PollError:
        reason = next(reason for kinds, reason in REASON_OF_ERROR if isinstance(error, kinds))
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return PollError(reason, f"not connected within {self._connect:g} s", transient=True)
        if reason is Reason.TIMEOUT:
            return PollError(reason, f"no whole answer within {self._timeout:g} s", transient=True)
        if isinstance(error, aiohttp.ClientHttpProxyError):
            # Its text would quote whatever the proxy says.
            passing = error.status in TRANSIENT_STATUSES
            return PollError(reason, f"the proxy answered CONNECT with HTTP {error.status}", transient=passing)
        detail = str(error) or type(error).__name__
        return PollError(reason, detail, transient=reason is Reason.CONNECT)


async def _read_any(response: httpx.Response, enlarge: Callable[[], bool]) -> bytes:
    """Read a body, but let nothing about the body of an error hide the status that says enough."""
    try:
        return await _read(response, enlarge)
    except (PollError, *FOREIGN_ERRORS):
        if response.is_error:
            return b""
        raise


async def _read(response: httpx.Response, enlarge: Callable[[], bool]) -> bytes:
    """Read a body of at most `MAX_BODY` bytes (`MAX_ERROR` of an error), never holding more while gzip is unpacked.

    httpx would unpack each chunk whole, and layer by layer where a server names several encodings.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("gzip", "identity"):
        raise PollError(Reason.BAD_PAYLOAD, "the answer has a Content-Encoding that was not asked for")
    inflate = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
    stream = cast("httpx.AsyncByteStream", response.stream)
    most = MAX_ERROR if response.is_error else MAX_BODY
    body = bytearray()
    received = 0
    async for chunk in stream:
        received += len(chunk)
        body += inflate.decompress(chunk, most + 1 - len(body)) if inflate else chunk
        if len(body) > most:
            raise PollError(Reason.TOO_LARGE, f"the answer is larger than {most} bytes")
        if len(body) > LARGE and not enlarge():
            raise CrowdedError
        if inflate and inflate.unused_data:
            raise PollError(Reason.BAD_PAYLOAD, "the compressed answer goes on after its end")
    if inflate and received and not inflate.eof:
        raise PollError(Reason.CONNECT, "the compressed answer is cut short", transient=True)
    return bytes(body)
