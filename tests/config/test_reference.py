"""The example and the table of settings say what the configuration is."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import trustme
import yaml

from exporter.config import SETTINGS, Api, Limits, Metrics, Poll, load, parse, render
from exporter.metrics.families import INFO_LABELS
from tests.config.reading import HERE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXAMPLE = HERE.parents[1] / "exporter.yaml"


@pytest.mark.parametrize("uncommented", [False, True], ids=["as shipped", "everything switched on"])
def test_the_example_loads_and_what_it_switches_on_is_the_default(tmp_path: Path, uncommented: bool) -> None:  # noqa: FBT001 - a parameter of the table
    (tmp_path / "siptrunk_token").write_text("hunter2")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client = authority.issue_cert("client.example")
    client.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    client.private_key_pem.write_to_path(tmp_path / "client.key")
    text = EXAMPLE.read_text("utf-8")
    if uncommented:
        text = (
            re.sub(r"(?m)^( +)#(?=\S|  )", r"\1", text)
            .replace("    token_env:", "    #")
            .replace("    token:", "    #")
        )
    config, warnings = parse(text, "exporter.yaml", tmp_path)
    files = [config.api.ca_file, config.api.cert_file, config.api.key_file]
    names = ["ca.pem", "client.pem", "client.key"]
    assert files == ([tmp_path / name for name in names] if uncommented else [None] * 3)
    config = replace(config, api=replace(config.api, ca_file=None, cert_file=None, key_file=None))
    assert (config.api, config.poll, config.limits, config.metrics) == (
        Api(),
        Poll(),
        Limits(),
        Metrics(),
    )
    assert [warning.place.line for warning in warnings] == ([] if uncommented else [25])
    assert bool(config.accounts[0].properties) is uncommented


def test_the_table_and_the_example_name_every_setting() -> None:
    def leaves(value: object, prefix: str = "") -> Iterator[str]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from leaves(inner, f"{prefix}.{key}")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for each in value:
                yield from leaves(each, f"{prefix}[]")
        else:
            yield prefix[1:]

    shown = set(leaves(yaml.safe_load(render(load(HERE / "good/full.yaml").config))))
    keys = {row.key for row in SETTINGS}
    groups = {"accounts", "accounts[].discover", "accounts[].properties"}
    groups |= {"accounts[].properties[].expected", "accounts[].properties[].expected.trunks"}
    assert keys - groups == (shown - groups) | {"accounts[].token_file", "accounts[].token"} | {
        f"api.{name}_file" for name in ("ca", "cert", "key")
    }
    assert groups < keys
    assert all(re.search(rf"\b{row.key.split('.')[-1]}:", EXAMPLE.read_text("utf-8")) for row in SETTINGS)
    assert all(row.doc for row in SETTINGS)


def test_the_table_shows_defaults_as_they_are_written() -> None:
    defaults = {row.key: row.default for row in SETTINGS}
    assert defaults["poll.stale_after"] == "5m"
    assert defaults["api.requests_per_second"] == "10"
    assert defaults["metrics.info_labels"] == f"[{', '.join(INFO_LABELS)}]"
    assert defaults["accounts[].account_sid"] == "required"
    assert defaults["accounts[].token_file"] == ""
