"""Whatever is written, reading it survives: round trips, noise, and slips of the pen."""

from __future__ import annotations

import re
import string

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
    Limits,
    Metrics,
    Poll,
    PropertySettings,
    render,
)
from exporter.errors import ConfigError
from exporter.metrics.families import FAMILIES, INFO_LABELS
from exporter.model import PROVISIONING_STATES, TRUNK_TYPES
from tests.config.reading import ACCOUNT, BY_ENV, PROPERTY, faults, read


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
    limits=st.builds(Limits, st.integers(1, 100_000), st.integers(1, 100_000), st.integers(64, 65_536)),
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
