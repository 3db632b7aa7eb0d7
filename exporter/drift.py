"""What differs from what was agreed, and what is there written down as what is agreed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from exporter.config import Expected
    from exporter.model import PropertyView, Trunk

Drift = tuple[tuple[tuple[str, str], int], ...]
"""For each expectation the trunk's Sid and the field, and 1 where it does not hold, 0 where it does."""

FIELDS: Mapping[str, Callable[[Trunk, float], object]] = {
    "channel_limit": lambda trunk, _now: trunk.channel_limit,
    "provisioning_state": lambda trunk, _now: trunk.told_state,
    "trunk_type": lambda trunk, _now: trunk.told_type,
    "active": lambda trunk, now: trunk.active(now),
}
"""What of a trunk can be expected: its key in the configuration, and its value at a Unix time, None if not known."""


def drift_of(expected: Expected, trunks: Sequence[Trunk], now: float) -> Drift:
    """Compare a property's trunks, as they are at Unix time `now`, with what is expected of them.

    A trunk that is missing has no other field, and what is not known of a trunk is neither as expected nor not.
    """
    return tuple(_drift(expected, {trunk.sid: trunk for trunk in trunks}, now))


def _drift(expected: Expected, there: Mapping[str, Trunk], now: float) -> Iterator[tuple[tuple[str, str], int]]:
    for each in expected.trunks:
        trunk = there.get(each.sid)
        yield (each.sid, "missing"), int(trunk is None)
        if trunk is None:
            continue
        for field, value in FIELDS.items():
            wanted, actual = getattr(each, field), value(trunk, now)
            if None not in (wanted, actual):
                yield (each.sid, field), int(wanted != actual)
    if expected.only:
        agreed = {each.sid for each in expected.trunks}
        for sid in there:
            yield (sid, "unexpected"), int(sid not in agreed)


def block(view: PropertyView) -> str:
    """Write a property as the configuration has it under `properties`, expecting of it just what is there now.

    Names and its account are comments, and what is not known is not expected. Gives nothing for one without data.
    """
    if view.trunks is None:
        return ""
    entries = [_entry(trunk, view.now) for trunk in view.trunks]
    lines = [
        f"      # {_comment(view.identity.name) or 'a property'} of account {view.identity.account_sid}",
        f"      - sid: {view.identity.sid}",
        "        expected:",
        "          only: true",
        "          trunks:" if any(entry.startswith("-") for entry in entries) else "          trunks: []",
        *(f"            {entry}" for entry in entries),
    ]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _entry(trunk: Trunk, now: float) -> str:
    name = _comment(trunk.name or "")
    if not re.fullmatch("(?!(?i:null)$)[A-Za-z0-9]+", trunk.sid):
        return f"# left out, for its Sid cannot be written here: {_comment(trunk.sid)} {name}"
    known = {field: value(trunk, now) for field, value in FIELDS.items()}
    written = [f"{field}: {_yaml(value)}" for field, value in known.items() if value not in (None, "unknown")]
    return f"- {{{', '.join([f'sid: {trunk.sid}', *written])}}}  # {name}"


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _comment(text: str) -> str:
    # What a terminal or an editor would take for more than text stays out of the file.
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
