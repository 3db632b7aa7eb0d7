"""The changes of late, in the order in which they were seen."""

from __future__ import annotations

import logging
from collections import deque
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Reversible, Sequence

    from exporter.config import State
    from exporter.history.changes import Change, Kind
    from exporter.model import Identity

log = logging.getLogger(__name__)

LOGGED_AT_ONCE = 100
"""Most changes of one poll that get a line each in the log."""


class Wanted(msgspec.Struct, frozen=True):
    """Which changes are asked for: those seen from the Unix time `since` on and before `until`; None asks for all."""

    property_sid: str | None = None
    trunk_sid: str | None = None
    kinds: frozenset[Kind] = frozenset()
    since: float | None = None
    until: float | None = None

    def takes(self, change: Change) -> bool:
        """Say whether a change is among them."""
        return (
            self.property_sid in (None, change.property_sid)
            and self.trunk_sid in (None, change.trunk_sid)
            and (not self.kinds or change.kind in self.kinds)
            and (self.since is None or change.seen >= self.since)
            and (self.until is None or change.seen < self.until)
        )


class Journal:
    """Keeps changes, as many and for as long as configured; `recorded` is called with what is new."""

    def __init__(self, state: State, clock: Callable[[], float]) -> None:
        self._state = state
        self._clock = clock
        self._changes: deque[Change] = deque(maxlen=state.changes)
        self.recorded: Callable[[Sequence[Change]], None] = lambda _changes: None

    def configure(self, state: State) -> None:
        """Keep another number, or another time, from now on."""
        self._state = state
        self._changes = deque(self._changes, state.changes)

    def restore(self, changes: Sequence[Change]) -> list[Change]:
        """Take what was seen before the start; give what is kept that was not among it."""
        if not self._changes:
            self._changes.extend(changes)
            return []
        known = set(changes)
        new = [change for change in self._changes if change not in known]
        self._changes = deque(sorted([*changes, *new], key=attrgetter("seen")), self._state.changes)
        return new

    def record(self, identity: Identity, changes: Sequence[Change]) -> None:
        """Keep and log the changes of a property."""
        self._changes.extend(changes)
        self._forget_old()
        self.recorded(changes)
        about = {"property_sid": identity.sid, "property": identity.name}
        for change in changes[:LOGGED_AT_ONCE]:
            known = {name: value for name, value in _told(change).items() if value is not None}
            log.info("trunk changed", extra=about | known)
        if len(changes) > LOGGED_AT_ONCE:
            log.info("more trunks changed: %d changes not logged", len(changes) - LOGGED_AT_ONCE, extra=about)

    def newest_first(self, wanted: Wanted, skip: int, most: int) -> list[Change]:
        """Give up to `most` of the changes wanted, without the newest `skip` of them."""
        self._forget_old()
        return newest_first(self._changes, wanted, skip, most)

    def __iter__(self) -> Iterator[Change]:
        """Give all that are kept, the oldest first."""
        self._forget_old()
        return iter(self._changes)

    def _forget_old(self) -> None:
        oldest = self._clock() - self._state.keep_for
        while self._changes and self._changes[0].seen < oldest:
            self._changes.popleft()


def newest_first(changes: Reversible[Change], wanted: Wanted, skip: int, most: int) -> list[Change]:
    """Give up to `most` of those wanted, without the newest `skip` of them; the last of `changes` is the newest."""
    return list(islice(filter(wanted.takes, reversed(changes)), skip, skip + most))


def _told(change: Change) -> dict[str, object]:
    return {
        "kind": change.kind.value,
        "trunk_sid": change.trunk_sid,
        "trunk": change.trunk,
        "field": change.field if change.field != change.kind else None,
        "old": change.old,
        "new": change.new,
        "modified": change.modified,
    }
