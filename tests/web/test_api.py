"""`/api/v1/changes`: what it takes, what it gives, page by page."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from exporter.history.changes import Kind
from exporter.simulator import Simulator, SimulatorOptions
from exporter.web import api
from tests.running import running, write

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.history.changes import Change
    from tests.running import Running

NOW = 1_790_000_000.0
KEYS = {"seen", "property_sid", "trunk_sid", "trunk", "kind", "field", "old", "new", "modified"}


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


async def changed(exporter: Running, query: str) -> list[dict[str, Any]]:
    answer = await exporter.http.get(f"/api/v1/changes?{query}")
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()["changes"]
    return found


async def test_changes_are_given_newest_first_by_whatever_is_asked_for_page_by_page(tmp_path: Path) -> None:
    clock = Clock()
    async with (
        Simulator(SimulatorOptions(properties=2, trunks=20, exact=True), clock) as simulator,
        running(write(tmp_path, simulator), clock) as exporter,
    ):
        await exporter.ready()
        assert await changed(exporter, "") == []
        first, second = simulator.carrier.property_sids
        gone = simulator.carrier.trunks(first)[0]
        simulator.carrier.remove(first, gone.sip_trunk_sid)
        await exporter.poll(first)
        clock.now += 100
        for each in simulator.carrier.trunks(second)[:7]:
            simulator.carrier.remove(second, each.sip_trunk_sid)
        await exporter.poll(second)

        every = await changed(exporter, "")
        assert [each["property_sid"] for each in every] == [second] * 7 + [first]
        assert all(each.keys() == KEYS for each in every)
        removed = {"trunk_sid": gone.sip_trunk_sid, "trunk": gone.name, "kind": "removed", "seen": NOW}
        assert every[-1].items() >= removed.items()
        assert await changed(exporter, f"property={first}") == every[-1:]
        assert await changed(exporter, f"trunk={gone.sip_trunk_sid}") == every[-1:]
        assert await changed(exporter, "kind=added") == []
        assert await changed(exporter, "kind=added&kind=removed") == every
        assert await changed(exporter, f"since={NOW + 100}") == every[:-1]
        assert await changed(exporter, f"until={NOW + 100}") == every[-1:]
        written = quote(datetime.fromtimestamp(NOW + 100, UTC).isoformat())
        assert await changed(exporter, f"until={written}") == every[-1:]

        clock.now += 100
        pages, following = [], "limit=3"
        while following:
            answer = (await exporter.http.get(f"/api/v1/changes?{following}")).json()
            pages.append(answer["changes"])
            following = answer["next"]
            # What is new while somebody turns the pages is on none of them.
            clock.now += 1
            simulator.carrier.remove(first, simulator.carrier.trunks(first)[0].sip_trunk_sid)
            await exporter.poll(first)
        assert [len(page) for page in pages] == [3, 3, 2]
        assert list(chain.from_iterable(pages)) == every


async def test_pages_lose_nothing_that_was_seen_before_the_clock_was_set_back(tmp_path: Path) -> None:
    clock = Clock()
    async with (
        Simulator(SimulatorOptions(properties=1, trunks=20, exact=True), clock) as simulator,
        running(write(tmp_path, simulator), clock) as exporter,
    ):
        await exporter.ready()
        (sid,) = simulator.carrier.property_sids
        for clock.now in (NOW + 90, NOW + 200, NOW + 100):
            simulator.carrier.remove(sid, simulator.carrier.trunks(sid)[0].sip_trunk_sid)
            await exporter.poll(sid)
        seen, following = [], "limit=1"
        while following:
            answer = (await exporter.http.get(f"/api/v1/changes?{following}")).json()
            seen += [each["seen"] - NOW for each in answer["changes"]]
            following = answer["next"]
    assert seen == [100, 200, 90]


async def test_what_is_seen_while_a_page_is_made_shifts_no_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, look = Clock(), api.seen
    async with (
        Simulator(SimulatorOptions(properties=1, trunks=20, exact=True), clock) as simulator,
        running(write(tmp_path, simulator), clock) as exporter,
    ):
        await exporter.ready()
        (sid,) = simulator.carrier.property_sids

        async def remove_one(now: float) -> None:
            clock.now = now
            simulator.carrier.remove(sid, simulator.carrier.trunks(sid)[0].sip_trunk_sid)
            await exporter.poll(sid)

        async def look_slowly(*arguments: Any) -> list[Change]:  # noqa: ANN401 - passes everything through
            found = await look(*arguments)
            await remove_one(clock.now + 1)
            return found

        for now in (NOW + 90, NOW + 100):
            await remove_one(now)
        monkeypatch.setattr(api, "seen", look_slowly)
        first = (await exporter.http.get("/api/v1/changes?limit=1")).json()
        second = (await exporter.http.get(f"/api/v1/changes?{first['next']}")).json()
    assert [each["seen"] - NOW for page in (first, second) for each in page["changes"]] == [100, 90]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("kind=moved", f"unknown kind: expected one of {', '.join(Kind)}"),
        ("since=yesterday", "since: expected a Unix time, or one like 2026-01-31T03:00:00Z"),
        ("since=nan", "since: expected a Unix time, or one like 2026-01-31T03:00:00Z"),
        ("until=2026-01-31", "until: expected a Unix time, or one like 2026-01-31T03:00:00Z"),
        ("limit=0", "limit: expected a whole number from 1 to 1000"),
        ("limit=1001", "limit: expected a whole number from 1 to 1000"),
        ("limit=" + "9" * 5000, "limit: expected a whole number from 1 to 1000"),
        ("limit=1&limit=2", "limit: given more than once"),
        ("skip=-1", "skip: expected a whole number from 0 to 1000000000"),
        ("propertysid=S1", "unknown parameter: expected one of property, trunk, kind, since, until, limit, skip"),
    ],
    ids=lambda text: text[:20],
)
async def test_what_cannot_be_asked_for_is_refused_with_what_can(query: str, message: str, tmp_path: Path) -> None:
    async with (
        Simulator(SimulatorOptions(properties=1, trunks=1)) as simulator,
        running(write(tmp_path, simulator)) as exporter,
    ):
        answer = await exporter.http.get(f"/api/v1/changes?{query}")

    assert (answer.status_code, answer.json()) == (400, {"error": message})
