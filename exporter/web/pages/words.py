"""Times, numbers and codes in the words of a person."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from exporter.errors import Reason
from exporter.web.pages.html import Content, Html, h, said

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.history.changes import Change

REASONS = {
    Reason.TIMEOUT: "no answer came in time",
    Reason.CONNECT: "the API could not be reached",
    Reason.TLS: "no secure connection came about",
    Reason.AUTH: "the API rejects the token",
    Reason.FORBIDDEN: "the account may not see it",
    Reason.NOT_FOUND: "the API does not know it",
    Reason.RATE_LIMITED: "the API wants fewer requests",
    Reason.BAD_REQUEST: "the API refuses the request as bad",
    Reason.SERVER_ERROR: "the API has trouble of its own",
    Reason.BAD_PAYLOAD: "the answer made no sense",
    Reason.INCOMPLETE: "the list kept changing and could not be read whole",
    Reason.TOO_LARGE: "the list is larger than the limits allow",
}

SIGNS = {
    "up": "✓",
    "down": "✕",
    "stale": "▲",
    "late": "▲",
    "waiting": "…",
    "drift": "≠",
    "active": "●",
    "provisioning": "◐",
    "deprovisioning": "◒",
    "inactive": "○",
    "unknown": "?",
}
"""What goes with a state's word, so that colour is never all there is."""


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Give `1 trunk` or `2 trunks`."""
    return f"{count:,} {noun if count == 1 else nouns or f'{noun}s'}"


def number(value: int | None) -> str:
    """Give a number, a dash where it is not known."""
    return "—" if value is None else f"{value:,}"


def span(seconds: float) -> str:
    """Give how long, as exactly as it matters: `5 s`, `3 min`, `2 h 5 min`, `4 d 3 h`, `365 d`."""
    if seconds < 1:
        return "0 s" if seconds < 0.001 else f"{seconds * 1000:.0f} ms"  # noqa: PLR2004 - a millisecond
    whole = round(seconds)
    for unit, size, lesser, part in (("d", 86_400, "h", 3600), ("h", 3600, "min", 60)):
        if whole >= size:
            rest = whole % size // part if whole < 100 * size else 0
            return f"{whole // size} {unit}" + (f" {rest} {lesser}" if rest else "")
    return f"{whole // 60} min" if whole >= 60 else f"{whole} s"  # noqa: PLR2004 - a minute


def at(moment: float, content: str) -> Html:
    """Say when, the Unix time whole for machines and for who points at it."""
    when = datetime.fromtimestamp(moment, UTC)
    return h.time(content, datetime=when.isoformat(timespec="seconds"), title=f"{when:%Y-%m-%d %H:%M:%S} UTC")


def day(moment: float) -> Html:
    """Name the day of a Unix time, by UTC."""
    return at(moment, f"{datetime.fromtimestamp(moment, UTC):%d %b %Y}")


def ago(moment: float | None, now: float) -> Html | str:
    """Say how long ago a Unix time was, a dash where there is none."""
    return "—" if moment is None else at(moment, f"{span(max(0, round(now - moment)))} ago")


def lasting(moment: float, now: float) -> Html:
    """Say for how long something has been so that began at a Unix time."""
    return at(moment, span(max(0, round(now - moment))))


def since(moment: float, now: float) -> Html:
    """Say since when, by the clock, and for how long."""
    when = datetime.fromtimestamp(moment, UTC)
    today = when.date() == datetime.fromtimestamp(now, UTC).date()
    clock = f"{when:%H:%M}" if today else f"{when:%d %b %Y, %H:%M}"
    return at(moment, f"since {clock} UTC, for {span(max(0, round(now - moment)))}")


def since_each(moments: Sequence[float], now: float, of: str = "") -> Html:
    """Say since when of several: of the latest too, so that what is new does not look old."""
    first, latest = min(moments), max(moments)
    if first // 60 == latest // 60:
        return since(first, now)
    return h.span(f"{of}the first ", since(first, now), f", {of}the latest ", since(latest, now))


def sign(state: str, word: Content = None) -> Html:
    """Show a state: its sign, its colour and its word."""
    return h.span(
        h.span(SIGNS.get(state, SIGNS["unknown"]), aria_hidden="true"), " ", word or state, class_=f"sign {state}"
    )


def reason_of(error: str) -> tuple[str, str]:
    """Give what is told of a failed poll: the reason in words, and what was said in detail."""
    code, _, detail = error.partition(": ")
    return (REASONS[Reason(code)], detail) if code in list(Reason) else (error, "")


def happened(change: Change) -> list[Html | str]:
    """Say what has changed."""
    what = change.field.replace("_", " ")
    if change.old is None and change.new is None:
        return [what if change.field == change.kind else f"another {what}"]
    return ["renamed" if change.field == "name" else what, ": ", _value(change.old), " → ", _value(change.new)]


def _value(value: str | int | None) -> Html | str:
    return h.i("nothing") if value is None else said(value) if isinstance(value, str) else number(value)
