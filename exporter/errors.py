"""What can go wrong, and under which label it is counted.

Exception
├── PollError        one poll failed; carries the Reason that
│                    siptrunk_property_poll_failures_total counts
└── ConfigError      a configuration was refused; carries every fault found, each with its place
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Reason(StrEnum):
    """Why a poll failed: the values of the label `reason`."""

    TIMEOUT = "timeout"
    CONNECT = "connect"
    TLS = "tls"
    AUTH = "auth"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    RATE_LIMITED = "rate_limited"
    BAD_REQUEST = "bad_request"
    SERVER_ERROR = "server_error"
    BAD_PAYLOAD = "bad_payload"
    INCOMPLETE = "incomplete"
    TOO_LARGE = "too_large"


class Anomaly(StrEnum):
    """What was odd in an answer and was survived: the values of the label `kind`."""

    WRONG_TYPE = "wrong_type"
    UNDOCUMENTED_CODE = "undocumented_code"
    INVALID_TEXT = "invalid_text"
    LABEL_TOO_LONG = "label_too_long"
    REPEATED_SID = "repeated_sid"
    LIST_CHANGED = "list_changed"
    INVALID_SID = "invalid_sid"
    REPEATED_PROPERTY = "repeated_property"
    NOT_KEPT = "not_kept"


class PollError(Exception):
    """One poll, or one request of it, brought no good data.

    `transient` tells whether the same request may succeed when tried again; `retry_after` is the number of
    seconds that the API asked to be left alone, where it asked.
    """

    def __init__(
        self, reason: Reason, detail: str, *, transient: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.transient = transient
        self.retry_after = retry_after

    def bare(self) -> PollError:
        """Give the same to keep: without the frames that it came through, which would keep all that they hold."""
        return PollError(self.reason, self.detail, transient=self.transient, retry_after=self.retry_after)


class Place(msgspec.Struct, frozen=True, order=True):
    """A place in a configuration file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Fault(msgspec.Struct, frozen=True, order=True):
    """One thing wrong in a configuration, at its place, with the mend."""

    place: Place
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class ConfigError(Exception):
    """A configuration was refused; `faults` holds all that was found, in the order of the file."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(map(str, sorted(faults))))
        self.faults = sorted(faults)
