"""What the tests of polling share."""

from __future__ import annotations

import pytest

from tests.polling.fake_api import FakeApi


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    """Give the API to which all requests go; the property S1 holds two trunks."""
    fake = FakeApi()
    fake.give("S1", "T1", "T2", ChannelLimit=10, ProvisioningState=2)
    monkeypatch.setattr("exporter.api.client.Transport", fake.transport)
    return fake
