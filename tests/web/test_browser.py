"""What a person does at the pages, in a real browser."""

from __future__ import annotations

import gzip
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from msgspec.structs import replace
from playwright.async_api import expect

from exporter.simulator import Simulator, SimulatorOptions
from tests.running import Running, configuration, running, write
from tests.web.browser import chromium, findings, visit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Browser, Locator, Page, Route

    from exporter.metrics.scrape import Scrape

pytestmark = pytest.mark.asyncio(loop_scope="module")
MANY = 2000
ROWS = ".columns > section tbody th"
HOSTILE = (
    "<script>alert(1)</script>",
    "'\"><img src=x onerror=alert(2)>",
    "</title></style></script><svg onload=alert(3)>",
    "javascript:alert(4)",
    "\u202egnp.exe \u2066 \u200b\x07",
    "Ẑ̸" * 40 + "w" * 400,
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


class World(Running):
    """A daemon at work, with the simulator that it polls."""

    simulator: Simulator
    sids: tuple[str, ...]

    @property
    def url(self) -> str:
        return str(self.http.base_url)


@asynccontextmanager
async def world(folder: Path, *, properties: int = 3, trunks: int = 60, expected: str = "") -> AsyncIterator[World]:
    """Three properties: the first as `expected`, the second down, the third well."""
    options = SimulatorOptions(properties=properties, trunks=trunks, exact=True, shape="object")
    async with Simulator(options) as simulator:
        sids = simulator.carrier.property_sids
        chosen = f"properties: [{{sid: {sids[0]}, expected: {expected}}}]" if expected else ""
        accounts = f"discover: {{}}\n    {chosen}"
        text = configuration(
            simulator, accounts=accounts, poll="interval: 1h, stale_after: 2h", api="max_attempts: 1, page_size: 1000"
        )
        async with running(write(folder, simulator, text)) as it:
            await it.ready()
            here = World(it.daemon, it.http)
            here.simulator, here.sids = simulator, sids
            yield here


def name_of(here: World, sid: str) -> str:
    return here.daemon.poller.properties[sid].target.identity.name


def rename(here: World, sid: str, name: str) -> None:
    here.simulator.carrier.put(sid, replace(here.simulator.carrier.trunks(sid)[7], name=name))


async def rows(page: Page) -> list[str]:
    """The first cells of the rows of the properties, or trunks."""
    return [text.split("\n")[0] for text in await page.locator(ROWS).all_inner_texts()]


async def test_somebody_sees_at_a_glance_that_all_is_well(tmp_path: Path, browser: Browser) -> None:
    async with world(tmp_path) as here, visit(browser, here.url) as page:
        assert await page.locator("h1").inner_text() == "✓ All up: 3 properties"
        assert await page.title() == "all up · SIP trunks"
        assert await page.get_by_role("list", name="What is not well").count() == 0


async def test_somebody_sees_what_is_down_since_when_and_why(tmp_path: Path, browser: Browser) -> None:
    async with world(tmp_path) as here:
        down = here.sids[1]
        here.simulator.fail(down, "403")
        await here.poll(down)
        since = here.daemon.poller.properties[down].down_since
        assert since is not None
        async with visit(browser, here.url) as page:
            clock = time.strftime("%H:%M", time.gmtime(since))
            assert (await page.locator("h1").inner_text()).startswith(
                f"✕ 1 of 3 properties down, since {clock} UTC, for "
            )
            assert await page.title() == "1 down · SIP trunks"
            trouble = page.get_by_role("list", name="What is not well").get_by_role("listitem").first
            told = await trouble.inner_text()
            assert told.startswith(f"1 property down, since {clock} UTC, for ")
            assert "; now: the account may not see it; last good data still shown" in told
            assert "HTTP 403 Forbidden" in told
            assert (await rows(page))[0] == name_of(here, down)
            await trouble.get_by_role("link", name=name_of(here, down)).click()
            assert (await page.locator(".verdict").inner_text()).startswith("✕ Down, since ")
            assert await page.get_by_role("heading", level=1).inner_text() == name_of(here, down)


async def test_the_table_fits_a_laptop_where_a_property_is_down_for_days(tmp_path: Path, browser: Browser) -> None:
    async with world(tmp_path) as here:
        down = here.sids[1]
        here.simulator.fail(down, "500-html")
        here.daemon.poller.properties[down].down_since = time.time() - 12.5 * 86_400
        await here.poll(down)
        async with visit(browser, here.url, viewport={"width": 1280, "height": 900}) as page:
            assert "UTC, for 12 d 12 h" in await page.locator(f"tr[data-key={down}]").inner_text()
            assert await page.locator(".wide").first.evaluate("each => each.scrollWidth <= each.clientWidth")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
async def test_somebody_searches_a_property_and_finds_the_trunks_in_question(
    tmp_path: Path, browser: Browser, *, scripts: bool
) -> None:
    async with world(tmp_path) as here, visit(browser, here.url, java_script_enabled=scripts) as page:
        wanted = here.sids[2]
        await page.get_by_label("Search properties").fill(wanted[4:20].lower())
        await page.get_by_role("button", name="Show").click()
        await page.get_by_text("1 of 3 properties").wait_for()
        assert await rows(page) == [name_of(here, wanted)]
        await page.locator(f"{ROWS} a").click()
        await page.get_by_label("State").select_option("inactive")
        await page.get_by_role("button", name="Show").click()
        await page.get_by_text(" of 60 trunks").wait_for()
        await page.get_by_role("link", name="Channel limit").click()
        await page.locator("th[aria-sort=ascending]").get_by_role("link", name="Channel limit").click()
        await page.locator("th[aria-sort=descending]").get_by_role("link", name="Channel limit").wait_for()
        limits = [int(text) for text in await page.locator("tbody td[data-label='Channel limit']").all_inner_texts()]
        inactive = [
            trunk.channel_limit for trunk in here.simulator.carrier.trunks(wanted) if trunk.provisioning_state == 0
        ]
        assert len(inactive) > 1
        assert limits == sorted(inactive, reverse=True)
        assert set(await page.locator("tbody td[data-label=State]").all_inner_texts()) == {"○ inactive"}
        await page.get_by_role("link", name="Show all").click()
        await page.get_by_text("60 trunks, page 1 of 2").wait_for()
        await page.get_by_role("link", name="Next →").click()
        await page.get_by_text("60 trunks, page 2 of 2").wait_for()
        assert len(await rows(page)) == 10


async def test_somebody_finds_what_changed(tmp_path: Path, browser: Browser) -> None:
    async with world(tmp_path) as here:
        sid = here.sids[0]
        trunk = here.simulator.carrier.trunks(sid)[7]
        here.simulator.carrier.put(sid, replace(trunk, channel_limit=4711, name="Lift phones"))
        await here.poll(sid)
        async with visit(browser, here.url) as page:
            shown = page.get_by_role("listitem").filter(has_text="Lift phones")
            assert await shown.count() == 2
            await page.get_by_role("link", name="All changes of the last day").click()
            await page.get_by_label("Kind").select_option("channel_limit")
            await page.get_by_text("1 change", exact=True).wait_for()
            told = await shown.inner_text()
            assert f"channel limit: {trunk.channel_limit} → 4,711" in told
            await shown.get_by_role("link", name=name_of(here, sid)).click()
            assert await rows(page) == ["Lift phones"]


async def test_somebody_sees_what_is_not_as_agreed(tmp_path: Path, browser: Browser) -> None:
    async with world(tmp_path) as plain:
        first, second = [trunk.sip_trunk_sid for trunk in plain.simulator.carrier.trunks(plain.sids[0])][:2]
    expected = f"{{trunks: [{{sid: {first}, channel_limit: 4711}}, {{sid: {second}}}, {{sid: STGONE}}]}}"
    async with world(tmp_path, expected=expected) as here, visit(browser, here.url) as page:
        assert await page.locator("h1").inner_text() == "▲ 3 of 3 properties up, but not all is as it should be"
        trouble = page.get_by_role("list", name="What is not well").get_by_role("listitem").first
        assert (await trouble.inner_text()).startswith("Not as agreed: 2 things in 1 property")
        await trouble.get_by_role("link").click()
        assert "STGONE is not there" in await page.locator(".missing").inner_text()
        await page.get_by_label("State").select_option("drift")
        await page.get_by_text("1 of 60 trunks").wait_for()
        assert "agreed 4711" in await page.locator("tbody td[data-label='Not as agreed']").inner_text()


async def test_the_keyboard_alone_is_enough(tmp_path: Path, browser: Browser) -> None:
    async with world(tmp_path) as here, visit(browser, here.url) as page:
        await page.keyboard.press("Tab")
        assert await page.locator(":focus").inner_text() == "To the content"
        assert await page.locator(":focus").is_visible()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        assert await page.locator(":focus").get_attribute("name") == "q"
        await page.keyboard.type(name_of(here, here.sids[1]))
        await page.keyboard.press("Enter")
        await page.get_by_text("1 of 3 properties").wait_for()
        for _ in range(20):
            await page.keyboard.press("Tab")
            outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline == "solid"
            if await page.locator(":focus").inner_text() == name_of(here, here.sids[1]):
                break
        await page.keyboard.press("Enter")
        await page.get_by_role("heading", level=1, name=name_of(here, here.sids[1])).wait_for()


async def test_the_page_comes_up_to_date_by_itself_and_leaves_what_somebody_does_there(
    tmp_path: Path, browser: Browser
) -> None:
    async with world(tmp_path) as here, visit(browser, here.url) as page:
        await page.clock.install()
        await page.reload()
        icon = await page.locator("link[rel=icon]").get_attribute("href")
        await page.locator(f"{ROWS} a").first.focus()
        focused = await page.locator(":focus").inner_text()
        falls = next(sid for sid in here.sids if name_of(here, sid) != focused)
        here.simulator.fail(falls, "500")
        await here.poll(falls)
        await page.clock.run_for(10_000)
        await page.get_by_role("heading", name="1 of 3 properties down").wait_for()
        assert await page.locator(":focus").inner_text() == focused
        assert await page.locator("link[rel=icon]").get_attribute("href") != icon
        assert (await rows(page))[0] == name_of(here, falls)
        here.simulator.heal(falls)
        await here.poll(falls)
        await page.get_by_role("button", name="Refreshing by itself").click()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.clock.run_for(60_000)
        assert "1 of 3 properties down" in await page.locator("h1").inner_text()
        assert await page.locator("#news").inner_text() == "1 down · SIP trunks"
        assert asked == []
        await page.get_by_role("button", name="Paused: refresh by itself").click()
        await page.get_by_role("heading", name="All up").wait_for()
        assert len(asked) == 1


async def test_what_comes_first_leaves_the_focus_on_the_link_that_has_it(tmp_path: Path, browser: Browser) -> None:
    async with world(tmp_path, expected="{trunks: [{sid: STGONE}]}") as here, visit(browser, here.url) as page:
        differs, other, _ = here.sids
        await page.clock.install()
        rename(here, differs, "Lift phones")
        await here.poll(differs)
        await page.reload()

        async def keeps_the_focus(within: Locator, comes: str) -> bool:
            link = within.get_by_role("link", name=name_of(here, differs))
            await link.focus()
            await here.poll(other)
            await page.clock.run_for(10_000)
            await within.get_by_role("listitem").first.filter(has_text=comes).wait_for()
            focused: bool = await link.evaluate("each => each === document.activeElement")
            return focused

        here.simulator.fail(other, "500")
        assert await keeps_the_focus(page.get_by_role("list", name="What is not well"), "1 property down")
        here.simulator.heal(other)
        rename(here, other, "Door phones")
        assert await keeps_the_focus(page.locator(".changes"), "Door phones")


async def test_the_page_waits_while_text_is_selected_and_says_so(tmp_path: Path, browser: Browser) -> None:
    async with world(tmp_path) as here, visit(browser, here.url) as page:
        await page.clock.install()
        await page.reload()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.evaluate("getSelection().selectAllChildren(document.querySelector('h1'))")
        await page.get_by_role("button", name="Waits while text is selected").wait_for()
        await page.clock.run_for(30_000)
        await page.evaluate("getSelection().removeAllRanges()")
        await page.get_by_role("button", name="Refreshing by itself").wait_for()
        assert asked == []
        async with page.expect_response("**/"):
            await page.clock.run_for(10_000)
        assert len(asked) == 1


async def test_the_title_of_a_page_that_nobody_looks_at_is_true_too(tmp_path: Path, browser: Browser) -> None:
    async with world(tmp_path) as here, visit(browser, here.url) as page:
        await page.clock.install()
        await page.reload()
        # What was copied before stays selected.
        await page.evaluate("getSelection().selectAllChildren(document.querySelector('h1'))")
        await page.evaluate("away = true; Object.defineProperty(document, 'hidden', { get: () => away })")
        here.simulator.fail(here.sids[1], "500")
        await here.poll(here.sids[1])
        await page.clock.run_for(10_000)
        await expect(page).to_have_title("1 down · SIP trunks", timeout=60_000)
        here.simulator.heal(here.sids[1])
        await here.poll(here.sids[1])
        await page.evaluate("getSelection().removeAllRanges()")
        await page.evaluate("away = false; document.dispatchEvent(new Event('visibilitychange'))")
        await expect(page).to_have_title("all up · SIP trunks", timeout=60_000)


async def test_an_answer_that_comes_late_does_not_undo_a_later_wish(tmp_path: Path, browser: Browser) -> None:
    async with world(tmp_path) as here, visit(browser, here.url) as page:
        held: list[Route] = []
        await page.route("**/?q=first", lambda route: held.append(route))  # noqa: PLW0108 - the library asks functions for their parameters
        search = page.get_by_label("Search properties")
        await search.fill("first")
        async with page.expect_request("**/?q=first"):
            await search.press("Enter")
        # The page has one request under way at most: the one before is given up.
        await search.fill(here.sids[2])
        await search.press("Enter")
        await page.get_by_text("1 of 3 properties").wait_for()
        assert await page.locator("#lost").text_content() == ""
        assert held
        assert all(route.request.failure for route in held)


@pytest.mark.parametrize("throttled", [False, True])
async def test_an_exporter_that_hangs_is_told(tmp_path: Path, browser: Browser, *, throttled: bool) -> None:
    async with world(tmp_path) as here, visit(browser, here.url) as page:
        await page.clock.install()
        await page.reload()
        held: list[Route] = []
        await page.route("**/", lambda route: held.append(route))  # noqa: PLW0108 - the library asks functions for their parameters
        async with page.expect_request("**/"):
            await page.clock.run_for(10_000)
        # Of a tab that nobody looks at, what is due goes off all at once, about once a minute.
        await (page.clock.fast_forward(60_000) if throttled else page.clock.run_for(9_000))
        await page.get_by_role("alert").wait_for()
        assert (await page.get_by_role("alert").inner_text()).startswith("No answer from the exporter since ")
        assert await page.title() == "no answer · SIP trunks"
        await page.unroute("**/")
        await page.clock.run_for(10_000)
        await page.get_by_role("heading", name="All up").wait_for()
        await page.get_by_role("alert").wait_for(state="hidden")


async def test_what_is_searched_is_not_asked_for_anew_by_the_refresh(tmp_path: Path, browser: Browser) -> None:
    async with world(tmp_path) as here, visit(browser, here.url) as page:
        await page.clock.install()
        await page.reload()
        held: list[Route] = []
        await page.route("**/?q=first", lambda route: held.append(route))  # noqa: PLW0108 - the library asks functions for their parameters
        await page.clock.run_for(5_000)
        async with page.expect_request("**/?q=first"):
            # Set and not typed: what is typed is soon asked for by itself, and where the machine halts before Enter.
            await page.get_by_label("Search properties").evaluate("each => { each.value = 'first' }")
            await page.get_by_label("Search properties").press("Enter")
        await page.clock.run_for(9_000)
        await page.get_by_role("alert").wait_for()
        assert len(held) == 1


async def test_the_page_comes_up_to_date_and_searches_where_its_address_holds_a_password(
    tmp_path: Path, browser: Browser
) -> None:
    async with world(tmp_path) as here:
        page = await browser.new_page()
        await page.clock.install()
        await page.goto(here.url.replace("://", "://alice:secret@"))
        async with page.expect_response("**/"):
            await page.clock.run_for(10_000)
        await page.get_by_label("Search properties").fill(here.sids[2])
        await page.get_by_role("button", name="Show").click()
        await page.get_by_text("1 of 3 properties").wait_for()
        assert await page.locator("#lost").text_content() == ""
        await page.close()


async def test_the_page_says_that_what_it_shows_is_old_where_no_new_one_comes(tmp_path: Path, browser: Browser) -> None:
    async with world(tmp_path) as here, visit(browser, here.url) as page:
        await page.clock.install()
        await page.reload()
        await page.route("**/*", lambda route: route.fulfill(status=200, content_type="text/html", body="another"))
        await page.clock.run_for(10_000)
        await page.get_by_role("alert").wait_for()
        told, icon = await page.get_by_role("alert").inner_text(), page.locator("link[rel=icon]")
        assert told.startswith("HTTP 200 instead of the page since ")
        assert await page.title() == "HTTP 200 · SIP trunks"
        assert await page.locator("main.old").count() == 1
        assert await icon.get_attribute("href") == await page.locator("#lost").get_attribute("data-icon")
        async with page.expect_response("**/"):
            await page.clock.run_for(10_000)
        assert await page.get_by_role("alert").inner_text() == told
        await page.mouse.wheel(0, 5000)
        assert await page.get_by_role("alert").evaluate("each => each.getBoundingClientRect().top >= 0")
        await page.unroute("**/*")
        await page.clock.run_for(10_000)
        await page.get_by_role("alert").wait_for(state="hidden")
        assert await page.title() == "all up · SIP trunks"
        assert await page.locator("main.old").count() == 0
        assert await icon.get_attribute("href") != await page.locator("#lost").get_attribute("data-icon")


async def test_an_answer_that_is_no_page_is_told_from_none(tmp_path: Path, browser: Browser) -> None:
    async with world(tmp_path) as here:
        # A browser tells its console of such answers, so this is no `visit`.
        page = await browser.new_page()
        await page.clock.install()
        await page.goto(here.url)
        await page.route("**/*", lambda route: route.fulfill(status=503, body="busy"))
        await page.clock.run_for(10_000)
        await page.get_by_text("HTTP 503 instead of the page since ").wait_for()
        await page.unroute("**/*")
        await page.route("**/*", lambda route: route.abort())
        await page.clock.run_for(10_000)
        await page.get_by_text("No answer from the exporter since ").wait_for()
        assert await page.title() == "no answer · SIP trunks"
        await page.close()


async def test_who_types_asks_once_and_may_come_back_to_what_was_found(tmp_path: Path, browser: Browser) -> None:
    async with world(tmp_path) as here, visit(browser, here.url) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url.removeprefix(here.url)))
        type_quickly = """(search, texts) => texts.forEach((text) => {
            search.value = text;
            search.dispatchEvent(new InputEvent("input", { bubbles: true }));
        })"""
        search = page.get_by_label("Search properties")
        await search.evaluate(type_quickly, [here.sids[0][:4], here.sids[0]])
        await page.get_by_text("1 of 3 properties").wait_for()
        await search.evaluate(type_quickly, ["nobody"])
        await search.press("Enter")
        await page.get_by_text("0 of 3 properties").wait_for()
        await page.evaluate("new Promise((done) => setTimeout(done, 300))")
        assert [address.lstrip("/") for address in asked] == [f"?q={here.sids[0]}", "?q=nobody"]
        await page.reload()
        assert await page.get_by_text("0 of 3 properties").count() == 1


async def test_names_that_hold_script_or_turn_text_around_run_nothing_and_harm_nothing(
    tmp_path: Path, browser: Browser
) -> None:
    async with world(tmp_path) as here:
        sid = here.sids[0]
        trunks = here.simulator.carrier.trunks(sid)
        for text, trunk in zip(HOSTILE, trunks, strict=False):
            hostile = replace(
                trunk, name=text, customer_reference=text, external_reference=text, default_caller_id=text
            )
            here.simulator.carrier.put(sid, hostile)
        await here.poll(sid)
        wish = (
            "?q=%22%3E%3Cscript%3Ealert(5)%3C/script%3E&state=%22%3E%3Cb%3E&sort=%22%3E%3Cb%3E&page=-1&period=%3Cb%3E"
        )
        async with visit(browser, here.url, viewport={"width": 390, "height": 844}) as page:
            for path in (
                f"/properties/{sid}",
                "/changes",
                "/",
                f"/properties/{sid}{wish}",
                f"/changes{wish}",
                f"/{wish}",
            ):
                await page.goto(path)
                assert await page.locator("script").count() == 1
                assert await page.locator("img, main style, main svg[onload]").count() == 0
                assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            await page.goto(f"/properties/{sid}?q=script")
            assert (await rows(page))[0] == "</title></style></script><svg onload=alert(3)>"
            await page.goto(f"/properties/{sid}?q=gnp")
            assert await rows(page) == ["\ufffdgnp.exe \ufffd \ufffd\ufffd"]


async def test_a_property_of_a_hostile_name_is_opened_by_its_link(tmp_path: Path, browser: Browser) -> None:
    async with world(tmp_path) as here:
        path = write(tmp_path, here.simulator)
        names = ", ".join(
            f"{{sid: {sid}, name: {json.dumps(text)}}}" for sid, text in zip(here.sids, HOSTILE, strict=False)
        )
        path.write_text(configuration(here.simulator, accounts=f"properties: [{names}]"))
        async with running(path) as it, visit(browser, str(it.http.base_url)) as page:
            await it.ready()
            await page.reload()
            await page.get_by_role("link", name=HOSTILE[0]).first.click()
            assert await page.locator("h1").inner_text() == HOSTILE[0]
            assert await page.title() == f"{HOSTILE[0]}: up · SIP trunks"


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
async def test_axe_finds_nothing_on_any_page(tmp_path: Path, browser: Browser, scheme: str, width: int) -> None:
    async with world(tmp_path, trunks=12) as plain:
        first = plain.simulator.carrier.trunks(plain.sids[0])[0].sip_trunk_sid
    expected = f"{{only: true, trunks: [{{sid: {first}, channel_limit: 4711}}, {{sid: STGONE}}]}}"
    async with world(tmp_path, trunks=12, expected=expected) as here:
        sid, down = here.sids[:2]
        trunk = here.simulator.carrier.trunks(sid)[7]
        here.simulator.carrier.put(sid, replace(trunk, channel_limit=4711, name="Lift phones"))
        here.simulator.fail(down, "500")
        await here.poll(sid)
        await here.poll(down)
        found = []
        async with visit(browser, here.url, color_scheme=scheme, viewport={"width": width, "height": 844}) as page:
            for path in ("/", f"/properties/{sid}", f"/properties/{down}", "/changes", "/?q=nothing"):
                await page.goto(path)
                found += await findings(page)
            await page.clock.install()
            await page.reload()
            await page.route("**/*", lambda route: route.fulfill(status=200, body="another"))
            await page.clock.run_for(10_000)
            await page.get_by_role("alert").wait_for()
            found += await findings(page)
    assert found == []


async def test_2000_properties_are_searched_sorted_and_paged_where_they_are(tmp_path: Path, browser: Browser) -> None:
    async with world(tmp_path, properties=MANY, trunks=2) as here, visit(browser, here.url) as page:
        assert "page 1 of 40" in await page.get_by_role("status").inner_text()
        assert len(await rows(page)) == 50
        assert len(await page.content()) < 150_000
        await page.get_by_role("link", name="Property").click()
        await page.get_by_role("link", name="Next →").click()
        names = sorted((name_of(here, sid).casefold(), sid) for sid in here.sids)
        assert [name.casefold() for name in await rows(page)] == [name for name, _ in names[50:100]]
        await page.get_by_label("Search properties").fill(here.sids[1234])
        await page.get_by_text(f"1 of {MANY:,} properties").wait_for()
        assert await rows(page) == [name_of(here, here.sids[1234])]


async def test_a_browser_shows_the_metrics_that_were_sent_compressed(tmp_path: Path, browser: Browser) -> None:
    sent: list[Scrape] = []
    async with world(tmp_path, trunks=200) as here:
        scrape = here.daemon.scraper.scrape

        async def noted(*arguments: Any) -> Scrape:  # noqa: ANN401 - passes everything through
            sent.append(await scrape(*arguments))
            return sent[-1]

        here.daemon.scraper.scrape = noted  # type: ignore[method-assign, assignment]  # watched
        page = await browser.new_page()
        await page.goto(f"{here.url}/metrics")
        shown = await page.locator("pre").inner_text()
        await page.close()

    assert [answer.gzip for answer in sent] == [True]
    assert shown == gzip.decompress(sent[0].body).decode()
