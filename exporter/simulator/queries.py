"""What a request asks for: its path and its parameters, as the API's pages name them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from exporter.simulator.trunks import TrunkFilter

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_COUNT: Final = 50
# Ten digits are beyond every list, and keep int() from chewing on a megabyte of them.
_WHOLE_NUMBER: Final = re.compile(r"[0-9]{1,10}")

Endpoint = Literal["properties", "trunks", "details", "other"]


class BadQueryError(ValueError):
    """A parameter with a value that the API does not take; the message names both."""


class Target(NamedTuple):
    """What a path asks for; `other` is a path that the API does not have."""

    endpoint: Endpoint
    property_sid: str | None = None
    trunk_sid: str = ""


def parse_path(path: str) -> Target:
    """Tell what a request's path asks for."""
    match path.split("/"):
        case ["", "v2", "Properties"]:
            return Target("properties")
        case ["", "v2", "Properties", property_sid, "SipTrunks"]:
            return Target("trunks", property_sid)
        case ["", "v2", "Properties", property_sid, "SipTrunk", trunk_sid, "Details"]:
            return Target("details", property_sid, trunk_sid)
    return Target("other")


def parse_page(query: Mapping[str, str]) -> tuple[int, int]:
    """Read `Results_Skip` and `Results_Count`: how many objects to leave out, and how many to give at most.

    Raises BadQueryError for anything but whole numbers from 0.
    """
    skip, count = _whole(query, "Results_Skip"), _whole(query, "Results_Count")
    return skip or 0, DEFAULT_COUNT if count is None else count


def parse_filter(query: Mapping[str, str]) -> TrunkFilter:
    """Read `Type`, `Active` and `ProvisioningState`; raises BadQueryError for a value not on the API's page."""
    active = query.get("Active")
    if active not in (None, "true", "false"):
        raise BadQueryError(f"Active is true or false, not {active!r}.")
    return TrunkFilter(
        _code(query, "Type", 1),
        None if active is None else active == "true",
        _code(query, "ProvisioningState", 3),
    )


def _whole(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not _WHOLE_NUMBER.fullmatch(text):
        raise BadQueryError(f"{name} is a whole number from 0, not {text[:40]!r}.")
    return int(text)


def _code(query: Mapping[str, str], name: str, largest: int) -> int | None:
    code = _whole(query, name)
    if code is not None and code > largest:
        raise BadQueryError(f"{name} is a whole number from 0 to {largest}, not {code}.")
    return code
