"""The carrier's world is plausible, made from its seed alone, and changes soundly."""

from __future__ import annotations

import re
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter import demo
from exporter.simulator import Carrier, CarrierOptions, TrunkFilter
from exporter.simulator.trunks import ON_THE_WAY
from tests.simulator.served import NOW

DAY = 86_400


def world(carrier: Carrier) -> list[object]:
    return [carrier.projects(), *(carrier.trunks(sid) for sid in carrier.property_sids)]


def test_the_same_seed_gives_the_same_world_in_whatever_order_it_is_looked_at() -> None:
    first, second = (Carrier(CarrierOptions(seed=7), NOW + later) for later in (0, 60))
    for sid in reversed(second.property_sids):
        second.trunks(sid)
    for step in range(300):
        assert first.churn_step(NOW + step) == second.churn_step(NOW + step)
    assert world(first) == world(second)


def test_another_seed_gives_another_world() -> None:
    assert world(Carrier(CarrierOptions(seed=1), NOW)) != world(Carrier(CarrierOptions(seed=2), NOW))


@pytest.mark.parametrize("trunks", [0, 1, 2, 48])
def test_the_number_of_trunks_is_exact_or_varies_by_half(trunks: int) -> None:
    exact = Carrier(CarrierOptions(properties=100, trunks=trunks, exact=True), NOW)
    varied = Carrier(CarrierOptions(properties=100, trunks=trunks), NOW)
    assert {len(exact.trunks(sid)) for sid in exact.property_sids} == {trunks}
    sizes = {len(varied.trunks(sid)) for sid in varied.property_sids}
    assert trunks - trunks // 2 <= min(sizes) <= max(sizes) <= trunks + trunks // 2


def test_every_way_of_writing_no_end_and_no_reference_occurs_in_a_world() -> None:
    carrier = Carrier(CarrierOptions(), NOW)
    trunks = [trunk for sid in carrier.property_sids for trunk in carrier.trunks(sid)]
    assert {trunk.end_date for trunk in trunks} >= {msgspec.UNSET, None, 0}
    assert any(trunk.end_date and trunk.end_date > NOW for trunk in trunks)
    assert {trunk.external_reference for trunk in trunks} >= {msgspec.UNSET, None}
    states = Counter(trunk.provisioning_state for trunk in trunks)
    assert states[2] > len(trunks) / 2


def assert_sound(carrier: Carrier, now: float) -> None:
    sids = []
    for property_sid in carrier.property_sids:
        for record in carrier.listing(property_sid, TrunkFilter(), now):
            trunk = record.trunk
            sids.append(trunk.sip_trunk_sid)
            assert len(trunk.sip_trunk_sid) == 32
            assert trunk.created <= trunk.modified <= now
            assert trunk.channel_limit >= 1
            assert trunk.type in (0, 1)
            assert trunk.provisioning_state in (1, 2) or not trunk.active(now)
            assert trunk.provisioning_state != 1 or trunk.active(now)
            assert (record.end, record.type, record.state) == (
                trunk.end_date or 0,
                trunk.type,
                trunk.provisioning_state,
            )
    assert len(set(sids)) == len(sids)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.lists(st.floats(0, 30 * DAY), max_size=60))
def test_churn_keeps_the_world_sound_and_changes_one_trunk_a_step(seed: int, pauses: list[float]) -> None:
    carrier, now = Carrier(CarrierOptions(seed=seed, properties=2, trunks=4), NOW), NOW
    assert_sound(carrier, now)
    for pause in pauses:
        now += pause
        before = {trunk for sid in carrier.property_sids for trunk in carrier.trunks(sid)}
        change = carrier.churn_step(now)
        after = {trunk for sid in carrier.property_sids for trunk in carrier.trunks(sid)}
        assert change is not None
        assert {trunk.sip_trunk_sid for trunk in before ^ after} == {change.trunk_sid}
        assert_sound(carrier, now)


def test_churn_of_every_kind_occurs_and_the_world_keeps_about_its_size() -> None:
    carrier = Carrier(CarrierOptions(), NOW)
    size = sum(len(carrier.trunks(sid)) for sid in carrier.property_sids)
    kinds = Counter(change.kind for step in range(20_000) if (change := carrier.churn_step(NOW + 60 * step)))
    assert set(kinds) == {"provision", "finish", "limit", "rename", "deactivate", "retire", "remove"}
    assert size / 2 < sum(len(carrier.trunks(sid)) for sid in carrier.property_sids) < size * 2


def test_at_the_demo_s_pace_the_carrier_ends_all_that_it_begins_within_the_hour() -> None:
    carrier = Carrier(demo.OPTIONS, NOW)
    seconds = 1 / demo.OPTIONS.churn
    for step in range(int(DAY / 4 / seconds)):
        now = NOW + step * seconds
        carrier.churn_step(now)
        late = [
            trunk
            for sid in carrier.property_sids
            for trunk in carrier.trunks(sid)
            if trunk.provisioning_state in ON_THE_WAY and trunk.modified <= now - 3600
        ]
        assert late == []


def test_a_carrier_without_properties_has_nothing_to_change() -> None:
    assert Carrier(CarrierOptions(properties=0), NOW).churn_step(NOW) is None


def test_trunks_can_be_put_found_and_removed_by_hand() -> None:
    carrier = Carrier(CarrierOptions(properties=1, trunks=3, exact=True), NOW)
    (sid,) = carrier.property_sids
    first, second, third = carrier.trunks(sid)
    renamed = msgspec.structs.replace(second, name="Renamed")
    carrier.put(sid, renamed)
    assert carrier.find(sid, second.sip_trunk_sid) == renamed
    carrier.remove(sid, first.sip_trunk_sid)
    carrier.put(sid, first)
    assert carrier.trunks(sid) == [renamed, third, first]
    with pytest.raises(KeyError):
        carrier.trunks("S")


def test_taking_out_a_trunk_that_is_not_there_changes_nothing() -> None:
    carrier = Carrier(CarrierOptions(properties=1, trunks=3, exact=True), NOW)
    (sid,) = carrier.property_sids
    before = carrier.trunks(sid)
    carrier.remove(sid, "ST" + "0" * 30)
    assert carrier.trunks(sid) == before


def test_churn_deprovisions_an_active_trunk_whose_end_has_come_and_leaves_the_end() -> None:
    carrier = Carrier(CarrierOptions(properties=1, trunks=1, exact=True), NOW)
    (sid,) = carrier.property_sids
    (trunk,) = carrier.trunks(sid)
    ended = msgspec.structs.replace(trunk, provisioning_state=2, end_date=int(NOW) - 1)
    carrier.put(sid, ended)
    changes = (carrier.churn_step(NOW) for _ in range(100))
    change = next(change for change in changes if change and change.trunk_sid == trunk.sip_trunk_sid)
    assert change.kind == "deactivate"
    after = msgspec.structs.replace(ended, provisioning_state=3, modified=int(NOW))
    assert carrier.find(sid, trunk.sip_trunk_sid) == after


def test_default_caller_ids_are_australian_numbers_in_e164() -> None:
    carrier = Carrier(CarrierOptions(properties=20), NOW)
    numbers = {str(trunk.default_caller_id) for sid in carrier.property_sids for trunk in carrier.trunks(sid)}
    assert all(re.fullmatch(r"\+61([2378][0-9]{8}|4[0-9]{8}|1[38]00[0-9]{6})", number) for number in numbers)
    assert {number[3] for number in numbers} == set("123478")


def test_property_names_and_domains_are_never_empty_and_never_the_same_twice() -> None:
    carrier = Carrier(CarrierOptions(properties=300), NOW)
    projects = [msgspec.json.decode(project) for project in carrier.projects()]
    for key in ("Name", "MainDomain", "PropertySid"):
        values = {project[key] for project in projects}
        assert len(values) == 300
        assert all(value.strip() == value != "" for value in values)
    assert all(re.match(r"[A-Z]\w+ [a-z]+", project["Name"]) for project in projects)
