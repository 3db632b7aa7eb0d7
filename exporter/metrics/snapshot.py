"""What is served now: each property's view and its rendered text, replaced by one assignment when it changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporter.metrics.exposition import Renderer, Segments
    from exporter.model import PropertyView


@dataclass(frozen=True, slots=True)
class Shown:
    """One property as it is served; `true_until` is the Unix time at which its data would change by themselves."""

    view: PropertyView
    data: Segments
    segments: Segments
    true_until: float


class Snapshot:
    """All properties as they are served; `version` grows with every change, `data_version` where data change."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self.version = 0
        self.data_version = 0
        self.properties: dict[str, Shown] = {}

    def publish(self, view: PropertyView) -> Shown:
        """Serve a property as `view` has it from now on; data that have not changed are not rendered again."""
        before = self.properties.get(view.identity.sid)
        if before and view.trunks == before.view.trunks and before.view.now <= view.now < before.true_until:
            data, true_until = before.data, before.true_until
        else:
            data, true_until = self.renderer.data(view), _true_until(view)
            self.data_version += 1
        shown = Shown(view, data, data | self.renderer.health(view), true_until)
        self.properties[view.identity.sid] = shown
        self.version += 1
        return shown

    def drop(self, sid: str) -> None:
        """Serve nothing of a property any more."""
        if self.properties.pop(sid, None):
            self.version += 1
            self.data_version += 1

    def render_with(self, renderer: Renderer) -> None:
        """Render all anew, as another configuration wants it."""
        self.renderer = renderer
        views = [shown.view for shown in self.properties.values()]
        # Replaced whole, so that a scrape never sees half of it, and nothing of the old text is used again.
        fresh = Snapshot(renderer)
        for view in views:
            fresh.publish(view)
        self.properties = fresh.properties
        self.version += 1
        self.data_version += 1


def _true_until(view: PropertyView) -> float:
    """Give the first EndDate that lies ahead: from then on a trunk shown as active no longer is."""
    ends = (trunk.end_date for trunk in view.trunks or () if trunk.end_date and trunk.end_date > view.now)
    return min(ends, default=float("inf"))
