"""The dashboard "SIP trunks: property": one property, its trunks, and how both got there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import BigValueTextMode

from deploy.grafana.alerts import firing_alerts
from deploy.grafana.frame import frame
from deploy.grafana.overview import SPANS
from deploy.grafana.parts import (
    AGO,
    BAD,
    COUNT,
    GOOD,
    NO_EXPORTER,
    NONE,
    NONE_OR_NOT_KNOWN,
    PLAIN,
    SOURCE,
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
    timeline,
)
from deploy.grafana.queries import (
    ACTIVE_TRUNKS,
    AGE,
    ALERTS,
    CHANGED_AT,
    CHANNELS,
    DRIFT,
    INFO,
    INTERVAL,
    TRUNKS,
    UP,
    changes,
)

if TYPE_CHECKING:
    from grafana_foundation_sdk.cog.builder import Builder

THIS = '{property_sid="$property"}'
NO_DATA = f"the property's data are gone because its polls fail, or {NO_EXPORTER}"
FRESH = {"0": ("Fresh", GOOD), "1": ("Stale", WARN)}
ACTIVE = {"1": ("active", GOOD), "0": ("deactivated", PLAIN)}
DIFFERS = {"1": ("differs", WARN)}
# What a state timeline draws are numbers: the states in the order of a trunk's life.
CODES = ("provisioning", "active", "deprovisioning", "inactive", "unknown")


def of_trunk(family: str) -> str:
    """Give a family's value for each trunk of the property, whichever exporter tells it."""
    return f"max by (trunk_sid) ({family}{THIS})"


def one_name(labels: str) -> str:
    """Give one `siptrunk_info` for each trunk, the newest, so that a rename breaks no line into two.

    While a rename reaches one exporter after the other there are two of them.
    """
    return f"topk by (trunk_sid) (1, max by (trunk_sid, {labels}) (siptrunk_info{THIS} @ end()))"


def with_names(series: str, sids: str = f"siptrunk_active{THIS}") -> str:
    """Give trunks' series the label `name`; those that have none stay without. `sids` has at least their Sids."""
    names = f"{one_name('name')} or on (trunk_sid) group by (trunk_sid) ({sids})"
    return f"{series}\n* on (trunk_sid) group_left (name) ({names})"


def variables() -> list[Builder[model.VariableModel]]:
    """Name people the accounts and properties; queries get Sids."""
    account = build.QueryVariable("account").label("Account").datasource(SOURCE)
    account.description("Accounts whose properties are offered.").query(f"label_values({INFO}, account_sid)")
    account.multi(multi=True).include_all(include_all=True).all_value(".*")
    account.current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
    chosen = build.QueryVariable("property").label("Property").datasource(SOURCE)
    chosen.description("The property shown.").query(f'query_result({INFO}{{account_sid=~"$account"}})')
    # A name may hold any character, quotes too, and may be missing: then the Sid stands for it.
    chosen.regex('/account_sid="[^"]*",(?:name="(?<text>.*)",)?property_sid="(?<value>[^"]+)"/')
    for variable in (account, chosen):
        variable.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        variable.sort(model.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC).allow_custom_value(allow_custom_value=False)
    return [account, chosen]


def well() -> list[Builder[model.Panel]]:
    """Tell whether all is well with it."""
    return [
        number(
            Text(
                title="Property ${property:raw}",
                tells="The property's name, and above it its Sid",
                worry="when it is not the one you meant",
                empty=f"no exporter polls this property any more, or {NO_EXPORTER}",
            ),
            (f"{INFO}{THIS}", "{{name}}"),
            width=6,
            mode=BigValueTextMode.NAME,
        ),
        number(
            Text(
                title="Last poll",
                tells="Whether the last poll brought a complete list of trunks: Up; or failed: Down",
                worry="when it stays Down: Failures by reason below tells why",
                empty=f"the property was not polled yet, or {NO_EXPORTER}",
            ),
            (f"{UP}{THIS}", "Last poll"),
            words=UP_OR_DOWN,
        ),
        number(
            Text(
                title="Data",
                tells="Whether what is shown is from the last poll: Fresh; or from an earlier one: Stale",
                worry="when they are Stale: unless a poll succeeds they will be gone",
                empty=NO_DATA,
                no_value="gone or not known",
            ),
            (
                f"min(siptrunk_property_stale{THIS} and on (job, instance) siptrunk_property_active_trunks{THIS})",
                "Data",
            ),
            words=FRESH,
        ),
        number(
            Text(
                title="Data age",
                tells="Time since the last poll that brought a complete list",
                worry="when it is more than two poll intervals",
                empty=f"no poll has succeeded since the exporter's start, or {NO_EXPORTER}",
            ),
            (f"{AGE}{THIS}", "Data age"),
            unit="s",
        ),
        number(
            Text(
                title="Last poll took",
                tells="How long the last poll took, waiting for the request budget included",
                worry="when it comes near the poll interval",
                empty=f"the property was not polled yet, or {NO_EXPORTER}",
            ),
            (f"max(siptrunk_property_last_poll_duration_seconds{THIS})", "Last poll took"),
            unit="s",
        ),
        number(
            Text(title="Trunks", tells="All trunks of the property, in any state", worry="when it is 0", empty=NO_DATA),
            (f"sum({TRUNKS}{THIS})", "Trunks"),
        ),
        number(
            Text(
                title="Active trunks",
                tells="Trunks that are not deactivated: their EndDate is not set, or lies ahead",
                worry="at 0: nobody can call out or in by these trunks",
                empty=NO_DATA,
            ),
            (f"{ACTIVE_TRUNKS}{THIS}", "Active trunks"),
            colours=steps(BAD, (1, PLAIN)),
        ),
    ]


def wrong() -> list[Builder[model.Panel]]:
    """Tell what is wrong with it, and when polls failed."""
    return [
        firing_alerts(
            Text(
                title="Firing alerts",
                tells="Alerts of this property and its trunks that fire, the gravest first",
                worry="about what stands here, from the top down",
                empty="nothing is wrong, or the alert rules are not loaded",
                no_value="none fires",
            ),
            f'{ALERTS}, property_sid="$property"',
            Column(title="Trunk Sid", label="trunk_sid", blank=NONE),
            width=16,
            height=7,
        ),
        timeline(
            Text(
                title="Polls over time",
                tells="When polls succeeded: Up; or failed: Down. Nothing is drawn where nothing is known",
                worry="when Down stays, or comes again and again",
                empty=f"the property was not polled in this time, or {NO_EXPORTER}",
            ),
            (f"{UP}{THIS}", "Poll"),
            width=8,
            height=7,
            words=UP_OR_DOWN,
        ),
    ]


def agreed() -> list[Builder[model.Panel]]:
    """Tell which of its trunks are not as the configuration expects them, and what changed within a day."""
    differs = f"max by (trunk_sid, field) (siptrunk_drift{THIS} == 1)"
    return [
        number(
            Text(
                title="Not as agreed",
                tells="Expectations of the property's trunks that do not hold",
                worry="at 1 or more: the table beside has them",
                empty=f"the configuration expects nothing of this property (expected:), or {NO_DATA}",
                no_value="nothing expected, or not known",
            ),
            (f"sum({DRIFT}{THIS})", "Not as agreed"),
            height=8,
            colours=steps(GOOD, (1, WARN)),
        ),
        grid(
            Text(
                title="Trunks not as agreed",
                tells=(
                    "What of which trunk is not as expected; missing: it is not there; unexpected: it should not be."
                    " What it should be stands in the configuration"
                ),
                worry="about what stands here: put it back, or agree to it in the configuration",
                empty=f"all is as agreed, nothing is expected, or {NO_DATA}",
                no_value=NONE_OR_NOT_KNOWN,
            ),
            Column(title="Trunk", label="name", blank=NONE),
            Column(title="What", label="field", width=180),
            Column(title="As agreed", expr=with_names(differs, differs), words=DIFFERS, width=110),
            Column(title="Trunk Sid", label="trunk_sid", blank=NONE),
            width=9,
            height=8,
            sort=(("Trunk", False),),
        ),
        grid(
            Text(
                title="Latest changes",
                tells=(
                    "When a change of each kind was seen last, and how many there were, within the last day. Which, and"
                    " old and new values, are in the exporter's log and at its /api/v1/changes"
                ),
                worry="about changes that nobody ordered",
                empty=f"nothing changed, or {NO_EXPORTER}",
                no_value=NONE_OR_NOT_KNOWN,
            ),
            Column(title="Kind", label="kind"),
            Column(title="Seen", expr=f"1000 * max by (kind) ({CHANGED_AT}{THIS})", unit=AGO, width=130),
            Column(title="In a day", expr=changes("kind", "1d", THIS), unit=COUNT, width=90),
            join="kind",
            width=6,
            height=8,
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
            (changes("kind", "1h", THIS), "{{kind}}"),
            width=6,
            stacked=True,
        ),
    ]


def trunks() -> list[Builder[model.Panel]]:
    """Tell its trunks one by one."""
    labels = ("name", "trunk_type", "customer_reference", "external_reference", "default_caller_id")
    state = f"max by (trunk_sid, state) (siptrunk_provisioning_state{THIS} == 1)"
    return [
        grid(
            Text(
                title="All trunks",
                tells=(
                    "Every trunk of the property, the one modified last first. A limit is the most channels at once,"
                    " and no number of calls. Every column sorts and filters"
                ),
                worry="about trunks that are deactivated, or long in another state than active, and should not be",
                empty=f"{NO_DATA}, or the exporter is set to tell no series of trunks",
            ),
            Column(title="Trunk", label="name", blank=NONE),
            Column(title="Limit", expr=of_trunk("siptrunk_channel_limit"), unit=COUNT, width=80),
            Column(title="Active", expr=of_trunk("siptrunk_active"), words=ACTIVE, width=110),
            Column(title="State", label="state", words=STATE, width=130),
            Column(
                title="State since",
                expr=f"1000 * min by (trunk_sid) (siptrunk_provisioning_state_since_timestamp_seconds{THIS})",
                unit=AGO,
            ),
            Column(title="Type", label="trunk_type", width=120),
            *(
                Column(
                    title=time.capitalize(), expr=f"1000 * {of_trunk(f'siptrunk_{time}_timestamp_seconds')}", unit=AGO
                )
                for time in ("modified", "created")
            ),
            Column(title="Ends", expr=f"1000 * {of_trunk('siptrunk_end_timestamp_seconds')}", unit=AGO, blank=NONE),
            Column(title="Customer reference", label="customer_reference", blank=NONE),
            Column(title="External reference", label="external_reference", blank=NONE),
            Column(title="Default caller id", label="default_caller_id", blank=NONE),
            Column(title="Trunk Sid", label="trunk_sid", blank=NONE),
            labels_of=(one_name(", ".join(labels)), f"topk by (trunk_sid) (1, {state})"),
            join="trunk_sid",
            width=24,
            height=14,
            sort=(("Modified", True),),
        )
    ]


def capacity() -> list[Builder[model.Panel]]:
    """Tell how many channels it may use, and how that changed."""
    largest = f"topk(10, max by (trunk_sid) (siptrunk_channel_limit{THIS} @ end()))"
    return [
        number(
            Text(
                title="Channels allowed",
                tells="The sum of the channel limits of the active trunks, and by how much it changed",
                worry="when it falls and nobody ordered that",
                empty=f"a trunk's limit is not known, or {NO_DATA}; a change, when there are no data of then",
            ),
            (f"{CHANNELS}:max{THIS}", "channels"),
            *((f"{CHANNELS}:delta{days}d{THIS}", words) for days, words in SPANS),
            width=6,
            height=9,
        ),
        graph(
            Text(
                title="Channels allowed over time",
                tells="The sum of the channel limits of the active trunks",
                worry="when it falls and nobody ordered that",
                empty=NO_DATA,
            ),
            (f"{CHANNELS}:max{THIS}", "channels"),
            width=9,
            height=9,
        ),
        graph(
            Text(
                title="Limits of the largest trunks",
                tells="The channel limits of the ten trunks that have the highest now, deactivated ones included",
                worry="when a limit falls and nobody ordered that",
                empty=NO_DATA,
            ),
            (
                f"{with_names(of_trunk('siptrunk_channel_limit'))}\nand on (trunk_sid) {largest}",
                "{{name}} {{trunk_sid}}",
            ),
            width=9,
            height=9,
        ),
    ]


def states() -> list[Builder[model.Panel]]:
    """Tell where provisioning stood over time."""
    coded = "\n or ".join(
        f'{code} * (siptrunk_provisioning_state{{property_sid="$property", state="{state}"}} == 1)'
        for code, state in enumerate(CODES)
    )
    changed = f"changes(siptrunk_provisioning_state{THIS}[$__range] @ end()) > 0"
    return [
        graph(
            Text(
                title="Trunks by state",
                tells="The property's trunks by where the carrier's provisioning stands",
                worry="when provisioning or deprovisioning stays, or active falls",
                empty=NO_DATA,
            ),
            (f"sum by (state) ({TRUNKS}{THIS})", "{{state}}"),
            width=8,
            stacked=True,
            words=STATE,
        ),
        bars(
            Text(
                title="Trunks by type and state",
                tells="How many trunks of each type are in each state now",
                worry="when many are on their way, or a type or state is unknown",
                empty=NO_DATA,
            ),
            (f"sort_desc({TRUNKS}{THIS})", "{{trunk_type}}, {{state}}"),
            width=6,
            height=8,
        ),
        timeline(
            Text(
                title="Trunks that changed state",
                tells="The states that trunks went through, for those whose state changed in the time shown",
                worry="when one is long in provisioning or deprovisioning, or goes to and fro",
                empty=f"no trunk changed its state, or {NO_DATA}",
                no_value=NONE_OR_NOT_KNOWN,
            ),
            (
                with_names(f"(max by (trunk_sid) (\n    {coded}\n)\nand on (trunk_sid) {changed})"),
                "{{name}} {{trunk_sid}}",
            ),
            width=10,
            height=8,
            words={str(code): STATE[state] for code, state in enumerate(CODES)},
        ),
    ]


def polling() -> list[Builder[model.Panel]]:
    """Tell how its polling goes."""
    return [
        graph(
            Text(
                title="Data age over time",
                tells="Time since the last poll that brought a complete list; the dashed line is the poll interval",
                worry="when it goes beyond twice the interval, or grows without falling back",
                empty=f"no poll has succeeded since the exporter's start, or {NO_EXPORTER}",
            ),
            (f"{AGE}{THIS}", "data age"),
            (INTERVAL, "poll interval"),
            width=8,
            unit="s",
            dashed="poll interval",
        ),
        graph(
            Text(
                title="Poll duration",
                tells="How long each poll took, waiting for the request budget included",
                worry="when it comes near the poll interval",
                empty=f"the property was not polled in this time, or {NO_EXPORTER}",
            ),
            (f"max by (instance) (siptrunk_property_last_poll_duration_seconds{THIS})", "{{instance}}"),
            width=8,
            unit="s",
        ),
        graph(
            Text(
                title="Failures by reason",
                tells="Polls of the property that failed, by reason; of several exporters, those of the one with most",
                worry="when it stays above 0",
                empty=f"no poll failed, or {NO_EXPORTER}",
                no_value=NONE_OR_NOT_KNOWN,
            ),
            (
                f"max by (reason) (increase(siptrunk_property_poll_failures_total{THIS}[$__rate_interval])) > 0",
                "{{reason}}",
            ),
            width=8,
            stacked=True,
        ),
    ]


def one_property() -> model.Dashboard:
    """Make the dashboard."""
    return frame(
        "siptrunk-property",
        about="One property: is all well with it, what its trunks are, and how limits and states changed.",
        start="now-24h",
        variables=variables(),
        rows={
            "Is all well?": well(),
            "What is wrong": wrong(),
            "Is it as agreed, and what changed?": agreed(),
            "Trunks": trunks(),
            "Capacity": capacity(),
            "Provisioning": states(),
            "Polling": polling(),
        },
        changes='property_sid="$property"',
    )
