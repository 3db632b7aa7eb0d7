"""What holds for all tests."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

# Limits of time belong in benchmarks: a machine may be busy.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(autouse=True, scope="session")
def unhurried() -> Iterator[None]:
    """Let the daemons of this process be well on a machine that halts, as `tests.unhurried` those of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("exporter.heartbeat.HELD_UP", math.inf)
        yield
