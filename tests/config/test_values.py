"""What a good configuration holds, and the warnings it draws."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from exporter.config import (
    Account,
    Api,
    Config,
    Discover,
    Expected,
    ExpectedTrunk,
    Filters,
    Limits,
    Loaded,
    Metrics,
    Poll,
    PropertySettings,
    Secret,
    State,
    TokenSource,
    load,
    parse,
    render,
)
from exporter.metrics.families import INFO_LABELS
from tests.config.reading import ACCOUNT, BY_ENV, HERE, PROPERTY, faults, files, one_account, read

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("path", files("good"))
def test_a_good_file_loads_and_its_rendering_loads_to_the_same_values(path: Path) -> None:
    config = load(path).config
    again = parse(render(config), path.name, path.parent).config
    hidden = TokenSource(inline=Secret("<secret>"))
    accounts = tuple(replace(a, token=hidden) if a.token.inline else a for a in config.accounts)
    assert again == replace(config, accounts=accounts)


def test_what_is_left_out_has_the_documented_default() -> None:
    assert load(HERE / "good/minimal.yaml") == Loaded(
        Config(
            api=Api("https://api.fonedynamics.com", 10, 50, 8, 10, 4),
            poll=Poll(60, 300),
            accounts=(Account(ACCOUNT, BY_ENV, None, (PropertySettings(PROPERTY, None, Filters(None, None, None)),)),),
            limits=Limits(100_000, 20_000, 1024),
            state=State(None, 10_000, 30 * 86_400, "set_aside"),
            metrics=Metrics("trunk", INFO_LABELS, ()),
        ),
        [],
    )


def test_what_is_given_is_what_is_read() -> None:
    filters = Filters("authenticated", active=True, provisioning_state="active")
    trunks = (
        ExpectedTrunk("ST234567890ABCDEF1234567890ABCDE", 30, "deprovisioning", "ip_to_ip", active=False),
        ExpectedTrunk("ST334567890ABCDEF1234567890ABCDE"),
    )
    expected = Expected(only=True, trunks=trunks)
    assert load(HERE / "good/full.yaml").config == Config(
        api=Api("https://api.example:8443/fone", 90, 1000, 1, 0.5, 20),
        poll=Poll(86_400, 604_800),
        accounts=(
            Account(
                ACCOUNT,
                BY_ENV,
                Discover(re.compile("office$"), re.compile("^test ")),
                (
                    PropertySettings(PROPERTY, "Sydney office", filters),
                    PropertySettings("S2234567890ABCDEF1234567890ABCDE", expected=expected),
                ),
            ),
            Account("A2234567890ABCDEF1234567890ABCDE", BY_ENV, Discover()),
        ),
        limits=Limits(5000, 50, 64),
        state=State(HERE / "good/state.db", 5, 3600, "ignore"),
        metrics=Metrics("property", ("trunk_type", "name"), ("siptrunk_modified_timestamp_seconds",)),
    )


def test_text_is_taken_as_written_whatever_yaml_would_make_of_it() -> None:
    (account,) = load(HERE / "good/text-as-written.yaml").config.accounts
    assert [entry.name for entry in account.properties] == ["2024", "yes", "2024-01-01", "Zoë", "null"]
    assert account.properties[0].sid == "01234567890123456789012345678901"


def test_accounts_and_properties_know_their_place() -> None:
    (account,) = load(HERE / "good/minimal.yaml").config.accounts
    assert (account.place.line, account.place.column) == (2, 5)
    assert str(account.properties[0].place).endswith("minimal.yaml:5:9")


def test_what_deserves_attention_draws_a_warning() -> None:
    text = (HERE / "good/warnings.yaml").read_text("utf-8")
    assert [str(warning) for warning in read(text).warnings] == [
        "exporter.yaml:1:17: the token travels readable over plain http: use https",
        "exporter.yaml:2:8: interval is longer than stale_after: one failed poll withdraws the data at once",
        "exporter.yaml:4:18: does not look like a Sid: expected 32 upper-case letters and digits",
        "exporter.yaml:5:12: everybody who may read this file may read the token: use token_file or token_env",
    ]


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "[::1]:8000", "localhost"])
def test_plain_http_to_this_machine_draws_no_warning(host: str) -> None:
    loaded = read(f"api: {{base_url: 'http://{host}'}}\n{one_account('token_env: TOKEN')}")
    assert loaded.warnings == []
    assert loaded.config.api.base_url == f"http://{host}"


@pytest.mark.parametrize(
    "url",
    [
        "api.example",
        "https://",
        "https://:443",
        "https://a:b@host",
        "https://h/?",
        "https://h/#f",
        "https://[::1",
        "https://h:99999",
        "https://h h",
        "https://h\\h",
        "https://h%2eevil.test",
        "https://h%40evil.test",
        "https://h;evil.test",
        "https://h,evil.test",
        "https://é.test",
        "https://h/a@evil.test",
        "https://h:80:80",
        "https://h:",
        "https:///h",
        "https:h",
    ],
)
def test_a_base_url_that_is_not_plainly_a_base_is_refused(url: str) -> None:
    (fault,) = faults(f"api: {{base_url: '{url}'}}\n{one_account('token_env: TOKEN')}")
    assert fault.startswith("exporter.yaml:1:17: expected an http or https URL")


@pytest.mark.parametrize(("written", "value"), [("1e2", None), ("1.0e+2", 100), (".5", 0.5), ("1_000", None), ("0", 0)])
def test_a_number_is_read_in_the_ways_it_is_commonly_written(written: str, value: float | None) -> None:
    text = f"api: {{requests_per_second: {written}}}\n{one_account('token_env: TOKEN')}"
    if value is None:
        assert faults(text) == [f"exporter.yaml:1:28: expected a number of 0 or more, not {written!r}"]
    else:
        assert read(text).config.api.requests_per_second == value


@pytest.mark.parametrize("pattern", ["[[a-z]", "(?i)office"])
def test_a_pattern_that_python_merely_frowns_on_is_taken(pattern: str) -> None:
    text = one_account("token_env: TOKEN").replace("discover: ", f"discover: {{include: '{pattern}'}}")
    discover = read(text).config.accounts[0].discover
    assert discover is not None
    assert discover.include.pattern == pattern


@pytest.mark.parametrize(
    ("name", "selected"), [("Sydney office", True), ("test office", False), ("office Sydney", False)]
)
def test_discovery_selects_what_is_included_and_not_excluded(name: str, selected: bool) -> None:  # noqa: FBT001 - a parameter of the table
    assert Discover(re.compile("office$"), re.compile("^test ")).selects(name) is selected
    assert Discover().selects(name)
