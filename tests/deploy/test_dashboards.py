"""The dashboards: every query on a real Prometheus that scrapes the daemon, and what people see around them."""

from __future__ import annotations

import asyncio
import json
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as model
from msgspec.structs import replace

from deploy.grafana.__main__ import FOLDER, documents
from exporter.metrics.families import FAMILIES
from exporter.simulator.trunks import DEPROVISIONING, SipTrunk
from exporter.telemetry import EXPORTER_FAMILIES
from tests.deploy.dashboards import DASHBOARDS, GRAFANA, Answer, Query, ask, panels, queries, texts
from tests.deploy.dashboards_world import GREW, RULES, world

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EVERY = list(queries())

# What shows faults and changes only: nothing, or zero, until what is named here happens.
DEACTIVATED = "a trunk is deactivated"
FAILING = "a property fails"
GONE = "its data are too old"
LOST = "look-ups of properties fail"
SILENT = "no exporter answers"
AFTER = {
    DEACTIVATED: {
        ("overview", "Alerts of changes"),
        ("overview", "Changes"),
        ("overview", "Latest changes"),
        ("overview", "Changes within an hour"),
        ("overview", "Longest on their way"),
        ("overview", "Not as agreed"),
        ("overview", "Properties not as agreed"),
        ("overview", "Firing alerts"),
        ("overview", "Warning alerts"),
        ("overview", "Trunks modified within the last day"),
        ("overview", "Alerts of changes within the last day"),
        ("property", "Alerts of changes"),
        ("property", "Changes"),
        ("property", "Latest changes"),
        ("property", "Changes within an hour"),
        ("property", "Not as agreed"),
        ("property", "Trunks not as agreed"),
        ("property", "Firing alerts"),
        ("property", "Trunks that changed state"),
        ("exporter", "Alerts of changes"),
        ("exporter", "Changes"),
    },
    FAILING: {
        ("overview", "Properties down"),
        ("overview", "Critical alerts"),
        ("property", "Failures by reason"),
        ("exporter", "Failed polls by reason"),
        ("exporter", "Share of requests that failed"),
        ("exporter", "Requests tried again"),
        ("exporter", "Properties late or down"),
    },
    GONE: {("overview", "Without data"), ("overview", "Data late")},
    LOST: {("exporter", "Failed look-ups of properties")},
    SILENT: {("overview", "Exporters silent")},
}
QUIET = set().union(*AFTER.values())
# What of a property stays when its data are gone: how its polling goes.
HEALTH = {"Property ${property:raw}", "Last poll", "Data age", "Last poll took"}

Answers = dict[Query, Answer]


@dataclass
class Story:
    """What every query answered at rest and after each happening; the property chosen is the one it befell."""

    sid: str
    trunks: dict[str, list[SipTrunk]]
    rest: Answers
    after: dict[str, Answers]


def among(query: Query, places: set[tuple[str, str]]) -> bool:
    return (query.dashboard, query.place) in places


def missing(answers: Answers) -> list[str]:
    """Of what does not wait for a fault: what brings nothing."""
    return [str(query) for query, answer in answers.items() if not among(query, QUIET) and not answer]


def showing(answers: Answers, places: set[tuple[str, str]]) -> list[str]:
    """Of what stands in these places: what brings more than zero."""
    return [str(query) for query in answers if among(query, places) and any(value for _, value in answers[query])]


def shown(answers: Answers, happening: str) -> bool:
    return len(showing(answers, AFTER[happening])) == sum(among(query, AFTER[happening]) for query in EVERY)


def figures(answers: Answers, dashboard: str) -> set[str]:
    """The large numbers that there are, but for those of alerts, which outlast what they tell of."""
    large = {panel["title"] for panel in panels(DASHBOARDS[dashboard]) if panel["type"] == "stat"}
    known = {query.place for query in answers if query.dashboard == dashboard and answers[query]}
    return {place for place in large & known if not place.endswith("alerts")}


async def told(folder: Path) -> Story:
    """Let everything happen, one after the other, and wait each time until the dashboards show it."""
    async with world(folder) as here:
        carrier, sid = here.simulator.carrier, here.sids[0]
        trunks = {each: carrier.trunks(each) for each in here.sids}

        async def until(holds: Callable[[Answers], bool]) -> Answers:
            answers: Answers = {}
            # What does not come is for the tests to say. Nobody tells when Prometheus has evaluated its rules, and that
            # data were late once, as where the machine halts, is shown for a minute.
            with suppress(TimeoutError):
                async with asyncio.timeout(150):
                    while not answers or not holds(answers):
                        answers = {query: await ask(here.http, query, sid) for query in EVERY}
            return answers

        story = Story(sid, trunks, await until(lambda now: not missing(now) and not showing(now, QUIET)), {})

        second = int(time.time())
        ended = replace(trunks[sid][-1], provisioning_state=DEPROVISIONING, modified=second, end_date=second)
        carrier.put(sid, ended)
        story.after[DEACTIVATED] = await until(lambda now: shown(now, DEACTIVATED))

        here.simulator.fail(sid, "500")
        story.after[FAILING] = await until(lambda now: shown(now, FAILING))
        story.after[GONE] = await until(lambda now: shown(now, GONE) and figures(now, "property") == HEALTH)

        here.simulator.fail(None, "500")
        story.after[LOST] = await until(lambda now: shown(now, LOST))

        await here.exporters.aclose()
        story.after[SILENT] = await until(
            lambda now: shown(now, SILENT) and len(figures(now, "overview") | figures(now, "property")) == 1
        )
        return story


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return asyncio.run(told(tmp_path_factory.mktemp("world")))


@pytest.mark.parametrize("query", [query for query in EVERY if not among(query, QUIET)], ids=str)
def test_every_query_brings_data(query: Query, story: Story) -> None:
    assert story.rest[query]


@pytest.mark.parametrize("happening", AFTER)
def test_what_shows_faults_shows_nothing_until_there_is_one(happening: str, story: Story) -> None:
    every = [str(query) for query in EVERY if among(query, AFTER[happening])]

    assert showing(story.rest, AFTER[happening]) == []
    assert showing(story.after[happening], AFTER[happening]) == every
    assert {place for place in AFTER[happening] if not any(among(query, {place}) for query in EVERY)} == set()


def test_what_is_not_known_is_no_number(story: Story) -> None:
    assert figures(story.after[GONE], "property") == HEALTH
    assert figures(story.after[SILENT], "property") == set()
    assert figures(story.after[SILENT], "overview") == {"Exporters silent"}


def test_two_exporters_that_know_different_names_double_nothing(story: Story) -> None:
    def values(dashboard: str, place: str) -> list[float]:
        return [value for query in EVERY if among(query, {(dashboard, place)}) for _, value in story.rest[query]]

    def rows(dashboard: str, place: str, label: str) -> list[list[str]]:
        asked = [query for query in EVERY if among(query, {(dashboard, place)})]
        return [sorted(labels[label] for labels, _ in story.rest[query]) for query in asked]

    limits = {sid: [trunk.channel_limit for trunk in trunks] for sid, trunks in story.trunks.items()}
    channels = {sid: sum(each) for sid, each in limits.items()}
    sids, total = sorted(limits), sum(channels.values())
    every = sorted(trunk.sip_trunk_sid for trunk in story.trunks[story.sid])
    ending = [trunk.sip_trunk_sid for trunk in story.trunks[story.sid] if trunk.end_date]

    assert values("overview", "Channels allowed") == [total, 3, 3]
    assert values("overview", "Channels allowed by account") == [total]
    assert values("overview", "Change of channels allowed") == [3 * GREW * days for days in (1, 7, 30)]
    assert values("overview", "Trunks") == [sum(map(len, limits.values()))] * 2
    assert rows("overview", "All properties", "property_sid") == [sids] * 9
    assert rows("overview", "Largest properties", "property_sid") == [sids]
    assert values("property", "Channels allowed") == [channels[story.sid], *(GREW * days for days in (1, 7, 30))]
    assert sorted(values("property", "Limits of the largest trunks")) == sorted(limits[story.sid])[-10:]
    assert rows("property", "All trunks", "trunk_sid") == [every] * 7 + [ending]


def offered(metric: dict[str, str]) -> tuple[str | None, str] | None:
    """The text and value that the variable `property` makes of a series, as Grafana writes it for its pattern."""
    (variable,) = [each for each in DASHBOARDS["property"]["templating"]["list"] if each["name"] == "property"]
    pattern = variable["regex"].strip("/").replace("(?<", "(?P<")
    labels = ",".join(f'{name}="{value}"' for name, value in metric.items() if name != "__name__")
    found = re.search(pattern, f"{metric['__name__']}{{{labels}}} 1 1795473612000")
    return found and (found["text"], found["value"])


@pytest.mark.parametrize("name", ["Sydney office", 'Warehouse "B", dock 4\\5', "a}b", None])
def test_people_choose_a_property_by_any_name(name: str | None) -> None:
    named = {} if name is None else {"name": name}
    metric = {"__name__": "property:siptrunk_property_info:latest", "account_sid": "A1", **named, "property_sid": "S1"}

    assert offered(metric) == (name, "S1")


def test_the_files_are_what_the_code_makes() -> None:
    assert {path.name: path.read_text() for path in FOLDER.glob("*.json")} == documents()


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_sdk_reads_all_of_a_dashboard(name: str) -> None:
    register_default_plugins()
    read = json.loads(json.dumps(model.Dashboard.from_json(DASHBOARDS[name]), cls=JSONEncoder))
    # The SDK does not know these of Prometheus's annotations.
    unknown = {"titleFormat", "textFormat", "tagKeys", "useValueForTime"}
    known = [
        {key: value for key, value in annotation.items() if key not in unknown}
        for annotation in DASHBOARDS[name]["annotations"]["list"]
    ]

    assert read == DASHBOARDS[name] | {"annotations": {"list": known}}


def test_dashboards_have_what_people_expect_of_one() -> None:
    for name, dashboard in DASHBOARDS.items():
        assert dashboard["uid"] == f"siptrunk-{name}"
        assert dashboard["title"] == f"SIP trunks: {name}"
        assert dashboard["description"]
        assert (dashboard["tags"], dashboard["timezone"], dashboard["refresh"]) == (["siptrunk"], "browser", "1m")


PANELS = [(name, panel) for name, dashboard in DASHBOARDS.items() for panel in panels(dashboard)]


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=[f"{name}-{panel['title']}" for name, panel in PANELS])
def test_every_panel_says_what_it_is(name: str, panel: dict[str, Any]) -> None:
    config = panel["fieldConfig"]
    columns = [column["matcher"]["options"] for column in config["overrides"]] if panel["type"] == "table" else []
    shown = [step["options"]["renameByName"] for step in panel.get("transformations", ()) if step["id"] == "organize"]

    assert re.fullmatch(r"(.+\.\n\n)\*\*Worry\*\* .+\.\n\n\*\*Empty\*\* when .+\.", panel["description"], re.DOTALL)
    assert config["defaults"]["unit"]
    assert config["defaults"]["noValue"]
    assert sorted(columns) == sorted(title for renamed in shown for title in renamed.values())
    assert all(target["legendFormat"] for target in panel["targets"]) or panel["type"] == "table"
    assert [each["title"] for where, each in PANELS if where == name].count(panel["title"]) == 1


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_fill_the_width_and_none_lies_over_another(name: str) -> None:
    places = [panel["gridPos"] for panel in DASHBOARDS[name]["panels"]]
    cells = [(place["x"] + x, place["y"] + y) for place in places for x in range(place["w"]) for y in range(place["h"])]
    height = max(y for _, y in cells) + 1

    assert sorted(cells) == [(x, y) for x in range(24) for y in range(height)]
    assert len({panel["id"] for panel in DASHBOARDS[name]["panels"]}) == len(places)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_variable_used_is_there(name: str) -> None:
    used = {found for text in texts(DASHBOARDS[name]) for found in re.findall(r"\$\{?([A-Za-z_]\w*)", text)}
    defined = {variable["name"] for variable in DASHBOARDS[name]["templating"]["list"]}

    assert {variable for variable in used if not variable.startswith("__")} == defined


def test_every_link_leads_to_a_dashboard() -> None:
    urls = [text for dashboard in DASHBOARDS.values() for text in texts(dashboard) if text.startswith("/")]
    known = {dashboard["uid"] for dashboard in DASHBOARDS.values()}

    assert {found for url in urls for found in re.findall(r"^/d/([\w-]+)", url)} == known
    assert all(re.match(r"/d/[\w-]+(\?|$)|/account", url) for url in urls)


def test_every_metric_asked_for_exists() -> None:
    exposed = {
        name
        for family in (*FAMILIES, *EXPORTER_FAMILIES)
        for name in ([f"{family.name}_bucket", f"{family.name}_sum"] if family.type == "histogram" else [family.name])
    }
    recorded = {
        rule.get("record")
        for path in RULES.glob("*.yml")
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    }
    named = {name for query in EVERY for name in re.findall(r"\b(?:\w+:)?siptrunk_\w+(?::\w+)?", query.expr)}

    assert named - exposed - recorded == set()


def test_grafana_is_given_the_data_source_and_the_folder_of_the_dashboards() -> None:
    given = {path.parent.name: yaml.safe_load(path.read_text()) for path in GRAFANA.glob("provisioning/*/*.yml")}
    (source,) = given["datasources"]["datasources"]
    (provider,) = given["dashboards"]["providers"]

    assert (source["type"], source["url"], source["access"]) == ("prometheus", "http://prometheus:9090", "proxy")
    assert (provider["folder"], provider["options"]["path"]) == ("SIP trunks", "/etc/grafana/dashboards")
