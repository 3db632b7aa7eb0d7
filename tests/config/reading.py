"""Configurations of the tests: where they lie, how they are read, what is said against them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exporter.config import Loaded, TokenSource, parse
from exporter.errors import ConfigError

HERE = Path(__file__).parent

ACCOUNT = "A1234567890ABCDEF1234567890ABCDE"

PROPERTY = "S1234567890ABCDEF1234567890ABCDE"

BY_ENV = TokenSource(env="TOKEN")


def files(folder: str) -> list[Any]:
    return [pytest.param(path, id=path.stem) for path in sorted((HERE / folder).glob("*.yaml"))]


def read(text: str) -> Loaded:
    return parse(text, "exporter.yaml", HERE)


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return [str(fault) for fault in caught.value.faults]


def one_account(token: str) -> str:
    return f"accounts: [{{account_sid: {ACCOUNT}, discover: , {token}}}]"
