"""Where tokens come from, and that they are never shown."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from exporter.config import Secret, TokenSource, load, parse, render
from exporter.errors import ConfigError
from tests.config.reading import HERE, faults, one_account

if TYPE_CHECKING:
    from pathlib import Path


def test_the_token_file_is_found_beside_the_configuration_and_read_anew(tmp_path: Path) -> None:
    token, path = tmp_path / "token", tmp_path / "exporter.yaml"
    token.write_text("\ufeff hunter2\n", "utf-8")
    path.write_text(one_account("token_file: token"), "utf-8")
    source = load(path).config.accounts[0].token
    assert source == TokenSource(file=token)
    assert source.read() == "hunter2"
    token.write_text("hunter3\r\n", "utf-8")
    assert source.read() == "hunter3"


def test_a_token_file_that_nobody_may_ever_write_to_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "token")
    (tmp_path / "exporter.yaml").write_text(one_account("token_file: token"))
    with pytest.raises(ConfigError, match="token cannot be read: it is no regular file"):
        load(tmp_path / "exporter.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b" \n", "is empty: put the token there"),
        (b"hunter2\nhunter3\n", "must hold the token alone, on one line"),
        (b"hunter2\xff", "must hold the token alone, on one line"),
        (b"hunter2\0", "must hold the token alone, on one line"),
    ],
)
def test_a_token_file_without_exactly_one_token_is_refused_and_not_quoted(
    tmp_path: Path, content: bytes, message: str
) -> None:
    token = tmp_path / "token"
    token.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        parse(one_account("token_file: token"), "exporter.yaml", tmp_path)
    assert [fault.message for fault in caught.value.faults] == [f"token_file {token} {message}"]
    with pytest.raises(ValueError, match=message) as refused:
        TokenSource(file=token).read()
    assert "hunter2" not in repr(refused.value)
    assert refused.value.__context__ is None


def test_a_token_file_that_went_away_raises_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        TokenSource(file=tmp_path / "token").read()


@pytest.mark.parametrize("name", ["SIPTRUNK_UNSET", "BLANK"])
def test_an_environment_variable_without_a_token_is_refused(name: str) -> None:
    message = f"environment variable {name} is not set or empty: put the token there"
    assert [fault.split(": ", 1)[1] for fault in faults(one_account(f"token_env: {name}"))] == [message]


def test_a_token_is_stripped_and_never_shown() -> None:
    config = load(HERE / "good/warnings.yaml").config
    assert config.accounts[0].token.read() == "hunter2"
    assert "hunter2" not in f"{config} {config!r} {config.accounts[0].token.inline} {render(config)}"
    assert "token: <secret>\n" in render(config)


def test_secrets_are_equal_by_value() -> None:
    assert {Secret("a"), Secret("a"), Secret("b")} == {Secret("b"), Secret("a")}
