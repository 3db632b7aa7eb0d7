"""What every request must pass before anything is done with it, and what every answer carries."""

from __future__ import annotations

import ipaddress
import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aiohttp import hdrs, web

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from exporter.config.web import RateLimit, Tls, WebConfig
    from exporter.web.users import Users

LARGEST_BODY = 2**16
"""Most bytes that a request may bring: no endpoint reads any."""
LONGEST_WAIT = 86_400
"""Most seconds after which a client is told to try again."""
CHALLENGE = 'Basic realm="siptrunk-exporter", charset="UTF-8"'


class Guard:
    """Refuses what is no request that an endpoint could mean, and gives answers their headers."""

    def tls(self) -> Tls | None:
        """Give how TLS is spoken with new connections, None where it is not."""
        return None

    def knows(self, certificate: Mapping[str, Any] | None) -> bool:  # noqa: ARG002 - whoever it is
        """Say whether a client may come in with its certificate, which was verified, or with none."""
        return True

    async def refusal(self, request: web.BaseRequest) -> web.Response | None:
        """Give the answer to a request that is not let in, None where it is."""
        length = request.content_length
        if request.body_exists and (length is None or length > LARGEST_BODY):
            return closing(_refuse(413, "no endpoint takes a body"))
        return None

    async def dress(self, _request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Give an answer the headers that every one has."""
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Server"] = "siptrunk-exporter"


class ConfiguredGuard(Guard):
    """Refuses also whom the web configuration in force, asked for by `current` for each request, does not let in."""

    def __init__(self, current: Callable[[], WebConfig], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._current = current
        self._config = current()
        self._bucket = Bucket(self._config.rate_limit, monotonic)
        self._users: Users | None = None

    def tls(self) -> Tls | None:
        """Give how TLS is spoken with new connections, None where it is not."""
        self._config = self._current()
        return self._config.tls_server_config if self._config.tls_server_config.context else None

    def knows(self, certificate: Mapping[str, Any] | None) -> bool:
        """Say whether a client may come in with its certificate, which was verified, or with none."""
        allowed = self._config.tls_server_config.client_allowed_sans
        # As with the toolkit, who shows none has no allowed name, even where none is needed.
        return allowed is None or not set(allowed).isdisjoint(_names(certificate or {}))

    async def refusal(self, request: web.BaseRequest) -> web.Response | None:
        """Give the answer to a request that is not let in, None where it is."""
        config = self._config = self._current()
        if refusal := await super().refusal(request):
            return refusal
        if wait := self._bucket.wait(config.rate_limit):
            return _refuse(429, "too many requests", {hdrs.RETRY_AFTER: str(math.ceil(min(wait, LONGEST_WAIT)))})
        return await self._refusal_of_user(request, config) if config.hashes else None

    async def dress(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Give an answer the headers that every one has, and those of the configuration where it has none."""
        await super().dress(request, response)
        for name, text in self._config.headers.items():
            response.headers.setdefault(name, text)

    async def _refusal_of_user(self, request: web.BaseRequest, config: WebConfig) -> web.Response | None:
        # bcrypt is loaded where there are users alone.
        from exporter.web.users import BusyError, Users  # noqa: PLC0415 - see above

        self._users = self._users or Users()
        # Of two it would be open whose they are.
        authorization = request.headers.getall(hdrs.AUTHORIZATION, [""])
        try:
            if len(authorization) == 1 and await self._users.admit(config.hashes, authorization[0], request.remote):
                return None
        except BusyError:
            return _refuse(503, "too many wait for their password to be checked", {hdrs.RETRY_AFTER: "1"})
        return _refuse(401, "unauthorized", {hdrs.WWW_AUTHENTICATE: CHALLENGE})


def _names(certificate: Mapping[str, Any]) -> Iterator[str]:
    for kind, name in certificate.get("subjectAltName", ()):
        if kind in ("DNS", "email", "URI"):
            yield name
        elif kind == "IP Address":
            # OpenSSL writes IPv6 in full.
            with suppress(ValueError):
                yield str(ipaddress.ip_address(name.strip()))


class Bucket:
    """A token bucket: it begins full, and is made anew where the limit changes."""

    def __init__(self, limit: RateLimit, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._fill(limit)

    def _fill(self, limit: RateLimit) -> None:
        self._limit, self._tokens, self._at = limit, float(limit.burst), self._monotonic()

    def wait(self, limit: RateLimit) -> float:
        """Take a token, and give 0; where there is none, give the seconds until there is one."""
        if limit != self._limit:
            self._fill(limit)
        if not limit.interval:
            return 0
        now = self._monotonic()
        self._tokens = min(limit.burst, self._tokens + (now - self._at) / limit.interval)
        self._at = now
        if self._tokens < 1:
            return (1 - self._tokens) * limit.interval
        self._tokens -= 1
        return 0


def _refuse(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=f"{text}\n", headers=headers)


def closing(response: web.Response) -> web.Response:
    """Have the connection end after the answer."""
    response.force_close()
    return response
