"""What every dashboard has: links to the others, its data source, marks of changes, rows, the time picker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

from deploy.grafana.parts import SOURCE
from deploy.grafana.queries import CHANGED_AT, CHANGES, begun

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from grafana_foundation_sdk.cog.builder import Builder

TITLES = {
    "siptrunk-overview": "SIP trunks: overview",
    "siptrunk-property": "SIP trunks: property",
    "siptrunk-exporter": "SIP trunks: exporter",
}


class Marks(model.AnnotationQuery):
    """Marks the times that are the values of `expr`; the SDK does not know how Prometheus's annotations are written."""

    def __init__(  # noqa: PLR0913 - a mark has that many sides
        self, name: str, expr: str, *, title: str, text: str, tags: str, colour: str
    ) -> None:
        """Take the texts, which may hold labels, and the labels that are shown as tags, parted by commas."""
        super().__init__(name, SOURCE, icon_color=colour, expr=expr)
        self.texts = {"titleFormat": title, "textFormat": text, "tagKeys": tags, "useValueForTime": True}

    def to_json(self) -> dict[str, object]:
        """Add the texts, and that the value is the time."""
        return super().to_json() | self.texts


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

    `changes`, matchers, narrows the changes, and the alerts of changes, that are marked in its graphs.
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
        Marks(
            "Alerts of changes",
            begun(", ".join(filter(None, (CHANGES, changes))), "$__range"),
            title="{{alertname}}",
            text="{{property}} {{trunk}} {{trunk_sid}}",
            tags="severity",
            colour="orange",
        ),
        Marks(
            "Changes",
            f"1000 * max by (kind) ({CHANGED_AT}{{{changes}}})",
            title="{{kind}}",
            text="A change of this kind was seen.",
            tags="kind",
            colour="blue",
        ),
    ]
    for at, panel in enumerate(dashboard.panels or (), start=1):
        panel.id_val = at
    return dashboard
