"""Settings declared once, as dataclass fields: read from YAML, rendered as YAML and listed in a table.

A section of the file is a dataclass whose fields are declared by `setting`, `required`, `optional` or
`merged`. A section with a field `place` learns there where it begins in the file.
"""

from __future__ import annotations

import dataclasses
import gc
import re
from contextlib import contextmanager
from dataclasses import MISSING, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import yaml

from exporter.config.nodes import (
    MAP,
    NULL,
    SEQ,
    TEXT,
    Kind,
    Report,
    closest,
    compose,
    described,
    has_standard_tag,
    mend,
)
from exporter.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from exporter.errors import Place

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting:
    """One declared setting; `key` is empty where it is the field's name, `default` MISSING where it is required."""

    kind: Kind[Any]
    default: object
    doc: str
    key: str = ""
    merged: bool = False

    def field(self) -> Any:  # noqa: ANN401 - stands for the field's value in the class body
        """Give the dataclass field."""
        return dataclasses.field(default=cast("Any", self.default), metadata={"setting": self})

    @property
    def shown_default(self) -> str:
        """The default as the table of settings shows it."""
        if self.default in (MISSING, None):
            return "required" if self.default is MISSING else ""
        shown = self.kind.show(self.default)
        return f"[{', '.join(map(str, shown))}]" if isinstance(shown, list) else str(shown)


class Row(NamedTuple):
    """One row of the table of settings."""

    key: str
    default: str
    doc: str


def setting(kind: Kind[T], default: T, doc: str) -> T:
    """Declare a setting that has a default."""
    return cast("T", Setting(kind, default, doc).field())


def required(kind: Kind[T], doc: str) -> T:
    """Declare a setting that must be given."""
    return cast("T", Setting(kind, MISSING, doc).field())


def optional(kind: Kind[T], doc: str, key: str = "") -> T | None:
    """Declare a setting that is None where not given; `key` is its key if that is not the field's name."""
    return cast("T | None", Setting(kind, None, doc, key).field())


def merged(kind: Kind[T]) -> T:
    """Declare a section whose keys stand among those of the section around it."""
    return cast("T", Setting(kind, MISSING, "", merged=True).field())


@cache
def _declared(cls: type) -> Mapping[str, Setting]:
    """Give the settings of a section by the name of their field."""
    return {field.name: field.metadata["setting"] for field in dataclasses.fields(cls) if "setting" in field.metadata}


@cache
def _keys(cls: type) -> Mapping[str, Setting]:
    """Give the settings of a section by their key in the file."""
    keys: dict[str, Setting] = {}
    for name, declared in _declared(cls).items():
        section_of = declared.kind.section
        keys |= _keys(section_of) if declared.merged and section_of else {declared.key or name: declared}
    return keys


def list_of(
    kind: Kind[T], expected: str, least: int = 0, unique: str = "", known_by: Callable[[T], str] = str
) -> Kind[tuple[T, ...]]:
    """Make the kind of lists of at least `least` values; `unique` names what no two may be `known_by`."""

    def read(node: yaml.Node, report: Report) -> tuple[T, ...] | None:
        if not isinstance(node, yaml.SequenceNode) or node.tag != SEQ or len(node.value) < least:
            report.fault(node, f"expected {expected}, not {described(node, quote=False)}")
            return None
        given: dict[str, Place] = {}
        values = [_item(item, report, given) for item in node.value]
        return tuple(value for value in values if value is not None) if None not in values else None

    def _item(node: yaml.Node, report: Report, given: dict[str, Place]) -> T | None:
        value = kind.read(node, report)
        if unique and value is not None:
            report.unique(node, f"{unique} {known_by(value)!r}", given)
        return value

    return Kind(read, lambda values: [kind.show(value) for value in values], kind.section, many=True)


def mapping_of(kind: Kind[T], expected: str) -> Kind[Mapping[str, T]]:
    """Make the kind of mappings from any names to values; `expected` says what the names are."""

    def read(node: yaml.Node, report: Report) -> dict[str, T] | None:
        if not (isinstance(node, yaml.MappingNode) and node.tag == MAP) and node.tag != NULL:
            report.fault(node, f"expected a mapping of {expected}, not {described(node, quote=False)}")
            return None
        values: dict[str, T | None] = {}
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            if (name := TEXT.read(key, report)) is not None:
                report.unique(key, f"key {name!r}")
                values[name] = kind.read(value, report)
        return {name: value for name, value in values.items() if value is not None}

    return Kind(read)


def section(cls: type[T], check: Callable[[T | None, Keys, Report], None] | None = None) -> Kind[T]:
    """Make the kind of mappings read into `cls`; `check` sees what a single setting does not.

    It is given the value (None where something was wrong) and the keys, and reports to the report.
    """
    known = _keys(cast("Any", cls))

    def read(node: yaml.Node, report: Report) -> T | None:
        if not (isinstance(node, yaml.MappingNode) and node.tag == MAP) and node.tag != NULL:
            report.fault(node, f"expected a mapping, not {described(node, quote=False)}")
            return None
        keys = Keys(node, {}, {})
        values = _read_pairs(known, keys, report)
        _report_missing(known, keys, report)
        complete = all(key in values for key, declared in known.items() if declared.default is MISSING)
        value = _build(cls, values, report.place(node)) if complete and None not in values.values() else None
        if check:
            check(value, keys, report)
        return value

    return Kind(read, shown, cls)


class Keys(NamedTuple):
    """The nodes of a mapping and of its keys; in `meant` are the keys that a misspelt one most likely stands for."""

    mapping: yaml.Node
    given: dict[str, yaml.Node]
    meant: dict[str, yaml.Node]

    def find(self, *names: str) -> list[str]:
        """Give those of `names` that the file gives, even if misspelt."""
        return [name for name in names if name in self.given or name in self.meant]

    def node(self, name: str) -> yaml.Node:
        """Give the node of the key `name`; raise KeyError if the file does not give it."""
        return self.given.get(name) or self.meant[name]


def _read_pairs(known: Mapping[str, Setting], keys: Keys, report: Report) -> dict[str, object]:
    values: dict[str, object] = {}
    for key_node, value_node in keys.mapping.value if isinstance(keys.mapping, yaml.MappingNode) else ():
        key = _key(key_node, known, keys, report)
        if key:
            values[key] = known[key].kind.read(value_node, report)
    return values


def _key(node: yaml.Node, known: Mapping[str, Setting], keys: Keys, report: Report) -> str | None:
    """Give the setting's key that `node` is, or None after reporting that it is none."""
    name = node.value if isinstance(node, yaml.ScalarNode) and has_standard_tag(node) else ""
    if name not in known:
        # "token abc", from a forgotten colon, is one key with the token in it.
        word = (re.match("[A-Za-z0-9_-]*", name) or [""])[0]
        quoted = f" {word!r}" if word and word == name else ""
        report.fault(node, f"unknown key{quoted}: {mend(word, known)}")
        keys.meant.setdefault(closest(word, known) or "", node)
        return None
    if name in keys.given:
        report.fault(node, f"duplicate key {name!r}: first given at {report.place(keys.given[name])}")
    keys.given.setdefault(name, node)
    return name


def _report_missing(known: Mapping[str, Setting], keys: Keys, report: Report) -> None:
    for key, declared in known.items():
        if declared.default is MISSING and not keys.find(key):
            report.fault(keys.mapping, f"missing key {key!r}: {declared.doc}")


def _build(cls: type[T], values: Mapping[str, object], place: Place) -> T:
    arguments: dict[str, Any] = {}
    for name, declared in _declared(cast("Any", cls)).items():
        if declared.merged and declared.kind.section:
            arguments[name] = _build(declared.kind.section, values, place)
        elif (declared.key or name) in values:
            arguments[name] = values[declared.key or name]
    if hasattr(cls, "place"):
        arguments["place"] = place
    return cls(**arguments)


def shown(value: object) -> dict[str, Any]:
    """Give what YAML would hold of a section: every setting that has a value, defaults included."""
    mapping: dict[str, Any] = {}
    for name, declared in _declared(cast("Any", type(value))).items():
        content = getattr(value, name)
        if declared.merged:
            mapping |= shown(content)
        elif content is not None:
            mapping[declared.key or name] = declared.kind.show(content)
    return mapping


def table(cls: type, prefix: str = "") -> Iterator[Row]:
    """Give a row for each setting of a section and of those in it; lists are marked `[]`."""
    for key, declared in _keys(cls).items():
        inner = declared.kind.section
        if not dataclasses.is_dataclass(declared.default):
            yield Row(prefix + key, declared.shown_default, declared.doc)
        if inner:
            yield from table(inner, f"{prefix}{key}{'[]' * declared.kind.many}.")


@contextmanager
def _collector_paused() -> Iterator[None]:
    # Walking every node time and again, the collector would take three times as long as the reading itself.
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:  # pragma: no branch - nobody reads a configuration with the collector off
            gc.enable()


def read(kind: Kind[T], text: str, report: Report) -> T:
    """Give the value of the YAML document `text`; raise ConfigError with every fault found."""
    with _collector_paused():
        node = compose(text, report)
        value = None if node is None else kind.read(node, report)
    if report.faults or value is None:
        raise ConfigError(report.faults)
    return value
