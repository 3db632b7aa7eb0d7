"""An API at the HTTP border, on a clock that jumps: what it was asked, when, and what the exporter counted."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar
from unittest.mock import patch

import httpx
import msgspec
import pytest
import respx
from prometheus_client import CollectorRegistry

from exporter.api.client import Answer, ApiClient, Query, Validators
from exporter.api.credentials import Credentials
from exporter.config import Api, Secret, TokenSource
from exporter.errors import PollError
from exporter.telemetry import Telemetry
from tests import fake_clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping

    from exporter.api.budget import Manner

    Given = httpx.Response | Exception | Callable[[httpx.Request], Coroutine[Any, Any, httpx.Response]]

Result = TypeVar("Result")

BASE_URL = "https://api.test"
ACCOUNT_SID = "A1234567890ABCDEF1234567890ABCDE"
TOKEN = "0f9e8d7c6b5a49382716"
ENCODED = "QTEyMzQ1Njc4OTBBQkNERUYxMjM0NTY3ODkwQUJDREU6MGY5ZThkN2M2YjVhNDkzODI3MTY="
CREDENTIALS = Credentials(ACCOUNT_SID, TokenSource(inline=Secret(TOKEN)))
PATH = "/v2/Properties/S1/SipTrunks"
QUERY = Query(CREDENTIALS, "sip_trunks", PATH, {})


class Chunks(httpx.AsyncByteStream):
    """A body that comes piece by piece, `seconds` after one another; `taken` counts the pieces."""

    def __init__(self, chunks: Iterable[bytes], seconds: float = 0.0) -> None:
        self._chunks, self._seconds = chunks, seconds
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            await asyncio.sleep(self._seconds)
            self.taken += 1
            yield chunk


async def asked(
    client: ApiClient, validators: Validators | None = None, manner: Manner | None = None, path: str = PATH
) -> Answer:
    """Ask, and take the answer away from its place."""
    async with client.ask(msgspec.structs.replace(QUERY, path=path), validators, manner) as answer:
        return answer


def answer(
    body: bytes | httpx.AsyncByteStream = b"[]", status: int = 200, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    stream = Chunks([body]) if isinstance(body, bytes) else body
    return httpx.Response(status, headers=headers, stream=stream)


class FakeApi:
    """Gives the answers one after another, and the last one again and again."""

    def __init__(self, *given: Given) -> None:
        self._given = given
        self.requests: list[httpx.Request] = []
        self.times: list[float] = []
        self.registry = CollectorRegistry()
        self.telemetry = Telemetry(self.registry)

    async def _serve(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.times.append(asyncio.get_running_loop().time())
        given = self._given[min(len(self.requests), len(self._given)) - 1]
        if isinstance(given, Exception):
            raise given
        if not isinstance(given, httpx.Response):
            given = await given(request)
        # A response can be read once, its stream as often as is wished.
        return httpx.Response(given.status_code, headers=given.headers.raw, stream=given.stream)

    def run(self, story: Callable[[ApiClient], Coroutine[Any, Any, Result]], **api: float | str) -> Result:
        """Run a story with a client of this API, by default without a limit of requests a second."""
        ended: list[Result] = []

        async def main() -> None:
            settings = replace(Api(base_url=BASE_URL, requests_per_second=0), **api)  # type: ignore[arg-type]  # any setting
            clock = SimpleNamespace(time=fake_clock.unix_time)
            router = respx.MockRouter()
            router.route().mock(side_effect=self._serve)
            transport = patch(
                "exporter.api.transport.AiohttpTransport", lambda *_: httpx.MockTransport(router.async_handler)
            )
            with patch("exporter.api.client.time", clock), transport:
                client = ApiClient(settings, self.telemetry)
                try:
                    ended.append(await story(client))
                finally:
                    await client.aclose()

        fake_clock.run(main())
        return ended[0]

    def ask(self, validators: Validators | None = None, **api: float | str) -> Answer:
        return self.run(lambda client: asked(client, validators), **api)

    def refuse(self, **api: float | str) -> PollError:
        """Ask for what will not be given, and tell why."""
        with pytest.raises(PollError) as caught:
            self.ask(None, **api)
        return caught.value

    def gaps(self) -> list[float]:
        """Give the seconds between the requests."""
        return [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]

    def counted(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"siptrunk_exporter_{name}", labels)


def http_date(seconds_ahead: float) -> str:
    """Write a time by the fake clock's Unix time as HTTP does."""
    moment = time.gmtime(fake_clock.EPOCH + seconds_ahead)
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", moment)
