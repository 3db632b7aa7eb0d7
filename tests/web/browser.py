"""Debian's Chromium, and a page in it that fails its test where anything ran or was fetched that should not."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from playwright.async_api import async_playwright

from tests.programs import program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

# Root has no sandbox; the rest keeps the browser from talking to anybody but us.
QUIET = ("--no-sandbox", "--no-proxy-server", "--disable-component-update", "--disable-background-networking")
# The pages are for browsers, too, that cannot join signals yet.
WATCH = """
delete AbortSignal.any;
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective));
"""


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Run the browser; Playwright's own is not asked for."""
    path = program("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=QUIET)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def visit(browser: Browser, url: str, **options: Any) -> AsyncIterator[Page]:  # noqa: ANN401 - as a context has them
    """Open a page; when it is left, nothing may have been complained of, and nobody else asked for anything."""
    context = await browser.new_context(base_url=url, **options)
    context.set_default_timeout(20_000)
    await context.add_init_script(WATCH)
    page = await context.new_page()
    odd: list[str] = []
    own = (f"http://{urlsplit(url).netloc}/", "data:")
    page.on("console", lambda message: odd.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: odd.append(f"script: {error}"))
    page.on("dialog", lambda dialog: odd.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: None if request.url.startswith(own) else odd.append(f"asked: {request.url}"))
    try:
        await page.goto(url)
        yield page
        violations = await page.evaluate("window.violations")
    finally:
        await context.close()
    if complaints := [*odd, *violations]:
        raise AssertionError(complaints)


async def findings(page: Page) -> list[str]:
    """What axe-core finds that keeps somebody from using the page."""
    # It is evaluated and not inserted: the page's policy would rightly refuse it.
    await page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
    results = await page.evaluate("axe.run()")
    return [f"{found['id']}: {node['html']}" for found in results["violations"] for node in found["nodes"]]
