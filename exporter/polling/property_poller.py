"""One property: polled again and again, and what is served of it in between."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec

from exporter.api.listing import trunks_of
from exporter.errors import PollError, Reason
from exporter.model import Health, Identity, PropertyView, Trunk
from exporter.polling.rhythm import Rhythm

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.api.client import ApiClient
    from exporter.api.credentials import Credentials
    from exporter.config import Filters, Limits, Poll
    from exporter.metrics.snapshot import Snapshot
    from exporter.telemetry import Telemetry

log = logging.getLogger(__name__)

_NO_FAILURES = dict.fromkeys(Reason, 0)


class Surroundings(msgspec.Struct):
    """What all pollers share; `poll` and `limits` are replaced by a reload, `clock` gives the Unix time.

    `ask` has a property polled at once.
    """

    client: ApiClient
    snapshot: Snapshot
    telemetry: Telemetry
    poll: Poll
    limits: Limits
    clock: Callable[[], float]
    ask: Callable[[PropertyPoller], None]


class Target(msgspec.Struct, frozen=True):
    """What is polled: the property, with whose credentials, and which of its trunks."""

    identity: Identity
    credentials: Credentials
    filters: Filters

    def same_list(self, other: Target) -> bool:
        """Whether both mean the same trunks, so that data of the one are data of the other."""
        return (self.identity.account_sid, self.filters) == (other.identity.account_sid, other.filters)


class PropertyPoller:
    """Polls one property and publishes it, by the promises on staleness."""

    def __init__(self, target: Target, around: Surroundings) -> None:
        self.target = target
        self.rhythm = Rhythm(target.identity.sid)
        self._around = around
        self._listing = trunks_of(target.credentials, target.identity.sid, target.filters)
        self._health = Health(0, _NO_FAILURES)
        self._last_success: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._serve()

    @property
    def account_sid(self) -> str:
        """Whose credentials are used."""
        return self.target.identity.account_sid

    @property
    def health(self) -> Health:
        """How the polling goes."""
        return self._health

    def update(self, target: Target) -> None:
        """Go on with the same trunks under another name or other credentials."""
        if target.credentials is not self.target.credentials:
            self._listing.query = trunks_of(target.credentials, target.identity.sid, target.filters).query
        self.target = target
        self._serve()

    def replan(self) -> None:
        """Take to a configuration that has changed."""
        self.rhythm.replan(self._around.poll.interval)
        self._serve()

    def close(self) -> None:
        """Withdraw the property whole, and keep nothing of it."""
        if self._timer:
            self._timer.cancel()
        self._around.snapshot.drop(self.target.identity.sid)
        self._listing.forget(self._around.client)

    async def poll(self) -> None:
        """Poll once; every way in which that can end is published."""
        try:
            await self._poll()
        except Exception:
            # Data that nobody keeps up any more must not go on looking well.
            log.exception("data withdrawn", extra={"property_sid": self.target.identity.sid})
            error = PollError(Reason.BAD_PAYLOAD, "the data could not be published; the log has the details")
            self._note(error, 0.0)
            self.rhythm.ended(error, self._around.poll.interval)
            self._last_success = None
            self._serve()

    async def _poll(self) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        token = self.target.credentials.version
        error, trunks = None, None
        try:
            trunks = await self._fetch()
        except PollError as caught:
            error = caught.bare()
        if error is None:
            self._last_success = loop.time()
        self._note(error, loop.time() - started)
        outdated = self.target.credentials.version is not token
        self.rhythm.ended(error, self._around.poll.interval, outdated=outdated)
        self._serve(trunks)

    async def _fetch(self) -> tuple[Trunk, ...] | None:
        around = self._around
        trunks, anomalies = await self._listing.fetch(around.client, around.limits, self.rhythm.manner)
        if anomalies:
            around.telemetry.count_anomalies(anomalies)
        return trunks

    def _note(self, error: PollError | None, seconds: float) -> None:
        # More digits than anybody reads would be most of what changes from scrape to scrape.
        now, seconds = round(self._around.clock(), 3), round(seconds, 6)
        before = self._health
        failures = before.failures
        if error:
            failures = {**failures, error.reason: failures[error.reason] + 1}
        self._health = Health(
            polls=before.polls + 1,
            failures=failures,
            last_poll=now,
            last_duration=seconds,
            last_error=str(error) if error else None,
            last_success=before.last_success if error else now,
        )
        self._log_change(before)

    def _log_change(self, before: Health) -> None:
        """Log what is new; what goes on as it was is in the metrics, and would only bury the rest."""
        if before.polls and before.reason == self._health.reason:
            return
        about = {"property_sid": self.target.identity.sid, "property": self.target.identity.name}
        if self._health.last_error:
            log.warning("poll failed: %s", self._health.last_error, extra=about)
        elif before.polls:
            log.info("poll succeeded again", extra=about)

    def view(self) -> PropertyView:
        """Give what is served now, the trunks read again.

        Where they were not kept it comes without them, and a poll comes at once.
        """
        recent = self._seconds_left() > 0
        trunks = self._listing.records() if recent else None
        shown = self._around.snapshot.get(self.target.identity.sid)
        # Once, when they go: where that poll fails, the next comes in its time.
        if recent and trunks is None and shown and shown.summary:
            self._around.ask(self)
        return self._view(trunks)

    def _view(self, trunks: tuple[Trunk, ...] | None) -> PropertyView:
        return PropertyView(self.target.identity, self._health, trunks, self._around.clock())

    def _serve(self, trunks: tuple[Trunk, ...] | None = None) -> None:
        """Serve the last good list until something makes it untrue: an EndDate that comes, or its own age.

        `trunks` are that list where they are not those served already.
        """
        snapshot, now, left = self._around.snapshot, self._around.clock(), self._seconds_left()
        before = snapshot.get(self.target.identity.sid)
        summary = before.summary if before else None
        still_true = summary is not None and summary.true_from <= now < summary.true_until
        if before and trunks is None and (still_true if left > 0 else summary is None):
            shown = snapshot.publish_health(self.target.identity, self._health)
        else:
            shown = snapshot.publish(self.view() if trunks is None else self._view(trunks if left > 0 else None))
        if shown.summary:
            self._look_again(min(left, shown.summary.true_until - now))

    def _look_again(self, seconds: float) -> None:
        """Serve anew after so many seconds at the latest: a timer that comes sooner does, for it will be set again."""
        at = asyncio.get_running_loop().time() + seconds
        if self._timer and self._timer.when() > at:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(at, self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer = None
        self._serve()

    def _seconds_left(self) -> float:
        """Give how long the last good data may be served: those of a failing property until they are too old.

        A poll that should bring new ones may hang, or wait for its turn, so those of a property that is well have
        their end too: one interval later.
        """
        if self._last_success is None:
            return 0.0
        poll = self._around.poll
        longest = poll.stale_after if self._health.up is False else poll.interval + poll.stale_after
        return self._last_success + longest - asyncio.get_running_loop().time()
