"""The chart's table of values, made from values.yaml; `python -m tests.deploy.helm_values` writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tests.readme import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "siptrunk-exporter"
README = CHART / "README.md"
VALUES = CHART / "values.yaml"

MARKS = "<!-- values -->", "<!-- end of values -->"
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


def written(readme: str) -> str:
    """The chart's README with the table between its two marks made anew."""
    text = VALUES.read_text()
    values = yaml.compose(text)
    assert isinstance(values, yaml.MappingNode)
    made = table(("value", "default", "meaning"), rows(values, text.splitlines()))
    before, _, rest = readme.partition(MARKS[0])
    return f"{before}{MARKS[0]}\n{made}\n{MARKS[1]}{rest.partition(MARKS[1])[2]}"


if __name__ == "__main__":
    README.write_text(written(README.read_text()))
