"""The page of one property: how it goes, and its trunks."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from exporter.drift import FIELDS, drift_of
from exporter.history.journal import Wanted as Sought
from exporter.model import PROVISIONING_STATES, UNKNOWN, UNREADABLE
from exporter.web.api import seen, withheld
from exporter.web.pages.changes import DAY, LATEST, entries
from exporter.web.pages.charts import bars, worst
from exporter.web.pages.html import Content, Html, h, named, said
from exporter.web.pages.layout import document, figure, table
from exporter.web.pages.standing import LEVELS, WORDS, due, row_of
from exporter.web.pages.wanted import ROWS, Wanted
from exporter.web.pages.words import REASONS, ago, day, lasting, number, plural, reason_of, sign, since

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exporter.model import PropertyView, Trunk
    from exporter.web.app import Endpoints
    from exporter.web.pages.standing import Row as PropertyRow

UP = "../"
STATES = {
    "": "all",
    "drift": "not as agreed",
    "deactivated": "deactivated",
    **{state: state for state in (*PROVISIONING_STATES.values(), UNKNOWN)},
}


class Row(NamedTuple):
    """A trunk as the page tells of it; `since` is None where no state is told, `drift` says what is not as agreed."""

    trunk: Trunk
    since: int | None
    active: bool | None
    drift: tuple[str, ...]

    def passes(self, wanted: Wanted) -> bool:
        """Say whether it is among what is asked for."""
        trunk, sought = self.trunk, wanted.q.casefold()
        texts = (trunk.name, trunk.sid, trunk.customer_reference, trunk.external_reference, trunk.default_caller_id)
        kinds = {"", trunk.state, "drift" if self.drift else "", "deactivated" if self.active is False else ""}
        return wanted.state in kinds and any(text and sought in text.casefold() for text in texts)


_SORTS: dict[str, Callable[[Row], Any]] = {
    "name": lambda row: (row.trunk.name or "").casefold(),
    "state": lambda row: row.trunk.state,
    "since": lambda row: row.since or inf,
    "limit": lambda row: -1 if row.trunk.channel_limit is None else row.trunk.channel_limit,
    "active": lambda row: -1 if row.active is None else row.active,
    "type": lambda row: row.trunk.trunk_type,
    "drift": lambda row: -len(row.drift),
}


async def trunks(endpoints: Endpoints, sid: str, wanted: Wanted) -> str | None:
    """Make the page of a property, None where there is no such property here."""
    poller, shown = endpoints.poller.properties.get(sid), endpoints.snapshot.get(sid)
    if not poller or not shown:
        return None
    view = await poller.viewed()
    listed = await asyncio.to_thread(_listed, view, wanted, withheld(endpoints.poller.config.metrics))
    now, identity = view.now, view.identity
    name = named(identity.name, identity.sid)
    row = row_of(endpoints, shown, poller)
    minutes = poller.hour.minutes(asyncio.get_running_loop().time())
    told = worst(minutes, "poll")
    some = await seen(endpoints.poller, Sought(property_sid=sid, since=now - DAY), 0, LATEST)
    main = [
        h.p(h.a("← All properties", href=UP)),
        h.h1(said(name)),
        h.p("Property ", h.code(identity.sid), " of account ", h.code(identity.account_sid)),
        _standing(row, view),
        h.div(
            listed or h.p(_why_none(endpoints, row)),
            h.div(
                h.section(
                    h.h2("Polls"), figure("Slowest poll of each minute", bars(minutes, told), told), _failures(view)
                ),
                h.section(
                    h.h2("Changes of the last day"),
                    entries(endpoints, some, now, UP),
                    h.p(h.a("All its changes", href=f"{UP}changes?q={sid}&period=all")),
                ),
                class_="beside",
            ),
            class_="columns",
        ),
    ]
    return document(f"{name}: {WORDS[row.state]}", main, endpoints, up=UP, level=row.level)


def _standing(row: PropertyRow, view: PropertyView) -> Content:
    """Say how it is, by the same measure as the overview."""
    health, now = row.shown.health, view.now
    coming = due(row.due)
    served = ["The data served are of ", ago(health.last_success, now), "."] if row.shown.summary else None
    reason, detail = reason_of(health.last_error or "")
    verdict: dict[str, Content] = {
        "waiting": "It was not polled yet",
        "late": ["Overdue: no poll has ended ", since(health.last_success or now, now)],
        "up": ["Up: polled ", ago(health.last_success, now), f", next {coming}"],
    }
    down: Content = ["Down, ", row.downtime(now), f"; now: {reason}"]
    differs = f"; {plural(row.drift, 'thing')} not as agreed" if row.drift else None
    more = [
        served if row.state != "up" else None,
        f" The next poll comes {coming}. " if row.down else None,
        h.small(said(detail)) if row.down else None,
        f" It has no {'trunk that is known to be active' if row.unclear else 'active trunk'}." if row.barren else None,
        [" The carrier's provisioning of a trunk does not end, ", since(row.delayed, now), "."]
        if row.delayed
        else None,
    ]
    return [
        h.p(
            h.span(LEVELS[row.level], aria_hidden="true"),
            " ",
            verdict.get(row.state, down),
            differs,
            class_=f"verdict {row.level}",
        ),
        h.p(more) if any(more) else None,
    ]


def _why_none(endpoints: Endpoints, row: PropertyRow) -> str:
    """Say why no trunks are shown."""
    if row.shown.summary:
        has_them = endpoints.poller.config.metrics.detail == "trunk"
        where = f": {endpoints.telemetry_path} has them." if has_them else "."
        return f"There was no room to keep the list of its trunks{where}"
    if row.shown.health.last_success is None:
        return "No trunks are shown: no poll has brought a complete list yet."
    return "No data are served, and no trunks are shown: the last good ones are too old, or were withdrawn."


def _failures(view: PropertyView) -> Html:
    counted = [f"{plural(count, 'time')} {REASONS[reason]}" for reason, count in view.health.failures.items() if count]
    return h.p(
        f"{plural(view.health.polls, 'poll')} since the start. ",
        "Failed: " + "; ".join(counted) + "." if counted else "None failed.",
    )


def _listed(view: PropertyView, wanted: Wanted, hidden: frozenset[str]) -> Content:
    """Show the trunks that are asked for, without what is `hidden` of them."""
    if view.trunks is None:
        return None
    drift = _drift(view)
    there = {trunk.sid for trunk in view.trunks}
    blank = dict.fromkeys(hidden)
    rows = [
        Row(
            replace(trunk, **blank) if blank else trunk,
            begun if begun > 0 else None,
            trunk.active(view.now),
            drift.get(trunk.sid, ()),
        )
        for trunk, begun in zip(view.trunks, view.since, strict=True)
    ]
    found = wanted.sorted((row for row in rows if row.passes(wanted)), _SORTS, "name")
    missing = [sid for sid in drift if sid not in there]
    gone = [h.li(h.strong(said(sid)), " ", said(*drift[sid])) for sid in missing[:ROWS]]
    if len(missing) > ROWS:
        gone.append(h.li(f"and {len(missing) - ROWS:,} more"))
    return h.section(
        h.h2("Trunks"),
        h.div(h.h3(sign("drift", f"{plural(len(missing), 'agreed trunk')} missing")), h.ul(gone), class_="missing")
        if gone
        else None,
        wanted.form("trunks", STATES),
        wanted.told(len(found), len(rows), "trunk", "trunks"),
        _table(wanted, found[wanted.rows(found)], view.now) if found else None,
        wanted.paging(len(found)),
    )


def _drift(view: PropertyView) -> dict[str, tuple[str, ...]]:
    """Say of each trunk what of it is not as agreed."""
    if not view.expected or view.trunks is None:
        return {}
    agreed = {each.sid: each for each in view.expected.trunks}
    there = {trunk.sid: trunk for trunk in view.trunks}
    told: dict[str, tuple[str, ...]] = {}
    for (sid, field), differs in drift_of(view.expected, view.trunks, view.now):
        if differs:
            told[sid] = (*told.get(sid, ()), _differs(field, agreed.get(sid), there.get(sid), view.now))
    return told


def _differs(field: str, agreed: object, trunk: Trunk | None, now: float) -> str:
    if trunk is None:
        return "is not there"
    if field not in FIELDS:
        return "nobody agreed on it"
    return f"{field.replace('_', ' ')} {_word(FIELDS[field](trunk, now))}, agreed {_word(getattr(agreed, field))}"


def _word(value: object) -> str:
    return str(value) if not isinstance(value, bool) else "yes" if value else "no"


def _table(wanted: Wanted, rows: Sequence[Row], now: float) -> Html:
    head = (
        wanted.heading("name", "Trunk", first=True),
        wanted.heading("state", "State"),
        wanted.heading("since", "In it for"),
        wanted.heading("limit", "Channel limit", numeric=True),
        wanted.heading("active", "Active"),
        wanted.heading("type", "Type"),
        h.th("References", scope="col"),
        wanted.heading("drift", "Not as agreed"),
    )
    return table("Trunks", head, [_row(row, now) for row in rows])


def _row(row: Row, now: float) -> Html:
    trunk = row.trunk
    references = [
        said(text) for text in (trunk.customer_reference, trunk.external_reference, trunk.default_caller_id) if text
    ]
    return h.tr(
        h.th(said(named(trunk.name, trunk.sid)), h.small(said(trunk.sid)), scope="row"),
        h.td(sign(trunk.state), data_label="State"),
        h.td(lasting(row.since, now) if row.since else "—", data_label="In it for"),
        h.td(number(trunk.channel_limit), class_="number", data_label="Channel limit"),
        h.td(_active(row), data_label="Active"),
        h.td(trunk.trunk_type.replace("_", " "), data_label="Type"),
        h.td([h.div(each) for each in references] or "—", data_label="References", class_="references whole"),
        h.td(
            [h.div(sign("drift", each)) for each in row.drift] or "—",
            data_label="Not as agreed",
            class_="whole" if row.drift else "none",
        ),
        data_key=trunk.sid,
    )


def _active(row: Row) -> Content:
    end = row.trunk.end_date
    if not end or end == UNREADABLE:
        return "not known" if end else "yes"
    return ["yes, until " if row.active else "no, since ", day(end)]
