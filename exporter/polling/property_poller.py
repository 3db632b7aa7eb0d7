"""One property: polled again and again, and what is served of it in between."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.api.listing import trunks_of
from exporter.errors import PollError, Reason
from exporter.model import Health, Identity, PropertyView, Trunk
from exporter.polling.rhythm import Rhythm

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.api.client import ApiClient
    from exporter.api.credentials import Credentials
    from exporter.config import Filters, Poll
    from exporter.metrics.snapshot import Snapshot
    from exporter.telemetry import Telemetry

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Surroundings:
    """What all pollers share; `poll` is replaced by a reload, `clock` gives the Unix time."""

    client: ApiClient
    snapshot: Snapshot
    telemetry: Telemetry
    poll: Poll
    clock: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Target:
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
        self._health = Health(0, dict.fromkeys(Reason, 0))
        self._last_success: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._publish(None)

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
            self._listing = trunks_of(target.credentials, target.identity.sid, target.filters)
        self.target = target
        self._refresh()

    def replan(self) -> None:
        """Take to a configuration that has changed."""
        self.rhythm.replan(self._around.poll.interval)
        self._refresh()

    def close(self) -> None:
        """Withdraw the property whole."""
        if self._timer:
            self._timer.cancel()
        self._around.snapshot.drop(self.target.identity.sid)

    async def run(self) -> None:
        """Poll for ever, never two polls at once."""
        while True:
            try:
                await self.poll()
            except Exception:
                # Data that nobody keeps up any more must not go on looking well.
                log.exception("data withdrawn", extra={"property_sid": self.target.identity.sid})
                error = PollError(Reason.BAD_PAYLOAD, "the data could not be published; the log has the details")
                self._note(error, 0.0)
                self.rhythm.ended(error, self._around.poll.interval)
                self._publish(None)
            await self.rhythm.wait()

    async def poll(self) -> None:
        """Poll once; every way in which that can end is published."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        token = self.target.credentials.version
        error, trunks = None, None
        try:
            trunks = await self._fetch()
        except PollError as caught:
            error = caught
        if error is None:
            self._last_success = loop.time()
        self._note(error, loop.time() - started)
        outdated = self.target.credentials.version is not token
        self.rhythm.ended(error, self._around.poll.interval, outdated=outdated)
        if error:
            self._refresh()
        else:
            self._publish(trunks)

    async def _fetch(self) -> tuple[Trunk, ...]:
        around = self._around
        walked = await self._listing.fetch(around.client, suspect=self.rhythm.hung)
        around.telemetry.count_anomalies(walked.anomalies)
        return walked.records

    def _note(self, error: PollError | None, seconds: float) -> None:
        now = self._around.clock()
        before = self._health
        failures = dict(before.failures)
        if error:
            failures[error.reason] += 1
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
        if before.polls and _reason(before) == _reason(self._health):
            return
        about = {"property_sid": self.target.identity.sid, "property": self.target.identity.name}
        if self._health.last_error:
            log.warning("poll failed: %s", self._health.last_error, extra=about)
        elif before.polls:
            log.info("poll succeeded again", extra=about)

    def _refresh(self) -> None:
        """Serve the same trunks anew, as far as they may still be served."""
        shown = self._around.snapshot.properties.get(self.target.identity.sid)
        self._publish(shown.view.trunks if shown else None)

    def _publish(self, trunks: tuple[Trunk, ...] | None) -> None:
        """Serve `trunks` until something makes them untrue: an EndDate that comes, or their own age."""
        if self._timer:
            self._timer.cancel()
        left = self._seconds_left()
        view = PropertyView(self.target.identity, self._health, trunks if left > 0 else None, self._around.clock())
        shown = self._around.snapshot.publish(view)
        until_change = min(left, shown.true_until - view.now)
        if view.trunks is not None and until_change < float("inf"):
            self._timer = asyncio.get_running_loop().call_later(until_change, self._refresh)

    def _seconds_left(self) -> float:
        """Give how long the last good data may be served: those of a failing property until they are too old.

        A poll that should bring new ones may hang, or wait for its turn, so those of a property that is well have
        their end too: one interval later.
        """
        if self._last_success is None:
            return float("inf")
        poll = self._around.poll
        longest = poll.stale_after if self._health.up is False else poll.interval + poll.stale_after
        return self._last_success + longest - asyncio.get_running_loop().time()


def _reason(health: Health) -> str:
    return (health.last_error or "").partition(":")[0]
