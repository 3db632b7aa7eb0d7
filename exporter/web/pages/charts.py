"""The last hour as bars, drawn in SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.history.hour import MINUTES
from exporter.web.pages.html import Html, h
from exporter.web.pages.words import plural, span

if TYPE_CHECKING:
    from collections.abc import Sequence

HEIGHT, ROOM = 40, 32
"""Of the drawing, and of the largest bar: what failed is as high as the drawing, so that its shape tells too."""
STEP = 4


def bars(minutes: Sequence[float], told: str, line: float = 0.0) -> Html:
    """Draw a bar for each minute, those below zero as failed, and a line at a value where it has its place there.

    `told` says the same in words, for those who do not see it.
    """
    largest = max(map(abs, minutes), default=0.0)
    scale = max(largest, line if line <= 2 * largest else 0.0) or 1.0
    good = "".join(_bar(at, ROOM * value / scale) for at, value in enumerate(minutes) if value > 0)
    failed = "".join(_bar(at, HEIGHT) for at, value in enumerate(minutes) if value < 0)
    level = f"M0 {HEIGHT - ROOM * line / scale:.0f}H{MINUTES * STEP}" if 0 < line <= scale else ""
    return h.svg(
        [h.path(d=path, class_=kind) for path, kind in ((good, "good"), (failed, "failed"), (level, "level")) if path],
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
