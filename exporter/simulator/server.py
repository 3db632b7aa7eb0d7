"""The carrier's REST API over a loopback socket, with the faults and limits that a client must live with."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import ipaddress
import math
import random
import time
from base64 import b64encode
from collections import Counter, deque
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from aiohttp import web

from exporter.simulator.carrier import Carrier, CarrierOptions
from exporter.simulator.faults import FAULTS, JSON, TRANSIENT, Fault, play, refuse
from exporter.simulator.names import pick
from exporter.simulator.queries import BadQueryError, Endpoint, Target, parse_filter, parse_page, parse_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self

    from exporter.simulator.trunks import Record

DEFAULT_TOKEN: Final = "simulator-token-not-a-secret"  # noqa: S105 - made up, and opens nothing but the simulator
SEEN_REQUESTS: Final = 10_000
# The most changes that one request makes up for: fractions of a second of work. See `Simulator`.
CATCH_UP_CHANGES: Final = 10_000
# Requests still unanswered at the stop are cancelled after this many seconds.
SHUTDOWN_SECONDS: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class SimulatorOptions(CarrierOptions):
    """The world to serve, and how: everything the API's pages leave open, and everything that can go wrong.

    `total_count` goes for `TotalCount` and `NextPageToken` of the object shape. `page_cap` is the most objects of
    a page; `latency` is in seconds; `error_rate` a share of the requests; `rate_limit` in requests a second (0: no
    limit); `churn` in changes a second. `retry_after` is what the 429 and 503 of a fault say (a 429 of the rate
    limit says the true time).
    """

    token: str = DEFAULT_TOKEN
    shape: Literal["array", "object"] = "array"
    total_count: bool = True
    page_cap: int | None = None
    latency: float = 0.0
    error_rate: float = 0.0
    rate_limit: float = 0.0
    churn: float = 0.0
    ignore_skip: bool = False
    gzip: bool = False
    etag: bool = False
    retry_after: str = "1"


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request as it came in: `property_sid` is None on the property list, `query` the parameters."""

    endpoint: Endpoint
    property_sid: str | None
    query: dict[str, str]


@dataclass(frozen=True, slots=True)
class Requests:
    """What was asked so far, refused requests included; `seen` keeps the latest 10,000, the counters all."""

    seen: deque[SeenRequest] = field(default_factory=lambda: deque(maxlen=SEEN_REQUESTS))
    by_endpoint: Counter[Endpoint] = field(default_factory=Counter)
    by_property: Counter[str] = field(default_factory=Counter)


class Simulator:
    """Serves a `Carrier` as the API does, from `start` (or `async with`, at a free port) to `stop`.

    `carrier` may be changed while it serves; `requests` tells what was asked. `clock` gives Unix seconds and rules
    activity, churn and the rate limit: one that stands still makes all three reproducible.

    Churn needs no task: a request first makes the changes that fell due since the one before, each at its own time.
    After a silence so long that more than 10,000 are due, only the latest 10,000 are made; the rest never happen.
    """

    def __init__(self, options: SimulatorOptions, clock: Callable[[], float] = time.time) -> None:
        self.options: Final = options
        self.carrier: Final = Carrier(options, clock())
        self.requests: Final = Requests()
        self._clock: Final = clock
        self._began: Final = clock()
        self._changes = 0
        self._credentials: Final = b64encode(f"{options.account_sid}:{options.token}".encode()).decode()
        # Apart from the carrier's: the world must not depend on how many requests came.
        self._rng: Final = random.Random(options.seed)  # noqa: S311 - reproducible on purpose
        self._allowance = max(1.0, options.rate_limit)
        self._allowed_at = self._began
        self._faults: Final[dict[str | None, Fault]] = {}
        self._runner: web.ServerRunner | None = None
        self.base_url = ""
        self.port = 0

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen on a loopback address; port 0 takes a free one. Sets `base_url` and `port`.

        Raises ValueError for an address that is not loopback, OSError where the port cannot be had.
        """
        if not is_loopback(host):
            raise ValueError(f"the simulator listens on loopback addresses only, not on {host}")
        server = web.Server(self._answer, access_log=None, handler_cancellation=True)
        runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        self._runner = runner
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError:
            await self.stop()
            raise
        self.port = runner.addresses[0][1]
        self.base_url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    async def stop(self) -> None:
        """Stop listening and end every connection at once, requests without an answer included."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def fail(self, property_sid: str | None, fault: Fault) -> None:
        """Answer everything about a property (None: the property list) with a fault, until `heal`.

        Raises ValueError for an unknown fault, KeyError for an unknown property.
        """
        if fault not in FAULTS:
            raise ValueError(f"no such fault: {fault}; there are {', '.join(FAULTS)}")
        if property_sid is not None and not self.carrier.has_property(property_sid):
            raise KeyError(property_sid)
        self._faults[property_sid] = fault

    def heal(self, property_sid: str | None) -> None:
        """End a property's fault; nothing happens where it has none."""
        self._faults.pop(property_sid, None)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        target = parse_path(request.path)
        self._note(target, request.query)
        if self.options.latency:
            await asyncio.sleep(self.options.latency)
        self._catch_up()
        if not self._authorised(request):
            return refuse(HTTPStatus.UNAUTHORIZED, "AccountSid or Token is wrong.")
        fault = None if target.endpoint == "other" else self._faults.get(target.property_sid)
        if fault is None and (wait := self._rate_wait()):
            return refuse(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests.", {"Retry-After": str(wait)})
        answer = self._reply(target, request)
        if fault := fault or self._misfortune():
            return await play(fault, request, answer, self.options.retry_after)
        return answer

    def _note(self, target: Target, query: Mapping[str, str]) -> None:
        sid = target.property_sid
        self.requests.seen.append(SeenRequest(target.endpoint, sid, dict(query)))
        self.requests.by_endpoint[target.endpoint] += 1
        # Sids that do not exist are not counted: a client could make them up without end.
        if sid is not None and self.carrier.has_property(sid):
            self.requests.by_property[sid] += 1

    def _catch_up(self) -> None:
        """Make the changes due since the last request, each at its time; of very many, the latest alone."""
        rate = self.options.churn
        due = int((self._clock() - self._began) * rate)
        self._changes = max(self._changes, due - CATCH_UP_CHANGES)
        while self._changes < due:
            self._changes += 1
            self.carrier.churn_step(self._began + self._changes / rate)

    def _authorised(self, request: web.BaseRequest) -> bool:
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "basic" and credentials.strip() == self._credentials

    def _rate_wait(self) -> int:
        """Take one request from the allowance: 0, or the whole seconds to wait where it is used up."""
        rate, now = self.options.rate_limit, self._clock()
        if not rate:
            return 0
        earned = max(0.0, now - self._allowed_at) * rate
        self._allowance, self._allowed_at = min(max(1.0, rate), self._allowance + earned), now
        if self._allowance < 1:
            return math.ceil((1 - self._allowance) / rate)
        self._allowance -= 1
        return 0

    def _misfortune(self) -> Fault | None:
        if not self.options.error_rate or self._rng.random() >= self.options.error_rate:
            return None
        return pick(self._rng, TRANSIENT)

    def _reply(self, target: Target, request: web.BaseRequest) -> web.Response:
        """Answer as the API does where nothing goes wrong, and refuse what it would refuse."""
        sid = target.property_sid
        if target.endpoint == "other" or (sid is not None and not self.carrier.has_property(sid)):
            return refuse(HTTPStatus.NOT_FOUND, "There is no such resource.")
        if request.method != "GET":
            return refuse(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET is allowed.", {"Allow": "GET"})
        try:
            body = self._body(target, request.query)
        except BadQueryError as fault:
            return refuse(HTTPStatus.BAD_REQUEST, str(fault))
        return refuse(HTTPStatus.NOT_FOUND, "There is no such SIP trunk.") if body is None else self._ok(request, body)

    def _body(self, target: Target, query: Mapping[str, str]) -> bytes | None:
        """Give the JSON asked for, None where there is no such trunk; raises BadQueryError."""
        if target.property_sid is None:
            return self._list_body("Projects", self.carrier.projects(), query)
        if target.endpoint == "details":
            return self._details_body(target.property_sid, target.trunk_sid)
        records = self.carrier.listing(target.property_sid, parse_filter(query), self._clock())
        return self._list_body("SipTrunks", records, query)

    def _list_body(self, name: str, items: Sequence[bytes | Record], query: Mapping[str, str]) -> bytes:
        """Cut the page asked for out of a list; the property list always is an object, as its page says."""
        skip, count = parse_page(query)
        skip = 0 if self.options.ignore_skip else skip
        count = count if self.options.page_cap is None else min(count, self.options.page_cap)
        page = items[skip : skip + count]
        joined = b",".join([item if isinstance(item, bytes) else item.encoded for item in page])
        if name == "SipTrunks" and self.options.shape == "array":
            return b"[%b]" % joined
        body = b'{"%b":[%b]' % (name.encode(), joined)
        if name == "Projects" or self.options.total_count:
            following = skip + len(page)
            token = str(following) if following < len(items) else ""
            body += b',"TotalCount":%d,"NextPageToken":"%b"' % (len(items), token.encode())
        return body + b"}"

    def _details_body(self, property_sid: str, trunk_sid: str) -> bytes | None:
        """Give the list's fields and more: which more is not in the documents at hand, so whose the trunk is."""
        trunk = self.carrier.find(property_sid, trunk_sid)
        if trunk is None:
            return None
        owner = {"AccountSid": self.options.account_sid, "PropertySid": property_sid}
        return msgspec.json.encode(msgspec.to_builtins(trunk) | owner)

    def _ok(self, request: web.BaseRequest, body: bytes) -> web.Response:
        """Make the 200, with the compression and the `ETag` that the options ask for; or the 304."""
        headers = {"Content-Type": JSON}
        if self.options.etag:
            digest = hashlib.blake2b(body, digest_size=16).hexdigest()
            headers["ETag"] = f'"{digest}"'
            if any(known.value in ("*", digest) for known in request.if_none_match or ()):
                return web.Response(status=HTTPStatus.NOT_MODIFIED, headers={"ETag": headers["ETag"]})
        if self.options.gzip:
            headers["Vary"] = "Accept-Encoding"
            if "gzip" in request.headers.get("Accept-Encoding", ""):
                headers["Content-Encoding"] = "gzip"
                body = gzip.compress(body, compresslevel=1, mtime=0)
        return web.Response(body=body, headers=headers)


def is_loopback(host: str) -> bool:
    """Tell whether a host is an IP address of the loopback interface; names are not looked up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
