"""What the tests of memory over restarts share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from exporter.history.keeper import Keeper
from exporter.history.state import StateError
from tests.polling.fake_api import FakeApi

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    """Give the API to which all requests go; the property S1 holds two trunks. The disk's thread is the test's own."""

    async def at_once(self: Keeper, work: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401 - anything
        try:
            return work(*args)
        except OSError as error:
            raise StateError(self._path, f"cannot be used: {error}") from error

    fake = FakeApi()
    fake.give("S1", "T1", "T2", ChannelLimit=10, ProvisioningState=2)
    monkeypatch.setattr("exporter.api.client.Transport", fake.transport)
    # The clock of the tests would run on while a real one worked.
    monkeypatch.setattr(Keeper, "_in_thread", at_once)
    monkeypatch.setattr("exporter.history.state.BUSY_SECONDS", 0.01)
    return fake
