"""Whether a figure grows over a run: by linear regression over means of blocks, with the slope's confidence."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

BLOCKS = 20
# Student's t for 18 degrees of freedom: 97.5 % of it lies below.
_T = 2.101


@dataclass(frozen=True)
class Growth:
    """By how much a figure grows from a run's beginning to its end: the estimate, and what it is at most and least.

    `least` and `most` bound it with 95 % confidence, as far as the blocks vary independently.
    """

    estimate: float
    least: float
    most: float


def growth(values: Sequence[float]) -> Growth:
    """Fit a line through the means of twenty blocks of the values, which were taken at even intervals.

    Raises ValueError where there are fewer than two values for each block.
    """
    size = len(values) // BLOCKS
    if size < 2:
        raise ValueError(f"{len(values)} values are too few for {BLOCKS} blocks")
    means = [statistics.fmean(values[at * size : (at + 1) * size]) for at in range(BLOCKS)]
    slope, intercept = statistics.linear_regression(range(BLOCKS), means)
    residual = sum((mean - intercept - slope * at) ** 2 for at, mean in enumerate(means)) / (BLOCKS - 2)
    spread = sum((at - (BLOCKS - 1) / 2) ** 2 for at in range(BLOCKS))
    error = _T * math.sqrt(residual / spread)
    return Growth(slope * BLOCKS, (slope - error) * BLOCKS, (slope + error) * BLOCKS)
