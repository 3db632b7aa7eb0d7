"""The configuration: what is read, what is refused and where, and what is rendered."""

from __future__ import annotations

import gc
import re
import string
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import (
    SETTINGS,
    Account,
    Api,
    Config,
    Discover,
    Filters,
    Loaded,
    Metrics,
    Poll,
    PropertySettings,
    Secret,
    TokenSource,
    format_duration,
    load,
    parse,
    parse_duration,
    render,
)
from exporter.errors import ConfigError
from exporter.metrics.families import FAMILIES, INFO_LABELS
from exporter.model import PROVISIONING_STATES, TRUNK_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "exporter.yaml"
ACCOUNT = "A1234567890ABCDEF1234567890ABCDE"
PROPERTY = "S1234567890ABCDEF1234567890ABCDE"
BY_ENV = TokenSource(env="TOKEN")


@pytest.fixture(autouse=True, scope="module")
def environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKEN", "hunter2")
        patch.setenv("SIPTRUNK_TOKEN", "hunter2")
        patch.setenv("BLANK", " \n")
        patch.delenv("SIPTRUNK_UNSET", raising=False)
        yield


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
            metrics=Metrics("trunk", INFO_LABELS, ()),
        ),
        [],
    )


def test_what_is_given_is_what_is_read() -> None:
    filters = Filters("authenticated", active=True, provisioning_state="active")
    assert load(HERE / "good/full.yaml").config == Config(
        api=Api("https://api.example:8443/fone", 90, 1000, 1, 0.5, 20),
        poll=Poll(86_400, 604_800),
        accounts=(
            Account(
                ACCOUNT,
                BY_ENV,
                Discover(re.compile("office$"), re.compile("^test ")),
                (PropertySettings(PROPERTY, "Sydney office", filters),),
            ),
            Account("A2234567890ABCDEF1234567890ABCDE", BY_ENV, Discover()),
        ),
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
    ],
)
def test_a_base_url_that_is_not_plainly_a_base_is_refused(url: str) -> None:
    (fault,) = faults(f"api: {{base_url: '{url}'}}\n{one_account('token_env: TOKEN')}")
    assert fault.startswith("exporter.yaml:1:17: expected an http or https URL")


def test_the_token_file_is_found_beside_the_configuration_and_read_anew(tmp_path: Path) -> None:
    token, path = tmp_path / "token", tmp_path / "exporter.yaml"
    token.write_text("\ufeff hunter2\n", "utf-8")
    path.write_text(one_account("token_file: token"), "utf-8")
    source = load(path).config.accounts[0].token
    assert source == TokenSource(file=token)
    assert source.read() == "hunter2"
    token.write_text("hunter3\r\n", "utf-8")
    assert source.read() == "hunter3"


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


def test_secrets_are_equal_by_value() -> None:
    assert {Secret("a"), Secret("a"), Secret("b")} == {Secret("b"), Secret("a")}


@pytest.mark.parametrize(
    ("name", "selected"), [("Sydney office", True), ("test office", False), ("office Sydney", False)]
)
def test_discovery_selects_what_is_included_and_not_excluded(name: str, selected: bool) -> None:  # noqa: FBT001 - a parameter of the table
    assert Discover(re.compile("office$"), re.compile("^test ")).selects(name) is selected
    assert Discover().selects(name)


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


def test_twenty_thousand_properties_load_in_seconds_and_leave_the_collector_on() -> None:
    entry = "{{sid: S{:031}, name: Office, filters: {{type: authenticated, active: true}}}}"
    entries = ", ".join(entry.format(number) for number in range(20_000))
    start = time.process_time()
    config = read(one_account(f"token_env: TOKEN, properties: [{entries}]")).config
    assert time.process_time() - start < 8
    assert len(config.accounts[0].properties) == 20_000
    assert gc.isenabled()


@pytest.mark.parametrize("uncommented", [False, True], ids=["as shipped", "everything switched on"])
def test_the_example_loads_and_what_it_switches_on_is_the_default(tmp_path: Path, uncommented: bool) -> None:  # noqa: FBT001 - a parameter of the table
    (tmp_path / "siptrunk_token").write_text("hunter2")
    text = EXAMPLE.read_text("utf-8")
    if uncommented:
        text = (
            re.sub(r"(?m)^( +)#(?=\S|  )", r"\1", text)
            .replace("    token_env:", "    #")
            .replace("    token:", "    #")
        )
    config, warnings = parse(text, "exporter.yaml", tmp_path)
    assert (config.api, config.poll, config.metrics) == (Api(), Poll(), Metrics())
    assert [warning.place.line for warning in warnings] == ([] if uncommented else [22])
    assert bool(config.accounts[0].properties) is uncommented


def test_the_table_and_the_example_name_every_setting() -> None:
    def leaves(value: object, prefix: str = "") -> Iterator[str]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from leaves(inner, f"{prefix}.{key}")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield from leaves(value[0], f"{prefix}[]")
        else:
            yield prefix[1:]

    shown = set(leaves(yaml.safe_load(render(load(HERE / "good/full.yaml").config))))
    keys = {row.key for row in SETTINGS}
    groups = {"accounts", "accounts[].discover", "accounts[].properties"}
    assert keys - groups == shown | {"accounts[].token_file", "accounts[].token"}
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


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("0s", 0), ("90s", 90), ("1m30s", 90), ("1y2w3d4h5m6s7ms", 33_019_506.007), ("5ms", 0.005)],
)
def test_a_duration_is_read_as_prometheus_reads_it(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "1", "1s1m", "1s1s", "1.5s", "-1s", " 1s", "1 s", "1S", "٣s", "293y", "9" * 5000 + "s"]
)
def test_what_prometheus_takes_for_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (60, "1m"), (90.5, "1m30s500ms"), (604_800, "1w"), (691_200, "8d"), (31_536_000, "1y")],
)
def test_a_duration_is_written_as_prometheus_writes_it(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_a_negative_duration_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="negative"):
        format_duration(-1)


@given(st.integers(0, 292 * 31_536_000_000))
def test_a_duration_survives_writing_and_reading(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000


def seconds(low: int, high: int) -> st.SearchStrategy[float]:
    return st.integers(low, high).map(lambda milliseconds: milliseconds / 1000)


def some_of(values: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), unique=True).map(tuple)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
PATTERNS = st.one_of(st.sampled_from([".*", "^test ", "a|b", "#: '\"\n"]), TEXTS.map(re.escape)).map(re.compile)
FILTERS = st.builds(
    Filters,
    st.none() | st.sampled_from(list(TRUNK_TYPES.values())),
    st.none() | st.booleans(),
    st.none() | st.sampled_from(list(PROVISIONING_STATES.values())),
)
DISCOVERS = st.builds(Discover, PATTERNS, st.none() | PATTERNS)
SIDS = st.text(string.ascii_letters + string.digits, min_size=1)
APIS = st.builds(
    Api,
    st.sampled_from(["https://api.example", "http://localhost:1/a"]),
    seconds(100, 600_000),
    st.integers(1, 1000),
    st.integers(1, 1000),
    st.floats(0, allow_infinity=False),
    st.integers(1, 20),
)


@st.composite
def accounts(draw: st.DrawFn) -> tuple[Account, ...]:
    sids = draw(st.lists(SIDS, min_size=1, max_size=4, unique=True))
    names = st.none() | TEXTS
    entries = [PropertySettings(sid, draw(names), draw(FILTERS)) for sid in draw(st.lists(SIDS, unique=True))]
    share = len(entries) // len(sids)
    return tuple(
        Account(sid, BY_ENV, draw(DISCOVERS), tuple(entries[index * share : (index + 1) * share]))
        for index, sid in enumerate(sids)
    )


CONFIGS = st.builds(
    Config,
    api=APIS,
    poll=st.builds(Poll, seconds(1000, 86_400_000), seconds(1, 10**12)),
    accounts=accounts(),
    metrics=st.builds(
        Metrics,
        st.sampled_from(["trunk", "property"]),
        some_of(INFO_LABELS),
        some_of(tuple(family.name for family in FAMILIES)),
    ),
)


@given(CONFIGS)
def test_a_configuration_survives_rendering_and_reading(config: Config) -> None:
    assert read(render(config)).config == config


@given(st.text() | st.text("{}[]-:,!&*?|>'\"%@# \n\tab"))
def test_text_of_any_kind_raises_nothing_but_config_error(text: str) -> None:
    assert faults(text)


KEYS = st.sampled_from([part for row in SETTINGS for part in re.split(r"[.\[\]]+", row.key)]) | st.text()
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.binary()
STRUCTURES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner) | st.sets(st.integers()), max_leaves=30
)


@given(STRUCTURES)
def test_yaml_of_any_structure_raises_nothing_but_config_error(structure: object) -> None:
    text = yaml.safe_dump(structure)
    for document in (text, "accounts:\n- " + text.replace("\n", "\n  ")):
        assert faults(document)


HEAD, TAIL = (
    f"accounts:\n- account_sid: {ACCOUNT}\n  token: ",
    f"\n  discover: {{include: a}}\n  properties: [{{sid: {PROPERTY}}}]",
)


@given(st.integers(0, len(HEAD)), st.integers(0, len(TAIL)), st.text(":#&*!|>'\"{}[],?-% \n\t@x", max_size=3))
def test_no_slip_of_the_pen_makes_a_message_quote_the_token(before: int, after: int, slip: str) -> None:
    for head, tail in ((HEAD[:before] + slip + HEAD[before:], TAIL), (HEAD, TAIL[:after] + slip + TAIL[after:])):
        try:
            told = [*read(f"{head}hunter2{tail}").warnings]
        except ConfigError as error:
            told = error.faults
        assert "hunter2" not in str(told)
