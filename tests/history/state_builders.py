"""What is written to state files, in a line."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from exporter.api.client import Validators
from exporter.api.listing import Saved, _Kept, _pack
from exporter.config import Limits
from exporter.history.changes import Change, Kind
from exporter.history.remembered import Remembered
from exporter.history.state import Batch, Lists, StateFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def batch(*changes: Change, most: int = 1000, oldest: float = 0, **more: object) -> Batch:
    return Batch(most, oldest, changes=list(changes), **more)  # type: ignore[arg-type]  # as Batch has them


def change(number: int, seen: float = 1.0) -> Change:
    return Change(seen, "S1", f"T{number}", None, Kind.CHANNEL_LIMIT, "channel_limit", None, number, None)


class Contents(NamedTuple):
    """All that a file holds."""

    lists: Lists
    changes: list[Change]


@contextmanager
def opened(path: Path) -> Iterator[tuple[StateFile, Contents]]:
    file = StateFile(path)
    try:
        yield file, Contents(file.open(), file.changes(10**6))
    finally:
        file.close()


def remembered(number: int = 1) -> Remembered:
    pages = tuple(
        _Kept(50 * page, Validators(), bytes([page] * 32), 2000, _pack(b"x" * 2000)) for page in range(number)
    )
    return Remembered(Saved(Limits(), 50, pages, {}), 7.0, tuple(range(300)))
