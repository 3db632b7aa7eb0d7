"""Properties that lie next to each other in the exposition, their text kept compressed and only compressed.

A group holds up to `GROUP_SIZE` properties. Of each family about trunks it keeps one row of segments, a property's
being made when its trunks change; of each other family it keeps a single segment, made anew from what is known of its
properties after some of that has changed. The more properties a group has, the fewer and larger the pieces to send;
the fewer, the less is put together again when one property changes.
"""

from __future__ import annotations

from array import array
from itertools import chain
from typing import TYPE_CHECKING

from exporter.metrics.families import LAYERS
from exporter.metrics.segments import EMPTY, Segment, checksum, segment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporter.metrics.exposition import Renderer
    from exporter.model import Shown

GROUP_SIZE = 128


class Row:
    """Segments put together, each of which can be replaced; `whole` is what they are together."""

    __slots__ = ("_crcs", "_ends", "_sizes", "whole")

    def __init__(self) -> None:
        # As arrays: an object for each of a million numbers would weigh more than what they tell of.
        self._ends = array("I", [0] * GROUP_SIZE)
        self._crcs = array("I", [0] * GROUP_SIZE)
        self._sizes = array("I", [0] * GROUP_SIZE)
        self.whole = EMPTY

    def replace(self, changed: Mapping[int, Segment]) -> None:
        """Put the segments of `changed` in the places that it names."""
        old, pieces, kept_from, end = self.whole.deflated, [], 0, 0
        before = [0, *self._ends]
        for place in sorted(changed):
            new = changed[place]
            pieces += [old[kept_from : before[place]], new.deflated]
            kept_from = before[place + 1]
            self._crcs[place], self._sizes[place] = new.crc, new.size
        pieces.append(old[kept_from:])
        for place in range(GROUP_SIZE):
            new_length = len(changed[place].deflated) if place in changed else before[place + 1] - before[place]
            self._ends[place] = end = end + new_length
        self.whole = Segment(b"".join(pieces), *checksum(zip(self._crcs, self._sizes, strict=True)))


class Group:
    """Up to `GROUP_SIZE` properties, by their Sids, and their compressed text for each of the renderer's families."""

    def __init__(self) -> None:
        self.shown: dict[str, Shown] = {}
        self.segments: list[Segment] = []
        self._places: dict[str, int] = {}
        self._free = list(reversed(range(GROUP_SIZE)))
        self._rows: list[Row] = []
        self._changed: dict[int, Sequence[Segment]] = {}
        self._layers: list[list[Segment]] = [[] for _ in LAYERS]
        self._outdated = set(range(len(LAYERS)))

    @property
    def full(self) -> bool:
        """Whether it has no place left."""
        return not self._free

    def show(self, shown: Shown, texts: Sequence[bytes] | None) -> None:
        """Show a property from the next `refresh` on; `texts` are those of its trunks, None where they stay."""
        sid = shown.identity.sid
        if sid not in self._places:
            self._places[sid] = self._free.pop()
        before = self.shown.get(sid)
        for at, layer in enumerate(LAYERS):
            if before is None or layer.follows(before) != layer.follows(shown):
                self._outdated.add(at)
        self.shown[sid] = shown
        if texts is not None:
            self._changed[self._places[sid]] = [segment(text) for text in texts]

    def drop(self, sid: str) -> None:
        """Show nothing of a property from the next `refresh` on."""
        place = self._places.pop(sid)
        self._free.append(place)
        self._changed[place] = ()
        self._outdated.update(range(len(LAYERS)))
        del self.shown[sid]

    def refresh(self, renderer: Renderer) -> None:
        """Make `segments`, one for each of the renderer's families, from what is shown now."""
        if self._changed:
            self._rows = self._rows or [Row() for _ in renderer.trunk_families]
            for family, row in enumerate(self._rows):
                row.replace({place: new[family] if new else EMPTY for place, new in self._changed.items()})
            self._changed = {}
        in_place = [self.shown[sid] for sid in sorted(self._places, key=self._places.__getitem__)]
        for at in self._outdated:
            self._layers[at] = [segment(text) for text in renderer.properties(at, in_place)]
        self._outdated.clear()
        self.segments = [*(row.whole for row in self._rows), *chain.from_iterable(self._layers)]
