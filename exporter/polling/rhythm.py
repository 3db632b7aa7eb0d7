"""When something is polled next."""

from __future__ import annotations

import asyncio
import math
import zlib

from exporter.api.budget import Manner
from exporter.errors import PollError, Reason

SLOWEST_AUTH_RETRY = 600.0
"""Seconds between tries with credentials that were rejected, at the slowest (or the poll interval, if longer)."""

LONGEST_RETRY_AFTER = 300.0
"""Most seconds that a `Retry-After` is obeyed (or the poll interval, if longer): one answer must not silence long."""


def phase(key: str) -> float:
    """Give the place within each interval of what has this Sid: 0 is its beginning, 1 its end."""
    return zlib.crc32(key.encode()) / 2**32


class Rhythm:
    """The rhythm of one property: a fixed place within each interval, drawn from its Sid.

    So that the properties are spread over the interval, each stays where it is when others come and go, and the
    first round alone goes as fast as the budget allows.
    """

    __slots__ = ("_asked", "_auth_failures", "_ended", "_last_error", "_phase", "due", "manner", "planned")

    def __init__(self, key: str) -> None:
        self._phase = phase(key)
        self._ended = 0.0
        self._last_error: PollError | None = None
        self._auth_failures = 0
        self._asked = True
        self.manner = Manner()
        """How the last poll was answered."""
        self.due = 0.0
        """The loop's time at which the next poll should begin."""
        self.planned: float | None = None
        """The time for which the schedule has it, if it has."""

    @property
    def rejected(self) -> bool:
        """Whether the last poll failed because of the credentials."""
        return self._auth_failures > 0

    def ask(self) -> None:
        """Let the next poll come at once, or as soon as the one under way has ended."""
        self._asked = True
        self.due = 0.0

    def begin(self) -> None:
        """Note that a poll begins: what was asked for has come."""
        self._asked = False

    def stop(self) -> None:
        """Let no poll come any more."""
        self._asked = True
        self.due = math.inf
        self.planned = None

    def ended(self, error: PollError | None, interval: float, *, outdated: bool = False) -> None:
        """Note how a poll ended, and plan the next: at once where a token was rejected that is `outdated`."""
        self._ended = asyncio.get_running_loop().time()
        self._last_error = error
        self.manner.ended()
        self._auth_failures = self._auth_failures + 1 if error and error.reason is Reason.AUTH else 0
        if self.rejected and outdated:
            self.ask()
        self.plan(interval)

    def replan(self, interval: float) -> None:
        """Take to a configuration that has changed; what was rejected, or told to wait, is tried at once."""
        if self.rejected or (self._last_error and self._last_error.retry_after):
            self.ask()
        self.plan(interval)

    def plan(self, interval: float) -> None:
        """Plan the next poll, `interval` being the seconds from one to the next."""
        if self._asked:
            return
        if self._auth_failures:
            slowest = max(SLOWEST_AUTH_RETRY, interval)
            # The exponent is bounded for the float's sake.
            self.due = self._ended + min(slowest, interval * 2 ** min(self._auth_failures - 1, 20))
        else:
            self.due = self._ended + interval - (self._ended - self._phase * interval) % interval
        if self._last_error and self._last_error.retry_after:
            longest = max(LONGEST_RETRY_AFTER, interval)
            self.due = max(self.due, self._ended + min(self._last_error.retry_after, longest))
