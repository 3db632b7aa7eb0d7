"""Two complete walks of a property, compared trunk by trunk."""

from __future__ import annotations

from array import array
from enum import StrEnum
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from exporter.model import Trunk

Value = str | int | None
Lacking = dict[str, dict[str, Value]]
"""By Sid of those trunks alone of which an answer lacks something: what was last told of it, by attribute."""
LATEST = 2**33
"""The largest Unix time at which anything is seen, in the year 2242: what a damaged file tells must stay a date."""
_Difference = tuple["Kind", str, Value, Value]


class Kind(StrEnum):
    """What can change; the values are those of the label `kind`."""

    ADDED = "added"
    REMOVED = "removed"
    RENAMED = "renamed"
    CHANNEL_LIMIT = "channel_limit"
    PROVISIONING_STATE = "provisioning_state"
    DEACTIVATED = "deactivated"
    REACTIVATED = "reactivated"
    TYPE = "type"
    REFERENCE = "reference"
    CALLER_ID = "caller_id"


_COMPARED: tuple[tuple[Kind, str, Callable[[Trunk], Value]], ...] = (
    (Kind.RENAMED, "name", attrgetter("name")),
    (Kind.CHANNEL_LIMIT, "channel_limit", attrgetter("channel_limit")),
    (Kind.PROVISIONING_STATE, "provisioning_state", attrgetter("told_state")),
    (Kind.TYPE, "trunk_type", attrgetter("told_type")),
    (Kind.REFERENCE, "customer_reference", attrgetter("customer_reference")),
    (Kind.REFERENCE, "external_reference", attrgetter("external_reference")),
    (Kind.CALLER_ID, "default_caller_id", attrgetter("default_caller_id")),
)


_OPTIONAL = (Kind.REFERENCE, Kind.CALLER_ID)
"""The kinds of what a trunk may do without; of the rest None is what an answer lacked, and that has not changed."""
_NEEDED = ("channel_limit", "provisioning_state", "type")
"""The numbers that no trunk is without: what is kept of a name that an answer lacks might be long."""


class Change(msgspec.Struct, frozen=True, gc=False):
    """One change of a trunk, seen at the Unix time `seen`; `modified` is the API's own time of the last one.

    `field` names what has changed, as the kind or more closely; `trunk` is the trunk's name now, or the last one. Of a
    trunk that came, went, or changed as a whole there is no old or new value.
    """

    seen: Annotated[float, msgspec.Meta(ge=0, le=LATEST)]
    property_sid: str
    trunk_sid: str
    trunk: str | None
    kind: Kind
    field: str
    old: Value
    new: Value
    modified: int | None


def as_last_told(trunks: Sequence[Trunk], lacking: Lacking) -> Sequence[Trunk]:
    """Give trunks with what they lack as it was last told; an answer that lacks something must hide no change."""
    return [replace(trunk, **lacking.get(trunk.sid, {})) for trunk in trunks] if lacking else trunks


def compare(
    property_sid: str, before: Sequence[Trunk], then: float, after: Sequence[Trunk], now: float
) -> tuple[list[Change], Lacking]:
    """Give what is other in `after`, seen at Unix time `now`, than it was in `before`, seen at `then`.

    Beside it, what `after` lacks of what `before` tells.
    """
    changes: list[Change] = []
    lacking: Lacking = {}
    gone = {trunk.sid: trunk for trunk in before}
    for trunk in after:
        known = gone.pop(trunk.sid, None)
        same = known == trunk
        # So are most; and without an EndDate nothing comes by itself.
        if same and not trunk.end_date:
            continue
        changes += [
            Change(now, property_sid, trunk.sid, trunk.name, *found, trunk.modified)
            for found in _between(known, then, trunk, now)
        ]
        if known and not same and (last := _last_told(known, then, trunk)):
            lacking[trunk.sid] = last
    changes += [
        Change(now, property_sid, trunk.sid, trunk.name, *_as_a_whole(Kind.REMOVED), trunk.modified)
        for trunk in gone.values()
    ]
    return changes, lacking


def _between(before: Trunk | None, then: float, after: Trunk, now: float) -> Iterator[_Difference]:
    if before is None:
        yield _as_a_whole(Kind.ADDED)
        return
    if before.end_date or after.end_date:
        was_active, is_active = before.active(then), after.active(now)
        # What is not known has not changed.
        if None not in (was_active, is_active) and was_active != is_active:
            yield _as_a_whole(Kind.REACTIVATED if is_active else Kind.DEACTIVATED)
    if before != after:
        for kind, field, value in _COMPARED:
            old, new = value(before), value(after)
            if old != new and (None not in (old, new) or kind in _OPTIONAL):
                yield kind, field, old, new


def _last_told(before: Trunk, then: float, after: Trunk) -> dict[str, Value]:
    """Give what `before` tells of what `after` lacks."""
    last = {
        name: told for name in _NEEDED if getattr(after, name) is None and (told := getattr(before, name)) is not None
    }
    # The date itself may come meanwhile, so one is kept that goes on meaning what the trunk was.
    if after.active(then) is None and (was_active := before.active(then)) is not None:
        last["end_date"] = 0 if was_active else 1
    return last


def _as_a_whole(kind: Kind) -> _Difference:
    return kind, kind.value, None, None


def states_since(
    before: Sequence[Trunk], before_since: Sequence[int], after: Sequence[Trunk], now: float
) -> array[int]:
    """Give since which Unix time each trunk of `after` has its provisioning state; `before_since` is that of `before`.

    Of a trunk not seen before that is when it was last modified: its state may be older, and is not younger. Where an
    answer lacks the state, the time is below zero, and counts on once the state is told again.
    """
    states = {
        trunk.sid: (trunk.provisioning_state, abs(since)) for trunk, since in zip(before, before_since, strict=True)
    }
    seen, times = int(now), array("q")
    for trunk in after:
        state, known = trunk.provisioning_state, states.get(trunk.sid)
        if known is None:
            modified = trunk.modified
            time = modified if modified and modified < seen else seen
        else:
            was, earlier = known
            time = earlier if state == was or None in (state, was) else seen
            # One from the future was told by a clock that was ahead, unless it is now that the clock is behind.
            if time > seen >= (trunk.modified or seen):
                time = seen
        times.append(-time if state is None else time)
    return times
