"""What is refused, and the place it is told with; and files that are hardly files."""

from __future__ import annotations

import gc
import re
from typing import TYPE_CHECKING

import pytest
import yaml

from exporter.config import load, parse
from exporter.errors import ConfigError
from tests.config.reading import faults, files, one_account, read

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("loader", [yaml.CSafeLoader, yaml.SafeLoader], ids=["libyaml", "Python"])
@pytest.mark.parametrize("path", files("bad"))
def test_every_fault_of_a_bad_file_is_told_with_its_place(
    path: Path, loader: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.config.nodes._LOADER", loader)
    text = path.read_text("utf-8")
    with pytest.raises(ConfigError) as caught:
        parse(text, path.name, path.parent)
    told = [f"{fault.place.line}:{fault.place.column}: {fault.message}" for fault in caught.value.faults]
    assert told == re.findall("(?m)^#! (.*)$", text)
    assert "hunter2" not in str(caught.value) + repr(caught.value)


def test_a_file_that_cannot_be_read_is_a_fault_at_its_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.yaml")
    assert str(caught.value) == f"{tmp_path}/none.yaml:1:1: cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"api:\n  \xc3\xabx: \xff", "2:7: not UTF-8: save the file as plain UTF-8 text"),
        ("api:".encode("utf-16"), "1:1: not UTF-8: save the file as plain UTF-8 text"),
        (b"a\x07", "1:2: a control character: write the file as plain UTF-8 text"),
    ],
)
def test_a_file_that_is_not_text_is_a_fault_where_it_is_not(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "exporter.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}:{message}"


@pytest.mark.parametrize("loader", [yaml.CSafeLoader, yaml.SafeLoader], ids=["libyaml", "Python"])
def test_an_escape_that_stands_for_no_character_is_a_fault(loader: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.config.nodes._LOADER", loader)
    (fault,) = faults(r'"\U00110000"')
    assert "bad YAML: " in fault


def test_a_byte_order_mark_is_passed_over() -> None:
    assert faults("\ufeffapi: 1\n" + one_account("token_env: TOKEN")) == [
        "exporter.yaml:1:6: expected a mapping, not text"
    ]


@pytest.mark.parametrize("text", ["[" * 200_000, "- " * 200_000, "{a: " * 200_000], ids=["flow", "block", "mappings"])
def test_bottomless_nesting_is_a_fault(text: str) -> None:
    (fault,) = faults(text)
    assert fault.endswith("expected at most 100 levels of nesting")


def test_twenty_thousand_properties_load_and_leave_the_collector_on() -> None:
    entry = "{{sid: S{:031}, name: Office, filters: {{type: authenticated, active: true}}}}"
    entries = ", ".join(entry.format(number) for number in range(20_000))
    config = read(one_account(f"token_env: TOKEN, properties: [{entries}]")).config
    assert len(config.accounts[0].properties) == 20_000
    assert gc.isenabled()
