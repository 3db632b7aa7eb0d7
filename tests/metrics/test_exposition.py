"""The exposition is what prometheus_client would have made, and what its parsers read back."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.utils import floatToGoString

from exporter.config import Metrics
from exporter.metrics.exposition import FamiliesCollector, PropertyLines, Renderer, TrunkLines, number, numbers
from exporter.metrics.families import FAMILIES, PropertyFamily, TrunkFamily
from exporter.metrics.scrape import Scraper
from exporter.metrics.snapshot import Snapshot
from exporter.model import PROVISIONING_STATES, TRUNK_TYPES, UNREADABLE, Identity, PropertyView, Trunk
from exporter.telemetry import Telemetry
from tests.metrics.builders import FAILING, NOW, text_of, trunk, view
from tests.metrics.strategies import TRUNKS, views

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from prometheus_client import Metric

    Parse = Callable[[str], Iterable[Metric]]

FULL = trunk(
    "T1", created=1, modified=2, end_date=int(NOW) + 9, name="Main", type=0, channel_limit=30, provisioning_state=2
)
ACCEPTS = (
    "",
    "text/plain;version=0.0.4",
    "text/plain;version=1.0.0;escaping=allow-utf-8",
    "text/plain;version=1.0.0",
    "application/openmetrics-text;version=1.0.0",
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
)
PARSERS = ((False, parse_text), (True, parse_openmetrics))


def expose(properties: Sequence[PropertyView], accept: str) -> tuple[str, CollectorRegistry]:
    """Scrape the properties; give also the registry in which prometheus_client holds the same samples."""
    own, reference = CollectorRegistry(), CollectorRegistry()
    Telemetry(own).count_request("sip_trunks", "200", 0.3)
    snapshot = Snapshot(Renderer(Metrics()))
    for each in properties:
        snapshot.publish(each)
    reference.register(FamiliesCollector(FAMILIES, properties))
    reference.register(own)
    scrape = asyncio.run(Scraper(snapshot, own).scrape(accept, ""))
    return scrape.body.decode(), reference


@given(views(), st.sampled_from(ACCEPTS))
def test_the_exposition_is_byte_for_byte_what_prometheus_client_makes(
    properties: list[PropertyView], accept: str
) -> None:
    actual, reference = expose(properties, accept)

    assert choose_encoder(accept)[0](reference).decode() == actual


@pytest.mark.parametrize("accept", ACCEPTS)
def test_the_formats_are_those_of_prometheus_clients_own_functions(accept: str) -> None:
    actual, reference = expose([view(FULL, health=FAILING)], accept)
    generate: Callable[[CollectorRegistry], bytes] = (
        generate_openmetrics if "openmetrics" in accept else generate_latest
    )

    assert generate(reference).decode() == actual


@given(st.integers(-(2**70), 2**70) | st.integers(0, 2000) | st.floats() | st.booleans())
def test_a_number_is_written_as_prometheus_client_writes_it(value: float) -> None:
    assert floatToGoString(value) == number(value)  # type: ignore[no-untyped-call]  # the library leaves it bare


@given(
    st.sampled_from([(0, 999), (0, 2000), (10**9, 10**10 - 1), (10**9 - 2, 10**10 + 2), (-(2**60), 2**60)]).flatmap(
        lambda ends: st.lists(
            st.integers(*ends) | st.integers(ends[0] // 10**8, ends[1] // 10**8).map(lambda each: each * 10**8)
        )
    )
)
def test_a_column_of_numbers_is_written_as_each_of_them(values: list[int]) -> None:
    assert numbers(values) == list(map(number, values))


def read_back(metrics: Iterable[Metric]) -> dict[str, Trunk]:
    """Make the trunks again from their samples, by Sid."""
    info: dict[str, dict[str, str]] = {}
    numbers: dict[str, dict[str, float]] = {}
    states: dict[str, str] = {}
    for sample in (sample for metric in metrics for sample in metric.samples if "trunk_sid" in sample.labels):
        sid = sample.labels["trunk_sid"]
        if sample.name == "siptrunk_info":
            info[sid] = sample.labels
        elif sample.name == "siptrunk_provisioning_state":
            if sample.value == 1:
                states[sid] = sample.labels["state"]
        else:
            numbers.setdefault(sid, {})[sample.name.removeprefix("siptrunk_")] = sample.value
    return {sid: trunk_of(sid, labels, numbers.get(sid, {}), states.get(sid)) for sid, labels in info.items()}


def trunk_of(sid: str, labels: dict[str, str], numbers: dict[str, float], state: str | None) -> Trunk:
    types = {name: code for code, name in TRUNK_TYPES.items()}
    states = {name: code for code, name in PROVISIONING_STATES.items()}
    end = numbers.get("end_timestamp_seconds")
    return trunk(
        sid,
        created=numbers.get("created_timestamp_seconds"),
        modified=numbers.get("modified_timestamp_seconds"),
        end_date=end if "active" in numbers else UNREADABLE,
        name=labels["name"] or None,
        type=types.get(labels["trunk_type"], UNREADABLE),
        channel_limit=numbers.get("channel_limit"),
        customer_reference=labels["customer_reference"] or None,
        external_reference=labels["external_reference"] or None,
        default_caller_id=labels["default_caller_id"] or None,
        provisioning_state=None if state is None else states.get(state, UNREADABLE),
    )


@pytest.mark.parametrize(("openmetrics", "parse"), PARSERS)
@given(trunks=st.lists(TRUNKS, max_size=3, unique_by=lambda trunk: trunk.sid))
def test_any_trunk_that_goes_out_comes_back_equal(openmetrics: bool, parse: Parse, trunks: list[Trunk]) -> None:  # noqa: FBT001 - a parameter of the test
    text = text_of([view(*trunks)], openmetrics=openmetrics)

    assert {trunk.sid: trunk for trunk in trunks} == read_back(parse(text))


@pytest.mark.parametrize(("openmetrics", "parse"), PARSERS)
def test_any_parser_finds_the_samples_under_their_family(openmetrics: bool, parse: Parse) -> None:  # noqa: FBT001 - a parameter of the test
    text = text_of([view(FULL, health=FAILING)], openmetrics=openmetrics)
    expected = {family.name.removesuffix("_total"): (family.type, family.help) for family in FAMILIES}

    assert expected == {metric.name: (metric.type, metric.documentation) for metric in parse(text)}


@pytest.mark.parametrize("accept", ACCEPTS)
def test_each_family_stands_in_one_piece_under_its_own_header(accept: str) -> None:
    other = view(FULL, trunk("T2"), identity=Identity("S2", "A1", ""))
    text, _ = expose([view(FULL, health=FAILING), other], accept)
    pieces = re.split("(?=^# HELP )", text.removesuffix("# EOF\n"), flags=re.MULTILINE)[1:]
    names = [piece.split(" ")[2] for piece in pieces]
    piece = r"# HELP {0} .+\n# TYPE {0} \w+\n({0}(_total|_bucket|_sum|_count)?[{{ ].+\n)*"

    assert sorted(set(names)) == sorted(names)
    assert [name for name, text in zip(names, pieces, strict=True) if not re.fullmatch(piece.format(name), text)] == []


def test_the_labels_of_every_sample_are_sorted_and_no_two_samples_are_one() -> None:
    lines = [line for line in text_of([view(FULL, trunk("T2"), health=FAILING)]).splitlines() if line[0] != "#"]
    labels = [re.findall(r'(\w+)="', line) for line in lines]

    assert [sorted(names) for names in labels] == labels
    assert len({line.rsplit(" ", 1)[0] for line in lines}) == len(lines)


@pytest.mark.parametrize("excluded", [family.name for family in FAMILIES])
def test_a_family_that_is_excluded_is_all_that_is_missing(excluded: str) -> None:
    shown = view(FULL, health=FAILING)
    blocks = re.split("(?=^# HELP )", text_of([shown]), flags=re.MULTILINE)

    assert "".join(block for block in blocks if not block.startswith(f"# HELP {excluded} ")) == text_of(
        [shown], Metrics(exclude=(excluded,))
    )


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ((), '{property_sid="S1",trunk_sid="T1"}'),
        (("name",), '{name="Main",property_sid="S1",trunk_sid="T1"}'),
        (("trunk_type", "name"), '{name="Main",property_sid="S1",trunk_sid="T1",trunk_type="ip_to_ip"}'),
        (
            ("external_reference", "default_caller_id"),
            '{default_caller_id="",external_reference="",property_sid="S1",trunk_sid="T1"}',
        ),
    ],
)
def test_siptrunk_info_carries_the_labels_that_are_wanted(labels: tuple[str, ...], expected: str) -> None:
    text = text_of([view(FULL)], Metrics(info_labels=labels))

    assert re.findall(r"^siptrunk_info(.*)$", text, re.MULTILINE) == [f"{expected} 1.0"]


def test_detail_property_leaves_out_just_the_series_of_single_trunks() -> None:
    shown = view(FULL, health=FAILING)
    blocks = re.split("(?=^# HELP )", text_of([shown]), flags=re.MULTILINE)
    expected = "".join(
        block for block in blocks if block.startswith("# HELP siptrunk_drift") or "trunk_sid" not in block
    )

    assert expected == text_of([shown], Metrics(detail="property"))
    assert "siptrunk_property_active_trunks" in expected


@pytest.mark.parametrize("values", [(), ("a",), ("a", "b", "c")])
def test_a_sample_with_too_few_or_too_many_label_values_is_refused(values: tuple[str, ...]) -> None:
    sample = (values, 1.0)
    chosen = TrunkFamily("x", "gauge", "X.", ("one", "two"), choice=lambda _: 1, choices={1: (sample,)})
    texts = TrunkFamily("x", "gauge", "X.", ("one", "two"), texts=tuple([lambda _: "a"] * len(values)))
    of_property = PropertyFamily("x", "gauge", "X.", ("one", "two"), samples=lambda _: (sample,))
    each = view(FULL)

    with pytest.raises(ValueError, match=r"x has 4 labels, but a sample with . values"):
        TrunkLines(chosen).of("S1", ["T1"], each.trunks or (), NOW, ())
    with pytest.raises(ValueError, match="zip"):
        TrunkLines(texts).of("S1", ["T1"], each.trunks or (), NOW, ())
    with pytest.raises(ValueError, match=r"x has 3 labels, but a sample with . values"):
        PropertyLines(of_property).of(["S1"], [each.shown])
    for family in (chosen, texts, of_property):
        with pytest.raises(ValueError, match="zip"):
            list(FamiliesCollector([family], [each]).collect())


def test_the_collector_fits_into_a_registry_which_then_refuses_the_same_families() -> None:
    registry = CollectorRegistry()
    registry.register(FamiliesCollector(FAMILIES, [view(FULL)]))

    with pytest.raises(ValueError, match="Duplicated timeseries"):
        registry.register(FamiliesCollector(FAMILIES[-1:], []))


@pytest.mark.parametrize("name", ["siptrunk_active", "siptrunk_property_polls_total"])
def test_the_collectors_families_can_be_picked_by_name(name: str) -> None:
    registry = CollectorRegistry()
    registry.register(FamiliesCollector(FAMILIES, [view(FULL)]))
    picked = generate_latest(registry.restricted_registry([name])).decode()

    assert [name] == re.findall(r"^# TYPE (\S+) ", picked, re.MULTILINE)
