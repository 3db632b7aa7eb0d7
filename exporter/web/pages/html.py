"""Markup that is escaped by how it is made: whatever is no `Html` is text, and taken for hostile."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from html import escape

LONGEST = 160
"""Most characters of one text from outside that a page shows."""
_UNSEEN = re.compile(
    r"[\s\u00ad\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\u200b-\u200f\u2060-\u206f\ufe00-\ufe0f\ufeff]*"
)
"""Of spaces and of what takes none alone: nothing to be seen, or clicked at."""
_JOINERS = "\u200c\u200d"
"""They shape the letters beside them, and turn nothing around."""
_EMPTY = frozenset({"input", "link", "meta"})


class Html(str):
    """Markup, made by `element` and from the files beside this one alone."""

    __slots__ = ()


Content = Html | str | int | None | Iterable["Content"]


def text(content: str) -> str:
    """Give a text without what cannot be seen, or would turn others around: control and format characters."""
    if content.isprintable():
        return content
    return "".join(
        char if char.isprintable() or char in _JOINERS else " " if char.isspace() else "\ufffd" for char in content
    )


def joined(content: Content) -> Html:
    """Give contents one after the other, None being nothing."""
    if content is None or isinstance(content, Html):
        return content or Html()
    if isinstance(content, str | int):
        return Html(escape(text(str(content))))
    return Html("".join(map(joined, content)))


def element(name: str, /, *content: Content, **attributes: str | float | bool | None) -> Html:
    """Make an element; of its attributes those that are None or False are left out, and `_` stands for `-`."""
    written = "".join(
        f" {key.strip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(text(str(value)))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Html(f"<{name}{written}>" + ("" if name in _EMPTY else f"{joined(content)}</{name}>"))


class _Elements:
    def __getattr__(self, name: str) -> Callable[..., Html]:
        return partial(element, name)


h = _Elements()
"""Makes elements by their names: `h.p("text", class_="wide")`."""


def said(content: str) -> Html:
    """Show a text from outside, cut where it is very long, so that it changes nothing around it."""
    return h.bdi(content if len(content) <= LONGEST else content[: LONGEST - 1] + "…")


def named(name: str | None, sid: str) -> str:
    """Give a name, or the Sid of what has none that can be seen."""
    return sid if not name or _UNSEEN.fullmatch(name) else name
