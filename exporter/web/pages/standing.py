"""How a property is, as the pages tell of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from exporter.web.pages.words import since, span

if TYPE_CHECKING:
    from exporter.model import Shown
    from exporter.polling.property_poller import PropertyPoller
    from exporter.web.app import Endpoints
    from exporter.web.pages.html import Content
    from exporter.web.pages.wanted import Wanted

LONG = 3600
"""Seconds on its way from which on a trunk is told of, as the alert SipTrunkProvisioningStuck does."""
WEEK = 7 * 86_400
"""Seconds from which on nobody misses an active trunk where there is none, as the alert SipTrunkNoActiveTrunks ends."""
WORDS = {
    "down": "down, no data",
    "stale": "down, last good data",
    "late": "overdue",
    "waiting": "not polled yet",
    "up": "up",
}
"""How a property can be, the worst first."""
STATES = {
    "": "all",
    "failing": "down",
    "drift": "not as agreed",
    "delayed": "provisioning for long",
    "barren": "no active trunk",
    **WORDS,
}
LEVELS = {"good": "✓", "plain": "…", "look": "▲", "bad": "✕"}
"""How bad it is, with the sign for it."""
_LEVEL_OF = {"down": "bad", "stale": "bad", "late": "look", "waiting": "plain", "up": "good"}


class Row(NamedTuple):
    """A property as the pages tell of it; `due` is in how many seconds the next poll comes.

    `delayed` is since which Unix time a trunk is on its way, where that is long, else 0; `in_use` is whether it
    is known to have had an active trunk within the last week.
    """

    shown: Shown
    poller: PropertyPoller
    state: str
    due: float
    delayed: float
    in_use: bool

    @property
    def name(self) -> tuple[str, str]:
        """What it is sorted by where nothing else is to be told apart."""
        return self.shown.identity.name.casefold(), self.shown.identity.sid

    @property
    def drift(self) -> int:
        """How much is not as agreed."""
        return sum(differs for _, differs in self.shown.drift)

    @property
    def agreed(self) -> bool:
        """Whether anything was agreed on."""
        return self.poller.target.expected is not None

    @property
    def down(self) -> bool:
        """Whether the last poll failed."""
        return self.shown.health.up is False

    @property
    def down_since(self) -> float:
        """Since which Unix time it is down, as far as is known, 0 where it is not."""
        return (self._success_before_start or self.poller.down_since or 0.0) if self.down else 0.0

    @property
    def _success_before_start(self) -> float | None:
        # Where all polls of this process failed, the last success is one that was recalled.
        health = self.shown.health
        return health.last_success if sum(health.failures.values()) == health.polls else None

    def downtime(self, now: float, which: str = "") -> Content:
        """Say since when it is down, or where that was before the start, since when there was no success.

        `which` of several it is goes before.
        """
        unknown = f"{which and 'with '}no success " if self._success_before_start else None
        return [which, unknown, since(self.down_since or now, now)]

    @property
    def barren(self) -> bool:
        """Whether none of its trunks is known to be active, which is what the alert goes by."""
        return self.total("active_trunks") == 0

    @property
    def unclear(self) -> bool:
        """Whether of some trunks it is not known if they are active, where it is `barren`."""
        return self.total("active_channel_limit") < 0

    @property
    def bereft(self) -> bool:
        """Whether it has no active trunk any more, and somebody may miss it."""
        return self.barren and self.in_use

    @property
    def askew(self) -> bool:
        """Whether it is not as it should be, though it can be polled."""
        return bool(self.drift or self.delayed or self.bereft)

    @property
    def level(self) -> str:
        """How bad it is."""
        level = _LEVEL_OF[self.state]
        return "look" if level in ("good", "plain") and self.askew else level

    def total(self, key: str) -> int:
        """Give a number of its summary, -1 where it is not known: less than all that are."""
        known: int | None = getattr(self.shown.summary, key, None)
        return -1 if known is None else known

    def passes(self, wanted: Wanted) -> bool:
        """Say whether it is among what is asked for."""
        identity, sought = self.shown.identity, wanted.q.casefold()
        kinds = {
            "",
            self.state,
            "failing" if self.down else "",
            "drift" if self.drift else "",
            "delayed" if self.delayed else "",
            "barren" if self.barren else "",
        }
        return wanted.state in kinds and (sought in identity.name.casefold() or sought in identity.sid.casefold())


def row_of(endpoints: Endpoints, shown: Shown, poller: PropertyPoller) -> Row:
    """Say how a property is."""
    due, health = poller.rhythm.due - asyncio.get_running_loop().time(), shown.health
    interval = endpoints.poller.config.poll.interval
    begun = poller.on_the_way_since if shown.summary else None
    delayed = begun if begun is not None and begun < endpoints.clock() - LONG else 0
    if health.up:
        # Asked for out of turn it is due, and not overdue before it would have been in its turn.
        behind = -due if poller.rhythm.due else endpoints.clock() - (health.last_poll or 0) - interval
        state = "late" if behind > interval else "up"
    else:
        state = "waiting" if health.up is None else "stale" if shown.summary else "down"
    return Row(shown, poller, state, due, delayed, poller.active_until > endpoints.clock() - WEEK)


def due(seconds: float) -> str:
    """Say in how many seconds the next poll comes."""
    return f"in {span(round(seconds))}" if seconds >= 1 else "now"
