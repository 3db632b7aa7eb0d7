"""One property: polled again and again, and what is served of it in between."""

from __future__ import annotations

import asyncio
import logging
from array import array
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from exporter.api.listing import trunks_of
from exporter.errors import PollError, Reason
from exporter.history.changes import Kind, as_last_told, compare, states_since
from exporter.history.hour import Hour
from exporter.history.remembered import Memory, Remembered, key_of
from exporter.model import NO_CHANGES, Health, Identity, PropertyView, Trunk, on_the_way_since
from exporter.polling.rhythm import Rhythm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exporter.api.client import ApiClient
    from exporter.api.credentials import Credentials
    from exporter.config import Expected, Filters, Limits, Poll
    from exporter.history.changes import Change, Lacking
    from exporter.history.journal import Journal
    from exporter.metrics.snapshot import Snapshot
    from exporter.telemetry import Telemetry

log = logging.getLogger(__name__)

LONG = 5000
"""Trunks from which on a thread compares two lists."""
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
    journal: Journal
    memory: Memory | None = None


class Target(msgspec.Struct, frozen=True):
    """What is polled: the property, with whose credentials, and which of its trunks."""

    identity: Identity
    credentials: Credentials
    filters: Filters
    expected: Expected | None = None

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
        self._listing.replaced = self._replace
        self._replacing = False
        self.key = key_of(self._listing.query, around.client.api.base_url)
        self._health = Health(0, _NO_FAILURES)
        self.hour = Hour()
        self.down_since: float | None = None
        """The Unix time at which the first of the polls ended that have failed since the last success."""
        self.last_failure: tuple[float, str] | None = None
        """The Unix time at which the last poll that failed ended, and why it failed."""
        self._last_success: float | None = None
        self._seen_at = 0.0
        self._since: Sequence[int] = ()
        self._lacking: Lacking = {}
        self.on_the_way_since: int | None = None
        """Since which Unix time a trunk of the last list is on its way, of several the earliest; None where none is."""
        self.active_until = 0.0
        """The last Unix time at which it had an active trunk, as far as is known, else 0."""
        self._changes = NO_CHANGES
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

    @property
    def seen(self) -> float | None:
        """The Unix time of the last poll that brought a complete list."""
        return self._health.last_success

    def remembered(self) -> Remembered | None:
        """Give what is to outlive the process."""
        saved = self._listing.saved()
        return Remembered(saved, self._seen_at, tuple(self._since), self._lacking) if saved else None

    def recall(self, known: Remembered, seen: float) -> None:
        """Go on from what was known at the Unix time `seen`: a first poll is no first walk then.

        Nothing is served of the trunks before `show`, which takes time. Of data that seem to be from the future nobody
        knows the age, so they are compared with, and not served.
        """
        now = self._around.clock()
        self._listing.restore(self._around.client, known.listing)
        self._since = array("q", known.since)
        self._seen_at, self._lacking = min(known.compared, now), known.lacking
        if seen <= now:
            self._health = msgspec.structs.replace(self._health, last_success=seen)
        self._around.snapshot.publish(self._view(None))
        if seen <= now:
            self._last_success = asyncio.get_running_loop().time() - (now - seen)

    def show(self) -> None:
        """Serve what was recalled, unless a poll did."""
        shown = self._around.snapshot.get(self.target.identity.sid)
        if self._last_success is not None and not (shown and shown.summary):
            try:
                self._serve()
            except Exception:
                log.exception("what was remembered is not served", extra={"property_sid": self.target.identity.sid})
                self._withdraw()

    def update(self, target: Target) -> None:
        """Go on with the same trunks under another name or other credentials."""
        if target.credentials is not self.target.credentials:
            self._listing.query = trunks_of(target.credentials, target.identity.sid, target.filters).query
        expected, self.target = self.target.expected, target
        self._serve(anew=target.expected != expected)

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
            self._withdraw()

    def _withdraw(self) -> None:
        # What could not be read, or compared with, must not be in the way for ever.
        self._listing.forget(self._around.client)
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
        if error is None:
            self._remember(whole=trunks is not None)
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
            self.last_failure = now, str(error)
        self.down_since = (self.down_since or now) if error else None
        self.hour.note(asyncio.get_running_loop().time(), seconds, failed=error is not None)
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

    async def _replace(self, before: tuple[Trunk, ...] | None, after: tuple[Trunk, ...]) -> None:
        """Note what has changed since `before`, the last complete list known; None where there was none."""
        now = self._around.clock()
        self._replacing = True
        try:
            if len(after) > LONG:
                found = await asyncio.to_thread(self._found, before, after, now)
            else:
                found = self._found(before, after, now)
        finally:
            self._replacing = False
        self._take(*found, now)

    def _found(
        self, before: tuple[Trunk, ...] | None, after: tuple[Trunk, ...], now: float
    ) -> tuple[list[Change], Lacking, Sequence[int], int | None]:
        """Give what has changed and what `after` lacks, since when each trunk has its state, and one is on its way."""
        changes: list[Change] = []
        lacking: Lacking = {}
        known: Sequence[Trunk] = ()
        since: Sequence[int] = ()
        if before is not None:
            # What was recalled an earlier exporter may have read otherwise.
            since = self._since if len(before) == len(self._since) else states_since((), (), before, now)
            if any(trunk.active(self._seen_at) for trunk in before):
                self.active_until = max(self.active_until, self._seen_at)
            known = as_last_told(before, self._lacking)
            changes, lacking = compare(self.target.identity.sid, known, self._seen_at, after, now)
        if before is not after:
            since = states_since(known, since, after, now)
        return changes, lacking, since, on_the_way_since(after, since)

    def _take(
        self, changes: list[Change], lacking: Lacking, since: Sequence[int], on_the_way: int | None, now: float
    ) -> None:
        self._lacking, self._since, self.on_the_way_since, self._seen_at = lacking, since, on_the_way, now
        if changes:
            counted = Counter(change.kind for change in changes)
            self._changes = tuple([count + counted[kind] for kind, count in zip(Kind, self._changes, strict=True)])
            self._around.journal.record(self.target.identity, changes)
            self._remember(whole=True)

    def _look_at_ends(self, trunks: tuple[Trunk, ...]) -> None:
        """Note whose EndDate has come since these trunks were last looked at."""
        # A list that is about to take their place is being compared with them.
        if not self._replacing:
            now = self._around.clock()
            self._take(*self._found(trunks, trunks, now), now)

    def _remember(self, *, whole: bool) -> None:
        if self._around.memory:
            self._around.memory.note(self, whole=whole)

    def view(self) -> PropertyView:
        """Give what is served now, the trunks read again; without them where they were not kept."""
        return self._view(self._read_again() if self._seconds_left() > 0 else None)

    def _read_again(self) -> tuple[Trunk, ...] | None:
        """Read again what is served; where that was not kept, a poll comes at once."""
        trunks = self._listing.records()
        shown = self._around.snapshot.get(self.target.identity.sid)
        # Once, when they go: where that poll fails, the next comes in its time.
        if trunks is None and shown and shown.summary:
            self._around.ask(self)
        return trunks

    async def viewed(self) -> PropertyView:
        """Give the same; others have their turn while a long list is read."""
        while True:
            view = self._view(None)
            if self._seconds_left() <= 0:
                return view
            trunks = await asyncio.to_thread(self._listing.records)
            # Where a poll has brought another list meanwhile, the one does not go with the other.
            if self._since is view.since:
                return replace(view, trunks=trunks)

    def _view(self, trunks: tuple[Trunk, ...] | None) -> PropertyView:
        now, expected = self._around.clock(), self.target.expected
        return PropertyView(self.target.identity, self._health, trunks, now, self._since, self._changes, expected)

    def _serve(self, trunks: tuple[Trunk, ...] | None = None, *, anew: bool = False) -> None:
        """Serve the last good list until something makes it untrue: an EndDate that comes, or its own age.

        `trunks` are that list where they are not those served already; `anew` has it read again all the same.
        """
        snapshot, now, left = self._around.snapshot, self._around.clock(), self._seconds_left()
        before = snapshot.get(self.target.identity.sid)
        summary = before.summary if before else None
        still_true = summary is not None and summary.true_from <= now < summary.true_until
        if before and trunks is None and not anew and (still_true if left > 0 else summary is None):
            shown = snapshot.publish_health(self.target.identity, self._health)
        else:
            if trunks is None and left > 0:
                trunks = self._read_again()
                if trunks is not None:
                    self._look_at_ends(trunks)
            shown = snapshot.publish(self._view(trunks if left > 0 else None))
        if shown.summary:
            if shown.summary.active_trunks:
                self.active_until = now
            elif trunks:
                # They may have ended while nobody looked.
                self.active_until = max(self.active_until, *(trunk.end_date or 0 for trunk in trunks))
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
        """Give how long the last good data may be served: those of a failing property, or recalled, until too old.

        A poll that should bring new ones may hang, or wait for its turn, so those of a property that is well have
        their end too: one interval later.
        """
        if self._last_success is None:
            return 0.0
        poll = self._around.poll
        longest = poll.interval + poll.stale_after if self._health.up else poll.stale_after
        return self._last_success + longest - asyncio.get_running_loop().time()
