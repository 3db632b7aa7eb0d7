"""What is served now of every property, and the compressed text of it, brought up to date before each scrape."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from exporter.metrics.groups import Group
from exporter.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.metrics.exposition import Renderer
    from exporter.metrics.families import Family
    from exporter.metrics.segments import Segment
    from exporter.model import Health, Identity, PropertyView, Shown

REFRESH_EVERY = 0.5
"""Seconds between two rounds that bring the text up to date, so that a scrape finds little left to do."""


class Snapshot:
    """All properties as they are served; `version` grows with every change, `text_version` follows at a refresh."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self.version = 0
        self.text_version = 0
        self._groups: list[Group] = []
        self._group_of: dict[str, Group] = {}
        self._outdated: set[Group] = set()
        self._refreshing = asyncio.Lock()

    def __iter__(self) -> Iterator[Shown]:
        """Give what is served of each property."""
        return (group.shown[sid] for sid, group in self._group_of.items())

    def get(self, sid: str) -> Shown | None:
        """Give what is served of a property."""
        group = self._group_of.get(sid)
        return group.shown[sid] if group else None

    def publish(self, view: PropertyView) -> Shown:
        """Serve a property as `view` has it from now on."""
        shown = view.shown
        texts = self.renderer.trunks(shown.identity.sid, view.trunks, view.now, view.since) if view.trunks else []
        self._show(shown, texts)
        return shown

    def publish_health(self, identity: Identity, health: Health) -> Shown:
        """Serve other news of the polling with the same data; raises KeyError where nothing was served before."""
        shown = self._group_of[identity.sid].shown[identity.sid].but(identity, health)
        self._show(shown, None)
        return shown

    def _show(self, shown: Shown, texts: list[bytes] | None) -> None:
        sid = shown.identity.sid
        group = self._group_of.get(sid)
        if group is None:
            if not self._groups or self._groups[-1].full:
                self._groups.append(self._with_room())
            group = self._group_of[sid] = self._groups[-1]
        group.show(shown, texts)
        self._change(group)

    def _with_room(self) -> Group:
        group = next((each for each in self._groups if not each.full), None)
        if group is None:
            return Group()
        self._groups.remove(group)
        return group

    def drop(self, sid: str) -> None:
        """Serve nothing of a property any more."""
        group = self._group_of.pop(sid, None)
        if group:
            group.drop(sid)
            self._change(group)

    def _change(self, group: Group) -> None:
        self._outdated.add(group)
        self.version += 1

    def render_with(self, renderer: Renderer, views: Iterator[PropertyView]) -> None:
        """Render all anew, as another configuration wants it; `views` are those of all properties."""
        # Replaced whole, so that a scrape never sees half of it.
        fresh = Snapshot(renderer)
        for view in views:
            fresh.publish(view)
        self.renderer = renderer
        self._groups, self._group_of, self._outdated = fresh._groups, fresh._group_of, fresh._outdated
        self.version += 1

    async def refresh(self) -> None:
        """Bring the text up to date with all that is served now, letting others run in between."""
        async with self._refreshing:
            version, renderer, turns = self.version, None, Turns()
            # Once more where another configuration came in between: half of its text must not be seen.
            while renderer is not self.renderer:
                renderer = self.renderer
                for group in [each for each in self._groups if each in self._outdated]:
                    if renderer is self.renderer:
                        group.refresh(renderer)
                        self._outdated.discard(group)
                        await turns.give()
            self._groups = [group for group in self._groups if group.shown]
            self._outdated.intersection_update(self._groups)
            self.text_version = version

    async def keep_fresh(self) -> None:
        """Bring the text up to date again and again, for ever."""
        while True:
            await asyncio.sleep(REFRESH_EVERY)
            await self.refresh()

    def segments(self) -> Iterator[tuple[Family, list[Segment]]]:
        """Give the segments of each family, as of the last `refresh`."""
        by_family = zip(*(group.segments for group in self._groups if group.segments), strict=True)
        for family, segments in zip(self.renderer.families, by_family, strict=False):
            yield family, [each for each in segments if each.size]
