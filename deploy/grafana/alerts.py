"""The table of firing alerts, which two dashboards have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.grafana.parts import AGO, BAD, NONE, NOTE, STATE, WARN, Column, Text, grid
from deploy.grafana.queries import since

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import table

# Their numbers make the alphabet sort them.
SEVERITIES = {"1 critical": ("critical", BAD), "2 warning": ("warning", WARN), "3 info": ("info", NOTE)}


def firing_alerts(text: Text, alerts: str, *columns: Column, width: int, height: int) -> table.Panel:
    """Make the table of the alerts that matchers choose, the gravest first, with more columns at its end."""
    ranked = since(alerts)
    for rank, (severity, _) in SEVERITIES.items():
        ranked = f'label_replace({ranked}, "severity", "{rank}", "severity", "{severity}")'
    return grid(
        text,
        Column(title="Severity", label="severity", words=SEVERITIES, width=100),
        Column(title="Alert", label="alertname", width=260),
        Column(title="Since", expr=ranked, unit=AGO, width=140),
        Column(title="Trunk", label="trunk", blank=NONE),
        Column(title="Trunk's state", label="state", words=STATE, width=130, blank=NONE),
        Column(title="Not as agreed", label="field", width=150, blank=NONE),
        *columns,
        width=width,
        height=height,
        sort=(("Severity", False), ("Since", True)),
    )
