"""The environment that the configurations name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True, scope="module")
def environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKEN", "hunter2")
        patch.setenv("SIPTRUNK_TOKEN", "hunter2")
        patch.setenv("BLANK", " \n")
        patch.delenv("SIPTRUNK_UNSET", raising=False)
        yield
