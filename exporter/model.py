"""The things the exporter speaks of: trunks, properties and how their polling goes.

The two record types are decoded straight from the API's JSON; their constraints say what is documented, and
whatever does not fit is put right, or left out, by `payload`.
"""

from __future__ import annotations

from collections import Counter
from itertools import product
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from exporter.drift import drift_of
from exporter.history.changes import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporter.config import Expected
    from exporter.drift import Drift
    from exporter.errors import Reason

UNKNOWN = "unknown"
TRUNK_TYPES: Mapping[int | None, str] = {0: "ip_to_ip", 1: "authenticated"}
PROVISIONING_STATES: Mapping[int | None, str] = {0: "inactive", 1: "provisioning", 2: "active", 3: "deprovisioning"}

ON_THE_WAY = frozenset(code for code, state in PROVISIONING_STATES.items() if state.endswith("provisioning"))
"""The codes of the states that end by themselves: the carrier is at work."""

UNREADABLE = -1
"""Stands for an EndDate or a code that the API gave and nobody can read; unlike None it is not "not set"."""

# Beyond 2**53 a float64, which is what Prometheus stores, could no longer show the number exactly.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
# The end of the year 9999: a larger "Unix timestamp" is one in milliseconds, or nonsense.
_Timestamp = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799)]
_Sid = Annotated[str, msgspec.Meta(min_length=1)]


class Trunk(msgspec.Struct, frozen=True, gc=False):
    """One SIP trunk of the list `GET /v2/Properties/{PropertySid}/SipTrunks`; times are Unix seconds.

    None is a value that the API did not give.
    """

    sid: _Sid = msgspec.field(name="SipTrunkSid")
    created: _Timestamp | None = msgspec.field(name="Created", default=None)
    modified: _Timestamp | None = msgspec.field(name="Modified", default=None)
    end_date: _Timestamp | None = msgspec.field(name="EndDate", default=None)
    name: str | None = msgspec.field(name="Name", default=None)
    type: Literal[0, 1] | None = msgspec.field(name="Type", default=None)
    channel_limit: Count | None = msgspec.field(name="ChannelLimit", default=None)
    customer_reference: str | None = msgspec.field(name="CustomerReference", default=None)
    external_reference: str | None = msgspec.field(name="ExternalReference", default=None)
    default_caller_id: str | None = msgspec.field(name="DefaultCallerId", default=None)
    provisioning_state: Literal[0, 1, 2, 3] | None = msgspec.field(name="ProvisioningState", default=None)

    @property
    def trunk_type(self) -> str:
        """The type as a label value: `ip_to_ip`, `authenticated` or `unknown`."""
        return TRUNK_TYPES.get(self.type, UNKNOWN)

    @property
    def told_type(self) -> str | None:
        """The same, None where the API gave none."""
        return None if self.type is None else self.trunk_type

    @property
    def told_state(self) -> str | None:
        """The provisioning state, None where the API gave none."""
        return None if self.provisioning_state is None else self.state

    @property
    def state(self) -> str:
        """The provisioning state as a label value; `unknown` for one undocumented or not given."""
        return PROVISIONING_STATES.get(self.provisioning_state, UNKNOWN)

    def active(self, now: float) -> bool | None:
        """Whether the trunk is not deactivated at Unix time `now`; None where its EndDate is unreadable.

        The API has no such field: an EndDate that is absent, null or 0, or that lies ahead, means live.
        """
        end = self.end_date
        if not end:
            return True
        return None if end == UNREADABLE else end > now


class Project(msgspec.Struct, frozen=True, gc=False):
    """One property as `GET /v2/Properties` lists it, under the portal's word for it."""

    sid: _Sid = msgspec.field(name="PropertySid")
    name: str | None = msgspec.field(name="Name", default=None)


class Identity(msgspec.Struct, frozen=True):
    """Which property is meant, and what people call it."""

    sid: str
    account_sid: str
    name: str


class Health(msgspec.Struct, frozen=True):
    """How a property's polling goes; times are Unix seconds.

    What is told of the last poll (when it ended, the seconds it took, why it failed) is None until the first has
    ended; `last_error` is None too where the last poll brought a complete list.
    """

    polls: int
    failures: Mapping[Reason, int]
    last_poll: float | None = None
    last_duration: float | None = None
    last_error: str | None = None
    last_success: float | None = None

    @property
    def up(self) -> bool | None:
        """Whether the last poll brought a complete list; None before the first has ended."""
        return None if self.last_poll is None else self.last_error is None

    @property
    def reason(self) -> str:
        """Why the last poll failed, as the label `reason` tells it; empty where it did not."""
        return (self.last_error or "").partition(":")[0]


KINDS = tuple(product((*TRUNK_TYPES.values(), UNKNOWN), (*PROVISIONING_STATES.values(), UNKNOWN)))
"""Every pair of type and provisioning state that a trunk can have as label values."""


_KIND = attrgetter("type", "provisioning_state")


class Summary(msgspec.Struct, frozen=True):
    """What is known of a property's trunks together; `counts` has one number for each of `KINDS`.

    `active_channel_limit` is None where one addend, or whether it is one, is not known: a sum that leaves trunks out
    would not be true. All of it holds from the Unix time `true_from` until `true_until`, when a trunk's EndDate comes.
    """

    trunks: int
    counts: tuple[int, ...]
    active_trunks: int
    active_channel_limit: int | None
    true_from: float
    true_until: float


def summarise(trunks: Sequence[Trunk], now: float) -> Summary:
    """Sum up trunks as they are at Unix time `now`."""
    counts = dict.fromkeys(KINDS, 0)
    for (kind, state), count in Counter(map(_KIND, trunks)).items():
        counts[TRUNK_TYPES.get(kind, UNKNOWN), PROVISIONING_STATES.get(state, UNKNOWN)] += count
    ends = [trunk.end_date for trunk in trunks if trunk.end_date]
    # As `Trunk.active` says, without a call for each.
    limits = [trunk.channel_limit for trunk in trunks if not trunk.end_date or trunk.end_date > now]
    return Summary(
        trunks=len(trunks),
        counts=tuple(counts.values()),
        active_trunks=len(limits),
        active_channel_limit=None if None in limits or UNREADABLE in ends else sum(filter(None, limits)),
        true_from=now,
        true_until=min([end for end in ends if end > now], default=inf),
    )


def on_the_way_since(trunks: Sequence[Trunk], since: Sequence[int]) -> int | None:
    """Give since which Unix time a trunk is on its way, of several the earliest; None where none is.

    `since` tells of each of the trunks since when it has its state.
    """
    both = zip(trunks, since, strict=True)
    return min((begun for trunk, begun in both if trunk.provisioning_state in ON_THE_WAY), default=None)


NO_CHANGES = (0,) * len(Kind)


class Shown(msgspec.Struct, frozen=True):
    """What is shown of a property beside its trunks; `summary` is None where no good data may be shown.

    `changes` has one number for each kind of change, `drift` is empty where nothing is expected.
    """

    identity: Identity
    health: Health
    summary: Summary | None
    changes: tuple[int, ...] = NO_CHANGES
    drift: Drift = ()

    @property
    def stale(self) -> bool | None:
        """Whether data are shown, but not those of the last poll; None before there are any and a poll has ended."""
        if self.summary is None:
            return None if self.health.up is None else False
        return not self.health.up

    @property
    def standing(self) -> tuple[object, ...]:
        """What does not change as long as polls go well."""
        return self.health.up, self.stale, self.health.failures

    def but(self, identity: Identity, health: Health) -> Shown:
        """Give the same data with other news of the polling."""
        return Shown(identity, health, self.summary, self.changes, self.drift)


class PropertyView(msgspec.Struct, frozen=True):
    """All that is shown of one property at Unix time `now`; `trunks` is None where no good data may be shown.

    `since` tells of each of the trunks since which Unix time it has its provisioning state.
    """

    identity: Identity
    health: Health
    trunks: tuple[Trunk, ...] | None
    now: float
    since: Sequence[int] = ()
    changes: tuple[int, ...] = NO_CHANGES
    expected: Expected | None = None

    @property
    def shown(self) -> Shown:
        """The same without the single trunks."""
        if self.trunks is None:
            return Shown(self.identity, self.health, None, self.changes)
        drift = drift_of(self.expected, self.trunks, self.now) if self.expected else ()
        return Shown(self.identity, self.health, summarise(self.trunks, self.now), self.changes, drift)
