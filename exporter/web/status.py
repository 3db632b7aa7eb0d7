"""What is told of the properties' health, as data and as a plain page."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

import msgspec

from exporter import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.model import Shown
    from exporter.polling.poller import Poller

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { margin: 2rem auto; padding: 0 1rem; max-width: 70rem; }
nav a { margin-right: 1.2rem; }
table { border-collapse: collapse; width: 100%; margin-top: 1rem; table-layout: fixed; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8884; vertical-align: top; }
th:first-child, th:last-child { width: 26%; } .number + :not(.number) { padding-left: 1rem; }
bdi { display: block; max-height: 6em; overflow: hidden; overflow-wrap: anywhere; } small { font-size: 75%; }
td.number, th.number { text-align: right; } small { font-weight: normal; }
.up { color: #187a36; } .down, .stale { color: #c0341d; font-weight: 600; }
@media (prefers-color-scheme: dark) { .up { color: #56c978; } .down, .stale { color: #ff8a70; } }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

LINKS = ("/config", "/api/v1/status", "/-/healthy", "/-/ready")

_COLUMNS = (
    ("Property", ""),
    ("State", ""),
    ("Trunks", "number"),
    ("Active", "number"),
    ("Active channel limit", "number"),
    ("Last success", ""),
    ("Last failure", ""),
)


class Status(msgspec.Struct, frozen=True):
    """The exporter's state at Unix time `now`, ready for JSON; the properties are those of its shard."""

    version: str
    ready: bool
    now: float
    discoveries: list[dict[str, Any]]
    properties: list[dict[str, Any]]
    shard_ordinal: int = 0
    shards: int = 1
    properties_elsewhere: int = 0


def status_of(poller: Poller, properties: Iterable[Shown], now: float) -> Status:
    """Gather what the status page shows; what is not known is None."""
    discoveries = [
        {"account_sid": sid, "tried": discovery.tried, "error": discovery.last_error}
        for sid, discovery in poller.discoveries.items()
    ]
    return Status(
        version=__version__,
        ready=poller.ready,
        now=now,
        discoveries=discoveries,
        properties=[entry_of(shown) for shown in properties],
        shard_ordinal=poller.shard.ordinal,
        shards=poller.shard.shards,
        properties_elsewhere=poller.elsewhere,
    )


def entry_of(shown: Shown) -> dict[str, Any]:
    """Give what is told of one property."""
    health, summary = shown.health, shown.summary
    return {
        "property_sid": shown.identity.sid,
        "account_sid": shown.identity.account_sid,
        "name": shown.identity.name,
        "state": _state(shown),
        "up": health.up,
        "stale": shown.stale,
        "polls": health.polls,
        "failures": dict(health.failures),
        "last_poll": health.last_poll,
        "last_success": health.last_success,
        "last_duration_seconds": health.last_duration,
        "last_error": health.last_error,
        "trunks": summary and summary.trunks,
        "active_trunks": summary and summary.active_trunks,
        "active_channel_limit": summary and summary.active_channel_limit,
    }


def _state(shown: Shown) -> str:
    health = shown.health
    if health.up is None:
        return "not polled yet"
    if health.up:
        return "up"
    if shown.summary is None:
        return "down, no data"
    return "down, last good data"


def page(status: Status, telemetry_path: str) -> str:
    """Render the status as a page; every string in it is taken for hostile."""
    links = [telemetry_path, *LINKS]
    navigation = "".join(f'<a href="{escape(link)}">{escape(link)}</a>' for link in links)
    head = "".join(f'<th scope="col" class="{kind}">{name}</th>' for name, kind in _COLUMNS)
    rows = "".join(_row(entry, status.now) for entry in status.properties)
    troubles = "".join(
        f'<p class="down">Discovery for account {escape(each["account_sid"])}: {escape(each["error"])}</p>'
        for each in status.discoveries
        if each["error"]
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>SIP trunks</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"<h1>siptrunk-exporter {escape(status.version)}</h1><nav>{navigation}</nav>"
        f"<p>{_summary(status)}</p>{troubles}"
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></body></html>"
    )


def _summary(status: Status) -> str:
    up = sum(entry["up"] is True for entry in status.properties)
    waiting = "" if status.ready else " The first round of polls is under way."
    share = (
        f" This is shard {status.shard_ordinal} of {status.shards}, counted from 0;"
        f" the others have {status.properties_elsewhere} properties."
    )
    return f"{up} of {len(status.properties)} properties up.{share if status.shards > 1 else ''}{waiting}"


def _row(entry: dict[str, Any], now: float) -> str:
    state = {True: "up", False: "down", None: ""}[entry["up"]]
    name = escape(entry["name"]) or "—"
    cells = [
        f'<th scope="row"><bdi>{name}</bdi><small>{escape(entry["property_sid"])}</small></th>',
        f'<td class="{state}">{escape(entry["state"])}</td>',
        *(
            f'<td class="number">{_number(entry[key])}</td>'
            for key in ("trunks", "active_trunks", "active_channel_limit")
        ),
        f"<td>{_age(entry['last_success'], now)}</td>",
        f"<td><bdi>{escape(entry['last_error'] or '')}</bdi></td>",
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _number(value: int | None) -> str:
    return "—" if value is None else f"{value:,}"


def _age(moment: float | None, now: float) -> str:
    if moment is None:
        return "—"
    at = datetime.fromtimestamp(moment, UTC).isoformat(sep=" ", timespec="seconds")
    return f'<time datetime="{at}" title="{at}">{max(0, round(now - moment))} s ago</time>'
