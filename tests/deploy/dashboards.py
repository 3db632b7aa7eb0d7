"""The shipped dashboards as tests read them: their panels, and their queries as Grafana would ask them."""

from __future__ import annotations

import json
import math
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
DASHBOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))
}

Answer = list[tuple[dict[str, str], float]]
"""The labels of each series, and its value; over time the highest."""


@dataclass(frozen=True)
class Query:
    """A query of a dashboard; `place` is the title of its panel, or the name of the annotation or variable."""

    dashboard: str
    place: str
    legend: str
    expr: str
    instant: bool

    def __str__(self) -> str:
        return f"{self.dashboard} / {self.place} / {self.legend}"


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what shows data: every panel but the rows."""
    yield from (panel for panel in dashboard["panels"] if panel["type"] != "row")


def texts(value: Any) -> Iterator[str]:  # noqa: ANN401 - whatever JSON holds
    """Yield every text in it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts(each)


def queries() -> Iterator[Query]:
    """Yield every query of every panel, annotation and variable."""
    for name, dashboard in DASHBOARDS.items():
        for panel in panels(dashboard):
            for target in panel["targets"]:
                legend = target["legendFormat"] or target["refId"]
                yield Query(name, panel["title"], legend, target["expr"], instant=target["instant"])
        for annotation in dashboard["annotations"]["list"]:
            yield Query(name, annotation["name"], "annotation", annotation["expr"], instant=False)
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                yield _of_variable(name, variable)


def _of_variable(dashboard: str, variable: Mapping[str, Any]) -> Query:
    """What Grafana's functions for variables come to."""
    if found := re.fullmatch(r"query_result\((.*)\)", variable["query"]):
        return Query(dashboard, variable["name"], "variable", found[1], instant=True)
    found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"])
    assert found
    return Query(dashboard, variable["name"], "variable", f"group by ({found[2]}) ({found[1]})", instant=True)


async def ask(http: httpx.AsyncClient, query: Query, sid: str) -> Answer:
    """Ask Prometheus as Grafana would with the property chosen; what is no number is left out."""
    variables = {"__rate_interval": "4s", "__range": "60s", "account": ".*", "instance": ".*", "property": sid}
    expr = re.sub(r"\$([a-z_]+)", lambda found: variables[found[1]], query.expr)
    now = time.time()
    span: dict[str, float] = {"time": now} if query.instant else {"start": now - 60, "end": now, "step": 1}
    path = "/api/v1/query" if query.instant else "/api/v1/query_range"
    answer = (await http.get(path, params={"query": expr, **span})).json()
    assert answer["status"] == "success", (str(query), expr, answer)
    found: Answer = []
    for series in answer["data"]["result"]:
        values = [float(value) for _, value in series.get("values", [series.get("value")])]
        if numbers := [value for value in values if not math.isnan(value)]:
            found.append((series["metric"], max(numbers)))
    return found
