"""The words and numbers an Australian operator's portal would hold, drawn from a given `random.Random`."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

if TYPE_CHECKING:
    from random import Random

T = TypeVar("T")


class Town(NamedTuple):
    """Where a property is: its name, IANA time zone and area code (the digit after +61)."""

    name: str
    time_zone: str
    area: str


TOWNS: Final = (
    Town("Sydney", "Australia/Sydney", "2"),
    Town("Melbourne", "Australia/Melbourne", "3"),
    Town("Brisbane", "Australia/Brisbane", "7"),
    Town("Perth", "Australia/Perth", "8"),
    Town("Adelaide", "Australia/Adelaide", "8"),
    Town("Hobart", "Australia/Hobart", "3"),
    Town("Canberra", "Australia/Sydney", "2"),
    Town("Darwin", "Australia/Darwin", "8"),
    Town("Newcastle", "Australia/Sydney", "2"),
    Town("Wollongong", "Australia/Sydney", "2"),
    Town("Geelong", "Australia/Melbourne", "3"),
    Town("Ballarat", "Australia/Melbourne", "3"),
    Town("Launceston", "Australia/Hobart", "3"),
    Town("Cairns", "Australia/Brisbane", "7"),
    Town("Toowoomba", "Australia/Brisbane", "7"),
    Town("Fremantle", "Australia/Perth", "8"),
)
SITES: Final = ("office", "head office", "contact centre", "warehouse", "clinic", "showroom", "depot", "campus")

# Quotes, a backslash and letters beyond ASCII are here because people do type them into names.
PLACES: Final = (
    "Level 1",
    "Level 3",
    "Level 12",
    "Bourke St",
    "Collins St",
    "George St",
    "Hay St",
    "Rundle Mall",
    "O'Connell St",
    "Café Fitzroy",
    'Warehouse "B"',
    "Dock 4\\5",
    "North wing",
    "Annexe",
    "Data centre",
    "Disaster recovery",
)
ROLES: Final = (
    "reception",
    "PBX",
    "call centre",
    "SBC primary",
    "SBC backup",
    "Teams direct routing",
    "service desk",
    "overflow",
    "IVR",
    "sales",
    "accounts",
    "fax",
    "lift phones",
    "alarm line",
    "after hours",
    "boardroom",
)
# Numbers that the Australian regulator (ACMA) keeps for fiction, so that none of them rings at somebody's desk.
MOBILES_AND_INBOUND: Final = (
    "+61491570006",
    "+61491570110",
    "+61491570156",
    "+61491570157",
    "+61491570158",
    "+61491570159",
    "+611300975707",
    "+611300975708",
    "+611300975709",
    "+611800975707",
    "+611800975708",
    "+611800975709",
)
INBOUND_SHARE: Final = 0.15

_SID_CHARACTERS: Final = string.ascii_uppercase + string.digits
# One table look-up per byte: a million Sids must not take a simulator's start.
_SID_TABLE: Final = bytes(ord(_SID_CHARACTERS[i % len(_SID_CHARACTERS)]) for i in range(256))
SID_LENGTH: Final = 32


def sid(rng: Random, prefix: str) -> str:
    """Make a 32-character identifier: `prefix`, then upper-case letters and digits."""
    return prefix + rng.randbytes(SID_LENGTH - len(prefix)).translate(_SID_TABLE).decode("ascii")


def caller_id(rng: Random, area: str) -> str:
    """Make an E.164 number with its `+`: mostly a landline of the area, sometimes a mobile, 1300 or 1800 number."""
    if rng.random() < INBOUND_SHARE:
        return pick(rng, MOBILES_AND_INBOUND)
    exchange = "5550" if rng.random() < 0.5 else "7010"  # noqa: PLR2004 - an even coin
    return f"+61{area}{exchange}{int(rng.random() * 10_000):04d}"


def trunk_name(rng: Random) -> str:
    """Make a trunk's name, such as `Level 3 reception`."""
    return f"{pick(rng, PLACES)} {pick(rng, ROLES)}"


def pick(rng: Random, choices: tuple[T, ...]) -> T:
    """Give one of the choices, each as likely; several times as fast as `Random.choice`."""
    return choices[int(rng.random() * len(choices))]
