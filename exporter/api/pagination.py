"""The walk through a list's pages, and the proof that it was complete.

The API pages by position (`Results_Skip`), so a trunk that comes or goes on an earlier page shifts all later
ones, and the next page would repeat a trunk or hide one without a word. Therefore every page is asked for with its
first record overlapping the last record known: if that is not the same trunk, the list has moved. Where pages
hold one record only, an overlapping page would bring nothing, and the position before is looked at again
afterwards instead.

A short page proves nothing, because a server may cap pages below what was asked. The walk ends where the server
says so: by its TotalCount, or by a page that brings nothing beyond the overlap. Whatever does not fit (an
overlap, a Sid that comes twice, TotalCount) has the walk begin anew, a bounded number of times.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Generic

import msgspec

from exporter.api.payload import Page, Record
from exporter.errors import Anomaly, PollError, Reason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

MAX_WALKS = 3
MAX_RECORDS = 100_000
"""Most records of one list."""


class Walked(msgspec.Struct, Generic[Record], frozen=True):
    """A complete list, in the server's order, and what was odd on the way.

    `steady` is what was odd in the `pages` pages of the last walk, the one that was complete: what all walks have that
    are answered with the very same pages.
    """

    records: tuple[Record, ...]
    anomalies: Counter[Anomaly]
    steady: Counter[Anomaly]
    pages: int


class _MovedError(Exception):
    """The list, or what the server says of it, is not what it was a page before."""


async def walk(fetch: Callable[[int], Awaitable[Page[Record]]], most: int = MAX_RECORDS) -> Walked[Record]:
    """Fetch a whole list; `fetch(skip)` gives the page that begins `skip` records into the list.

    Raises `PollError`: `incomplete` where no walk proved itself complete, `too_large` where the list holds more than
    `most` records or says that it does, and whatever `fetch` raises.
    """
    anomalies: Counter[Anomaly] = Counter()
    why = ""
    for _ in range(MAX_WALKS):
        this_walk: _Walk[Record] = _Walk(fetch, most)
        try:
            await this_walk.run()
        except _MovedError as moved:
            anomalies.update(this_walk.anomalies)
            anomalies[Anomaly.LIST_CHANGED] += 1
            why = str(moved)
        else:
            steady = this_walk.anomalies
            found = anomalies + steady if anomalies else steady
            return Walked(tuple(this_walk.known.values()), found, steady, this_walk.pages)
    raise PollError(
        Reason.INCOMPLETE, f"none of {MAX_WALKS} walks through the pages fitted together; in the last {why}"
    )


class _Walk(msgspec.Struct, Generic[Record]):
    """One walk: `position` counts records as the server does, `known` holds them by Sid."""

    fetch: Callable[[int], Awaitable[Page[Record]]]
    most: int
    anomalies: Counter[Anomaly] = msgspec.field(default_factory=Counter)
    pages: int = 0
    known: dict[str, Record] = msgspec.field(default_factory=dict)
    position: int = 0
    last_sid: str = ""
    longest_page: int = 0
    total: int | None = None

    async def run(self) -> None:
        self._add((await self._page(0)).records)
        while self.position and self.position != self.total:
            new = await self._beyond()
            if not new:
                break
            self._add(new)
        if self.total not in (None, self.position):
            raise _MovedError(f"TotalCount is {self.total} where the pages hold {self.position}")

    async def _beyond(self) -> Sequence[Record]:
        """Fetch what comes after the last known record, and see that it is still where it was."""
        if self.longest_page > 1:
            records = (await self._page(self.position - 1)).records
            new, before = records[1:], records[:1]
        else:
            new = (await self._page(self.position)).records
            before = (await self._page(self.position - 1)).records[:1]
        if [record.sid for record in before] != [self.last_sid]:
            raise _MovedError(
                f"record {self.position} was no longer {self.last_sid}: the list moved, or Results_Skip is ignored"
            )
        return new

    async def _page(self, skip: int) -> Page[Record]:
        page = await self.fetch(skip)
        self.pages += 1
        if page.anomalies:
            self.anomalies.update(page.anomalies)
        total = self.total if page.total is None else page.total
        if self.longest_page and self.total not in (None, total):
            raise _MovedError(f"TotalCount went from {self.total} to {total}")
        self.longest_page = max(self.longest_page, len(page.records))
        self.total = total
        if self.total is not None:
            self._bound(self.total)
        return page

    def _add(self, records: Sequence[Record]) -> None:
        page = {record.sid: record for record in records}
        if len(page) < len(records) or not self.known.keys().isdisjoint(page):
            for record in records:
                if page[record.sid] != record or record.sid in self.known:
                    raise _MovedError(f"{record.sid} came twice")
            # The very same record twice in one answer is the server's slip, and costs nothing to survive.
            self.anomalies[Anomaly.REPEATED_SID] += len(records) - len(page)
        self.known |= page
        self._bound(len(self.known))
        if records:
            self.position += len(records)
            self.last_sid = records[-1].sid

    def _bound(self, records: int) -> None:
        if records > self.most:
            raise PollError(Reason.TOO_LARGE, f"the list holds {records} records, and at most {self.most} are taken")
