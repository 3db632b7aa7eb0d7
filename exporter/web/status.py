"""What is told of the properties' health, as data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from exporter import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exporter.metrics.snapshot import Snapshot
    from exporter.model import Shown
    from exporter.polling.poller import Poller

LINKS = ("/config", "/api/v1/status", "/-/healthy", "/-/ready")


def written(poller: Poller, snapshot: Snapshot, clock: Callable[[], float]) -> Iterator[bytes]:
    """Write the exporter's state by this Unix clock as JSON, the properties of its shard one by one.

    What is not known is null. A property is written when its turn comes, so that little is held for slow readers.
    """
    head = {
        "version": __version__,
        "ready": poller.ready,
        "now": clock(),
        "discoveries": [
            {"account_sid": sid, "tried": discovery.tried, "error": discovery.last_error}
            for sid, discovery in poller.discoveries.items()
        ],
        "shard_ordinal": poller.shard.ordinal,
        "shards": poller.shard.shards,
        "properties_elsewhere": poller.elsewhere,
    }
    told = [(shown, each.on_the_way_since) for sid, each in poller.properties.items() if (shown := snapshot.get(sid))]
    yield encoded(head)[:-1] + b',"properties":['
    for at, each in enumerate(told):
        yield b"," * bool(at) + encoded(entry_of(*each))
    yield b"]}"


def encoded(value: dict[str, Any]) -> bytes:
    """Write an object as JSON, escaping what of its texts cannot be UTF-8."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def entry_of(shown: Shown, on_the_way_since: int | None) -> dict[str, Any]:
    """Give what is told of one property, of which a trunk is on its way since this Unix time, None where none is."""
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
        "not_as_agreed": sum(differs for _, differs in shown.drift) if shown.drift else None,
        "provisioning_since": summary and on_the_way_since,
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
