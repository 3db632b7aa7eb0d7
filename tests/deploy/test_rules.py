"""The rules that Prometheus is given, by promtool; the cases are in rules/."""

from __future__ import annotations

import re
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.metrics.families import FAMILIES
from exporter.telemetry import EXPORTER_FAMILIES
from tests.deploy.shipped_rules import ALERTS, DEPLOY, RECORDED, RULES
from tests.markdown import blocks
from tests.programs import program

CASES = sorted((Path(__file__).parent / "rules").glob("*.yml"))
every_alert = pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
NAMES = sorted({rule["alert"] for rule in ALERTS})


def outcomes(name: str, severity: str) -> list[list[bool]]:
    """For each case that names the alert, whether it fires with that severity, in the order of time."""
    return [
        [
            any(each["exp_labels"]["severity"] == severity for each in expected["exp_alerts"])
            for expected in case.get("alert_rule_test", ())
            if expected["alertname"] == name
        ]
        for path in CASES
        for case in yaml.safe_load(path.read_text())["tests"]
    ]


def promtool(*arguments: str | Path) -> str:
    """What promtool says where it is content."""
    done = subprocess.run([program("promtool"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_accepts_the_configuration_and_its_rules() -> None:
    said = promtool("check", "config", "--lint=all", "--lint-fatal", DEPLOY / "prometheus" / "prometheus.yml")

    assert said.count("rules found") == len(list(RULES.glob("*.yml")))


def test_promtool_accepts_the_configurations_of_the_page_about_scaling(tmp_path: Path) -> None:
    shipped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    written = [yaml.safe_load(each) for each in blocks(DEPLOY / "scaling.md", "yaml") if "kind:" not in each]
    assert [list(each) for each in written] == [["scrape_configs"], ["scrape_configs"], ["global", "alerting"]]
    for each in written:
        each.setdefault("alerting", {}).update(shipped["alerting"])
        for job in each.get("scrape_configs", ()):
            # Debian's Prometheus is built without it.
            job.pop("kubernetes_sd_configs", None)
        path = tmp_path / "prometheus.yml"
        path.write_text(yaml.safe_dump(shipped | {"rule_files": []} | each))
        promtool("check", "config", path)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_rules_do_as_the_cases_say(path: Path) -> None:
    promtool("test", "rules", path)


@every_alert
def test_every_alert_has_a_case_in_which_it_does_not_fire_fires_and_ends(rule: dict[str, Any]) -> None:
    assert any(
        not fires[0] and (True, False) in pairwise(fires)
        for fires in outcomes(rule["alert"], rule["labels"]["severity"])
        if fires
    )


@every_alert
def test_every_alert_says_what_is_needed_to_act_on_it(rule: dict[str, Any]) -> None:
    labels, annotations = rule["labels"], rule["annotations"]
    base, _, page = annotations["runbook_url"].rpartition("/deploy/")

    assert re.fullmatch(r"SipTrunk([A-Z][a-z]+)+", rule["alert"])
    assert labels.keys() == {"severity", "category"}
    assert labels["severity"] in {"critical", "warning", "info"}
    assert labels["category"] in {"exporter", "api", "property", "trunk", "change"}
    assert annotations.keys() - {"property", "trunk"} == {"summary", "description", "runbook_url"}
    assert base == ALERTS[0]["annotations"]["runbook_url"].rpartition("/deploy/")[0]
    assert page == f"runbooks/{rule['alert']}.md"
    assert "{{" in annotations["description"]
    assert "name" not in re.findall(r"\bby \(([^)]*)\)", rule["expr"])


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_has_a_runbook(name: str) -> None:
    headings = re.findall(r"^#+ (.*)$", (DEPLOY / "runbooks" / f"{name}.md").read_text(), re.MULTILINE)

    assert headings == [name, "What it means", "What to look at", "What to do", "When to ignore it"]


def test_every_runbook_belongs_to_an_alert() -> None:
    assert sorted(path.stem for path in (DEPLOY / "runbooks").glob("*.md")) == NAMES


def test_rules_and_runbooks_name_only_metrics_that_there_are() -> None:
    families = {family.name for family in (*FAMILIES, *EXPORTER_FAMILIES)}
    named = {
        name
        for path in [*RULES.glob("*.yml"), *(DEPLOY / "runbooks").glob("*.md")]
        for name in re.findall(r"\b(?:\w+:)?siptrunk_\w+(?::\w+)?", path.read_text())
    }

    # A comment may name a family by its stem.
    assert {name for name in named if name not in families | RECORDED} <= {
        "siptrunk_properties",
        "siptrunk_properties_with_data",
        "siptrunk_token",
    }
