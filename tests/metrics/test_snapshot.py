"""What is served is always what was last published, whatever was published, dropped and brought up to date before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter import turns
from exporter.config import Metrics
from exporter.metrics import groups
from exporter.metrics.exposition import Renderer
from exporter.metrics.snapshot import Snapshot
from exporter.model import Identity
from tests.metrics.builders import FAILING, NOW, at_once, exposition, text_of, trunk, view
from tests.metrics.strategies import moved, views

if TYPE_CHECKING:
    from exporter.model import PropertyView

SOON = int(NOW) + 10


@given(views(properties=4))
def test_what_is_served_of_a_property_is_always_its_last_view(published: list[PropertyView]) -> None:
    snapshot = Snapshot(Renderer(Metrics()))
    for each in (*published, *published[::2]):
        snapshot.publish(each)

    assert text_of(published) == exposition(snapshot)


def of(sid: str, *trunks: str) -> PropertyView:
    return view(*map(trunk, trunks), identity=Identity(sid, "A1", sid.lower()))


SIDS = st.sampled_from("ABCDEFG")
TRUNKS = st.lists(st.sampled_from(["T1", "T2", "T3"]), unique=True)
STEPS = st.lists(
    st.tuples(st.just("publish"), SIDS, TRUNKS)
    | st.tuples(st.just("health"), SIDS, st.just([]))
    | st.tuples(st.just("drop"), SIDS, st.just([]))
    | st.tuples(st.just("refresh"), st.just(""), st.just([])),
    max_size=40,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_properties_may_come_change_and_go_in_any_order(
    steps: list[tuple[str, str, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "GROUP_SIZE", 2)
    snapshot = Snapshot(Renderer(Metrics()))
    expected: dict[str, PropertyView] = {}
    for step, sid, trunks in steps:
        if step == "publish":
            expected[sid] = of(sid, *trunks)
            snapshot.publish(expected[sid])
        elif step == "health" and sid in expected:
            before = expected[sid]
            expected[sid] = view(*before.trunks or (), identity=before.identity, health=FAILING)
            snapshot.publish_health(before.identity, FAILING)
        elif step == "drop":
            snapshot.drop(sid)
            expected.pop(sid, None)
        elif step == "refresh":
            at_once(snapshot.refresh())

    assert sorted(text_of(expected.values()).splitlines()) == sorted(exposition(snapshot).splitlines())
    assert {shown.identity.sid for shown in snapshot} == expected.keys()


@pytest.mark.parametrize(
    ("ends", "until"),
    [
        ((), float("inf")),
        ((None, 0, -1, int(NOW), 1), float("inf")),
        ((SOON,), float(SOON)),
        ((SOON + 5, SOON, None), float(SOON)),
    ],
)
def test_data_are_true_until_the_first_end_date_ahead(ends: tuple[int | None, ...], until: float) -> None:
    trunks = (trunk(f"T{number}", end_date=end) for number, end in enumerate(ends))
    summary = view(*trunks).shown.summary

    assert summary
    assert (summary.true_from, summary.true_until) == (NOW, until)


@pytest.mark.parametrize(("seconds", "active"), [(9.999, "1.0"), (10, "0.0"), (11, "0.0")])
def test_a_trunk_stops_being_active_when_its_end_date_is_reached(seconds: float, active: str) -> None:
    snapshot = Snapshot(Renderer(Metrics()))
    snapshot.publish(view(trunk(end_date=SOON)))
    snapshot.publish(moved(view(trunk(end_date=SOON)), seconds))

    assert f'siptrunk_active{{property_sid="S1",trunk_sid="T1"}} {active}\n' in exposition(snapshot)
    assert f'siptrunk_property_active_trunks{{property_sid="S1"}} {active}\n' in exposition(snapshot)


def test_every_change_gives_a_new_version_and_nothing_else_does() -> None:
    snapshot = Snapshot(Renderer(Metrics()))
    first = view(trunk())
    versions = [snapshot.version]
    for change in (
        lambda: snapshot.publish(first),
        lambda: snapshot.publish_health(first.identity, FAILING),
        lambda: snapshot.render_with(Renderer(Metrics(detail="property")), iter([first])),
        lambda: snapshot.drop("S1"),
    ):
        change()
        versions.append(snapshot.version)
    snapshot.drop("S1")

    assert sorted(set(versions)) == versions
    assert versions[-1] == snapshot.version


@pytest.mark.parametrize("metrics", [Metrics(detail="property"), Metrics(exclude=("siptrunk_active",))])
def test_another_configuration_renders_all_that_is_served_anew(metrics: Metrics) -> None:
    snapshot = Snapshot(Renderer(Metrics()))
    both = [of("S1", "T1"), of("S2", "T2")]
    for each in both:
        snapshot.publish(each)
    snapshot.render_with(Renderer(metrics), iter(both))

    assert text_of(both, metrics) == exposition(snapshot)
    snapshot.publish(both[0])
    assert text_of(both, metrics) == exposition(snapshot)


async def test_nothing_is_kept_of_properties_that_go_while_the_text_is_brought_up_to_date(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(groups, "GROUP_SIZE", 1)
    monkeypatch.setattr(turns, "LONGEST", -1)
    snapshot = Snapshot(Renderer(Metrics()))
    for sid in "ABCD":
        snapshot.publish(of(sid, "T1"))
    refreshing = asyncio.create_task(snapshot.refresh())
    for _ in range(2):
        await asyncio.sleep(0)
    snapshot.drop("A")
    await refreshing
    await snapshot.refresh()

    assert snapshot._outdated == set()  # noqa: SLF001 - what is held cannot be seen from outside
    assert text_of([of(sid, "T1") for sid in "BCD"]) == exposition(snapshot)


async def test_no_scrape_sees_half_of_another_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "GROUP_SIZE", 1)
    monkeypatch.setattr(turns, "LONGEST", -1)
    snapshot = Snapshot(Renderer(Metrics()))
    every = [of(sid, "T1") for sid in "ABCD"]
    for each in every:
        snapshot.publish(each)
    refreshing = asyncio.create_task(snapshot.refresh())
    for _ in range(2):
        await asyncio.sleep(0)
    metrics = Metrics(detail="property")
    snapshot.render_with(Renderer(metrics), iter(every))
    await refreshing

    assert text_of(every, metrics) == exposition(snapshot)
