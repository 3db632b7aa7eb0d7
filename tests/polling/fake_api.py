"""The API without sockets: what it holds, how it goes wrong, and what it was asked."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from exporter.api.transport import Response
from exporter.errors import PollError, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exporter.config import Api


LATENCY = 0.1


class Hangs:
    """A fault: no answer comes."""


class Asked(NamedTuple):
    """One request: when it came, for which property (or account, where its properties are asked for), and how."""

    time: float
    whose: str
    base_url: str
    account_sid: str
    token: str
    query: Mapping[str, str]


class FakeApi:
    """Answers as the real one would; `faults` says by property or account what it does instead.

    A fault is an HTTP status, a body, an exception, or `Hangs`; it strikes from the record `fault_from` on.
    `latency_of_page` gives the seconds by the record that a page begins with.
    """

    def __init__(self) -> None:
        self.trunks: dict[str, list[dict[str, Any]]] = {}
        self.projects: dict[str, dict[str, str]] = {}
        self.tokens: dict[str, str] = {}
        self.faults: dict[str, int | bytes | PollError | Hangs] = {}
        self.fault_from = 0
        self.headers: dict[str, str] = {}
        self.latency: dict[str, float] = {}
        self.latency_of_page: dict[str, Callable[[int], float]] = {}
        self.asked: list[Asked] = []
        self.in_flight: Counter[str] = Counter()
        self.most_in_flight: Counter[str] = Counter()

    def times(self, whose: str) -> list[float]:
        """Give when the list of a property or account was asked for."""
        return [asked.time for asked in self.asked if asked.whose == whose]

    def give(self, sid: str, *trunks: str, **fields: object) -> None:
        """Hold trunks with these Sids for the property `sid`."""
        self.trunks[sid] = [{"SipTrunkSid": trunk, **fields} for trunk in trunks]

    def transport(self, settings: Api) -> FakeTransport:
        """Stand in for the class `Transport`."""
        return FakeTransport(self, settings)

    async def answer(self, asked: Asked, timeout: float) -> Response:  # noqa: ASYNC109 - what the client was set to
        """Answer one request."""
        whose = asked.whose
        self.asked.append(asked)
        self.in_flight[whose] += 1
        self.most_in_flight[whose] = max(self.most_in_flight[whose], self.in_flight[whose])
        try:
            of_page = self.latency_of_page.get(whose)
            skip = int(asked.query["Results_Skip"])
            await asyncio.sleep(of_page(skip) if of_page else self.latency.get(whose, LATENCY))
            return await self._answer(asked, timeout)
        finally:
            self.in_flight[whose] -= 1

    async def _answer(self, asked: Asked, timeout: float) -> Response:  # noqa: ASYNC109 - likewise
        skip, count = (int(asked.query[f"Results_{name}"]) for name in ("Skip", "Count"))
        fault = self.faults.get(asked.whose) if skip >= self.fault_from else None
        if isinstance(fault, PollError):
            raise fault
        if isinstance(fault, Hangs):
            await asyncio.sleep(timeout)
            raise PollError(Reason.TIMEOUT, f"no whole answer within {timeout:g} s", transient=True)
        if isinstance(fault, bytes):
            return Response(200, {}, fault)
        if isinstance(fault, int):
            return Response(fault, self.headers, b"")
        if self.tokens.get(asked.account_sid, asked.token) != asked.token:
            return Response(401, {}, b"")
        key, records = self._list(asked.whose)
        body = {key: records[skip : skip + count], "TotalCount": len(records)}
        return Response(200, {}, json.dumps(body).encode())

    def _list(self, whose: str) -> tuple[str, list[dict[str, Any]]]:
        if whose in self.projects:
            return "Projects", [{"PropertySid": sid, "Name": name} for sid, name in self.projects[whose].items()]
        return "SipTrunks", self.trunks.get(whose, [])


class FakeTransport:
    """Hands requests to the fake API."""

    outdated = False

    def __init__(self, api: FakeApi, settings: Api) -> None:
        self._api = api
        self._base_url = settings.base_url
        self._timeout = settings.timeout

    async def retire(self) -> None:
        """Close nothing."""

    async def get(
        self,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        statuses: list[int],
        _enlarge: Callable[[], bool],
    ) -> Response:
        """Ask the fake API."""
        account_sid, token = b64decode(headers["Authorization"].removeprefix("Basic ")).decode().split(":")
        whose = account_sid if path == "/v2/Properties" else path.split("/")[3]
        now = asyncio.get_running_loop().time()
        asked = Asked(now, whose, self._base_url, account_sid, token, query)
        response = await self._api.answer(asked, self._timeout)
        statuses.append(response.status)
        return response
