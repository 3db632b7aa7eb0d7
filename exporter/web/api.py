"""The changes as JSON: which are asked for, by the query of the URL, and the answer."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec
from msgspec.structs import replace

from exporter.history.changes import Kind
from exporter.history.journal import Wanted, newest_first

if TYPE_CHECKING:
    from multidict import MultiMapping

    from exporter.config import Metrics
    from exporter.history.changes import Change
    from exporter.polling.poller import Poller

MOST = 1000
"""Most changes of one answer."""
TEXTS = frozenset({"name", "customer_reference", "external_reference", "default_caller_id"})
"""The fields of a trunk that tell about people."""
_KEYS = ("property", "trunk", "kind", "since", "until", "limit", "skip")
_MOST_SKIPPED = 10**9


def withheld(metrics: Metrics) -> frozenset[str]:
    """Give the fields of trunks that the configuration keeps out of the metrics, and so of all else that is served."""
    return TEXTS - {*(metrics.info_labels if metrics.detail == "trunk" else ())}


async def seen(poller: Poller, sought: Wanted, skip: int, most: int) -> list[Change]:
    """Give up to `most` of the changes sought, without the newest `skip` of them and what is withheld of trunks.

    Others have their turn while many are looked at.
    """
    hidden, kept = withheld(poller.config.metrics), [*poller.journal]

    def looked() -> list[Change]:
        return [_without(hidden, each) for each in newest_first(kept, sought, skip, most)]

    return await asyncio.to_thread(looked)


def _without(hidden: frozenset[str], change: Change) -> Change:
    named = replace(change, trunk=None) if "name" in hidden else change
    return replace(named, old=None, new=None) if change.field in hidden else named


async def changes(query: MultiMapping[str], poller: Poller, now: float) -> dict[str, Any]:
    """Give the changes that `query` asks for, the newest first, at the Unix time `now`.

    It may hold `property`, `trunk`, `kind` (repeatable), `since` and `until` (Unix times, or as RFC 3339 writes them),
    `limit` (1 to `MOST`, 100 where not given) and `skip`. `next` is the query of the next page, which what is new does
    not shift, or None. Raises ValueError, with a text for people, for anything else.
    """
    for key in query:
        if key not in _KEYS:
            raise ValueError(f"unknown parameter: expected one of {', '.join(_KEYS)}")
        if key != "kind" and len(query.getall(key)) > 1:
            raise ValueError(f"{key}: given more than once")
    wanted = Wanted(
        property_sid=query.get("property"),
        trunk_sid=query.get("trunk"),
        kinds=frozenset(map(_kind, query.getall("kind", []))),
        since=_time(query, "since"),
        until=_time(query, "until"),
    )
    most, skip = _number(query, "limit", 100, 1, MOST), _number(query, "skip", 0, 0, _MOST_SKIPPED)
    until = wanted.until
    if until is None:
        # Where the clock was set back some were seen later than now.
        until = math.nextafter(max((each.seen for each in poller.journal), default=now), math.inf)
    # One more than asked for tells whether there is another page.
    found = await seen(poller, wanted, skip, most + 1)
    following = None
    if len(found) > most:
        # What is seen from now on would shift the pages.
        same = [(key, value) for key, value in query.items() if key not in ("until", "limit", "skip")]
        following = urlencode([*same, ("until", repr(until)), ("limit", most), ("skip", skip + most)])
    return {"now": now, "changes": [msgspec.structs.asdict(change) for change in found[:most]], "next": following}


def _kind(text: str) -> Kind:
    try:
        return Kind(text)
    except ValueError:
        raise ValueError(f"unknown kind: expected one of {', '.join(Kind)}") from None


def _time(query: MultiMapping[str], key: str) -> float | None:
    text = query.get(key)
    if text is None:
        return None
    with suppress(ValueError):
        if math.isfinite(time := float(text)):
            return time
    with suppress(ValueError):
        if (moment := datetime.fromisoformat(text)).tzinfo:
            return moment.timestamp()
    raise ValueError(f"{key}: expected a Unix time, or one like 2026-01-31T03:00:00Z")


def _number(query: MultiMapping[str], key: str, default: int, least: int, most: int) -> int:
    text = query.get(key)
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(most)) or not least <= int(text) <= most:
        raise ValueError(f"{key}: expected a whole number from {least} to {most}")
    return int(text)
