"""The dashboard "SIP trunks: overview": is all well, what is wrong, what is there, what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.grafana.alerts import firing_alerts
from deploy.grafana.frame import frame
from deploy.grafana.parts import (
    AGO,
    BAD,
    COUNT,
    GOOD,
    NO_EXPORTER,
    NONE,
    NONE_OR_NOT_KNOWN,
    NOTE,
    PLAIN,
    STATE,
    UP_OR_DOWN,
    WARN,
    Column,
    Text,
    bars,
    graph,
    grid,
    number,
    steps,
)
from deploy.grafana.queries import (
    ACTIVE_TRUNKS,
    AGE,
    ALERTS,
    CHANGED,
    CHANGED_AT,
    CHANGES,
    CHANNELS,
    DRIFT,
    EXPORTERS,
    INFO,
    MODIFIED,
    STATE_SINCE,
    TRUNKS,
    UP,
    begun,
    by_name,
    changes,
    named,
    or_none,
)

if TYPE_CHECKING:
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.models import dashboard as model

SPANS = ((1, "in a day"), (7, "in a week"), (30, "in 30 days"))
KNOWN = "properties known"
GONE = steps(GOOD, (1, BAD))
POOR = steps(GOOD, (1, WARN))
FALL = ((None, WARN), (0.0, PLAIN), (1.0, NOTE))


def well() -> list[Builder[model.Panel]]:
    """Tell in one line whether all is well: then the coloured numbers are 0."""
    return [
        number(
            Text(
                title="Exporters silent",
                tells="Exporters that do not answer Prometheus, of all that it is to scrape",
                worry="at 1 or more. Where no other exporter answers, nothing else here is known",
                empty="Prometheus has no target in a job named *siptrunk*",
            ),
            (f"count({EXPORTERS} == 0) or 0 * count({EXPORTERS})", "Silent"),
            colours=GONE,
        ),
        number(
            Text(
                title="Properties",
                tells="Properties that are polled, whether or not their polls succeed",
                worry="when it is not the number you have",
            ),
            ("all:siptrunk_properties:count", "Properties"),
        ),
        number(
            Text(
                title="Properties up",
                tells="Properties of which the last poll brought a complete list of trunks",
                worry="when it is less than the number of properties for longer than it takes to poll them all",
            ),
            ("all:siptrunk_properties_up:sum", "Up"),
        ),
        number(
            Text(
                title="Properties down",
                tells="Properties of which the last poll failed. Those not polled yet are not counted",
                worry="at 1 or more: the table of properties below has them at its top",
            ),
            ("all:siptrunk_properties_down:sum", "Down"),
            colours=GONE,
        ),
        number(
            Text(
                title="Without data",
                tells="Properties of which no trunk is known, because no poll succeeded lately. No sum here holds them",
                worry="at 1 or more, except in the first minutes after an exporter's start",
            ),
            (or_none(f"count({INFO} unless on (property_sid) {ACTIVE_TRUNKS})"), "Without data"),
            colours=GONE,
        ),
        number(
            Text(
                title="Data late",
                tells="Properties whose data are older than two poll intervals, because polls fail or come late",
                worry="when it stays above 0: see Freshness in the dashboard of the exporter",
            ),
            ("all:siptrunk_properties_late:sum", "Late"),
            colours=POOR,
        ),
        *(
            number(
                Text(
                    title=f"{severity.capitalize()} alerts",
                    tells=f"Alerts of severity {severity} that are firing now",
                    worry="at 1 or more: they stand below, and their runbooks tell what to do",
                ),
                (or_none(f'count(ALERTS{{{ALERTS}, alertstate="firing", severity="{severity}"}})'), "Firing"),
                colours=colours,
            )
            for severity, colours in (("critical", GONE), ("warning", POOR))
        ),
    ]


def wrong() -> list[Builder[model.Panel]]:
    """Tell what is wrong now."""
    return [
        firing_alerts(
            Text(
                title="Firing alerts",
                tells="Every alert of this pack that fires, the gravest first, with the time since which it is so",
                worry="about what stands here, from the top down. A click on a property opens it",
                empty="nothing is wrong, or the alert rules are not loaded",
                no_value="none fires",
            ),
            ALERTS,
            Column(title="Property", label="property", blank=NONE, linked=True),
            Column(title="Account", label="account_sid", blank=NONE),
            Column(title="Exporter", label="instance", blank=NONE),
            Column(title="Property Sid", label="property_sid", blank=NONE),
            Column(title="Trunk Sid", label="trunk_sid", blank=NONE),
            width=24,
            height=8,
        )
    ]


def capacity() -> list[Builder[model.Panel]]:
    """Tell how many channels there are, where, and how that changed."""
    known = f"count({CHANNELS}:max)"
    largest = f"({CHANNELS}:delta1d and on (property_sid) topk(15, abs({CHANNELS}:delta1d != 0)))"
    return [
        number(
            Text(
                title="Channels allowed",
                tells=(
                    "The sum of the channel limits of all active trunks, and how many properties' are in it: one whose"
                    " data are gone, or of which a trunk's limit is not known, is not. Calls in progress are not known"
                ),
                worry="when fewer properties are known than there are: the sum then is of those alone",
            ),
            ("all:siptrunk_property_active_channel_limit:sum", "channels"),
            (known, KNOWN),
            ("all:siptrunk_properties:count", "of properties"),
            width=9,
        ),
        number(
            Text(
                title="Change of channels allowed",
                tells=(
                    "By how many channels the properties grew or shrank, together. A property counts where it is known"
                    " now and was then, so that one whose data went makes no change"
                ),
                worry="when it falls and nobody ordered that",
                empty="Prometheus has no data of that age, or no exporter answers",
            ),
            *((f"all:siptrunk_property_active_channel_limit:delta{days}d", words) for days, words in SPANS),
            width=9,
            colours=FALL,
        ),
        number(
            Text(
                title="Trunks",
                tells="Trunks of the properties whose data are known, and those of them that are not deactivated",
                worry="when the number is not about what you have",
            ),
            ("sum(all:siptrunk_property_trunks:sum)", "trunks"),
            ("all:siptrunk_property_active_trunks:sum", "active"),
            width=6,
        ),
        graph(
            Text(
                title="Channels allowed over time",
                tells="The sum of the channel limits of all active trunks, and of how many properties (right axis)",
                worry="when channels fall. Where the number of properties falls with them, data went and not capacity",
            ),
            ("all:siptrunk_property_active_channel_limit:sum", "channels"),
            (known, KNOWN),
            width=16,
            right=KNOWN,
        ),
        bars(
            Text(
                title="Channels allowed by account",
                tells="The sum of the channel limits of all active trunks, of the properties whose data are known",
                worry="when an account is missing",
            ),
            (
                f"sort_desc(sum by (account_sid) (\n{by_name(f'{CHANNELS}:max')}\n))",
                "{{account_sid}}",
            ),
            width=8,
            height=8,
        ),
        bars(
            Text(
                title="Largest properties",
                tells="The 15 properties that may use most channels. A click opens one",
                worry="when one is missing that belongs here",
            ),
            (f"sort_desc(\n{by_name(f'topk(15, {CHANNELS}:max)')}\n)", "{{name}}"),
            width=12,
            height=10,
            linked=True,
        ),
        bars(
            Text(
                title="Largest changes within a day",
                tells="The 15 properties whose channels changed most against a day ago, up or down. A click opens one",
                worry="about a fall that nobody ordered",
                empty="none changed, or Prometheus has no data of a day ago",
                no_value=NONE_OR_NOT_KNOWN,
            ),
            (
                f"sort(\n{by_name(largest)}\n)",
                "{{name}}",
            ),
            width=12,
            height=10,
            colours=((None, WARN), (0.0, NOTE)),
            linked=True,
        ),
    ]


def trunks() -> list[Builder[model.Panel]]:
    """Tell what kinds of trunks there are, and where their provisioning stands."""
    return [
        graph(
            Text(
                title="Trunks by state",
                tells="Trunks by where the carrier's provisioning stands",
                worry="when provisioning or deprovisioning stays, or active falls",
            ),
            ("sum by (state) (all:siptrunk_property_trunks:sum)", "{{state}}"),
            width=8,
            stacked=True,
            words=STATE,
        ),
        graph(
            Text(
                title="Trunks by type",
                tells="Trunks that are reached by address (ip_to_ip), or sign in (authenticated)",
                worry="when a type is unknown: the API's answers have changed",
            ),
            ("sum by (trunk_type) (all:siptrunk_property_trunks:sum)", "{{trunk_type}}"),
            width=8,
            stacked=True,
        ),
        bars(
            Text(
                title="Trunks by type and state",
                tells="How many trunks of each type are in each state now",
                worry="when many are on their way, or a type or state is unknown",
            ),
            ("sort_desc(all:siptrunk_property_trunks:sum)", "{{trunk_type}}, {{state}}"),
            width=8,
            height=8,
        ),
        grid(
            Text(
                title="Longest on their way",
                tells="The 200 trunks that are provisioning or deprovisioning for longest. A click opens the property",
                worry="when one is on its way for more than an hour, or many are: ask the carrier",
                empty=f"every trunk has arrived, or {NO_EXPORTER}",
                no_value=NONE_OR_NOT_KNOWN,
            ),
            Column(
                title="Since",
                expr=f"1000 * {named(f'bottomk(200, {STATE_SINCE})', STATE_SINCE)}",
                unit=AGO,
                width=140,
            ),
            Column(title="State", label="state", words=STATE, width=130),
            Column(title="Property", label="property", blank=NONE, linked=True),
            Column(title="Trunk", label="trunk", blank=NONE),
            Column(title="Property Sid", label="property_sid", blank=NONE),
            Column(title="Trunk Sid", label="trunk_sid", blank=NONE),
            width=24,
            height=8,
            sort=(("Since", False),),
        ),
    ]


def agreed() -> list[Builder[model.Panel]]:
    """Tell where trunks are not as the configuration expects them."""
    return [
        number(
            Text(
                title="Not as agreed",
                tells=(
                    "Expectations that do not hold: the trunks of each property that differ, are missing or should not"
                    " be, by what differs. Of properties whose data are gone nothing is known"
                ),
                worry="at 1 or more: the table beside has them",
                empty=f"the configuration expects nothing (expected:), or {NO_EXPORTER}",
                no_value="nothing expected, or not known",
            ),
            (f"sum({DRIFT})", "Not as agreed"),
            width=6,
            height=8,
            colours=POOR,
        ),
        grid(
            Text(
                title="Properties not as agreed",
                tells="What differs from what is expected, and of how many trunks. A click opens the property",
                worry="about what stands here: put it back, or agree to it in the configuration",
                empty=f"all is as agreed, nothing is expected, or {NO_EXPORTER}",
                no_value=NONE_OR_NOT_KNOWN,
            ),
            Column(title="Trunks", expr=f"topk(200, {by_name(f'({DRIFT} > 0)')})", unit=COUNT, width=90),
            Column(title="Not as agreed", label="field", width=180),
            Column(title="Property", label="name", blank=NONE, linked=True),
            Column(title="Account", label="account_sid", blank=NONE),
            Column(title="Property Sid", label="property_sid", blank=NONE),
            width=18,
            height=8,
            sort=(("Trunks", True),),
        ),
    ]


def changed() -> list[Builder[model.Panel]]:
    """Tell what changed within the last day."""
    latest = f"topk(200, {CHANGED_AT})"

    def keyed(series: str) -> str:
        return f'label_join({series}, "row", "/", "property_sid", "kind")'

    return [
        grid(
            Text(
                title="Latest changes",
                tells=(
                    "The 200 latest changes by property and kind, newest first, and how many of the kind there were"
                    " within the day. Old and new values are in the exporter's log and at its /api/v1/changes"
                ),
                worry="about changes that nobody ordered. A click opens the property",
                empty=f"nothing changed, or {NO_EXPORTER}",
                no_value=NONE_OR_NOT_KNOWN,
            ),
            Column(title="Seen", expr=keyed(f"1000 * {by_name(latest)}"), unit=AGO, width=140),
            Column(title="Kind", label="kind", width=180),
            Column(
                title="In a day",
                expr=f"sum by (row) ({keyed(f'sum_over_time({CHANGED}[1d]) and on (property_sid, kind) {latest}')})",
                unit=COUNT,
                width=100,
            ),
            Column(title="Property", label="name", blank=NONE, linked=True),
            Column(title="Property Sid", label="property_sid", blank=NONE),
            join="row",
            width=14,
            height=10,
            sort=(("Seen", True),),
        ),
        graph(
            Text(
                title="Changes within an hour",
                tells="How many changes of each kind were seen within the hour before",
                worry="about many at once, and about removed or deactivated trunks that nobody ordered",
                empty=f"nothing changed in this time, or {NO_EXPORTER}",
                no_value=NONE_OR_NOT_KNOWN,
            ),
            (changes("kind", "1h"), "{{kind}}"),
            width=10,
            height=10,
            stacked=True,
        ),
        grid(
            Text(
                title="Trunks modified within the last day",
                tells="The 200 trunks that the carrier modified last, newest first. A click opens the property",
                worry="about changes that nobody ordered",
                empty=f"none was modified, or {NO_EXPORTER}",
                no_value=NONE_OR_NOT_KNOWN,
            ),
            Column(title="Modified", expr=f"1000 * {named(f'topk(200, {MODIFIED})', MODIFIED)}", unit=AGO, width=140),
            Column(title="Property", label="property", blank=NONE, linked=True),
            Column(title="Trunk", label="trunk", blank=NONE),
            Column(title="Property Sid", label="property_sid", blank=NONE),
            Column(title="Trunk Sid", label="trunk_sid", blank=NONE),
            width=14,
            height=10,
            sort=(("Modified", True),),
        ),
        grid(
            Text(
                title="Alerts of changes within the last day",
                tells="Alerts that tell of a change, also those that have ended since, newest first",
                worry="about deactivations and lower limits that nobody ordered",
                empty="nothing of the kind happened, or the alert rules are not loaded",
                no_value="none fired",
            ),
            Column(
                title="Seen",
                expr=begun(CHANGES, "1d"),
                unit=AGO,
                width=140,
            ),
            Column(title="Alert", label="alertname", width=220),
            Column(title="Property", label="property", blank=NONE, linked=True),
            Column(title="Trunk", label="trunk", blank=NONE),
            Column(title="Property Sid", label="property_sid", blank=NONE),
            width=10,
            height=10,
            sort=(("Seen", True),),
        ),
    ]


def properties() -> list[Builder[model.Panel]]:
    """Tell how each property is."""
    return [
        grid(
            Text(
                title="All properties",
                tells="Every property, those not up first. A click opens one; every column sorts and filters",
                worry="about rows at the top that are down, or whose data age grows",
            ),
            Column(title="Property", label="name", blank=NONE, linked=True),
            Column(title="Poll", expr=UP, words=UP_OR_DOWN, width=90),
            Column(title="Data age", expr=AGE, unit="s", width=110),
            Column(title="Trunks", expr=f"sum by (property_sid) ({TRUNKS})", unit=COUNT, width=90),
            Column(title="Active trunks", expr=ACTIVE_TRUNKS, unit=COUNT, width=120),
            Column(title="Channels allowed", expr=f"{CHANNELS}:max", unit=COUNT, width=150),
            *(
                Column(title=f"Change {words}", expr=f"{CHANNELS}:delta{days}d", unit=COUNT, steps=FALL, width=150)
                for days, words in SPANS
            ),
            Column(title="Account", label="account_sid", blank=NONE),
            Column(title="Property Sid", label="property_sid", blank=NONE, linked=True),
            labels_of=(INFO,),
            join="property_sid",
            width=24,
            height=16,
            sort=(("Poll", False), ("Data age", True)),
        )
    ]


def overview() -> model.Dashboard:
    """Make the dashboard."""
    return frame(
        "siptrunk-overview",
        about="All properties together: is all well, what is wrong, how much capacity there is and what changed.",
        start="now-24h",
        variables=[],
        rows={
            "Is all well?": well(),
            "What is wrong now": wrong(),
            "Is it as agreed?": agreed(),
            "Capacity": capacity(),
            "Trunks": trunks(),
            "What changed": changed(),
            "Properties": properties(),
        },
    )
