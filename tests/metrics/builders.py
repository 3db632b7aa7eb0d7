"""Trunks, health and views with everything filled in that a test does not speak of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exporter.config import Metrics
from exporter.errors import Reason
from exporter.metrics.exposition import Renderer, join
from exporter.model import Health, Identity, PropertyView, Trunk

if TYPE_CHECKING:
    from collections.abc import Iterable

NOW = 1_800_000_000.0
IDENTITY = Identity("S1", "A1", "Sydney office")
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
    return PropertyView(identity, health, trunks if shown else None, now)


def text_of(views: Iterable[PropertyView], metrics: Metrics | None = None, *, openmetrics: bool = False) -> str:
    """Give the exposition of the properties, without what the exporter tells of itself."""
    renderer = Renderer(metrics or Metrics())
    properties = [renderer.data(each) | renderer.health(each) for each in views]
    return join(renderer.families, properties, openmetrics=openmetrics).decode()


def lines_of(family: str, each: PropertyView) -> list[str]:
    """Give the samples of one family, one a line."""
    renderer = Renderer(Metrics())
    return (renderer.data(each) | renderer.health(each))[family].decode().splitlines()
