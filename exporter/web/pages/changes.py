"""What changed: the newest first, searched and paged."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from exporter.history.changes import Kind
from exporter.history.journal import Wanted as Sought
from exporter.turns import Turns
from exporter.web.api import seen
from exporter.web.pages.html import Html, h, said
from exporter.web.pages.layout import document, property_link
from exporter.web.pages.words import ago, happened

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.history.changes import Change
    from exporter.web.app import Endpoints
    from exporter.web.pages.wanted import Wanted

DAY = 86_400
LATEST = 8
"""Of the changes, those that other pages show."""
SEARCHED = 10_000
"""Most changes, the newest, among which a page looks."""
_KINDS = {"": "all", **{kind.value: kind.value.replace("_", " ") for kind in Kind}}


async def changes(endpoints: Endpoints, wanted: Wanted) -> str:
    """Make the page of the changes of the last day, or of all that are kept."""
    now = endpoints.clock()
    kinds = frozenset({Kind(wanted.state)}) if wanted.state in list(Kind) else frozenset()
    begin = None if wanted.period == "all" else now - DAY
    every = await seen(endpoints.poller, Sought(kinds=kinds, since=begin), 0, SEARCHED)
    sought, found, turns = wanted.q.casefold(), [], Turns()
    for each in every:
        if not sought or any(sought in text for text in _texts(endpoints, each)):
            found.append(each)
        await turns.give()
    title = "All changes that are kept" if wanted.period == "all" else "Changes of the last day"
    other = ("", "The last day alone") if wanted.period == "all" else ("all", "All that are kept")
    main = [
        h.h1(title),
        wanted.form("changes", _KINDS, "Kind"),
        wanted.told(len(found), len(every), "change", "changes"),
        h.p(f"Only the newest {SEARCHED:,} are looked at here.") if len(every) == SEARCHED else None,
        entries(endpoints, found[wanted.rows(found)], now),
        wanted.paging(len(found)),
        h.p(h.a(other[1], href=wanted.href(period=other[0], page=1))),
    ]
    return document(title, main, endpoints)


def entries(endpoints: Endpoints, some: Iterable[Change], now: float, up: str = "") -> Html:
    """List changes, each with its property and trunk to look at."""
    listed = [
        h.li(
            ago(each.seen, now),
            " ",
            h.span(_told(endpoints, each, up)),
            data_key=f"{each.seen} {each.property_sid} {each.trunk_sid} {each.field}",
        )
        for each in some
    ]
    return h.ol(listed, class_="changes") if listed else h.p("Nothing has changed.")


def _told(endpoints: Endpoints, change: Change, up: str) -> Iterable[Html | str]:
    poller = endpoints.poller.properties.get(change.property_sid)
    yield h.strong(said(change.trunk or change.trunk_sid))
    yield " in "
    if poller:
        query = "?" + urlencode({"q": change.trunk_sid})
        yield property_link(change.property_sid, poller.target.identity.name, up, query)
    else:
        yield said(change.property_sid)
    yield " "
    yield h.span(happened(change), class_="what")


def _texts(endpoints: Endpoints, change: Change) -> Iterable[str]:
    poller = endpoints.poller.properties.get(change.property_sid)
    named = poller.target.identity.name if poller else ""
    return (text.casefold() for text in (change.trunk or "", change.trunk_sid, change.property_sid, named))
