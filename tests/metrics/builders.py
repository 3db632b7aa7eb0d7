"""Trunks, health and views with everything filled in that a test does not speak of."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, TypeVar, cast

from prometheus_client import CollectorRegistry

from exporter.config import Expected, ExpectedTrunk, Metrics
from exporter.errors import Reason
from exporter.history.changes import Kind
from exporter.metrics.exposition import Renderer
from exporter.metrics.scrape import OPENMETRICS, Scraper
from exporter.metrics.snapshot import Snapshot
from exporter.model import Health, Identity, PropertyView, Trunk

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

T = TypeVar("T")

NOW = 1_800_000_000.0
IDENTITY = Identity("S1", "A1", "Sydney office")
CHANGES = tuple(range(len(Kind)))
NEVER_POLLED = Health(0, dict.fromkeys(Reason, 0))
HEALTHY = Health(
    polls=3,
    failures=dict.fromkeys(Reason, 0) | {Reason.TIMEOUT: 1},
    last_poll=NOW,
    last_duration=0.25,
    last_success=NOW,
)
FAILING = Health(
    polls=4,
    failures=dict.fromkeys(Reason, 0) | {Reason.AUTH: 2},
    last_poll=NOW,
    last_duration=0.5,
    last_error="auth: HTTP 401",
    last_success=NOW - 60,
)


def trunk(sid: str = "T1", **fields: Any) -> Trunk:  # noqa: ANN401 - whatever the fields hold
    """Give a trunk of which the API told nothing but its Sid and `fields`."""
    return Trunk(sid=sid, **fields)


def view(
    *trunks: Trunk, health: Health = HEALTHY, identity: Identity = IDENTITY, now: float = NOW, shown: bool = True
) -> PropertyView:
    """Give a property with `trunks`, or where they are not `shown` without any data."""
    # Of the trunks one is expected, and no others.
    expected = Expected(only=True, trunks=(ExpectedTrunk(trunks[0].sid, channel_limit=1),)) if trunks else None
    since = array("q", [int(now) - 60] * len(trunks))
    return PropertyView(identity, health, trunks if shown else None, now, since, CHANGES, expected)


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run what waits for nobody but only lets others go first, in or outside of a loop."""
    while True:
        try:
            work.send(None)
        except StopIteration as ended:
            return cast("T", ended.value)


def exposition(snapshot: Snapshot, *, openmetrics: bool = False) -> str:
    """Give the exposition of what is served, without what the exporter tells of itself."""
    scraper = Scraper(snapshot, CollectorRegistry())
    return at_once(scraper.scrape(OPENMETRICS if openmetrics else "", "")).body.decode()


def text_of(views: Iterable[PropertyView], metrics: Metrics | None = None, *, openmetrics: bool = False) -> str:
    """Give the exposition of the properties, without what the exporter tells of itself."""
    snapshot = Snapshot(Renderer(metrics or Metrics()))
    for each in views:
        snapshot.publish(each)
    return exposition(snapshot, openmetrics=openmetrics)


def lines_of(family: str, each: PropertyView) -> list[str]:
    """Give the samples of one family, one a line."""
    return [line for line in text_of([each]).splitlines() if line.startswith((f"{family}{{", f"{family} "))]
