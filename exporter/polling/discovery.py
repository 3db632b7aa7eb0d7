"""The properties of an account, looked up by name again each round."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from exporter.api.listing import properties_of
from exporter.api.payload import MOST_LABEL_BYTES
from exporter.config import Limits
from exporter.errors import Anomaly, PollError, Reason
from exporter.history.remembered import Remembered, key_of
from exporter.polling.rhythm import Rhythm
from exporter.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exporter.api.credentials import Credentials
    from exporter.config import Discover
    from exporter.model import Project
    from exporter.polling.property_poller import Surroundings

log = logging.getLogger(__name__)

# A Sid becomes part of a URL's path.
_SID = re.compile(r"[A-Za-z0-9]{1,64}")


class Discovery:
    """Looks an account's properties up; `names` is what the last complete look-up brought, names by Sid.

    `changed` is called after each look-up that brought something new.
    """

    def __init__(
        self, credentials: Credentials, rule: Discover, around: Surroundings, changed: Callable[[], None]
    ) -> None:
        self._credentials = credentials
        self._rule = rule
        self.rhythm = Rhythm(credentials.account_sid)
        self.tried = False
        self.names: dict[str, str] = {}
        self.found: dict[str, str] = {}
        """The names by Sid of the properties that the rule selects."""
        self.last_error: str | None = None
        self.failing_since: float | None = None
        """The Unix time of the first look-up that failed since the last success."""
        self._around = around
        self._changed = changed
        self._listing = properties_of(credentials)
        self.key = key_of(self._listing.query, around.client.api.base_url)
        self.seen: float | None = None
        for reason in Reason:
            around.telemetry.discovery_failures.labels(self.account_sid, reason)

    @property
    def account_sid(self) -> str:
        """Whose properties are looked up."""
        return self._credentials.account_sid

    def remembered(self) -> Remembered | None:
        """Give what is to outlive the process."""
        saved = self._listing.saved()
        return Remembered(saved) if saved else None

    def recall(self, known: Remembered, seen: float) -> None:
        """Go on from what was found at the Unix time `seen`, however long ago, as where look-ups fail."""
        self._listing.restore(self._around.client, known.listing)
        try:
            self.names, _ = self._usable(self._listing.records() or ())
        except Exception:
            self._listing.forget(self._around.client)
            raise
        self.found = {sid: name for sid, name in self.names.items() if self._rule.selects(name)}
        if seen <= self._around.clock():
            self.seen = seen
            self._around.telemetry.discovery_last_success.labels(self.account_sid).set(seen)
        self._changed()

    def update(self, credentials: Credentials, rule: Discover) -> None:
        """Go on with other credentials or another rule; what was found is kept."""
        if rule != self._rule:
            self._rule = rule
            self.found = {sid: name for sid, name in self.names.items() if rule.selects(name)}
        if credentials is not self._credentials:
            self._credentials = credentials
            self._listing.query = properties_of(credentials).query

    def replan(self) -> None:
        """Take to a configuration that has changed."""
        self.rhythm.replan(self._around.poll.interval)

    def close(self) -> None:
        """Leave nothing behind, in the metrics neither."""
        self._listing.forget(self._around.client)
        telemetry = self._around.telemetry
        for metric in (
            telemetry.discovery_up,
            telemetry.discovery_last_success,
            telemetry.discovery_failing,
            telemetry.discovery_failures,
        ):
            metric.remove_by_labels({"account_sid": self.account_sid})

    async def poll(self) -> None:
        """Look up once; where that fails, what was found before stays."""
        error = None
        token = self._credentials.version
        try:
            names = await self._fetch()
            found = self.found if names == self.names else await self._select(names)
        except PollError as caught:
            error = caught.bare()
        self._note(error)
        self.rhythm.ended(error, self._around.poll.interval, outdated=self._credentials.version is not token)
        if error is None:
            new = names != self.names
            if self._around.memory:
                self._around.memory.note(self, whole=new)
            if new:
                self.names, self.found = names, found
                self._changed()

    async def _select(self, names: dict[str, str]) -> dict[str, str]:
        """Give those that the rule selects, letting others run in between: it may be slow with names made for that."""
        turns, rule = Turns(), None
        found: dict[str, str] = {}
        # Once more where another rule came in between.
        while rule is not self._rule:
            rule, found = self._rule, {}
            for sid, name in names.items():
                if rule.selects(name):
                    found[sid] = name
                await turns.give()
        return found

    async def _fetch(self) -> dict[str, str]:
        around = self._around
        # Properties are what this list holds. The rule is for the whole name, which is cut where it becomes a label.
        limits = Limits(trunks_per_property=around.limits.properties_per_account, label_bytes=MOST_LABEL_BYTES)
        projects, anomalies = await self._listing.fetch(around.client, limits, self.rhythm.manner)
        projects = self._listing.records() if projects is None else projects
        assert projects is not None  # noqa: S101 - what stayed the same was kept
        names, found = self._usable(projects)
        around.telemetry.count_anomalies({**anomalies, **found})
        return names

    def _usable(self, projects: Sequence[Project]) -> tuple[dict[str, str], dict[Anomaly, int]]:
        """Give the names by Sid of what can be polled, and what was odd about the others."""
        usable = [project for project in projects if _SID.fullmatch(project.sid)]
        too_long = sum(len((project.name or "").encode()) > self._around.limits.label_bytes for project in usable)
        odd = {Anomaly.INVALID_SID: len(projects) - len(usable), Anomaly.LABEL_TOO_LONG: too_long}
        return {project.sid: project.name or "" for project in usable}, odd

    def _note(self, error: PollError | None) -> None:
        sid = self.account_sid
        telemetry = self._around.telemetry
        telemetry.discovery_up.labels(sid).set(error is None)
        telemetry.discovery_failing.remove_by_labels({"account_sid": sid})
        if error:
            telemetry.discovery_failing.labels(sid, error.reason).set(1)
            telemetry.discovery_failures.labels(sid, error.reason).inc()
        else:
            self.seen = self._around.clock()
            telemetry.discovery_last_success.labels(sid).set(self.seen)
        message = str(error) if error else None
        if message and message != self.last_error:
            log.warning("discovery failed: %s", message, extra={"account_sid": sid})
        self.last_error = message
        self.failing_since = (self.failing_since or self._around.clock()) if error else None
        self.tried = True
