"""What is served is rendered once a change, and changes by itself when an EndDate is reached."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from exporter.config import Metrics
from exporter.metrics.exposition import Renderer, join
from exporter.metrics.snapshot import Snapshot
from exporter.model import Identity
from tests.metrics.builders import FAILING, NOW, text_of, trunk, view
from tests.metrics.strategies import moved, views

if TYPE_CHECKING:
    from exporter.metrics.exposition import Segments
    from exporter.model import PropertyView

SOON = int(NOW) + 10


class CountingRenderer(Renderer):
    def __init__(self, metrics: Metrics | None = None) -> None:
        super().__init__(metrics or Metrics())
        self.count: Counter[str] = Counter()

    def data(self, view: PropertyView) -> Segments:
        self.count["data"] += 1
        return super().data(view)

    def health(self, view: PropertyView) -> Segments:
        self.count["health"] += 1
        return super().health(view)


def served(snapshot: Snapshot) -> str:
    properties = [shown.segments for shown in snapshot.properties.values()]
    return join(snapshot.renderer.families, properties, openmetrics=False).decode()


def test_data_that_have_not_changed_are_not_rendered_again() -> None:
    renderer = CountingRenderer()
    snapshot = Snapshot(renderer)
    for seconds in range(3):
        snapshot.publish(moved(view(trunk(channel_limit=30, end_date=SOON)), seconds))

    assert renderer.count == {"data": 1, "health": 3}


@pytest.mark.parametrize(
    "second",
    [
        view(trunk(channel_limit=31, end_date=SOON)),
        view(trunk(channel_limit=30, end_date=SOON), trunk("T2")),
        view(),
        view(shown=False),
        moved(view(trunk(channel_limit=30, end_date=SOON)), 10),
        moved(view(trunk(channel_limit=30, end_date=SOON)), -1),
    ],
    ids=["trunk changed", "trunk new", "trunk gone", "data gone", "EndDate reached", "clock set back"],
)
def test_data_that_have_changed_are_rendered_again(second: PropertyView) -> None:
    renderer = CountingRenderer()
    snapshot = Snapshot(renderer)
    snapshot.publish(view(trunk(channel_limit=30, end_date=SOON)))
    snapshot.publish(second)

    assert renderer.count["data"] == 2
    assert text_of([second]) == served(snapshot)


@given(views(properties=4))
def test_what_is_served_of_a_property_is_always_its_last_view(published: list[PropertyView]) -> None:
    snapshot = Snapshot(Renderer(Metrics()))
    for each in (*published, *published[::2]):
        snapshot.publish(each)

    assert text_of(published) == served(snapshot)


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

    assert until == Snapshot(Renderer(Metrics())).publish(view(*trunks)).true_until


@pytest.mark.parametrize(("seconds", "active"), [(9.999, "1.0"), (10, "0.0"), (11, "0.0")])
def test_a_trunk_stops_being_active_when_its_end_date_is_reached(seconds: float, active: str) -> None:
    snapshot = Snapshot(Renderer(Metrics()))
    snapshot.publish(view(trunk(end_date=SOON)))
    snapshot.publish(moved(view(trunk(end_date=SOON)), seconds))

    assert f'siptrunk_active{{property_sid="S1",trunk_sid="T1"}} {active}\n' in served(snapshot)
    assert f'siptrunk_property_active_trunks{{property_sid="S1"}} {active}\n' in served(snapshot)


def test_a_property_that_is_dropped_is_gone_whole_and_the_others_stay() -> None:
    snapshot = Snapshot(Renderer(Metrics()))
    other = view(trunk("T2"), identity=Identity("S2", "A1", ""))
    snapshot.publish(view(trunk()))
    snapshot.publish(other)
    snapshot.drop("S1")

    assert text_of([other]) == served(snapshot)


def test_every_change_gives_a_new_version_and_nothing_else_does() -> None:
    snapshot = Snapshot(Renderer(Metrics()))
    versions = [snapshot.version]
    for change in (
        lambda: snapshot.publish(view(trunk())),
        lambda: snapshot.publish(view(trunk(), health=FAILING)),
        lambda: snapshot.render_with(Renderer(Metrics(detail="property"))),
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
    both = [view(trunk()), view(trunk("T2"), identity=Identity("S2", "A1", ""))]
    for each in both:
        snapshot.publish(each)
    snapshot.render_with(Renderer(metrics))

    assert text_of(both, metrics) == served(snapshot)
    snapshot.publish(both[0])
    assert text_of(both, metrics) == served(snapshot)
