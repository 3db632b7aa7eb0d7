"""YAML nodes and the kinds of values read from them, every fault with its place.

YAML is only composed into nodes, which know their places; nothing that a tag asks for is ever constructed.
"""

from __future__ import annotations

import difflib
import math
import re
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import yaml
from yaml.reader import Reader

from exporter.config.durations import LONGEST, format_duration, parse_duration
from exporter.errors import Fault, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from yaml._yaml import Mark as CMark
    from yaml.error import Mark as PyMark

    Mark = PyMark | CMark

T = TypeVar("T")
U = TypeVar("U")

# The pure Python loader takes about ten times as long.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
NULL, MAP, SEQ = _TAG + "null", _TAG + "map", _TAG + "seq"
_NUMBER_TAGS = frozenset({_TAG + "int", _TAG + "float"})
_BOOL_TAGS = frozenset({_TAG + "bool"})
_TEXT_TAGS = _NUMBER_TAGS | _BOOL_TAGS | {_TAG + kind for kind in ("str", "timestamp", "merge", "value")}
_STANDARD_TAGS = {yaml.ScalarNode: _TEXT_TAGS | {NULL}, yaml.MappingNode: {MAP}, yaml.SequenceNode: {SEQ}}
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}

_DEEPEST = 100
_QUOTED = 60
_LISTED = 10
_IN_QUOTES = "the quoted text "


class Report:
    """What reading one file has found; `directory` is where the relative paths in it begin."""

    def __init__(self, file: str, directory: Path) -> None:
        self.file = file
        self.directory = directory
        self.faults: list[Fault] = []
        self.warnings: list[Fault] = []
        self._first: dict[str, Place] = {}

    def at(self, mark: Mark | None) -> Place:
        """Give the place of a YAML mark, the start of the file if there is none."""
        return Place(self.file, mark.line + 1, mark.column + 1) if mark else Place(self.file, 1, 1)

    def place(self, node: yaml.Node) -> Place:
        """Give the place where `node` begins."""
        return self.at(node.start_mark)

    def fault(self, node: yaml.Node, message: str) -> None:
        """Refuse `node`."""
        self.faults.append(Fault(self.place(node), message))

    def warn(self, node: yaml.Node, message: str) -> None:
        """Draw attention to `node` without refusing it."""
        self.warnings.append(Fault(self.place(node), message))

    def unique(self, node: yaml.Node, what: str, given: dict[str, Place] | None = None) -> None:
        """Refuse `node` if `what` it gives was `given` before, or anywhere in the file."""
        given = self._first if given is None else given
        if what in given:
            self.fault(node, f"duplicate {what}: first given at {given[what]}")
        else:
            given[what] = self.place(node)


def compose(text: str, report: Report) -> yaml.Node | None:
    """Give the node of the one document in `text`, or None after reporting why there is none."""
    text = text.removeprefix("\ufeff")
    if unprintable := Reader.NON_PRINTABLE.search(text):
        report.faults.append(_unprintable(text, unprintable.start(), report.file))
        return None
    try:
        return _compose(text, report)
    except yaml.MarkedYAMLError as error:
        problem = ", ".join(filter(None, (error.context, error.problem)))
        # Where the Python loader quotes the source, that may be a token.
        problem = re.sub(r"""\s(['"])(?!<).{2,}\1""", "", problem)
        report.faults.append(Fault(report.at(error.problem_mark or error.context_mark), f"bad YAML: {problem}"))
    except (yaml.YAMLError, ValueError):
        report.faults.append(Fault(report.at(None), "bad YAML: an escape that stands for no character"))
    return None


def _compose(text: str, report: Report) -> yaml.Node | None:
    # The C loader composes by recursion without end and would take the process down; its events come one by one.
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            place = report.at(event.start_mark)
            report.faults.append(Fault(place, f"expected at most {_DEEPEST} levels of nesting"))
            return None
    node: yaml.Node | None = yaml.compose(text, Loader=_LOADER)
    if node is None:
        report.faults.append(Fault(report.at(None), "the file is empty: expected a mapping"))
    return node


def _unprintable(text: str, position: int, file: str) -> Fault:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    # Undecodable bytes come as lone surrogates.
    surrogate = "\ud800" <= text[position] <= "\udfff"
    message = "not UTF-8: save the file" if surrogate else "a control character: write the file"
    return Fault(Place(file, line, column), f"{message} as plain UTF-8 text")


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """How one kind of value is read and shown.

    `read` gives None after it has reported what is wrong; `show` gives what YAML would hold. `section` is the
    dataclass of a mapping, or of each mapping of a list (`many`).
    """

    read: Callable[[yaml.Node, Report], T | None]
    show: Callable[[T], object] = lambda value: value
    section: type | None = None
    many: bool = False

    def then(self, check: Callable[[T, yaml.Node, Report], U | None], show: Callable[[U], object] = str) -> Kind[U]:
        """Give the kind that reads as this one does and goes on with `check`."""

        def read(node: yaml.Node, report: Report) -> U | None:
            value = self.read(node, report)
            return None if value is None else check(value, node, report)

        return Kind(read, show)


def closest(word: str, known: Iterable[str]) -> str | None:
    """Give the one of ``known`` that ``word`` is most likely a misspelling of, if any."""
    by_lower = {each.lower(): each for each in known}
    return next((by_lower[each] for each in difflib.get_close_matches(word[:_QUOTED].lower(), by_lower, 1)), None)


def mend(word: str, known: Iterable[str]) -> str:
    """Say what may have been meant by ``word``, else what is known."""
    close = closest(word, known)
    if close:
        return f"did you mean {close!r}?"
    listed = list(known)
    return f"expected one of {', '.join(listed[:_LISTED])}" + ", …" * (len(listed) > _LISTED)


def has_standard_tag(node: yaml.Node) -> bool:
    """Say whether `node` is what its look says: no tag asks for another type."""
    return node.tag in _STANDARD_TAGS[type(node)]


def described(node: yaml.Node, *, quote: bool = True) -> str:
    """Say what `node` is, as the end of a message; a scalar's text is told with `quote` alone."""
    if not has_standard_tag(node):
        # A tag is not quoted: it may be a token that begins with an exclamation mark.
        return "a value with a YAML tag"
    if not isinstance(node, yaml.ScalarNode):
        return "a mapping" if node.tag == MAP else "a list" if node.value else "an empty list"
    if node.tag == NULL:
        return "nothing"
    # Text that swallowed the line below it, or that stands for a whole mapping, may hold a token.
    if not quote or node.start_mark.line != node.end_mark.line:
        return "text"
    if not node.value.strip():
        return "blank text"
    text = node.value if len(node.value) <= _QUOTED else node.value[:_QUOTED] + "…"
    return f"{_IN_QUOTES}{text!r}" if node.style in ("'", '"') and text else repr(text)


def scalar(
    expected: str, convert: Callable[[str], T], tags: frozenset[str] = _TEXT_TAGS, show: Callable[[T], object] = str
) -> Kind[T]:
    """Make the kind of scalars that `convert` takes without ValueError; `tags` are the YAML types allowed."""

    def read(node: yaml.Node, report: Report) -> T | None:
        if isinstance(node, yaml.ScalarNode) and node.tag in tags:
            with suppress(ValueError):
                return convert(node.value)
        report.fault(node, f"expected {expected}, not {described(node)}")
        return None

    return Kind(read, show)


def _some(text: str) -> str:
    if not text.strip():
        raise ValueError
    return text


TEXT = scalar("text", _some)


def _boolean(text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise ValueError
    return _BOOLEANS[text.lower()]


BOOLEAN = scalar("true or false", _boolean, _BOOL_TAGS, bool)


def integer(low: int, high: int) -> Kind[int]:
    """Make the kind of whole numbers from `low` to `high`."""

    def convert(text: str) -> int:
        # YAML 1.1 takes 010 for 8 and 1:30 for 90, which nobody means.
        if not re.fullmatch("-?(0|[1-9][0-9]{0,17})", text) or not low <= int(text) <= high:
            raise ValueError
        return int(text)

    return scalar(f"a whole number from {low} to {high}", convert, _NUMBER_TAGS, int)


def number(low: float) -> Kind[float]:
    """Make the kind of finite numbers of `low` or more."""

    def convert(text: str) -> float:
        if (
            not re.fullmatch(r"-?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][-+]?[0-9]+)?", text)
            or not low <= float(text) < math.inf
        ):
            raise ValueError
        return float(text)

    return scalar(f"a number of {low:g} or more", convert, _NUMBER_TAGS, lambda n: int(n) if n.is_integer() else n)


def duration(low: float, high: float = LONGEST) -> Kind[float]:
    """Make the kind of Prometheus durations from `low` to `high` seconds."""
    span = f"from {format_duration(low)} to {format_duration(high)}"
    if high == LONGEST:
        span = f"of {format_duration(low)} or more"

    def check(seconds: float, node: yaml.Node, report: Report) -> float | None:
        if low <= seconds <= high:
            return seconds
        report.fault(node, f"expected a duration {span}, not {described(node)}")
        return None

    return scalar("a duration like 90s or 1m30s", parse_duration).then(check, format_duration)


def choice(noun: str, known: Iterable[T]) -> Kind[T]:
    """Make the kind of texts that are one of `known`; `noun` says what they are."""
    by_name = {str(value): value for value in known}

    def check(text: str, node: yaml.Node, report: Report) -> T | None:
        if text not in by_name:
            report.fault(node, f"unknown {noun} {described(node).removeprefix(_IN_QUOTES)}: {mend(text, by_name)}")
        return by_name.get(text)

    return TEXT.then(check)


def _compiled(text: str, node: yaml.Node, report: Report) -> re.Pattern[str] | None:
    try:
        with warnings.catch_warnings(action="ignore"):
            return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        report.fault(node, f"bad regular expression: {error}")
        return None


REGEX = TEXT.then(_compiled, lambda pattern: pattern.pattern)
