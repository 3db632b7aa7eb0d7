"""The sections of documentation that are made from the code; `python -m tests.readme` writes them into their pages."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.cli import FLAGS
from exporter.config import SETTINGS
from exporter.errors import Anomaly, Reason
from exporter.metrics.families import FAMILIES
from exporter.telemetry import EXPORTER_FAMILIES
from tests.benchmarks.figures import HEAD, Row
from tests.benchmarks.figures import RESULTS as BENCHMARKS
from tests.deploy.helm_values import CHART, values
from tests.deploy.shipped_rules import ALERTS
from tests.fuzz import RESULTS as FUZZ
from tests.markdown import code, table
from tests.soak import RESULTS as SOAK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

README = Path(__file__).parents[1] / "README.md"


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
    if not BENCHMARKS.exists():
        return "Not measured yet: `make bench`."
    results = json.loads(BENCHMARKS.read_text())
    on = results["conditions"]
    beside = ", ".join(f"{name} {on[name]}" for name in ("nginx", "prometheus", "prometheus-node-exporter") if on[name])
    said = (
        f"{_measured(on)} beside {beside};"
        f" where no other size is named, {on['properties']:,} properties of {on['trunks_each']} trunks each."
    )
    return f"{said}\n\n{_rows(results['rows'])}"


def soaked(stage: str) -> str:
    results = json.loads(SOAK.read_text()) if SOAK.exists() else {}
    if stage not in results:
        return "Not measured yet: `make soak`."
    return f"{_measured(results[stage]['conditions'])}.\n\n{_rows(results[stage]['rows'])}"


def fuzzed() -> str:
    if not FUZZ.exists():
        return "Not measured yet: `make fuzz`."
    results = json.loads(FUZZ.read_text())
    head = ("target", "inputs", "of which broke a promise", "branches covered", "seconds")
    rows = [
        (
            each["target"],
            f"{each['inputs']:,}",
            "0",
            f"{each['covered_at_start']:,}, in the end {each['covered']:,}",
            f"{each['seconds']:,}",
        )
        for each in results["targets"]
    ]
    return f"{_measured(results['conditions'])}.\n\n{table(head, rows)}"


def _measured(on: Mapping[str, object]) -> str:
    return f"Measured on {on['date']} on {on['cores']} cores of {on['cpu']} with Python {on['python']}"


def _rows(rows: Iterable[Mapping[str, Any]]) -> str:
    return table(HEAD, [Row(**each).cells() for each in rows])


def alerts() -> str:
    return table(
        ("alert", "severity", "told as", "when"),
        [
            (
                f"[{rule['alert']}](runbooks/{rule['alert']}.md)",
                rule["labels"]["severity"],
                rule["labels"]["category"],
                "; or: ".join(filter(None, re.split(r"\s*{{.*?}}", rule["annotations"]["summary"]))),
            )
            for rule in ALERTS
        ],
    )


DEPLOY = README.parent / "deploy"
PAGES: dict[Path, dict[str, Callable[[], str]]] = {
    README.with_name("SECURITY.md"): {
        **{stage: partial(soaked, stage) for stage in ("faults", "days", "load")},
        "fuzz": fuzzed,
    },
    README: {"metrics": metrics, "reasons": reasons, "settings": settings, "flags": flags, "benchmarks": benchmarks},
    DEPLOY / "README.md": {"alerts": alerts},
    CHART / "README.md": {"values": values},
}


def written(page: Path) -> str:
    """The page's text with every section between its two marks made anew."""
    text = page.read_text()
    for name, make in PAGES[page].items():
        marks = f"<!-- {name} -->", f"<!-- end of {name} -->"
        pattern = f"(?s){re.escape(marks[0])}.*?{re.escape(marks[1])}"
        replacement = f"{marks[0]}\n{make()}\n{marks[1]}"
        text, found = re.subn(pattern, replacement.replace("\\", r"\\"), text)
        assert found == 1, f"{name} stands in {page.name} {found} times"
    return text


if __name__ == "__main__":
    for each in PAGES:
        each.write_text(written(each))
