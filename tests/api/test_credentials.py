"""Credentials follow their file, and stay out of everything people read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exporter.api.credentials import Credentials
from exporter.config import Secret, TokenSource
from tests.api.fake_api import ACCOUNT_SID, CREDENTIALS, ENCODED, TOKEN
from tests.secrets import holds

if TYPE_CHECKING:
    from collections.abc import Callable

OTHER = "Basic QTEyMzQ1Njc4OTBBQkNERUYxMjM0NTY3ODkwQUJDREU6bmV3"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN, encoding="utf-8")
    return path


def of(file: Path) -> Credentials:
    return Credentials(ACCOUNT_SID, TokenSource(file=file))


def write_over(file: Path) -> None:
    file.write_text("new\n", encoding="utf-8")


def put_in_its_place(file: Path) -> None:
    other = file.with_suffix(".new")
    other.write_text("new", encoding="utf-8")
    other.replace(file)


def write_as_long_a_token(file: Path) -> None:
    """Only the time of modification tells."""
    before = file.stat().st_mtime_ns
    file.write_text("new".ljust(len(TOKEN)), encoding="utf-8")
    os.utime(file, ns=(before + 1, before + 1))


def point_elsewhere(file: Path) -> None:
    """As Kubernetes renews a mounted secret."""
    other = file.with_suffix(".new")
    other.write_text("new", encoding="utf-8")
    link = file.with_suffix(".link")
    link.symlink_to(other)
    link.replace(file)


CHANGES = [write_over, put_in_its_place, write_as_long_a_token, point_elsewhere]


def test_account_sid_and_token_make_the_basic_authorization() -> None:
    assert f"Basic {ENCODED}" == CREDENTIALS.authorization


def test_a_token_beyond_ascii_is_sent_as_utf_8() -> None:
    credentials = Credentials("A", TokenSource(inline=Secret("päss:wörd")))
    assert credentials.authorization == "Basic QTpww6Rzczp3w7ZyZA=="


@pytest.mark.parametrize("around", ["{}", "{}\n", " {}\r\n", "\ufeff{}\n"])
def test_white_space_around_the_token_in_its_file_is_not_part_of_it(file: Path, around: str) -> None:
    file.write_text(around.format(TOKEN), encoding="utf-8")
    assert of(file).authorization == f"Basic {ENCODED}"


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_is_read_again_once(file: Path, change: Callable[[Path], None]) -> None:
    credentials = of(file)
    change(file)
    assert [credentials.refresh(), credentials.refresh()] == [True, False]
    assert credentials.authorization == OTHER


def test_a_file_that_did_not_change_brings_no_new_token(file: Path) -> None:
    assert of(file).refresh() is False


def test_a_file_written_again_with_the_same_token_brings_no_new_token(file: Path) -> None:
    credentials = of(file)
    os.utime(file, ns=(1, 1))
    assert credentials.refresh() is False


@pytest.mark.parametrize("source", [TokenSource(inline=Secret(TOKEN)), TokenSource(env="TOKEN_OF_THE_TESTS")])
def test_a_token_from_elsewhere_than_a_file_never_changes(source: TokenSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_OF_THE_TESTS", TOKEN)
    credentials = Credentials(ACCOUNT_SID, source)
    monkeypatch.setenv("TOKEN_OF_THE_TESTS", "new")
    assert credentials.refresh() is False
    assert credentials.authorization == f"Basic {ENCODED}"


def empty(file: Path) -> None:
    file.write_bytes(b"")


def fill_with_two_lines(file: Path) -> None:
    file.write_bytes(b"one\ntwo\n")


def fill_with_bytes_that_are_no_text(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")


def make_a_folder_of_it(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    "spoil", [Path.unlink, empty, fill_with_two_lines, fill_with_bytes_that_are_no_text, make_a_folder_of_it]
)
def test_a_file_that_cannot_be_read_leaves_the_old_token_until_it_can(
    file: Path, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    credentials = of(file)
    spoil(file)
    assert credentials.refresh() is False
    assert credentials.authorization == f"Basic {ENCODED}"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    if file.is_dir():
        file.rmdir()
    write_over(file)
    assert credentials.refresh() is True
    assert credentials.authorization == OTHER


def test_a_file_that_only_later_may_be_read_is_read_then(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = of(file)
    put_in_its_place(file)
    with monkeypatch.context() as refusing:
        refusing.setattr(Path, "open", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
        assert credentials.refresh() is False
    file.chmod(0o400)
    assert credentials.refresh() is True
    assert credentials.authorization == OTHER


@pytest.mark.parametrize(("spoil", "error"), [(Path.unlink, FileNotFoundError), (empty, ValueError)])
def test_credentials_that_cannot_be_read_at_the_start_are_refused(
    file: Path, spoil: Callable[[Path], None], error: type[Exception]
) -> None:
    spoil(file)
    with pytest.raises(error):
        of(file)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"you sent {TOKEN}, {TOKEN}", "you sent <secret>, <secret>"),
        (f"Authorization: Basic {ENCODED}", "Authorization: Basic <secret>"),
        (f"Account {ACCOUNT_SID} is closed", f"Account {ACCOUNT_SID} is closed"),
    ],
)
def test_the_token_is_blanked_plain_and_as_the_header_carries_it(text: str, shown: str) -> None:
    assert CREDENTIALS.redact(text) == shown


def test_nothing_that_is_logged_holds_the_token(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    credentials = of(file)
    file.write_text(f"{TOKEN}\n{TOKEN}", encoding="utf-8")
    credentials.refresh()
    assert len(caplog.records) == 1
    assert not holds(caplog.text, TOKEN)


@pytest.mark.parametrize("quote", [repr, lambda text: repr(text.encode()), json.dumps])
def test_the_token_is_blanked_however_it_is_quoted(quote: Callable[[str], str], file: Path) -> None:
    token = "ab\\cde'f\"gh"
    file.write_text(token)
    assert "cde" not in of(file).redact(f"bad name: {quote(token)}")
