"""What every dashboard has: links to the others, its data source, annotations of changes, rows, the time picker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

from deploy.grafana.parts import SOURCE
from deploy.grafana.queries import CHANGES, begun

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from grafana_foundation_sdk.cog.builder import Builder

TITLES = {
    "siptrunk-overview": "SIP trunks: overview",
    "siptrunk-property": "SIP trunks: property",
    "siptrunk-exporter": "SIP trunks: exporter",
}


class ChangeAnnotation(model.AnnotationQuery):
    """Marks when alerts of changes began; the SDK does not know how Prometheus's annotations are written."""

    def to_json(self) -> dict[str, object]:
        """Add the texts, and that the value is the time."""
        return super().to_json() | {
            "titleFormat": "{{alertname}}",
            "textFormat": "{{property}} {{trunk}} {{trunk_sid}}",
            "tagKeys": "severity",
            "useValueForTime": True,
        }


def frame(  # noqa: PLR0913 - a dashboard has that many sides
    uid: str,
    *,
    about: str,
    start: str,
    variables: Iterable[Builder[model.VariableModel]],
    rows: Mapping[str, Iterable[Builder[model.Panel]]],
    changes: str = "",
) -> model.Dashboard:
    """Make a dashboard of rows of panels, each 24 wide; it shows the time from `start` (as `now-24h`) until now.

    `changes` narrows the alerts of changes that are marked in its graphs.
    """
    made = build.Dashboard(TITLES[uid]).uid(uid).description(about).tags(["siptrunk"])
    made.time(start, "now").refresh("1m").timezone("browser").tooltip(model.DashboardCursorSync.CROSSHAIR).readonly()
    for other in filter(uid.__ne__, TITLES):
        link = build.DashboardLink(TITLES[other]).url(f"/d/{other}").type(model.DashboardLinkType.LINK)
        made.link(
            link.icon("dashboard")
            .tooltip(f"Open {TITLES[other]}")
            .include_vars(include_vars=True)
            .keep_time(keep_time=True)
        )
    source = build.DatasourceVariable("datasource").label("Data source").type("prometheus")
    made.with_variable(source.description("The Prometheus that scrapes the exporter and evaluates its rules."))
    for variable in variables:
        made.with_variable(variable)
    for title, panels in rows.items():
        made.with_row(build.Row(title))
        for each in panels:
            made.with_panel(each)
    dashboard = made.build()
    dashboard.annotations.list_val = [
        ChangeAnnotation(
            name="Changes", datasource=SOURCE, icon_color="blue", expr=begun(CHANGES + changes, "$__range")
        )
    ]
    for at, panel in enumerate(dashboard.panels or (), start=1):
        panel.id_val = at
    return dashboard
