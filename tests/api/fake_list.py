"""A list that is paged by position, and that may change before any page is fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.api.payload import Page
from exporter.model import Trunk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Change = Callable[[list[str]], None]


class FakeList:
    """Serves `sids` in pages of at most `caps` records, one after another and the last one again and again.

    `changes[n]` are made just before fetch n. `states` holds the list as each fetch since the last beginning of a
    walk found it.
    """

    def __init__(
        self,
        sids: Sequence[str],
        *caps: int,
        changes: Sequence[Sequence[Change]] = (),
        total: Callable[[int], int | None] = lambda _length: None,
        honours_skip: bool = True,
    ) -> None:
        self.sids = list(sids)
        self._caps, self._changes, self._total, self._honours_skip = caps, changes, total, honours_skip
        self.skips: list[int] = []
        self.states: list[list[str]] = []
        self._first_page = 0

    async def fetch(self, skip: int) -> Page[Trunk]:
        for change in self._changes[len(self.skips)] if len(self.skips) < len(self._changes) else ():
            change(self.sids)
        looks_back = self._first_page == 1 and self.skips[-1:] == [1]
        begins = skip == 0 and not looks_back
        cap = self._caps[min(len(self.skips), len(self._caps) - 1)]
        self.skips.append(skip)
        start = skip if self._honours_skip else 0
        page = self.sids[start : start + cap]
        if begins:
            self.states.clear()
            self._first_page = len(page)
        self.states.append(list(self.sids))
        return Page(tuple(map(trunk, page)), self._total(len(self.sids)))

    def always_there(self) -> set[str]:
        """Give the Sids that every page of the last walk could have shown."""
        return set.intersection(*map(set, self.states))

    def ever_there(self) -> set[str]:
        """Give the Sids that some page of the last walk could have shown."""
        return set.union(*map(set, self.states))


def trunk(sid: str) -> Trunk:
    return Trunk(sid=sid)
