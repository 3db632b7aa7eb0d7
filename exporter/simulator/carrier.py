"""The carrier's world: its properties, their trunks, and how they change. No I/O, and no clock of its own."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from exporter.simulator import names
from exporter.simulator.trunks import (
    ACTIVE,
    CHANNEL_LIMITS,
    DEPROVISIONING,
    INACTIVE,
    ON_THE_WAY,
    PROVISIONING,
    Project,
    Record,
    SipTrunk,
    TrunkFilter,
    make_records,
    new_trunk,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_ACCOUNT_SID: Final = "ASIMULATOR0000000000000000000001"
# What "long deactivated" is here: short, so that a run of hours with churn keeps its size.
REMOVED_AFTER_SECONDS: Final = 3600
# What the carrier has been at work on for so long is finished rather than anything else changed: it takes no hours.
FINISHED_AFTER_SECONDS: Final = 900
# So that a step costs the same in a property of any size.
LOOKED_AT: Final = 100
# A property below the size it began with gains trunks faster than it loses them, else slower: it keeps its size.
GROWING_SHARE: Final = 0.08
SHRINKING_SHARE: Final = 0.03
DEACTIVATE_SHARE: Final = 0.06
RENAME_SHARE: Final = 0.3


@dataclass(frozen=True, kw_only=True)
class CarrierOptions:
    """How large the carrier's world is, and which one.

    `trunks` is per property: exactly that many with `exact`; else each property draws between a half and one and
    a half times as many. One seed, a whole number from 0, at one day (UTC) is one world, whatever order it is looked
    at in.
    """

    account_sid: str = DEFAULT_ACCOUNT_SID
    properties: int = 5
    trunks: int = 48
    exact: bool = False
    seed: int = 1


class Change(NamedTuple):
    """What one step of churn did: `kind` is provision, finish, limit, rename, deactivate, retire or remove."""

    kind: str
    property_sid: str
    trunk_sid: str


class _Property:
    """A property, its trunks made when first asked for: 20,000 properties must start in seconds."""

    __slots__ = ("_records", "_seed", "area", "count", "encoded", "sid")

    def __init__(self, rng: random.Random, project: Project, area: str, count: int) -> None:
        self.sid: Final = project.property_sid
        self.encoded: Final = msgspec.json.encode(project)
        self.area: Final = area
        self.count: Final = count
        self._seed: Final = rng.getrandbits(64)
        self._records: list[Record] | None = None

    def records(self, now: int) -> list[Record]:
        if self._records is None:
            rng = random.Random(self._seed)  # noqa: S311 - reproducible on purpose
            self._records = make_records(rng, self.area, self.count, now)
        return self._records


class Carrier:
    """Properties and trunks made from a seed, as they stand at the beginning of the day (UTC) of `now`.

    Only what the carrier is at work on has been so for less than half an hour at `now`.

    Everything random comes from one `random.Random(seed)`, each property's own seed included. Methods that take a
    property's Sid raise KeyError where there is no such property. Times are Unix seconds.
    """

    def __init__(self, options: CarrierOptions, now: float) -> None:
        self._rng: Final = random.Random(options.seed)  # noqa: S311 - reproducible on purpose
        self._began: Final = int(now)
        self._properties: Final[dict[str, _Property]] = {}
        taken: Counter[str] = Counter()
        for _ in range(options.properties):
            made = self._make_property(options, taken)
            self._properties[made.sid] = made
        self._sids: Final = tuple(self._properties)
        self._projects: Final = [made.encoded for made in self._properties.values()]

    @property
    def property_sids(self) -> tuple[str, ...]:
        """Every property's Sid, in the order of the property list."""
        return self._sids

    def projects(self) -> list[bytes]:
        """Give the property list, one JSON object each."""
        return self._projects

    def has_property(self, property_sid: str) -> bool:
        """Tell whether there is such a property."""
        return property_sid in self._properties

    def listing(self, property_sid: str, wanted: TrunkFilter, now: float) -> Sequence[Record]:
        """Give the property's trunks that pass the filters at `now`, in the list's order, as encoded records."""
        records = self._records(property_sid)
        if wanted == TrunkFilter():
            return records
        return [record for record in records if record.passes(wanted, now)]

    def count(self, property_sid: str, wanted: TrunkFilter, now: float) -> int:
        """Give the number of the property's trunks that pass the filters at `now`."""
        return len(self.listing(property_sid, wanted, now))

    def trunks(self, property_sid: str) -> list[SipTrunk]:
        """Give all trunks of the property, decoded, in the list's order."""
        return [record.trunk for record in self._records(property_sid)]

    def find(self, property_sid: str, trunk_sid: str) -> SipTrunk | None:
        """Give one trunk of the property, or None where it has no such trunk."""
        index = self._index(property_sid, trunk_sid)
        return None if index is None else self._records(property_sid)[index].trunk

    def put(self, property_sid: str, trunk: SipTrunk) -> None:
        """Replace the trunk of the same Sid where it stands in the list, or add it at the list's end."""
        records, index = self._records(property_sid), self._index(property_sid, trunk.sip_trunk_sid)
        if index is None:
            records.append(Record.of(trunk))
        else:
            records[index] = Record.of(trunk)

    def remove(self, property_sid: str, trunk_sid: str) -> None:
        """Take a trunk out of the list, where it is there; those behind it move up."""
        index = self._index(property_sid, trunk_sid)
        if index is not None:
            del self._records(property_sid)[index]

    def churn_step(self, now: float) -> Change | None:
        """Make one random change at `now` and tell which; None where there is no property to change."""
        if not self._sids:
            return None
        made = self._properties[names.pick(self._rng, self._sids)]
        records = made.records(self._began)
        share = GROWING_SHARE if len(records) < made.count else SHRINKING_SHARE
        if not records or self._rng.random() < share:
            trunk = new_trunk(self._rng, made.area, int(now))
            records.append(Record.of(trunk))
            return Change("provision", made.sid, trunk.sip_trunk_sid)
        index = self._choose(records, int(now))
        trunk = records[index].trunk
        kind, changed = self._next(trunk, int(now))
        if changed is None:
            del records[index]
        else:
            records[index] = Record.of(replace(changed, modified=max(trunk.modified, int(now))))
        return Change(kind, made.sid, trunk.sip_trunk_sid)

    def _choose(self, records: Sequence[Record], now: int) -> int:
        """Choose any trunk, or the first from there on that the carrier has been at work on for long."""
        any_of_them = int(self._rng.random() * len(records))
        for at in range(any_of_them, any_of_them + min(len(records), LOOKED_AT)):
            record = records[at % len(records)]
            if record.state in ON_THE_WAY and record.trunk.modified <= now - FINISHED_AFTER_SECONDS:
                return at % len(records)
        return any_of_them

    def _next(self, trunk: SipTrunk, now: int) -> tuple[str, SipTrunk | None]:
        """Choose what befalls a trunk: the kind of change, and the trunk after it (None: removed)."""
        state = trunk.provisioning_state
        if state == PROVISIONING:
            return "finish", replace(trunk, provisioning_state=ACTIVE)
        if state == DEPROVISIONING:
            return "retire", replace(trunk, provisioning_state=INACTIVE)
        if state == INACTIVE and not trunk.active(now - REMOVED_AFTER_SECONDS):
            return "remove", None
        if state == ACTIVE and not trunk.active(now):
            return "deactivate", replace(trunk, provisioning_state=DEPROVISIONING)
        return self._adjust(trunk, now)

    def _adjust(self, trunk: SipTrunk, now: int) -> tuple[str, SipTrunk]:
        """Choose what a customer does to a trunk that is not on its way to another state."""
        draw = self._rng.random()
        if trunk.provisioning_state == ACTIVE and draw < DEACTIVATE_SHARE:
            ended = max(now, trunk.created)
            return "deactivate", replace(trunk, provisioning_state=DEPROVISIONING, end_date=ended)
        if draw < RENAME_SHARE:
            return "rename", replace(trunk, name=self._other_name(trunk.name))
        return "limit", replace(trunk, channel_limit=self._other_limit(trunk.channel_limit))

    def _other_name(self, name: str) -> str:
        while (other := names.trunk_name(self._rng)) == name:
            pass
        return other

    def _other_limit(self, limit: int) -> int:
        return names.pick(self._rng, tuple(other for other in CHANNEL_LIMITS if other != limit))

    def _make_property(self, options: CarrierOptions, taken: Counter[str]) -> _Property:
        town, site = names.pick(self._rng, names.TOWNS), names.pick(self._rng, names.SITES)
        name = f"{town.name} {site}"
        taken[name] += 1
        if taken[name] > 1:
            name = f"{name} {taken[name]}"
        domain = f"{name.lower().replace(' ', '-')}.voice.example"
        project = Project(options.account_sid, names.sid(self._rng, "S"), name, domain, town.time_zone)
        spread = 0 if options.exact else options.trunks // 2
        count = self._rng.randint(options.trunks - spread, options.trunks + spread)
        return _Property(self._rng, project, town.area, count)

    def _records(self, property_sid: str) -> list[Record]:
        return self._properties[property_sid].records(self._began)

    def _index(self, property_sid: str, trunk_sid: str) -> int | None:
        # The Sid is the object's first field, so the JSON's beginning tells it without decoding.
        beginning = b'{"SipTrunkSid":"%s"' % trunk_sid.encode()
        records = self._records(property_sid)
        return next((i for i, record in enumerate(records) if record.encoded.startswith(beginning)), None)
