"""Requests to the API: authentication, budget, retries, and what the statuses and error bodies mean."""

from __future__ import annotations

import asyncio
import email.utils
import json
import logging
import random
import time
from contextlib import asynccontextmanager
from datetime import UTC
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

from exporter.api.budget import Budget, Manner, Turn
from exporter.api.payload import error_message
from exporter.api.transport import TRANSIENT_STATUSES, CrowdedError, Response, Transport
from exporter.errors import PollError, Reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from exporter.api.credentials import Credentials
    from exporter.config import Api
    from exporter.telemetry import Telemetry

log = logging.getLogger(__name__)

FIRST_BACKOFF = 0.5
LONGEST_WAIT = 30.0
"""Most seconds to wait inside one poll before a retry; a longer `Retry-After` ends the poll and is obeyed after."""
MOST_KEPT = 256 * 2**20
"""Most bytes that are kept of answers, compressed, all lists together: more than three million trunks' fit."""

TRANSPORT_SETTINGS = ("base_url", "timeout", "ca_file", "cert_file", "key_file")
REASON_OF_STATUS = {401: Reason.AUTH, 403: Reason.FORBIDDEN, 404: Reason.NOT_FOUND, 429: Reason.RATE_LIMITED}


class Validators(msgspec.Struct, frozen=True):
    """What the server sent to recognise an unchanged answer by (RFC 9110, section 8.8)."""

    etag: str | None = None
    last_modified: str | None = None


class Query(msgspec.Struct, frozen=True):
    """One question to the API: whose, under which label it is counted, and what is asked."""

    credentials: Credentials
    endpoint: str
    path: str
    parameters: Mapping[str, str]

    def at(self, skip: int, count: int) -> Query:
        """Give the question for `count` records of a list, from the place `skip` on."""
        paging = {"Results_Skip": str(skip), "Results_Count": str(count)}
        return Query(self.credentials, self.endpoint, self.path, {**self.parameters, **paging})


class Answer(msgspec.Struct, frozen=True):
    """A good answer; `body` is None where it is unchanged since the validators given; `seconds` include retries."""

    body: bytes | None
    validators: Validators
    seconds: float


class ApiClient:
    """Asks the API for all accounts and properties; they share one budget of requests."""

    def __init__(self, api: Api, telemetry: Telemetry) -> None:
        self.api = api
        self._telemetry = telemetry
        self.budget = Budget(api.max_concurrency, api.requests_per_second)
        self._transport = Transport(api)
        self.reading_large = asyncio.Lock()
        """Held while one large answer is read."""
        self.left_to_keep = MOST_KEPT
        """Bytes that may still be kept of answers, all lists together."""

    def configure(self, api: Api) -> Transport | None:
        """Send all further requests as `api` has it; those in flight end as they began.

        Gives the transport that is no longer used, for the caller to retire, where there is another now. Raises
        `OSError` where the files of TLS cannot be used; then all stays as it was.
        """
        retired = None
        if any(getattr(self.api, name) != getattr(api, name) for name in TRANSPORT_SETTINGS):
            retired, self._transport = self._transport, Transport(api)
        self.api = api
        self.budget.configure(api.max_concurrency, api.requests_per_second)
        return retired

    def refresh(self) -> Transport | None:
        """Take the files of TLS anew where one has changed; those that cannot be used leave all as it was.

        Gives the transport that is no longer used, for the caller to retire, where there is another now.
        """
        if not self._transport.outdated:
            return None
        try:
            retired, self._transport = self._transport, Transport(self.api)
        except OSError as error:
            log.warning("the files of TLS are not read again, the old ones stay: %s", error)
            return None
        log.info("the files of TLS have changed and are in force")
        return retired

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.retire()

    @asynccontextmanager
    async def ask(
        self, query: Query, validators: Validators | None = None, manner: Manner | None = None
    ) -> AsyncIterator[Answer]:
        """Send one request, again as often as is sensible, and give its good answer.

        The answer holds its place in flight until the context ends: there it is to be read, so that what waits for that
        is bounded, whoever asked for it. `manner` has the request wait among its like, and learns how it was answered.
        Raises `PollError` with the reason of the last try.
        """
        manner = manner or Manner()
        spent: list[float] = []
        attempt = 1
        while True:
            wait = 0.0
            async with self.budget.turn(manner.kind) as turn:
                try:
                    answer = await self._attempt(query, validators, spent, turn, manner)
                except CrowdedError:
                    # It is sent again once there is a place for its answer, which is no fault of the API.
                    manner.large = True
                except PollError as error:
                    pause = wait_before_retry(error, attempt, self.api.max_attempts)
                    if pause is None:
                        raise
                    self._telemetry.api_retries.labels(error.reason).inc()
                    spent.append(wait := pause)
                    attempt += 1
                else:
                    yield answer
                    return
                finally:
                    manner.large = manner.large or turn.kind.large
            await asyncio.sleep(wait)

    async def _attempt(
        self, query: Query, validators: Validators | None, spent: list[float], turn: Turn, manner: Manner
    ) -> Answer:
        # The token may have changed while this waited.
        headers = {"Authorization": query.credentials.authorization}
        if validators and validators.etag:
            headers["If-None-Match"] = validators.etag
        if validators and validators.last_modified:
            headers["If-Modified-Since"] = validators.last_modified
        statuses: list[int] = []
        now = asyncio.get_running_loop().time
        started = now()
        try:
            response = await self._transport.get(
                query.path, query.parameters, headers, statuses, lambda: self.budget.enlarge(turn)
            )
        finally:
            spent.append(now() - started)
            manner.took(spent[-1], self.api.timeout)
            self._telemetry.count_request(query.endpoint, str(statuses[-1]) if statuses else "error", spent[-1])
        if response.status == HTTPStatus.NOT_MODIFIED and validators:
            return Answer(None, validators, sum(spent))
        if response.status != HTTPStatus.OK:
            raise refusal(response)
        received = Validators(_usable(response, "ETag"), _usable(response, "Last-Modified"))
        return Answer(response.body, received, sum(spent))


def _usable(response: Response, header: str) -> str | None:
    """Give a header that can be sent back as it came."""
    value = response.headers.get(header)
    return value if value is not None and value.isascii() and value.isprintable() else None


def refusal(response: Response) -> PollError:
    """Turn an answer that is no list into the error it means, with the API's own words where it gave some."""
    status = response.status
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        reason = Reason.SERVER_ERROR
    elif status >= HTTPStatus.BAD_REQUEST:
        reason = REASON_OF_STATUS.get(status, Reason.BAD_REQUEST)
    else:
        reason = Reason.BAD_PAYLOAD
    transient = status in TRANSIENT_STATUSES
    retry_after = _retry_after(response.headers.get("Retry-After")) if transient else None
    return PollError(reason, f"HTTP {_named(status)}{_said(response)}", transient=transient, retry_after=retry_after)


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _said(response: Response) -> str:
    try:
        message = error_message(json.loads(response.body))
    except (ValueError, RecursionError):
        message = None
    return f": {message}" if message else ", with no ResponseStatus"


def _retry_after(value: str | None) -> float | None:
    """Read `Retry-After` (RFC 9110, section 10.2.3): seconds, or the date to wait for; None if neither."""
    if value is None:
        return None
    try:
        seconds = float(value) if value.strip().isdecimal() else _seconds_until(value)
    except (ValueError, OverflowError):
        return None
    return max(seconds, 0.0)


def _seconds_until(date: str) -> float:
    moment = email.utils.parsedate_to_datetime(date)
    # HTTP's dates are UTC, also in the old form that does not say so.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - time.time()


def wait_before_retry(error: PollError, attempt: int, max_attempts: int) -> float | None:
    """Give the seconds to wait before the next try, or None where there should be none.

    Exponential back-off with full jitter: the whole wait is drawn, so that what failed together does not come
    back together. What the API asked for in `Retry-After` comes on top.
    """
    asked = error.retry_after or 0.0
    if not error.transient or attempt >= max_attempts or asked > LONGEST_WAIT:
        return None
    backoff = min(LONGEST_WAIT, FIRST_BACKOFF * 2 ** (attempt - 1))
    return asked + random.uniform(0.0, backoff)  # noqa: S311 - spreads load, keeps no secret
