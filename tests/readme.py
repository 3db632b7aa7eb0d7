"""The README's tables, made from the code; `python -m tests.readme` writes them, and a test tells where they drift."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.cli import FLAGS
from exporter.config import SETTINGS
from exporter.errors import Anomaly, Reason
from exporter.metrics.families import FAMILIES
from exporter.telemetry import EXPORTER_FAMILIES
from tests.benchmarks.figures import HEAD, RESULTS, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

README = Path(__file__).parents[1] / "README.md"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def metrics() -> str:
    return table(
        ("metric", "type", "labels", "meaning"),
        [(f"`{each.name}`", each.type, code(each.label_names), each.help) for each in (*FAMILIES, *EXPORTER_FAMILIES)],
    )


def settings() -> str:
    return table(
        ("setting", "default", "meaning"),
        [(f"`{row.key}`", f"`{row.default}`" if row.default else "", row.doc) for row in SETTINGS],
    )


def flags() -> str:
    return table(
        ("flag", "default", "meaning"),
        [(f"`{flag.name}`", f"`{flag.default}`" if flag.default else "", flag.help) for flag in FLAGS],
    )


def reasons() -> str:
    return f"`reason` is one of {code(Reason)}; `kind` one of {code(Anomaly)}."


def benchmarks() -> str:
    if not RESULTS.exists():
        return "Not measured yet: `make bench`."
    results = json.loads(RESULTS.read_text())
    on = results["conditions"]
    beside = ", ".join(f"{name} {on[name]}" for name in ("nginx", "prometheus", "prometheus-node-exporter") if on[name])
    said = (
        f"Measured on {on['date']} on {on['cores']} cores of {on['cpu']} with Python {on['python']} beside {beside};"
        f" where no other size is named, {on['properties']:,} properties of {on['trunks_each']} trunks each."
    )
    return f"{said}\n\n{table(HEAD, [Row(**each).cells() for each in results['rows']])}"


SECTIONS = {"metrics": metrics, "reasons": reasons, "settings": settings, "flags": flags, "benchmarks": benchmarks}


def written(text: str) -> str:
    """The README's text with every section between its two marks made anew."""
    for name, make in SECTIONS.items():
        marks = f"<!-- {name} -->", f"<!-- end of {name} -->"
        pattern = f"(?s){re.escape(marks[0])}.*?{re.escape(marks[1])}"
        replacement = f"{marks[0]}\n{make()}\n{marks[1]}"
        text, found = re.subn(pattern, replacement.replace("\\", r"\\"), text)
        assert found == 1, f"{name} stands in the README {found} times"
    return text


if __name__ == "__main__":
    README.write_text(written(README.read_text()))
