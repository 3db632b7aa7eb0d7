"""The API's objects: their fields, which of them a filter lets through, and how a plausible trunk is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from exporter.simulator import names

if TYPE_CHECKING:
    from random import Random

INACTIVE, PROVISIONING, ACTIVE, DEPROVISIONING = range(4)
ON_THE_WAY = frozenset({PROVISIONING, DEPROVISIONING})
IP_TO_IP, AUTHENTICATED = range(2)

CHANNEL_LIMITS: Final = (1, 1, 2, 2, 4, 4, 6, 8, 10, 10, 12, 15, 20, 20, 30, 30, 40, 50, 60, 60, 100, 120, 200, 300)
DAY: Final = 86_400
OLDEST_DAYS: Final = 6 * 365
QUARTER: Final = 900
PROVISIONING_SHARE: Final = 0.02
DEACTIVATED_SHARE: Final = 0.09
ENDING_SHARE: Final = 0.03
AUTHENTICATED_SHARE: Final = 0.6
# The API's page leaves open how "no end" is written; every spelling occurs.
NO_END: Final = (UNSET, None, 0)


class Project(msgspec.Struct, rename="pascal", frozen=True):
    """A property as `GET /v2/Properties` lists it; `time_zone` is an IANA name."""

    account_sid: str
    property_sid: str
    name: str
    main_domain: str
    time_zone: str


class SipTrunk(msgspec.Struct, rename="pascal", frozen=True, omit_defaults=True):
    """A trunk with the fields, and in the order, of the API's page on listing SIP trunks.

    Times are Unix seconds (UTC). UNSET leaves a field out of the JSON; None writes null.
    """

    sip_trunk_sid: str
    created: int
    modified: int
    name: str
    type: int
    channel_limit: int
    provisioning_state: int
    end_date: int | UnsetType | None = UNSET
    customer_reference: str | UnsetType | None = UNSET
    external_reference: str | UnsetType | None = UNSET
    default_caller_id: str | UnsetType | None = UNSET

    def active(self, now: float) -> bool:
        """Tell whether the trunk is not deactivated at `now` (Unix seconds): no `EndDate`, or one ahead."""
        return not self.end_date or self.end_date > now


class TrunkFilter(NamedTuple):
    """The page's three filters, any number of them together; None lets everything through."""

    type: int | None = None
    active: bool | None = None
    provisioning_state: int | None = None


class Record(msgspec.Struct, frozen=True, gc=False):
    """One trunk as the carrier keeps it: its JSON, and beside it only what filters ask for.

    A million trunks fit in memory this way, and a page is a join. `end` is 0 where the trunk has no end.
    """

    encoded: bytes
    end: int
    type: int
    state: int

    @classmethod
    def of(cls, trunk: SipTrunk) -> Record:
        """Encode a trunk."""
        return cls(_encode(trunk), trunk.end_date or 0, trunk.type, trunk.provisioning_state)

    @property
    def trunk(self) -> SipTrunk:
        """The trunk, decoded."""
        return _decode(self.encoded)

    def passes(self, wanted: TrunkFilter, now: float) -> bool:
        """Tell whether the trunk passes every filter given, at `now` (Unix seconds)."""
        return (
            wanted.type in (None, self.type)
            and wanted.provisioning_state in (None, self.state)
            and wanted.active in (None, self.end == 0 or self.end > now)
        )


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(SipTrunk).decode


def make_records(rng: Random, area: str, count: int, now: int) -> list[Record]:
    """Make `count` trunks of a property whose area code is `area`, oldest first, as they stand at `now`."""
    today = now // DAY * DAY
    ages = sorted((rng.random() for _ in range(count)), reverse=True)
    made = [make_trunk(rng, area, today - DAY - int(age * OLDEST_DAYS * DAY), today) for age in ages]
    return [Record.of(_begun_lately(trunk, now)) for trunk in made]


def _begun_lately(trunk: SipTrunk, now: int) -> SipTrunk:
    """Have what the carrier is at work on begun in the quarter of an hour before that of `now`: it takes no years."""
    if trunk.provisioning_state not in ON_THE_WAY:
        return trunk
    begun = now // QUARTER * QUARTER - trunk.modified % QUARTER
    return msgspec.structs.replace(trunk, modified=begun)


def make_trunk(rng: Random, area: str, created: int, today: int) -> SipTrunk:
    """Make a trunk created then (Unix seconds) in a state it may well have by `today`."""
    modified = created + int(rng.random() * (today - created))
    state, end = _state_and_end(rng, modified, today)
    return SipTrunk(
        sip_trunk_sid=names.sid(rng, "ST"),
        created=created,
        modified=modified,
        name=names.trunk_name(rng),
        type=AUTHENTICATED if rng.random() < AUTHENTICATED_SHARE else IP_TO_IP,
        channel_limit=names.pick(rng, CHANNEL_LIMITS),
        provisioning_state=state,
        end_date=end,
        customer_reference=_reference(rng, "CR-"),
        external_reference=_reference(rng, "NBN"),
        default_caller_id=names.caller_id(rng, area),
    )


def new_trunk(rng: Random, area: str, now: int) -> SipTrunk:
    """Make a trunk ordered at `now` (Unix seconds) that the carrier is still provisioning."""
    trunk = make_trunk(rng, area, now, now)
    return msgspec.structs.replace(trunk, provisioning_state=PROVISIONING, end_date=names.pick(rng, NO_END))


def _state_and_end(rng: Random, modified: int, today: int) -> tuple[int, int | UnsetType | None]:
    """Draw `ProvisioningState` and `EndDate`; a deactivation modified the trunk last, or had it deprovisioned."""
    draw = rng.random()
    if draw < DEACTIVATED_SHARE:
        return (INACTIVE if draw < DEACTIVATED_SHARE * 2 / 3 else DEPROVISIONING), modified
    if draw < DEACTIVATED_SHARE + ENDING_SHARE:
        # Two days at least: `today` may be the day's beginning, and the end must still lie ahead of the clock.
        return ACTIVE, today + 2 * DAY + int(rng.random() * 180 * DAY)
    state = PROVISIONING if draw > 1 - PROVISIONING_SHARE else ACTIVE
    return state, names.pick(rng, NO_END)


def _reference(rng: Random, prefix: str) -> str | UnsetType | None:
    """Draw a reference; about a sixth of them is left out, and a sixth null."""
    draw = rng.random() * 6
    if draw < 2:  # noqa: PLR2004 - two sixths
        return UNSET if draw < 1 else None
    return f"{prefix}{int(rng.random() * 1_000_000):06d}"
