"""An event loop whose time passes only when everybody waits: hours of polling in milliseconds, and no sleeping."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

EPOCH = 1_800_000_000.0


class _Selector(selectors.SelectSelector):
    """Never waits: where the loop would, its clock is put forward instead."""

    def __init__(self, loop: FakeClockLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("everybody waits for something that will never come")
        if not ready and timeout:
            self._loop.now += timeout
        return ready


class FakeClockLoop(asyncio.SelectorEventLoop):
    """A loop that begins at 0 and knows what Unix time that is."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self.now

    def unix_time(self) -> float:
        return EPOCH + self.now


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a test to its end on a clock of its own."""
    with asyncio.Runner(loop_factory=FakeClockLoop) as runner:
        runner.run(main)


def unix_time() -> float:
    """The Unix time by the running loop's clock."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, FakeClockLoop)
    return loop.unix_time()
