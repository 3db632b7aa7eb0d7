"""The chart's table of values, made from values.yaml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tests.markdown import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "siptrunk-exporter"
VALUES = CHART / "values.yaml"

LONGEST_DEFAULT = 60


def rows(values: yaml.MappingNode, lines: Sequence[str], above: str = "") -> Iterator[tuple[str, str, str]]:
    """Give name, default and meaning of each value whose comment begins with `# --`; that ends the way down."""
    for key, value in values.value:
        name = above + key.value
        doc = _comment(lines[: key.start_mark.line])
        if doc:
            default = json.dumps(yaml.safe_load(yaml.serialize(value)))
            shown = f"`{default}`" if len(default) <= LONGEST_DEFAULT else "see `values.yaml`"
            yield f"`{name}`", shown, doc
        else:
            assert isinstance(value, yaml.MappingNode), f"{name} has no comment"
            yield from rows(value, lines, f"{name}.")


def _comment(lines: Sequence[str]) -> str:
    """The text of the `# --` comment that ends with the last of `lines`; empty where there is none."""
    text: list[str] = []
    for line in reversed(lines):
        if not line.lstrip().startswith("#"):
            break
        text.insert(0, line.strip(" #"))
        if text[0].startswith("--"):
            return " ".join(text).removeprefix("-- ")
    return ""


def values() -> str:
    """The table."""
    text = VALUES.read_text()
    root = yaml.compose(text)
    assert isinstance(root, yaml.MappingNode)
    return table(("value", "default", "meaning"), rows(root, text.splitlines()))
