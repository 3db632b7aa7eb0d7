"""What is remembered of one list of the API over a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlencode

import msgspec

# msgspec looks them up.
from exporter.api.listing import Saved  # noqa: TC001
from exporter.history.changes import Lacking  # noqa: TC001

if TYPE_CHECKING:
    from exporter.api.client import Query


class Remembered(msgspec.Struct, frozen=True):
    """A list as the last complete walk brought it, and what has come of comparing it with those before.

    Of a property's trunks: the Unix time of the last comparison, since which Unix time each trunk has its provisioning
    state, and what was last told of what the list lacks.
    """

    listing: Saved
    compared: float = 0.0
    since: tuple[int, ...] = ()
    lacking: Lacking = {}


class Remembering(Protocol):
    """Who polls a list; `key` says which."""

    key: str

    @property
    def seen(self) -> float | None:
        """The Unix time of the last complete walk; None before the first."""

    def remembered(self) -> Remembered | None:
        """Give what to remember; None where nothing is known, or nobody wants to know any more."""

    def recall(self, known: Remembered, seen: float) -> None:
        """Take what was known at the Unix time `seen`, before the first complete walk."""


class Memory(Protocol):
    """Who sees to it that what was polled is remembered."""

    def note(self, whose: Remembering, *, whole: bool) -> None:
        """Note that a list was seen again, or, where `whole`, that it or what came of it has changed."""

    def forget(self, whose: Remembering) -> None:
        """Note that a list is polled no more."""


def key_of(query: Query, base_url: str) -> str:
    """Say in a text which list it is: whose, from where, and with which filters."""
    return f"{query.credentials.account_sid} {base_url}{query.path}?{urlencode(sorted(query.parameters.items()))}"
