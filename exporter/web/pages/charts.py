"""The last hour as bars, drawn in SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.history.hour import MINUTES
from exporter.web.pages.html import Html, h
from exporter.web.pages.words import plural, span

if TYPE_CHECKING:
    from collections.abc import Sequence

HEIGHT, ROOM = 40, 32
"""Of the drawing, and of the largest bar."""
STEP = 4


def bars(minutes: Sequence[float], told: str, line: float = 0.0) -> Html:
    """Draw a bar for each minute, and a line at a value; `told` says the same in words, for those who do not see it.

    Those below zero failed: behind them is another one from top to bottom, so that their shape tells too.
    """
    scale = max(line, *map(abs, minutes)) or 1.0
    heights = [(at, ROOM * value / scale) for at, value in enumerate(minutes) if value]
    good = "".join(_bar(at, height) for at, height in heights if height > 0)
    failed = "".join(_bar(at, -height) for at, height in heights if height < 0)
    behind = "".join(_bar(at, HEIGHT) for at, height in heights if height < 0)
    level = f"M0 {HEIGHT - ROOM * line / scale:.0f}H{MINUTES * STEP}" if line else ""
    drawn = {"behind": behind, "good": good, "failed": failed, "level": level}
    return h.svg(
        [h.path(d=path, class_=kind) for kind, path in drawn.items() if path],
        viewBox=f"0 0 {MINUTES * STEP} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=told,
    )


def _bar(at: int, height: float) -> str:
    return f"M{at * STEP + STEP // 2} {HEIGHT}v-{max(round(height), 1)}"


def worst(minutes: Sequence[float], noun: str) -> str:
    """Say in words what `bars` draws of what took longest in each minute."""
    slowest, failed = max(map(abs, minutes), default=0.0), sum(minute < 0 for minute in minutes)
    if not slowest:
        return f"no {noun} in the last hour"
    return f"slowest {span(slowest)}; {plural(failed, 'minute') if failed else 'none'} with a {noun} that failed"
