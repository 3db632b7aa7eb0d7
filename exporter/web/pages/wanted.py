"""What the address of a page asks for, every part of it bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

import msgspec

from exporter.web.pages.html import Html, h
from exporter.web.pages.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Row = TypeVar("Row")
ROWS = 50
"""Most rows of one page."""
_LONGEST = 200


class Wanted(msgspec.Struct, frozen=True):
    """Which rows of a table are asked for, and in which order; what is empty asks for all."""

    q: str = ""
    state: str = ""
    sort: str = ""
    page: int = 1
    period: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Wanted:
        """Read the query of an address; what cannot be meant is left out."""
        page = query.get("page", "")
        return cls(
            query.get("q", "")[:_LONGEST].strip(),
            query.get("state", "")[:_LONGEST],
            query.get("sort", "")[:_LONGEST],
            max(1, int(page)) if page.isascii() and page.isdecimal() and len(page) < 8 else 1,  # noqa: PLR2004 - plenty
            query.get("period", "")[:_LONGEST],
        )

    def sorted(self, rows: Iterable[Row], sorts: Mapping[str, Callable[[Row], Any]], first: str) -> list[Row]:
        """Give the rows in the order that is asked for, one of `sorts`, and by the `first` of them where none is."""
        by = sorts.get(self.sort.removeprefix("-"), sorts[first])
        return sorted(rows, key=by, reverse=self.sort.startswith("-"))

    def href(self, **changed: object) -> str:
        """Give the address of the same page with other wishes."""
        wishes = {**msgspec.structs.asdict(self), **changed}
        query = {key: value for key, value in wishes.items() if value not in ("", None) and (key, value) != ("page", 1)}
        return f"?{urlencode(query)}"

    def heading(self, key: str, name: str, *, numeric: bool = False, first: bool = False) -> Html:
        """Make a column's head that sorts by it, the other way where it does so already; `first` sorts by default."""
        by = self.sort.removeprefix("-") == key or (first and not self.sort)
        falling = by and self.sort.startswith("-")
        other = f"-{key}" if by and not falling else key
        return h.th(
            h.a(
                name,
                h.span("▼" if falling else "▲", aria_hidden="true") if by else None,
                href=self.href(sort=other, page=1),
            ),
            scope="col",
            class_="number" if numeric else None,
            aria_sort=("descending" if falling else "ascending") if by else None,
        )

    def form(self, noun: str, states: Mapping[str, str], label: str = "State") -> Html:
        """Make the form that searches and filters."""
        kept = (("sort", self.sort), ("period", self.period))
        choice = [h.option(word, value=state, selected=state == self.state) for state, word in states.items()]
        return h.form(
            h.label(f"Search {noun}", h.input(type="search", name="q", value=self.q, maxlength=_LONGEST)),
            h.label(label, h.select(choice, name="state")),
            [h.input(type="hidden", name=name, value=value) for name, value in kept if value],
            h.button("Show"),
            h.a("Show all", href=self.href(q="", state="", page=1)) if self.q or self.state else None,
            role="search",
        )

    def told(self, found: int, every: int, noun: str, nouns: str) -> Html:
        """Say how many of how many rows were found, for screen readers whenever that changes."""
        several = f"{found:,} of {plural(every, noun, nouns)}" if found != every else plural(every, noun, nouns)
        last = pages(found)
        return h.p(several, f", page {min(self.page, last)} of {last}" if last > 1 else None, role="status")

    def rows(self, found: Sequence[object]) -> slice:
        """Give which of the rows that were found the page shows."""
        first = (min(self.page, pages(len(found))) - 1) * ROWS
        return slice(first, first + ROWS)

    def paging(self, found: int) -> Html | None:
        """Make the links to the other pages."""
        last = pages(found)
        page = min(self.page, last)
        if last == 1:
            return None
        return turning(
            self.href(page=page - 1) if page > 1 else None, self.href(page=page + 1) if page < last else None
        )


def turning(before: str | None, after: str | None) -> Html:
    """Make the links to the page before and the one after, where there are any."""
    return h.nav(
        h.a("← Previous", href=before, rel="prev") if before else None,
        h.a("Next →", href=after, rel="next") if after else None,
        aria_label="Pages",
        class_="paging",
    )


def pages(rows: int) -> int:
    """Give how many pages that many rows fill, an empty one being one."""
    return max(1, -(-rows // ROWS))
