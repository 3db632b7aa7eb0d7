from __future__ import annotations

from pathlib import Path

import pytest

from exporter.api.transport import Transport
from exporter.config import parse
from exporter.errors import ConfigError

ACCOUNT = "accounts: [{account_sid: A1, token_env: %s, discover: {}}]\n"
ASKED_FOR = "expected an http or https URL with a host and without user, query or fragment"


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "exporter.yaml", Path())
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    "url",
    [
        "https://999.10.0.1",
        "http://[v1.a]",
        "http://[::1]x",
        "http://a..b",
        f"http://{'a' * 64}.test",
        f"http://host/{'x' * 2048}",
    ],
)
def test_a_host_that_nobody_could_reach_is_a_fault(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "made up")
    assert faults(f"api: {{base_url: '{url}'}}\n" + ACCOUNT % "TOKEN") == [f"exporter.yaml:1:17: {ASKED_FOR}"]


@pytest.mark.parametrize(
    "url", ["https://api.fonedynamics.com", "http://127.0.0.1:1", "http://[::1]:1/api", "http://a.b."]
)
async def test_a_host_that_is_accepted_can_be_asked(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "made up")
    config = parse(f"api: {{base_url: '{url}'}}\n" + ACCOUNT % "TOKEN", "exporter.yaml", Path()).config
    await Transport(config.api.base_url, config.api.timeout).retire()
    assert config.api.base_url == url


def test_a_token_in_the_place_of_its_variable_is_not_quoted() -> None:
    told = "exporter.yaml:1:41: expected the name of an environment variable: letters, digits and _"
    assert faults(ACCOUNT % "0f9e8d7c6b5a4938") == [told]
