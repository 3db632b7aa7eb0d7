"""What the pages tell, and that they cost nothing before they are opened; `test_browser` has the rest."""

from __future__ import annotations

import asyncio
import html
import re
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from msgspec import UNSET
from msgspec.structs import replace

from exporter.api.listing import Listing
from exporter.errors import Reason
from exporter.history.hour import MINUTES
from exporter.history.journal import newest_first
from exporter.shard import Shard
from exporter.simulator import Simulator, SimulatorOptions
from exporter.web.app import MOST_WAITING, Queue
from exporter.web.pages import trunks
from exporter.web.pages.charts import bars, worst
from exporter.web.pages.html import LONGEST, h, said
from exporter.web.pages.standing import LONG, WEEK
from exporter.web.pages.wanted import Wanted
from exporter.web.pages.words import REASONS, ago, since, span
from tests.running import configuration, running, write

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.running import Running

NOW = 1_790_000_000.0
UNUSED = "1 property without an active trunk, as far as is known for a week or longer"


def plain(markup: str) -> str:
    """The text without its markup, style and script."""
    text = re.sub(r"(?s)<(style|script)>.*?</\1>|<[^>]*>", " ", markup)
    return re.sub(r" +([,;.:])", r"\1", " ".join(html.unescape(text).split()))


async def told(it: Running) -> tuple[str, list[str]]:
    """The overview's headline, and what it says is not well."""
    page = (await it.http.get("/")).text
    headline, troubles = re.findall(r"<h1.*?</h1>", page)[0], re.findall(r'<ul class="troubles".*?(?=<dl)', page)[0]
    return plain(headline), [plain(each) for each in re.split(r'<li class="(?:bad|look|plain)" [^>]*>', troubles)[1:]]


async def test_the_pages_are_loaded_when_the_first_is_opened_and_not_before() -> None:
    code = "import exporter.cli, sys; print([name for name in sys.modules if name.startswith('exporter.web.pages')])"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()

    assert output.decode().strip() == "[]"


async def test_few_wait_for_a_page_and_for_who_is_gone_none_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    go, queue = asyncio.Event(), Queue()

    async def opened(_endpoints: object, request: web.Request) -> web.Response:
        made.append(request.path_qs)
        await go.wait()
        return web.Response(text="a page")

    monkeypatch.setattr("exporter.web.pages.opened.opened", opened)
    monkeypatch.setattr("exporter.web.app.Queue", lambda: queue)
    async with (
        Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator,
        running(write(tmp_path, simulator)) as it,
    ):
        url = it.http.base_url
        writers = []
        for number in range(MOST_WAITING + 1):
            _, writer = await asyncio.open_connection(url.host, url.port)
            writer.write(f"GET /?page={number} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            writers.append(writer)
        async with asyncio.timeout(20):
            while queue.waiting < MOST_WAITING - 1:
                await it.http.get("/-/healthy")
            last = asyncio.create_task(it.http.get("/?page=last"))
            while queue.waiting < MOST_WAITING:
                await it.http.get("/-/healthy")
        refused = await it.http.get("/")
        for writer in writers[2:]:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in writers[2:]))
        # By the time this is answered, it is known that they are gone.
        await it.http.get("/-/healthy")
        go.set()
        assert (await last).text == "a page"
        for writer in writers[:2]:
            writer.close()
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    assert made == ["/?page=0", "/?page=1", "/?page=last"]


async def test_a_first_round_under_way_is_no_trouble(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=2, trunks=3)) as simulator:
        simulator.fail(simulator.carrier.property_sids[0], "hang")
        sids = ", ".join(f"{{sid: {sid}}}" for sid in simulator.carrier.property_sids)
        path = write(tmp_path, simulator, configuration(simulator, accounts=f"properties: [{sids}]"))
        async with running(path) as it:
            await it.until(lambda: any(each.health.polls for each in it.daemon.poller.properties.values()))
            waiting = (await it.http.get(f"/properties/{simulator.carrier.property_sids[0]}")).text
            assert "It was not polled yet" in plain(waiting)
            assert await told(it) == ("… Waiting for the first poll: 1 of 2 properties polled", [])


async def test_properties_that_come_later_are_not_up_before_they_are_polled(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=3, trunks=3)) as simulator:
        first, *later = simulator.carrier.property_sids
        path = write(tmp_path, simulator, configuration(simulator, accounts=f"properties: [{{sid: {first}}}]"))
        async with running(path) as it:
            await it.ready()
            for sid in later:
                simulator.fail(sid, "hang")
            sids = ", ".join(f"{{sid: {sid}}}" for sid in later)
            path.write_text(configuration(simulator, accounts=f"properties: [{sids}]"))
            assert (await it.http.post("/-/reload")).status_code == 200
            assert it.daemon.poller.ready
            page = plain((await it.http.get("/")).text)
            assert await told(it) == ("… Waiting for the first poll: 0 of 2 properties polled", [])
    assert "Properties 0 of 2 up" in page
    assert "Trunks — known for 0 of 2 properties" in page
    assert "Not as agreed — nothing was agreed on" in page


@pytest.mark.parametrize(
    ("token", "why"), [("wrong", "the API rejects the token"), (None, "the API could not be reached")]
)
async def test_where_no_property_is_known_the_headline_says_why(tmp_path: Path, token: str | None, why: str) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator:
        text = configuration(simulator, api="max_attempts: 1")
        path = write(tmp_path, simulator, text if token else text.replace(simulator.base_url, "http://127.0.0.1:9"))
        (tmp_path / "token").write_text(token or simulator.options.token)
        async with running(path) as it:
            await it.daemon.poller.discoveries[simulator.options.account_sid].poll()
            headline, troubles = await told(it)
    assert headline.startswith(f"✕ No properties are known: {why}, since ")
    assert len(troubles) == 1


async def test_accounts_with_the_same_trouble_are_told_of_together(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator:
        accounts = [f"  - {{account_sid: A{number:031}, token_file: bad, discover: {{}}}}\n" for number in range(9)]
        (tmp_path / "bad").write_text("wrong")
        async with running(write(tmp_path, simulator, configuration(simulator) + "".join(accounts))) as it:
            await it.ready()
            headline, (trouble,) = await told(it)
    assert headline.startswith("✕ Not every property is known: the API rejects the token, since ")
    assert "and 4 more: their properties cannot be looked up, since " in trouble


async def test_a_property_that_was_down_before_a_restart_is_so_since_its_last_success(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator:
        (sid,) = simulator.carrier.property_sids
        accounts = f"properties: [{{sid: {sid}}}]"
        state = {"state": f"path: {tmp_path / 'state'}"}
        path = write(tmp_path, simulator, configuration(simulator, accounts=accounts, **state))
        async with running(path, lambda: NOW) as it:
            await it.ready()
        simulator.fail(sid, "500")
        path.write_text(configuration(simulator, accounts=accounts, api="max_attempts: 1", **state))
        async with running(path, lambda: NOW + 3600) as it:
            await it.ready()
            headline, (trouble,) = await told(it)
            page = plain((await it.http.get(f"/properties/{sid}")).text)
    since_success = "no success since 14:13 UTC, for 1 h"
    assert headline == f"✕ 1 of 1 property down, {since_success}"
    assert trouble.startswith(f"1 property down, {since_success}; now: the API has trouble of its own; ")
    assert f"✕ Down, {since_success}; now: the API has trouble of its own" in page


async def test_of_several_that_were_down_before_a_restart_the_latest_is_told_by_its_last_success(
    tmp_path: Path,
) -> None:
    now = NOW
    async with Simulator(SimulatorOptions(properties=2, trunks=3)) as simulator:
        text = configuration(simulator, state=f"path: {tmp_path / 'state'}", api="max_attempts: 1")
        path = write(tmp_path, simulator, text)
        async with running(path, lambda: now) as it:
            await it.ready()
            now += 1800
            await it.poll(simulator.carrier.property_sids[0])
        for sid in simulator.carrier.property_sids:
            simulator.fail(sid, "500")
        now += 1800
        async with running(path, lambda: now) as it:
            await it.ready()
            headline, (trouble,) = await told(it)
    latest = "the latest with no success since 14:43 UTC, for 30 min"
    assert headline == f"✕ 2 of 2 properties down, {latest}"
    assert trouble.startswith(f"2 properties down, the first with no success since 14:13 UTC, for 1 h, {latest}; now: ")


async def test_the_page_of_a_property_measures_as_the_overview_does(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=2, trunks=3)) as simulator:
        late, differs = simulator.carrier.property_sids
        agreed = ", ".join(f"{{sid: ST{number}}}" for number in range(60))
        accounts = f"properties: [{{sid: {late}}}, {{sid: {differs}, expected: {{trunks: [{agreed}]}}}}]"
        async with running(write(tmp_path, simulator, configuration(simulator, accounts=accounts))) as it:
            await it.ready()
            await it.http.get("/")
            poller = it.daemon.poller.properties[late]
            poller.rhythm.due = asyncio.get_running_loop().time() - 3600
            poller._last_success = asyncio.get_running_loop().time() - 7200  # noqa: SLF001 - as if so long ago
            poller._serve()  # noqa: SLF001 - as its timer does
            pages = [(await it.http.get(f"/properties/{sid}")).text for sid in (late, differs)]
            overview = plain((await it.http.get("/")).text)
    assert ['class="verdict look"' in page for page in pages] == [True, True]
    assert "▲ Overdue: no poll has ended since " in plain(pages[0])
    assert "No data are served, and no trunks are shown: " in plain(pages[0])
    assert "; 60 things not as agreed" in plain(pages[1])
    assert "60 agreed trunks missing" in plain(pages[1])
    assert "and 10 more" in plain(pages[1])
    assert "known for 1 of 2 properties" in overview


async def test_for_how_long_a_state_lasts_that_is_not_told_nobody_knows(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=2, exact=True), lambda: NOW) as simulator:
        (sid,) = simulator.carrier.property_sids
        first, second = simulator.carrier.trunks(sid)
        for trunk, begun in ((first, NOW - 7200), (second, NOW - 3600)):
            simulator.carrier.put(sid, replace(trunk, provisioning_state=2, modified=int(begun)))
        async with running(write(tmp_path, simulator), lambda: NOW) as it:
            await it.ready()
            simulator.carrier.put(sid, replace(first, provisioning_state=UNSET))
            await it.poll(sid)
            page = (await it.http.get(f"/properties/{sid}?sort=since")).text
    cells = re.findall(r'<td data-label="In it for">(.*?)</td>', page)
    assert [plain(cell) for cell in cells] == ["1 h", "—"]


async def test_a_property_without_an_active_trunk_is_named(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=0)) as simulator:
        accounts = f"properties: [{{sid: {simulator.carrier.property_sids[0]}, name: '\u3164 '}}]"
        async with running(write(tmp_path, simulator, configuration(simulator, accounts=accounts))) as it:
            await it.ready()
            # What cannot be seen is no name.
            named = f"{UNUSED} {simulator.carrier.property_sids[0]}"
            assert await told(it) == ("✓ All up: 1 property", [named])


@pytest.mark.parametrize(("ended", "level"), [(WEEK - 1, "▲"), (WEEK, "✓")])
async def test_at_the_first_look_the_ends_tell_whether_active_trunks_are_missed(
    tmp_path: Path, ended: int, level: str
) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=2, exact=True), lambda: NOW) as simulator:
        (sid,) = simulator.carrier.property_sids
        for trunk, end in zip(simulator.carrier.trunks(sid), (NOW - 3 * WEEK, NOW - ended), strict=True):
            simulator.carrier.put(sid, replace(trunk, end_date=int(end)))
        async with running(write(tmp_path, simulator), lambda: NOW) as it:
            await it.ready()
            headline, _ = await told(it)
    assert headline.startswith(level)


async def test_active_trunks_are_missed_as_long_as_the_alert_fires(tmp_path: Path) -> None:
    now = NOW
    async with Simulator(SimulatorOptions(properties=2, trunks=1, exact=True), lambda: now) as simulator:
        other, sid = simulator.carrier.property_sids
        for each in (sid, other):
            simulator.carrier.put(each, replace(simulator.carrier.trunks(each)[0], end_date=None))
        async with running(write(tmp_path, simulator), lambda: now) as it:
            await it.ready()
            now += WEEK
            await it.poll(sid)
            well = await told(it)
            simulator.carrier.remove(sid, simulator.carrier.trunks(sid)[0].sip_trunk_sid)
            await it.poll(sid)
            now += WEEK - 1
            headline, troubles = await told(it)
            page = (await it.http.get(f"/properties/{sid}")).text
            rows = re.findall(r'<tr data-key="([^"]*)"', (await it.http.get("/")).text)
            now += 1
            after = await told(it)
            name = it.daemon.poller.properties[sid].target.identity.name
    assert well == ("✓ All up: 2 properties", [])
    assert headline == "▲ 2 of 2 properties up, but not all is as it should be"
    assert troubles == [f"1 property without an active trunk {name}"]
    assert 'class="verdict look"' in page
    assert "It has no active trunk." in plain(page)
    assert rows == [sid, other]
    assert after == (well[0], [f"{UNUSED} {name}"])


async def test_where_an_end_cannot_be_read_nobody_says_that_no_trunk_is_active_and_the_alert_is_told_of(
    tmp_path: Path,
) -> None:
    async with (
        Simulator(SimulatorOptions(properties=1, trunks=1)) as simulator,
        running(write(tmp_path, simulator)) as it,
    ):
        await it.ready()
        (sid,) = simulator.carrier.property_sids
        simulator.carrier.put(sid, replace(simulator.carrier.trunks(sid)[0], end_date="soon"))
        await it.poll(sid)
        page = plain((await it.http.get(f"/properties/{sid}")).text)
        headline, troubles = await told(it)
        name = it.daemon.poller.properties[sid].target.identity.name
    assert headline == "▲ 1 of 1 property up, but not all is as it should be"
    assert troubles == [f"1 property without a trunk that is known to be active {name}"]
    assert "It has no trunk that is known to be active." in page


async def test_a_page_says_of_when_it_is_and_since_when_it_is_watched(tmp_path: Path) -> None:
    now = NOW
    async with (
        Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator,
        running(write(tmp_path, simulator), lambda: now) as it,
    ):
        await it.ready()
        now += 60
        page = plain((await it.http.get("/")).text)
    assert "As of 14:14:20 UTC; watching since 14:13 UTC, for 1 min" in page


async def test_no_property_at_all_is_not_well(tmp_path: Path) -> None:
    async with (
        Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator,
        running(write(tmp_path, simulator, configuration(simulator, accounts="discover: {include: none}"))) as it,
    ):
        await it.daemon.poller.discoveries[simulator.options.account_sid].poll()
        assert await told(it) == ("▲ There are no properties to poll", [])


async def test_what_is_down_is_told_by_reason_and_the_first_few_by_name(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=9, trunks=3)) as simulator:
        first, one, *others, well = simulator.carrier.property_sids
        many = first, *others
        for sid in many:
            simulator.fail(sid, "403")
        simulator.fail(one, "404")
        async with running(write(tmp_path, simulator), lambda: NOW) as it:
            await it.ready()
            headline, troubles = await told(it)
            name = it.daemon.poller.properties[one].target.identity.name
            well_page = await it.http.get(f"/properties/{well}")
            ill_page = await it.http.get(f"/properties/{one}")
    assert headline.startswith("✕ 8 of 9 properties down, since ")
    assert [re.sub(" since .* s;", "", each)[:60] for each in troubles] == [
        "7 properties down, now: the account may not see it; no data ",
        "1 property down, now: the API does not know it; no data show",
    ]
    assert "and 2 more" in troubles[0]
    assert "no data shown" in troubles[1]
    assert name in troubles[1]
    assert "Up: polled" in plain(well_page.text)
    assert "No trunks are shown: no poll has brought a complete list yet." in plain(ill_page.text)


async def test_what_is_new_looks_new_beside_what_is_old(tmp_path: Path) -> None:
    now = NOW
    async with Simulator(SimulatorOptions(properties=3, trunks=3, exact=True), lambda: now) as simulator:
        old, new, _ = simulator.carrier.property_sids
        text = configuration(simulator, poll="interval: 5m, stale_after: 10m", api="max_attempts: 1")
        async with running(write(tmp_path, simulator, text), lambda: now) as it:
            await it.ready()
            for sid, moment in ((old, NOW), (new, NOW + 7200)):
                now = moment
                trunk = simulator.carrier.trunks(sid)[0]
                simulator.carrier.put(sid, replace(trunk, provisioning_state=1, modified=int(now)))
                await it.poll(sid)
            now += 7200
            pollers = [it.daemon.poller.properties[sid] for sid in (old, new)]
            for poller in pollers:
                poller.rhythm.due = asyncio.get_running_loop().time() - 301
            _, (late, delayed) = await told(it)
            for sid, moment in ((old, NOW), (new, NOW + 14_370)):
                now = moment
                simulator.fail(sid, "403")
                await it.poll(sid)
            now = NOW + 14_400
            headline, (down, *_) = await told(it)
            pollers[1].down_since = NOW + 30
            same_minute, (both, *_) = await told(it)
    first, latest = "first since 14:13 UTC, for 4 h", "latest since 16:13 UTC, for 2 h"
    assert late.startswith(f"2 properties overdue: no poll has ended of the {first}, of the {latest} ")
    assert delayed.startswith(f"Provisioning does not end: trunks of 2 properties, the {first}, the {latest} ")
    assert headline == "✕ 2 of 3 properties down, the latest since 18:12 UTC, for 30 s"
    assert down.startswith(f"2 properties down, the {first}, the latest since 18:12 UTC, for 30 s; now: ")
    assert same_minute == "✕ 2 of 3 properties down, since 14:13 UTC, for 4 h"
    assert both.startswith("2 properties down, since 14:13 UTC, for 4 h; now: ")


async def test_a_look_up_of_properties_that_fails_is_told(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator:
        simulator.fail(None, "403")
        accounts = f"discover: {{}}\n    properties: [{{sid: {simulator.carrier.property_sids[0]}}}]"
        async with running(write(tmp_path, simulator, configuration(simulator, accounts=accounts))) as it:
            await it.ready()
            headline, (trouble,) = await told(it)
    assert headline.startswith("✕ Not every property is known: the account may not see it, since ")
    why = "its properties cannot be looked up, since "
    assert trouble.startswith(f"Account {simulator.options.account_sid}: {why}")
    assert "now: the account may not see it" in trouble


async def test_a_configuration_that_was_refused_is_told_until_one_is_taken(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator:
        path = write(tmp_path, simulator)
        good = path.read_text()
        async with running(path) as it:
            await it.ready()
            path.write_text("accounts: []")
            assert (await it.http.post("/-/reload")).status_code == 500
            headline, (trouble,) = await told(it)
            path.write_text(good)
            assert (await it.http.post("/-/reload")).status_code == 200
            after = await told(it)
    assert headline == "▲ 1 of 1 property up, but not all is as it should be"
    assert trouble.startswith("The configuration could not be loaded anew, the old one stays, since ")
    assert after == ("✓ All up: 1 property", [])


@pytest.mark.parametrize(("detail", "where"), [("trunk", ": /metrics has them."), ("property", ".")])
async def test_trunks_for_whose_list_there_was_no_room_are_said_to_be_in_the_metrics_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detail: str, where: str
) -> None:
    monkeypatch.setattr("exporter.api.listing.MOST_KEPT_OF_ONE", 0)
    async with (
        Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator,
        running(write(tmp_path, simulator, configuration(simulator, metrics=f"detail: {detail}"))) as it,
    ):
        await it.ready()
        (sid,) = simulator.carrier.property_sids
        page = plain((await it.http.get(f"/properties/{sid}")).text)
        simulator.carrier.put(sid, replace(simulator.carrier.trunks(sid)[0], provisioning_state=1, modified=1))
        await it.poll(sid)
        _, (trouble,) = await told(it)
    assert f"There was no room to keep the list of its trunks{where} " in page
    assert "Up: polled" in page
    assert trouble.startswith("Provisioning does not end: trunks of 1 property, since ")


@pytest.mark.parametrize("path", ["/config", "/api/v1/status", "/api/v1/changes"])
async def test_what_tells_of_now_is_kept_by_no_browser(tmp_path: Path, path: str) -> None:
    async with (
        Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator,
        running(write(tmp_path, simulator)) as it,
    ):
        assert (await it.http.get(path)).headers["Cache-Control"] == "no-store"


async def test_a_poll_that_ends_while_the_trunks_are_read_leaves_the_page_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator,
        running(write(tmp_path, simulator)) as it,
    ):
        await it.ready()
        loop, (sid,) = asyncio.get_running_loop(), simulator.carrier.property_sids
        gone, *left = [trunk.sip_trunk_sid for trunk in simulator.carrier.trunks(sid)]
        simulator.carrier.remove(sid, gone)
        read = Listing.records

        def overtaken(listing: Listing[Any]) -> object:
            old = read(listing)
            monkeypatch.setattr(Listing, "records", read)
            asyncio.run_coroutine_threadsafe(it.poll(sid), loop).result(20)
            return old

        monkeypatch.setattr(Listing, "records", overtaken)
        page = await it.http.get(f"/properties/{sid}")
    assert page.status_code == 200
    assert re.findall(r'<tr data-key="([^"]*)"', page.text) == sorted(left, key=page.text.index)


async def test_long_lists_are_looked_through_beside_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: dict[str, int] = {}

    def noted(name: str, function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            threads[name] = threading.get_ident()
            return function(*arguments)

        return call

    functions: dict[str, Callable[..., object]] = {
        "exporter.web.pages.trunks._listed": trunks._listed,  # noqa: SLF001 - where it runs cannot be seen otherwise
        "exporter.web.api.newest_first": newest_first,
        "exporter.api.listing.Listing.records": Listing.records,
    }
    for name, function in functions.items():
        monkeypatch.setattr(name, noted(name, function))
    async with (
        Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator,
        running(write(tmp_path, simulator)) as it,
    ):
        await it.ready()
        await it.http.get(f"/properties/{simulator.carrier.property_sids[0]}")
    assert len(threads) == 3
    assert threading.get_ident() not in threads.values()


async def test_what_changed_in_a_property_that_is_polled_no_more_is_told_still(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=2, trunks=3)) as simulator:
        gone, left = simulator.carrier.property_sids
        path = write(tmp_path, simulator)
        async with running(path) as it:
            await it.ready()
            trunk = simulator.carrier.trunks(gone)[0]
            simulator.carrier.remove(gone, trunk.sip_trunk_sid)
            await it.poll(gone)
            path.write_text(configuration(simulator, accounts=f"properties: [{{sid: {left}}}]"))
            assert (await it.http.post("/-/reload")).status_code == 200
            page = (await it.http.get("/changes")).text
    assert f"{trunk.name} in {gone} removed" in plain(page)
    assert f"properties/{gone}" not in page


async def test_provisioning_that_does_not_end_is_told_when_the_alert_fires(tmp_path: Path) -> None:
    now = NOW
    async with Simulator(SimulatorOptions(properties=2, trunks=3, exact=True), lambda: now) as simulator:
        sid, _ = simulator.carrier.property_sids
        first, *others = simulator.carrier.trunks(sid)
        for trunk, state in zip((first, *others), (3, 1, 2), strict=True):
            simulator.carrier.put(sid, replace(trunk, provisioning_state=state, modified=int(NOW)))
        async with running(write(tmp_path, simulator), lambda: now) as it:
            await it.ready()
            now = NOW + LONG
            assert await told(it) == ("✓ All up: 2 properties", [])
            now += 1
            headline, troubles = await told(it)
            page = plain((await it.http.get(f"/properties/{sid}")).text)
            filtered = (await it.http.get("/?state=delayed")).text
            simulator.carrier.put(sid, replace(first, provisioning_state=0, modified=int(now)))
            await it.poll(sid)
            one_left = await told(it)
            simulator.carrier.remove(sid, others[0].sip_trunk_sid)
            await it.poll(sid)
            after = await told(it)
            name = it.daemon.poller.properties[sid].target.identity.name
    since_modified = "since 14:13 UTC, for 1 h"
    assert headline == "▲ 2 of 2 properties up, but not all is as it should be"
    assert troubles == [f"Provisioning does not end: trunks of 1 property, {since_modified} {name}"]
    assert page.count("▲ Up: polled") == page.count(f"provisioning of a trunk does not end, {since_modified}.") == 1
    assert re.findall(r'<tr data-key="([^"]*)"', filtered) == [sid]
    assert "provisioning for 1 h" in plain(filtered)
    assert one_left == (headline, troubles)
    assert after == ("✓ All up: 2 properties", [])


async def test_of_a_trunk_whose_state_the_api_does_not_tell_no_time_in_it_is_shown(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=1, exact=True)) as simulator:
        (sid,) = simulator.carrier.property_sids
        (first,) = simulator.carrier.trunks(sid)
        simulator.carrier.put(sid, replace(first, provisioning_state=None))
        async with running(write(tmp_path, simulator)) as it:
            await it.ready()
            page = (await it.http.get(f"/properties/{sid}")).text
    assert re.findall(r'data-label="In it for">(.*?)</td>', page) == ["—"]


def test_the_pages_call_as_long_what_the_alert_does() -> None:
    rules = (Path(__file__).parents[2] / "deploy/prometheus/rules/siptrunk-alerts.yml").read_text()
    (seconds,) = re.findall(r"SipTrunkProvisioningStuck\n +expr: .* > (\d+)\n", rules)
    (days,) = re.findall(r"SipTrunkNoActiveTrunks\n(?: .*\n)*? +max_over_time\(\S+\[(\d+)d:1h\]\) > 0\n", rules)
    assert (int(seconds), int(days) * 86_400) == (LONG, WEEK)


async def test_a_state_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    async with (
        Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator,
        running(write(tmp_path, simulator)) as it,
    ):
        await it.ready()
        it.daemon.telemetry.state_kept(good=False)
        _, (trouble,) = await told(it)
        it.daemon.telemetry.state_kept(good=True)
        _, after = await told(it)
    assert trouble.startswith("The state file cannot be written: what is seen now is forgotten at a restart, since ")
    assert after == []


async def test_the_exporters_own_trouble_goes_before_all_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.heartbeat.Heartbeat.trouble", "the event loop was held up")
    async with (
        Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator,
        running(write(tmp_path, simulator)) as it,
    ):
        await it.ready()
        assert await told(it) == (
            "✕ The exporter is in trouble",
            ["The exporter itself: the event loop was held up"],
        )


async def test_polls_that_do_not_come_when_they_should_are_told(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=2, trunks=3)) as simulator:
        path = write(tmp_path, simulator, configuration(simulator, poll="interval: 5m, stale_after: 10m"))
        async with running(path) as it:
            await it.ready()
            late = it.daemon.poller.properties[simulator.carrier.property_sids[0]]
            late.rhythm.due = asyncio.get_running_loop().time() - 301
            _, (trouble,) = await told(it)
    assert trouble.startswith("1 property overdue: no poll has ended since ")


async def test_a_poll_that_is_asked_for_out_of_turn_is_not_overdue_before_its_turn(tmp_path: Path) -> None:
    now = NOW
    async with Simulator(SimulatorOptions(properties=2, trunks=3)) as simulator:
        path = write(tmp_path, simulator, configuration(simulator, poll="interval: 5m, stale_after: 10m"))
        async with running(path, lambda: now) as it:
            await it.ready()
            it.daemon.poller.properties[simulator.carrier.property_sids[0]].rhythm.ask()
            now += 600
            at_once = await told(it)
            now += 1
            _, (trouble,) = await told(it)
    assert at_once == ("✓ All up: 2 properties", [])
    assert trouble.startswith("1 property overdue: no poll has ended since ")


async def test_a_budget_that_cannot_carry_the_polls_is_told(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=3, trunks=3)) as simulator:
        text = configuration(simulator, poll="interval: 2s").replace("per_second: 0", "per_second: 1")
        async with running(write(tmp_path, simulator, text)) as it:
            await it.until(lambda: len(it.daemon.poller.properties) == 3)
            _, troubles = await told(it)
    assert "The request budget is too small: 3 properties at 1 requests a second take 3 s, not 2 s" in troubles


@pytest.mark.parametrize(
    ("metrics", "told_of"),
    [("info_labels: [customer_reference]", "CR-KEPT"), ("detail: property", None), ("detail: trunk", "Kept name")],
)
async def test_what_the_metrics_leave_out_of_the_trunks_no_page_and_no_answer_tells(
    tmp_path: Path, metrics: str, told_of: str | None
) -> None:
    texts = {"name": "Kept name", "customer_reference": "CR-KEPT", "default_caller_id": "+61255501234"}
    async with Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator:
        (sid,) = simulator.carrier.property_sids
        async with running(write(tmp_path, simulator, configuration(simulator, metrics=metrics))) as it:
            await it.ready()
            trunk = simulator.carrier.trunks(sid)[0]
            simulator.carrier.put(sid, replace(trunk, **texts))
            await it.poll(sid)
            paths = (
                "/",
                "/changes",
                "/api/v1/changes",
                f"/properties/{sid}",
                f"/properties/{sid}?q=Kept+name",
                "/changes?q=Kept+name",
            )
            pages = " ".join([plain((await it.http.get(path)).text) for path in paths])
    assert trunk.sip_trunk_sid in pages
    assert {text for text in texts.values() if text in pages} == (
        set(texts.values()) if told_of == "Kept name" else {told_of} - {None}
    )


async def test_the_page_of_one_shard_says_so(tmp_path: Path) -> None:
    async with (
        Simulator(SimulatorOptions(properties=8, trunks=3)) as simulator,
        running(write(tmp_path, simulator), shard=Shard(1, 3)) as it,
    ):
        await it.ready()
        page = plain((await it.http.get("/")).text)
        mine = len(it.daemon.poller.properties)
        other = next(sid for sid in simulator.carrier.property_sids if sid not in it.daemon.poller.properties)
        elsewhere = await it.http.get(f"/properties/{other}")
    assert 0 < mine < 8
    assert f"This is shard 1 of 3, counted from 0; the others have {8 - mine} properties." in page
    assert elsewhere.status_code == 404
    assert "another shard's" in plain(elsewhere.text)


@pytest.mark.parametrize("path", ["/", "/changes", "/properties/none"])
async def test_no_page_lets_the_browser_do_more_than_the_page_needs(tmp_path: Path, path: str) -> None:
    async with (
        Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator,
        running(write(tmp_path, simulator)) as it,
    ):
        answer = await it.http.get(path)
    policy = dict(each.strip().split(" ", 1) for each in answer.headers["Content-Security-Policy"].split(";"))
    hashed = {name: policy.pop(name) for name in ("style-src", "script-src")}
    assert all(re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", each) for each in hashed.values())
    assert policy == {
        "default-src": "'none'",
        "connect-src": "'self'",
        "img-src": "data:",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    assert answer.headers["Content-Encoding"] in ("gzip", "deflate")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


async def test_links_lead_on_from_wherever_a_proxy_puts_the_pages(tmp_path: Path) -> None:
    async with (
        Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator,
        running(write(tmp_path, simulator)) as it,
    ):
        await it.ready()
        sid = simulator.carrier.property_sids[0]
        pages = [(await it.http.get(path)).text for path in ("/", "/changes", f"/properties/{sid}")]
    assert [
        href for page in pages for href in re.findall(r'href="([^"]*)"', page) if href.startswith(("/", "http"))
    ] == []
    assert all('href="../changes' in page for page in pages[2:])


def test_every_reason_has_words_of_its_own() -> None:
    assert len(set(REASONS.values())) == len(Reason)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.0123, "12 ms"),
        (1, "1 s"),
        (59.6, "1 min"),
        (3599, "59 min"),
        (7500, "2 h 5 min"),
        (86_400, "1 d"),
        (100_000, "1 d 3 h"),
        (100 * 86_400 + 7200, "100 d"),
    ],
)
def test_how_long_is_told_in_two_units_at_most(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_when_is_told_by_the_clock_and_by_the_day_where_it_was_another() -> None:
    assert plain(since(NOW - 60, NOW)) == "since 14:12 UTC, for 1 min"
    assert plain(since(NOW - 86_400, NOW)) == "since 20 Sep 2026, 14:13 UTC, for 1 d"
    assert plain(str(ago(NOW + 5, NOW))) == "0 s ago"
    assert ago(None, NOW) == "—"


def test_text_is_escaped_wherever_it_stands_and_loses_what_cannot_be_seen() -> None:
    made = h.p("<b>", ["&", None, h.b("x")], title='"><b>', class_=None, hidden=True, data_key="a\u202eb")

    assert made == '<p title="&quot;&gt;&lt;b&gt;" hidden data-key="a\ufffdb">&lt;b&gt;&amp;<b>x</b></p>'
    assert said("a\u202eb\n" + "w" * LONGEST) == f"<bdi>a\ufffdb {'w' * (LONGEST - 5)}…</bdi>"


@pytest.mark.parametrize("page", ["", "0", "-1", "x", "1e3", "9" * 30, "²"])
def test_a_page_number_that_cannot_be_meant_is_the_first(page: str) -> None:
    assert Wanted.of({"page": page}).page == 1


def test_what_is_asked_for_is_bounded_and_kept_in_the_links() -> None:
    wanted = Wanted.of({"q": "a&b" + "x" * 1000, "state": "up", "page": "7", "other": "no"})

    assert len(wanted.q) == 200
    assert wanted.href(q="a&b", page=8) == "?q=a%26b&state=up&page=8"


def test_a_failed_minute_differs_in_shape_and_the_words_say_as_much() -> None:
    minutes = [0.0] * (MINUTES - 2) + [-1.0, 2.0]

    assert 'd="M234 40v-40" class="behind"' in bars(minutes, "told")
    assert 'd="M238 40v-32" class="good"' in bars(minutes, "told")
    assert worst(minutes, "poll") == "slowest 2 s; 1 minute with a poll that failed"
    assert worst([0.0] * MINUTES, "poll") == "no poll in the last hour"
