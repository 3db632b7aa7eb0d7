"""The first page: is all well, and if not what is not and since when; then every property, and what happened."""

from __future__ import annotations

import asyncio
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

from exporter.history.hour import MINUTES
from exporter.history.journal import Wanted as Sought
from exporter.turns import Turns
from exporter.web.api import seen
from exporter.web.pages.api import api, configuration
from exporter.web.pages.changes import DAY, LATEST, entries
from exporter.web.pages.charts import bars, worst
from exporter.web.pages.html import Content, Html, h, said
from exporter.web.pages.layout import document, figure, property_link, table
from exporter.web.pages.standing import LEVELS, STATES, WORDS, Row, due, row_of
from exporter.web.pages.words import ago, lasting, number, plural, reason_of, sign, since, since_each, span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from exporter.polling.discovery import Discovery
    from exporter.web.app import Endpoints
    from exporter.web.pages.wanted import Wanted

Item = TypeVar("Item")
NAMED = 5
"""Most properties that are named where one thing is told of many."""


_SORTS: dict[str, Callable[[Row], Any]] = {
    "state": lambda row: (list(WORDS).index(row.state), not row.askew, row.down_since, row.name),
    "name": lambda row: row.name,
    "age": lambda row: row.shown.health.last_success or 0.0,
    "trunks": lambda row: row.total("trunks"),
    "active": lambda row: row.total("active_trunks"),
    "channels": lambda row: row.total("active_channel_limit"),
    "next": lambda row: row.due,
}


async def overview(endpoints: Endpoints, wanted: Wanted) -> str:
    """Make the page as it is now; others have their turn while thousands of properties are looked at."""
    rows, slowest = await _gather(endpoints)
    now = endpoints.clock()
    troubles = [*_troubles(endpoints, rows, now)]
    level, verdict, title = _verdict(endpoints, rows, {each for each, _, _ in troubles}, now)
    found = wanted.sorted((row for row in rows if row.passes(wanted)), _SORTS, "state")
    told = worst(slowest, "poll")
    changes = await _changes(endpoints, now)
    main = [
        h.h1(h.span(LEVELS[level], aria_hidden="true"), " ", verdict, class_=f"verdict {level}"),
        h.ul(
            [h.li(told, class_=each, data_key=key) for each, key, told in troubles],
            class_="troubles",
            aria_label="What is not well",
        ),
        _share(endpoints),
        _figures(rows),
        h.div(
            h.section(
                h.h2("Properties"),
                wanted.form("properties", STATES),
                wanted.told(len(found), len(rows), "property", "properties"),
                _table(wanted, found[wanted.rows(found)], now) if found else None,
                wanted.paging(len(found)),
            ),
            h.div(
                changes,
                h.section(h.h2("Polls"), figure("Slowest poll of each minute", bars(slowest, told), told)),
                api(endpoints),
                configuration(endpoints, now),
                class_="beside",
            ),
            class_="columns",
        ),
    ]
    return document(title, main, endpoints, level=level)


async def _gather(endpoints: Endpoints) -> tuple[list[Row], list[float]]:
    """Give every property, and the slowest poll of all in each minute of the last hour, below zero where one failed."""
    loop, turns = asyncio.get_running_loop(), Turns()
    rows, hours = [], []
    for sid, poller in list(endpoints.poller.properties.items()):
        if shown := endpoints.snapshot.get(sid):
            rows.append(row_of(endpoints, shown, poller))
            hours.append(poller.hour.minutes(loop.time()))
        await turns.give()
    slowest = []
    for minute in range(MINUTES):
        numbers = [hour[minute] for hour in hours]
        least, most = min(numbers, default=0.0), max(numbers, default=0.0)
        slowest.append(-max(most, -least) if least < 0 else most)
        await turns.give()
    return rows, slowest


def _verdict(endpoints: Endpoints, rows: Sequence[Row], levels: set[str], now: float) -> tuple[str, Content, str]:
    """Give how bad it is, that in a sentence, and in a word; it claims no more than was looked at."""
    every = plural(len(rows), "property", "properties")
    if down := [row for row in rows if row.down]:
        # The latest alone: who is called at night is to see that it is something new.
        *_, latest = _downtimes(down, now)
        return "bad", [f"{len(down):,} of {every} down, ", latest], f"{len(down):,} down"
    if endpoints.trouble():
        return "bad", "The exporter is in trouble", "in trouble"
    if failing := [each for each in endpoints.poller.discoveries.values() if each.last_error and not each.names]:
        known = "Not every property is known: " if rows else "No properties are known: "
        first_failing = min(failing, key=lambda each: each.failing_since or now)
        reason, _ = reason_of(first_failing.last_error or "")
        return "bad", [f"{known}{reason}, ", since(first_failing.failing_since or now, now)], "properties not known"
    return _verdict_where_none_is_bad(endpoints, rows, levels)


def _verdict_where_none_is_bad(endpoints: Endpoints, rows: Sequence[Row], levels: set[str]) -> tuple[str, Content, str]:
    every = plural(len(rows), "property", "properties")
    waiting = sum(row.state == "waiting" for row in rows)
    round_ = f"{len(rows) - waiting:,} of {every} polled"
    if "look" in levels:
        up = round_ if waiting else f"{sum(row.state == 'up' for row in rows):,} of {every} up"
        return "look", f"{up}, but not all is as it should be", "look"
    if waiting or not all(each.tried for each in endpoints.poller.discoveries.values()):
        return "plain", f"Waiting for the first poll: {round_}", "starting"
    if not rows:
        return "look", "There are no properties to poll", "nothing to poll"
    agreed = ", nothing not as agreed" if any(row.agreed for row in rows) else ""
    return "good", f"All up: {every}{agreed}", "all up"


def _troubles(endpoints: Endpoints, rows: Sequence[Row], now: float) -> Iterator[tuple[str, str, Content]]:
    """Give all that is not well, each with how bad it is and what tells it from the others: the worst first."""
    if trouble := endpoints.trouble():
        yield "bad", "exporter", [h.strong("The exporter itself: "), trouble]
    for group in _alike((row for row in rows if row.down), lambda row: row.shown.health.reason):
        yield "bad", f"down {group[0].shown.health.reason}", _down(group, now)
    failing = [each for each in endpoints.poller.discoveries.values() if each.last_error]
    for discoveries in _alike(failing, lambda each: (bool(each.names), reason_of(each.last_error or "")[0])):
        level = "look" if discoveries[0].names else "bad"
        key = f"{level} {reason_of(discoveries[0].last_error or '')[0]}"
        yield level, key, _not_looked_up(discoveries, now)
    for what, moment in endpoints.telemetry.refused.items():
        head = h.strong(f"The {what} could not be loaded anew, the old one stays")
        yield "look", what, [head, ", ", since(moment, now), h.small("The log names the faults.")]
    if unwritten := endpoints.telemetry.unwritten_since:
        head = h.strong("The state file cannot be written: what is seen now is forgotten at a restart")
        yield "look", "state", [head, ", ", since(unwritten, now), h.small("The log says why.")]
    budget, interval = endpoints.poller.config.api.requests_per_second, endpoints.poller.config.poll.interval
    if budget and len(rows) > budget * interval:
        takes = f"{span(len(rows) / budget)}, not {span(interval)}"
        needs = f"{len(rows):,} properties at {budget:g} requests a second take {takes}"
        yield "look", "budget", [h.strong("The request budget is too small: "), needs]
    yield from _troubles_of(rows, now)


def _troubles_of(rows: Sequence[Row], now: float) -> Iterator[tuple[str, str, Content]]:
    """Give what is not well of properties beside being down."""
    if late := [row for row in rows if row.state == "late"]:
        ended = since_each([row.shown.health.last_success or now for row in late], now, "of ")
        head = h.strong(f"{plural(len(late), 'property', 'properties')} overdue: no poll has ended")
        yield "look", "late", [head, " ", ended, _named(late, "late")]
    if drift := [row for row in rows if row.drift]:
        many = plural(sum(row.drift for row in drift), "thing")
        head = h.strong(f"Not as agreed: {many} in {plural(len(drift), 'property', 'properties')}")
        yield "look", "drift", [head, _named(drift, "drift")]
    if delayed := [row for row in rows if row.delayed]:
        head = h.strong(f"Provisioning does not end: trunks of {plural(len(delayed), 'property', 'properties')}")
        begun = since_each([row.delayed for row in delayed], now)
        yield "look", "delayed", [head, ", ", begun, _named(delayed, "delayed")]
    barren = [row for row in rows if row.barren]
    if bereft := [row for row in barren if row.bereft]:
        yield "look", "bereft", [h.strong(_without_active(bereft)), _named(bereft, "barren")]
    if unused := [row for row in barren if not row.bereft]:
        head = h.strong(f"{_without_active(unused)}, as far as is known for a week or longer")
        # As if not in use: no alert fires for them either.
        yield "plain", "unused", [head, _named(unused, "barren")]


def _without_active(barren: Sequence[Row]) -> str:
    what = "a trunk that is known to be active" if any(row.unclear for row in barren) else "an active trunk"
    return f"{plural(len(barren), 'property', 'properties')} without {what}"


def _alike(each: Iterable[Item], key: Callable[[Item], Any]) -> list[list[Item]]:
    """Put together what has the same key, the most first."""
    groups = [[*group] for _, group in groupby(sorted(each, key=key), key=key)]
    return sorted(groups, key=len, reverse=True)


def _not_looked_up(discoveries: Sequence[Discovery], now: float) -> Content:
    first = min(discoveries, key=lambda each: each.failing_since or now)
    reason, detail = reason_of(first.last_error or "")
    more = f" and {len(discoveries) - NAMED:,} more" if len(discoveries) > NAMED else ""
    names = [[", " if at else "", said(each.account_sid)] for at, each in enumerate(discoveries[:NAMED])]
    many = "Account " if len(discoveries) == 1 else "Accounts "
    whose = "its" if len(discoveries) == 1 else "their"
    return [
        h.strong(many, names, f"{more}: {whose} properties cannot be looked up"),
        ", ",
        since(first.failing_since or now, now),
        f"; now: {reason}",
        h.small(said(detail)),
    ]


def _downtimes(down: Sequence[Row], now: float) -> list[Content]:
    """Say since when the first is down, and the latest where that is to be told apart."""
    first, latest = min(down, key=lambda row: row.down_since), max(down, key=lambda row: row.down_since)
    if first.down_since // 60 == latest.down_since // 60:
        return [first.downtime(now)]
    return [first.downtime(now, "the first "), latest.downtime(now, "the latest ")]


def _down(group: Sequence[Row], now: float) -> Content:
    first = min(group, key=lambda row: row.down_since)
    reason, detail = reason_of(first.shown.health.last_error or "")
    stale = sum(row.state == "stale" for row in group)
    parts = ((stale, "last good data still shown"), (len(group) - stale, "no data shown"))
    told = "; ".join(words if count == len(group) else f"{count:,} with {words}" for count, words in parts if count)
    return [
        h.strong(
            f"{plural(len(group), 'property', 'properties')} down",
            [[", ", each] for each in _downtimes(group, now)],
            f"; now: {reason}",
        ),
        f"; {told}",
        _named(group, "failing"),
        h.small(said(detail)) if detail else None,
    ]


def _named(group: Sequence[Row], state: str) -> Html:
    known = (row.shown.identity for row in group[:NAMED])
    links = [h.li(property_link(each.sid, each.name), data_key=each.sid) for each in known]
    if len(group) > NAMED:
        links.append(h.li(h.a(f"and {len(group) - NAMED:,} more", href=f"?state={state}"), data_key="and more"))
    return h.ul(links, class_="named")


def _share(endpoints: Endpoints) -> Html | None:
    shard = endpoints.poller.shard
    others = f"the others have {endpoints.poller.elsewhere} properties."
    return (
        h.p(f"This is shard {shard.ordinal} of {shard.shards}, counted from 0; {others}") if shard.shards > 1 else None
    )


def _figures(rows: Sequence[Row]) -> Html:
    """Show sums over the properties, and of how many where not all are known."""

    def total(values: list[int | None], none: str) -> Content:
        known = [value for value in values if value is not None]
        part = f"known for {len(known):,} of {plural(len(values), 'property', 'properties')}" if values else none
        return [f"{sum(known):,}" if known else "—", h.small(part) if len(known) < len(values) or not values else None]

    def of(key: str) -> Content:
        return total([None if row.total(key) < 0 else row.total(key) for row in rows], "no property is known")

    up = sum(row.state == "up" for row in rows)
    drift = [row.drift if row.shown.summary else None for row in rows if row.agreed]
    figures = (
        ("Properties", f"{up:,} of {len(rows):,} up"),
        ("Trunks", of("trunks")),
        ("Active trunks", of("active_trunks")),
        ("Channel limit of active trunks", of("active_channel_limit")),
        ("Not as agreed", total(drift, "nothing was agreed on")),
    )
    return h.dl([h.div(h.dt(name), h.dd(value)) for name, value in figures], class_="figures")


def _table(wanted: Wanted, rows: Sequence[Row], now: float) -> Html:
    head = (
        wanted.heading("name", "Property"),
        wanted.heading("state", "State", first=True),
        wanted.heading("age", "Last success"),
        wanted.heading("trunks", "Trunks", numeric=True),
        wanted.heading("active", "Active", numeric=True),
        wanted.heading("channels", "Channel limit", numeric=True),
        h.th("Last failure", scope="col"),
        wanted.heading("next", "Next poll"),
        h.th("Last hour", scope="col"),
    )
    return table("Properties", head, [_row(row, now) for row in rows])


def _row(row: Row, now: float) -> Html:
    identity, health, summary = row.shown.identity, row.shown.health, row.shown.summary
    minutes = row.poller.hour.minutes(asyncio.get_running_loop().time())
    known = (summary.trunks, summary.active_trunks, summary.active_channel_limit) if summary else (None,) * 3
    numbers = zip(("Trunks", "Active", "Channel limit"), known, strict=True)
    return h.tr(
        h.th(property_link(identity.sid, identity.name), h.small(identity.sid), scope="row"),
        h.td(
            sign(row.state, WORDS[row.state]),
            h.small(row.downtime(now)) if row.down else None,
            h.small(sign("drift", f"{row.drift:,} not as agreed")) if row.drift else None,
            h.small(sign("provisioning", ["provisioning for ", lasting(row.delayed, now)])) if row.delayed else None,
            data_label="State",
            class_="standing",
        ),
        h.td(ago(health.last_success, now), data_label="Last success"),
        [h.td(number(value), class_="number", data_label=label) for label, value in numbers],
        h.td(
            _failure(row, now), data_label="Last failure", class_="failure whole" if row.poller.last_failure else "none"
        ),
        h.td(due(row.due), data_label="Next poll"),
        h.td(bars(minutes, worst(minutes, "poll")), data_label="Last hour", class_="whole"),
        data_key=identity.sid,
    )


def _failure(row: Row, now: float) -> Content:
    if row.poller.last_failure is None:
        return "—"
    moment, error = row.poller.last_failure
    reason, detail = reason_of(error)
    return [reason, h.small(said(detail) if row.down else ago(moment, now))]


async def _changes(endpoints: Endpoints, now: float) -> Html:
    some = await seen(endpoints.poller, Sought(since=now - DAY), 0, LATEST)
    every = h.p(h.a("All changes of the last day", href="changes")) if some else None
    return h.section(h.h2("Changes of the last day"), entries(endpoints, some, now), every)
