"""Durations as Prometheus writes them."""

from __future__ import annotations

import re

_MILLISECONDS = {
    "y": 31_536_000_000,
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
    "ms": 1,
}
_DURATION = re.compile("".join(f"(?:([0-9]+){unit})?" for unit in _MILLISECONDS))

LONGEST = 2**63 // 10**6 / 1000
"""The most seconds that a duration may have: Prometheus counts nanoseconds in 63 bits."""


def parse_duration(text: str) -> float:
    """Give the seconds of a Prometheus duration such as `1m30s`; raise ValueError for anything else."""
    match = _DURATION.fullmatch(text)
    if not text or (match is None and text != "0"):
        raise ValueError(f"expected a duration like 90s or 1m30s, not {text!r}")
    numbers = match.groups("0") if match else ()
    milliseconds = sum(int(number) * unit for number, unit in zip(numbers, _MILLISECONDS.values(), strict=False))
    if milliseconds > LONGEST * 1000:
        raise ValueError("expected a duration of less than 292 years")
    return milliseconds / 1000


def format_duration(seconds: float) -> str:
    """Give `seconds`, rounded to milliseconds, as Prometheus writes it; raise ValueError for a negative number."""
    rest = round(seconds * 1000)
    if rest < 0:
        raise ValueError("a duration cannot be negative")
    written = ""
    for unit, size in _MILLISECONDS.items():
        # As in Prometheus: 90d reads better than 12w6d.
        if rest >= size and not (unit in "yw" and rest % size):
            written += f"{rest // size}{unit}"
            rest %= size
    return written or "0s"
