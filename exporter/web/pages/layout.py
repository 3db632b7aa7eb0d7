"""What all pages have in common: the head, the way around, the style, the script, and what the browser may do."""

from __future__ import annotations

import base64
import hashlib
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from exporter import __version__
from exporter.web.pages.html import LONGEST, Content, Html, h, named, said
from exporter.web.pages.words import at, since
from exporter.web.status import LINKS

if TYPE_CHECKING:
    from exporter.web.app import Endpoints


def _file(name: str) -> Html:
    return Html(Path(__file__).with_name(name).read_text("utf-8"))


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


_STYLE, _SCRIPT = _file("page.css"), _file("page.js")
_ICONS = {"good": "#187a36", "look": "#b26a00", "bad": "#c0341d", "plain": "#5b6472"}

HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; connect-src 'self'; "
        "img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""The browser runs nothing but what lies beside this file, and fetches from nobody else."""


def document(title: str, main: Content, endpoints: Endpoints, *, up: str = "", level: str = "plain") -> str:
    """Make a whole page; `up` leads from its address to that of the overview, `level` colours the browser's tab."""
    ways = (("Overview", "."), ("Changes", "changes"), ("Configuration", "config"))
    links = [endpoints.telemetry_path, *LINKS]
    shard = endpoints.poller.shard
    head = h.head(
        h.meta(charset="utf-8"),
        h.title(f"{title[:LONGEST]} · SIP trunks"),
        h.meta(name="viewport", content="width=device-width, initial-scale=1"),
        h.meta(name="color-scheme", content="light dark"),
        h.link(rel="icon", href=_icon(level)),
        h.style(_STYLE),
    )
    body = h.body(
        h.a("To the content", href="#main", class_="skip"),
        h.header(
            h.a("SIP trunks", href=up or ".", class_="brand"),
            h.nav([h.a(name, href=up + way) for name, way in ways], aria_label="Pages of the exporter"),
            h.button("Refreshing by itself", id="live", type="button", hidden=True),
        ),
        h.p(id="lost", role="alert", hidden=True, data_icon=_icon("plain")),
        h.p(id="news", aria_live="polite", class_="unseen"),
        h.main(_as_of(endpoints), main, id="main", tabindex="-1"),
        h.footer(
            h.p(
                f"siptrunk-exporter {__version__}, Python {platform.python_version()}",
                f", shard {shard.ordinal} of {shard.shards}" if shard.shards > 1 else None,
            ),
            h.nav([h.a(link, href=up + link.removeprefix("/")) for link in links], aria_label="For programs"),
        ),
        h.script(_SCRIPT),
    )
    return f"<!doctype html>{h.html(head, body, lang='en')}"


def _icon(level: str) -> str:
    circle = h.circle(cx=4, cy=4, r=4, fill=_ICONS[level])
    return f"data:image/svg+xml,{quote(h.svg(circle, xmlns='http://www.w3.org/2000/svg', viewBox='0 0 8 8'))}"


def _as_of(endpoints: Endpoints) -> Html:
    """Say when the page was made, and since when what it tells was watched."""
    now = endpoints.clock()
    made = datetime.fromtimestamp(now, UTC)
    return h.p("As of ", at(now, f"{made:%H:%M:%S} UTC"), "; watching ", since(endpoints.started, now), class_="made")


def property_link(sid: str, name: str, up: str = "", query: str = "") -> Html:
    """Link to a property's page by its name, or its Sid where it has none."""
    return h.a(said(named(name, sid)), href=f"{up}properties/{quote(sid, safe='')}{query}")


def table(caption: str, head: Content, body: Content) -> Html:
    """Make a table that scrolls by itself where it is wide, and by the keyboard too."""
    named = h.caption(caption, class_="unseen")
    return h.div(
        h.table(named, h.thead(h.tr(head)), h.tbody(body)),
        class_="wide",
        role="region",
        aria_label=caption,
        tabindex="0",
    )


def figure(name: str, drawing: Content, told: Content) -> Html:
    """Show a chart of the last hour with its words."""
    ends = h.div(h.span("60 minutes ago"), h.span("now"), class_="ends", aria_hidden="true")
    return h.figure(h.figcaption(h.strong(name), told), drawing, ends)
