"""The routes, inhibitions and message that Alertmanager is given, by amtool and by a real Alertmanager."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.deploy.shipped_rules import ALERTS
from tests.programs import program
from tests.servers import alertmanager

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

SHIPPED = Path(__file__).parents[2] / "deploy" / "alertmanager"
CONFIG = SHIPPED / "alertmanager.yml"
LABELS = {rule["alert"]: rule["labels"] for rule in reversed(ALERTS)}


def amtool(*arguments: str | Path) -> str:
    """What amtool says where it is content."""
    done = subprocess.run([program("amtool"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_amtool_accepts_the_configuration() -> None:
    assert "SUCCESS" in amtool("check-config", CONFIG)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_every_alert_reaches_who_should_have_it(rule: dict[str, Any]) -> None:
    labels = {"alertname": rule["alert"], **rule["labels"]}
    pairs = [f"{name}={value}" for name, value in labels.items()]
    receiver = amtool("config", "routes", "test", f"--config.file={CONFIG}", *pairs).strip()

    if labels["category"] == "change":
        assert receiver == "changes"
    else:
        assert receiver == ("pager" if labels["severity"] == "critical" else "operators")


def firing(name: str, **labels: str) -> dict[str, Any]:
    """One of the shipped alerts as Prometheus sends it; where its severity differs, the most severe."""
    return {"labels": {"alertname": name, **LABELS[name], **labels}}


CASES: dict[str, tuple[list[dict[str, Any]], set[str]]] = {
    "no exporter answers: nothing else is told": (
        [
            firing("SipTrunkExporterDown"),
            firing("SipTrunkExporterDown", job="siptrunk", instance="a"),
            firing("SipTrunkExporterDown", job="siptrunk", instance="b", severity="warning"),
            firing("SipTrunkMostPropertiesDown", account_sid="A1"),
            firing("SipTrunkPropertyDown", property_sid="S1", account_sid="A1"),
            firing("SipTrunkProvisioningStuck", property_sid="S1", trunk_sid="T1"),
            firing("SipTrunkDeactivated", property_sid="S2", trunk_sid="T2"),
            firing("SipTrunkConfigReloadFailed", job="siptrunk", instance="a"),
        ],
        {"SipTrunkExporterDown "},
    ),
    "one exporter does not answer, of another job or not: all else is told, and the exporter once": (
        [
            firing("SipTrunkExporterDown", job="staging-siptrunk", instance="a"),
            firing("SipTrunkExporterDown", job="staging-siptrunk", instance="a", severity="warning"),
            firing("SipTrunkExporterDown", job="siptrunk", instance="b", severity="warning"),
            firing("SipTrunkPropertyDown", property_sid="S1", account_sid="A1"),
        ],
        {"SipTrunkExporterDown a", "SipTrunkExporterDown b", "SipTrunkPropertyDown S1"},
    ),
    "a shard is missing: that its exporter does not answer is not told, all else is": (
        [
            firing("SipTrunkShardMissing", job="siptrunk"),
            firing("SipTrunkExporterDown", job="siptrunk", instance="a"),
            firing("SipTrunkExporterDown", job="siptrunk", instance="a", severity="warning"),
            firing("SipTrunkExporterDown", job="staging-siptrunk", instance="b"),
            firing("SipTrunkShardsDisagree", job="siptrunk"),
            firing("SipTrunkPropertyDown", property_sid="S1"),
            firing("SipTrunkConfigReloadFailed", job="siptrunk", instance="c"),
        ],
        {
            "SipTrunkShardMissing ",
            "SipTrunkExporterDown b",
            "SipTrunkShardsDisagree ",
            "SipTrunkPropertyDown S1",
            "SipTrunkConfigReloadFailed c",
        },
    ),
    "a property is down: its trunks and its age are not told, other properties' are": (
        [
            firing("SipTrunkPropertyDown", property_sid="S1", account_sid="A1"),
            firing("SipTrunkDataStale", property_sid="S1", account_sid="A1"),
            firing("SipTrunkNoActiveTrunks", property_sid="S1"),
            firing("SipTrunkDrift", property_sid="S1", field="channel_limit"),
            firing("SipTrunkDrift", property_sid="S2", field="channel_limit"),
            firing("SipTrunkProvisioningStuck", property_sid="S1", trunk_sid="T1"),
            firing("SipTrunkDeactivated", property_sid="S1", trunk_sid="T1"),
            firing("SipTrunkChannelLimitLowered", property_sid="S2", trunk_sid="T2"),
        ],
        {"SipTrunkPropertyDown S1", "SipTrunkDrift S2", "SipTrunkChannelLimitLowered S2"},
    ),
    "most of an account's properties are down: none is told by itself, and each still silences its trunks": (
        [
            firing("SipTrunkMostPropertiesDown", account_sid="A1"),
            firing("SipTrunkPropertyDown", property_sid="S1", account_sid="A1"),
            firing("SipTrunkApiErrors", job="siptrunk"),
            firing("SipTrunkDataStale", property_sid="S2", account_sid="A1"),
            firing("SipTrunkProvisioningStuck", property_sid="S1", trunk_sid="T1"),
            firing("SipTrunkDeactivated", property_sid="S3", trunk_sid="T3"),
            firing("SipTrunkPropertyDown", property_sid="S4", account_sid="A2"),
        ],
        {"SipTrunkMostPropertiesDown A1", "SipTrunkDeactivated S3", "SipTrunkPropertyDown S4"},
    ),
    "a token is rejected: what follows for its account is not told, another account's is": (
        [
            firing("SipTrunkCredentialsRejected", account_sid="A1"),
            firing("SipTrunkMostPropertiesDown", account_sid="A1"),
            firing("SipTrunkPropertyDown", property_sid="S1", account_sid="A1"),
            firing("SipTrunkDiscoveryFailed", account_sid="A1"),
            firing("SipTrunkDiscoveryFailed", account_sid="A2"),
            firing("SipTrunkPropertyDown", property_sid="S2", account_sid="A2"),
        ],
        {"SipTrunkCredentialsRejected A1", "SipTrunkDiscoveryFailed A2", "SipTrunkPropertyDown S2"},
    ),
    "the token of one of two exporters is rejected: properties that are down are told": (
        [
            firing("SipTrunkCredentialsRejected", account_sid="A1", instance="a", severity="warning"),
            firing("SipTrunkPropertyDown", property_sid="S1", account_sid="A1"),
        ],
        {"SipTrunkCredentialsRejected a", "SipTrunkPropertyDown S1"},
    ),
    "another cluster is silenced by nothing": (
        [
            firing("SipTrunkExporterDown", cluster="test"),
            firing("SipTrunkPropertyDown", property_sid="S1", cluster="live"),
        ],
        {"SipTrunkExporterDown ", "SipTrunkPropertyDown S1"},
    ),
    "an alert of somebody else's is left alone": (
        [firing("SipTrunkExporterDown"), {"labels": {"alertname": "DiskFull", "category": "property"}}],
        {"SipTrunkExporterDown ", "DiskFull "},
    ),
}


def told_of(labels: dict[str, str]) -> str:
    """The alert and what it is about."""
    about = next((labels[name] for name in ("property_sid", "instance", "account_sid") if name in labels), "")
    return f"{labels['alertname']} {about}"


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a real Alertmanager that has the shipped routes and inhibitions and tells nobody."""
    config = yaml.safe_load(CONFIG.read_text())
    del config["templates"]
    config["receivers"] = [{"name": each["name"]} for each in config["receivers"]]
    async with alertmanager(tmp_path, config) as client:
        yield client


@pytest.mark.parametrize(("alerts", "told"), CASES.values(), ids=CASES)
async def test_what_is_greater_silences_what_follows_from_it(
    alerts: list[dict[str, Any]], told: set[str], http: httpx.AsyncClient
) -> None:
    (await http.post("/api/v2/alerts", json=alerts)).raise_for_status()
    left = (await http.get("/api/v2/alerts", params={"inhibited": "false"})).json()

    assert {told_of(alert["labels"]) for alert in left} == told


def test_a_message_says_what_where_since_when_and_what_to_do(tmp_path: Path) -> None:
    common = {"summary": "A trunk was deactivated", "property": "Sydney"}
    alert = {
        "status": "firing",
        "labels": {"severity": "warning", "property_sid": "S1", "trunk_sid": "T1"},
        "annotations": {
            **common,
            "description": "Trunk T1 was deactivated.",
            "trunk": "Main",
            "runbook_url": "https://runbooks.example/x.md",
        },
        "startsAt": "2026-11-25T03:00:00+11:00",
    }
    over = {**alert, "status": "resolved", "endsAt": "2026-11-24T17:30:00Z"}
    message = {"status": "firing", "alerts": [alert, over], "commonLabels": {"severity": "warning"}}
    data = tmp_path / "message.json"
    data.write_text(json.dumps({**message, "commonAnnotations": common, "externalURL": "http://alertmanager.example"}))

    rendered = amtool(
        *("template", "render", f"--template.glob={SHIPPED}/siptrunk.tmpl", f"--template.data={data}"),
        '--template.text={{ template "siptrunk.subject" . }}\n{{ template "siptrunk.text" . }}',
    )
    assert (
        rendered.rstrip("\n")
        == """\
[warning] SIP trunks: A trunk was deactivated, Sydney (2)
A trunk was deactivated (warning)
Trunk T1 was deactivated.
  property: Sydney
  trunk:    Main
  since:    2026-11-24 16:00:00 UTC
  do:       https://runbooks.example/x.md

Over:

A trunk was deactivated (warning)
Trunk T1 was deactivated.
  property: Sydney
  trunk:    Main
  since:    2026-11-24 16:00:00 UTC
  until:    2026-11-24 17:30:00 UTC
  do:       https://runbooks.example/x.md

Silence them: http://alertmanager.example"""
    )


@pytest.mark.parametrize(
    ("message", "subject"),
    [
        (
            {"commonLabels": {"severity": "critical", "property_sid": "S1"}, "alerts": [{}], "summary": "No poll"},
            "[critical] SIP trunks: No poll, S1",
        ),
        ({"commonLabels": {}, "alerts": [{}, {}]}, "[several] SIP trunks: 2 alerts"),
        (
            {"status": "resolved", "commonLabels": {}, "alerts": [{}], "summary": "No poll"},
            "[resolved] SIP trunks: No poll",
        ),
    ],
)
def test_a_subject_fits_one_alert_or_many(message: dict[str, Any], subject: str, tmp_path: Path) -> None:
    data = tmp_path / "message.json"
    summary = {"summary": message.pop("summary")} if "summary" in message else {}
    data.write_text(json.dumps({"status": "firing", "commonAnnotations": summary, **message}))

    rendered = amtool(
        *("template", "render", f"--template.glob={SHIPPED}/siptrunk.tmpl", f"--template.data={data}"),
        '--template.text={{ template "siptrunk.subject" . }}',
    )
    assert rendered.strip() == subject
