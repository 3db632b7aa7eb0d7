"""What was measured, as rows that say what the goal is and whether it holds."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).with_name("results.json")
HEAD = ("figure", "measured", "goal", "holds")


@dataclass(frozen=True)
class Row:
    """One figure of a stage; `measured` is None where it could not be had, and `detail` then says why.

    `unit` is that of both numbers, none for a ratio; `goal` is the most that may be, or with `at_least` the least.
    """

    stage: str
    figure: str
    measured: float | None
    goal: float | None = None
    unit: str = ""
    at_least: bool = False
    detail: str = ""

    def cells(self) -> tuple[str, str, str, str]:
        """The row of the table under `HEAD`."""
        goal = "" if self.goal is None else f"{'≥' if self.at_least else '≤'} {number(self.goal)} {self.unit}".rstrip()
        if self.measured is None:
            return self.figure, f"not measured: {self.detail}", goal, ""
        measured = f"{number(self.measured)} {self.unit}".rstrip() + (f" ({self.detail})" if self.detail else "")
        if self.goal is None:
            return self.figure, measured, goal, ""
        holds = self.measured >= self.goal if self.at_least else self.measured <= self.goal
        return self.figure, measured, goal, "yes" if holds else "**no**"


def number(value: float) -> str:
    """Write a number with three significant digits, or whole where it is larger."""
    digits = 0 if value == int(value) else max(2 - math.floor(math.log10(abs(value))), 0)
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if digits else text


def ms(seconds: float) -> str:
    return f"{number(seconds * 1000)} ms"


def mb(count: float) -> str:
    return f"{number(count / 1e6)} MB"


def medians(pairs: Sequence[tuple[float, float]]) -> str:
    return " to ".join(ms(statistics.median(side)) for side in zip(*pairs, strict=True))


def pairs_ratio(pairs: Iterable[tuple[float, float]]) -> float:
    """The median of each pair's first over its second: what slows a machine for a while slows both of a pair."""
    return statistics.median(first / second for first, second in pairs)


def percentile(values: Sequence[float], share: float) -> float:
    """The least of the values that so large a share of them does not exceed."""
    return sorted(values)[max(math.ceil(len(values) * share) - 1, 0)]


def worst_growth(each: Sequence[float]) -> float:
    """How much a figure grows at the worst from any size to a larger one; `each` is by size, the smallest first."""
    return max(later / earlier for at, earlier in enumerate(each) for later in each[at + 1 :])
