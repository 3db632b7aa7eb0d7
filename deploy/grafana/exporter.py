"""The dashboard "SIP trunks: exporter": does it poll in time, what does the API do, what does the process cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import BigValueTextMode

from deploy.grafana.frame import frame
from deploy.grafana.parts import (
    AGO,
    BAD,
    COUNT,
    GOOD,
    NONE_OR_NOT_KNOWN,
    SOURCE,
    WARN,
    Column,
    Text,
    bars,
    graph,
    grid,
    heat_map,
    number,
    steps,
)
from deploy.grafana.queries import AGE, INFO, INTERVAL, aged

if TYPE_CHECKING:
    from grafana_foundation_sdk.cog.builder import Builder

OWN = '{instance=~"$instance"}'
# These names are everybody's.
ANY = '{job=~".*siptrunk.*", instance=~"$instance"}'
REQUESTS = "siptrunk_exporter_api_requests_total"
DURATION = "siptrunk_exporter_api_request_duration_seconds"
QUANTILES = (("max", "oldest"), ("p95", "95 %"), ("p50", "median"))
SILENT = "the exporter does not answer Prometheus"
LIMIT = "poll interval"
ANSWERS = {"1": ("Answers", GOOD), "0": ("Silent", BAD)}
LOADED = {"1": ("Loaded", GOOD), "0": ("Refused", BAD)}
FOUND = {"1": ("Succeeds", GOOD), "0": ("Fails", BAD)}


def rate(counter: str, by: str, matchers: str = "") -> str:
    """Give a counter's increase a second, summed up."""
    more = f", {matchers}" if matchers else ""
    return f'sum by ({by}) (rate({counter}{{instance=~"$instance"{more}}}[$__rate_interval]))'


def variables() -> list[Builder[model.VariableModel]]:
    """Let people choose among exporters."""
    instance = build.QueryVariable("instance").label("Exporter").datasource(SOURCE)
    instance.description("Exporters shown, by the address that Prometheus scrapes.")
    instance.query("label_values(siptrunk_exporter_build_info, instance)")
    instance.multi(multi=True).include_all(include_all=True).all_value(".*").allow_custom_value(
        allow_custom_value=False
    )
    instance.current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
    instance.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    return [instance.sort(model.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)]


def well() -> list[Builder[model.Panel]]:
    """Tell whether all is well."""
    return [
        number(
            Text(
                title="Scrape",
                tells="Whether the exporter answers Prometheus",
                worry="when it is Silent",
                empty="Prometheus has no such target in a job named *siptrunk*",
            ),
            (f"up{ANY}", "{{instance}}"),
            width=4,
            words=ANSWERS,
        ),
        number(
            Text(
                title="Configuration",
                tells="Whether the newest configuration is in force: Loaded; or the one before still is: Refused",
                worry="when it is Refused: the exporter's log tells file, line and fault",
                empty=SILENT,
            ),
            (f"siptrunk_exporter_config_last_reload_successful{OWN}", "{{instance}}"),
            width=4,
            words=LOADED,
        ),
        number(
            Text(
                title="Look-up of properties",
                tells="Whether the last look-up of each account's properties brought a complete list",
                worry="when it Fails for longer than an interval: new and renamed properties are not noticed",
                empty=f"no account is set to discover its properties, or {SILENT}",
            ),
            (f"min by (account_sid) (siptrunk_exporter_discovery_up{OWN})", "{{account_sid}}"),
            width=4,
            words=FOUND,
        ),
        number(
            Text(
                title="Running since",
                tells="When the process started",
                worry="when it is not when you started it",
                empty=SILENT,
            ),
            (f"1000 * process_start_time_seconds{ANY}", "{{instance}}"),
            width=4,
            unit=AGO,
        ),
        number(
            Text(
                title="Restarts",
                tells="How often the process started anew in the time shown",
                worry="when you did not restart it: its log and the service manager's tell more",
                empty=SILENT,
            ),
            (f"changes(process_start_time_seconds{ANY}[$__range])", "{{instance}}"),
            width=4,
            colours=steps(GOOD, (1, WARN)),
        ),
        number(
            Text(
                title="Version",
                tells="What is running",
                worry="when exporters differ without being meant to",
                empty=SILENT,
            ),
            (f"siptrunk_exporter_build_info{OWN}", "{{instance}}: {{version}} {{revision}}"),
            width=4,
            mode=BigValueTextMode.NAME,
        ),
    ]


def shards() -> list[Builder[model.Panel]]:
    """Tell who polls what share of the properties."""
    return [
        grid(
            Text(
                title="Shares of the properties",
                tells=(
                    "The shard of each exporter, counted from 0, and what it comes to; of a pair with one shard both"
                    " are shown"
                ),
                worry="when a shard is missing, or exporters differ in how many shards there are",
                empty=SILENT,
            ),
            Column(title="Exporter", label="instance"),
            Column(title="Shard", expr=f"siptrunk_exporter_shard_ordinal{OWN}", unit=COUNT),
            Column(title="Shards", expr=f"siptrunk_exporter_shards{OWN}", unit=COUNT),
            Column(title="Properties", expr=f"count by (instance) (siptrunk_property_info{OWN})", unit=COUNT),
            Column(title="Requests", expr=rate(REQUESTS, "instance"), unit="reqps"),
            join="instance",
            width=24,
            height=6,
            sort=(("Shard", False), ("Exporter", False)),
        )
    ]


def freshness() -> list[Builder[model.Panel]]:
    """Tell how old is what is shown."""
    return [
        graph(
            Text(
                title="Data age",
                tells=(
                    "Time since the properties' last good polls, by whichever exporter: the oldest, the age that 95 in"
                    " 100 are below, and the median; the dashed line is the poll interval"
                ),
                worry="when the median goes beyond the interval: there are more properties than the budget carries",
            ),
            *((f"all:siptrunk_data_age_seconds:{of}", name) for of, name in QUANTILES),
            (INTERVAL, LIMIT),
            width=8,
            unit="s",
            dashed=LIMIT,
        ),
        bars(
            Text(
                title="Properties by data age",
                tells="How many properties' data are how old, in poll intervals; never: no poll has succeeded yet",
                worry="when many are beyond two intervals",
            ),
            (f"sum({AGE} <= bool on () group_left () {INTERVAL})", "up to 1 interval"),
            (f"{aged(1)} - {aged(2)}", "up to 2 intervals"),
            (f"{aged(2)} - {aged(5)}", "up to 5 intervals"),
            (aged(5), "older"),
            (f"count({INFO} unless on (property_sid) {AGE}) or 0 * all:siptrunk_properties:count", "never"),
            width=8,
            height=8,
        ),
        graph(
            Text(
                title="Properties late or down",
                tells="Properties whose data are older than two poll intervals, and those whose last poll failed",
                worry="when either stays above 0",
            ),
            ("all:siptrunk_properties_late:sum", "late"),
            ("all:siptrunk_properties_down:sum", "down"),
            width=8,
        ),
    ]


def polls() -> list[Builder[model.Panel]]:
    """Tell how the polls go."""
    return [
        graph(
            Text(
                title="Polls",
                tells="Polls that ended in a second, and those of them that failed, of each exporter",
                worry="when they are fewer than properties divided by the interval, or failures stay above 0",
                empty=SILENT,
            ),
            (f"instance:siptrunk_property_polls:rate5m{OWN}", "{{instance}}"),
            (f"sum by (instance) (instance_reason:siptrunk_property_poll_failures:rate5m{OWN})", "{{instance}} failed"),
            width=8,
            unit="cps",
        ),
        graph(
            Text(
                title="Failed polls by reason",
                tells="Polls that failed in a second, by reason, of the exporters shown together",
                worry="when one stays: auth and forbidden are mended in the configuration, most others by the carrier",
                empty=f"none failed, or {SILENT}",
                no_value=NONE_OR_NOT_KNOWN,
            ),
            (f"sum by (reason) (instance_reason:siptrunk_property_poll_failures:rate5m{OWN}) > 0", "{{reason}}"),
            width=8,
            unit="cps",
            stacked=True,
        ),
        graph(
            Text(
                title="Poll duration",
                tells="How long the last polls took, waiting for the budget included: the longest and the median",
                worry="when the longest comes near the poll interval",
                empty=SILENT,
            ),
            (f"instance:siptrunk_property_last_poll_duration_seconds:max{OWN}", "{{instance}} longest"),
            (f"instance:siptrunk_property_last_poll_duration_seconds:p50{OWN}", "{{instance}} median"),
            width=8,
            unit="s",
        ),
    ]


def api() -> list[Builder[model.Panel]]:
    """Tell how the API answers."""
    buckets = f'{DURATION}_bucket{{instance=~"$instance"}}[$__rate_interval]'
    asked, failed = rate(REQUESTS, "instance"), rate(REQUESTS, "instance", 'code!~"2.."')
    missed = rate("siptrunk_exporter_discovery_failures_total", "account_sid, reason")
    return [
        heat_map(
            Text(
                title="API latency",
                tells="How long requests took, from sending to the answer's last byte: the more, the darker",
                worry="when dark moves up. What lies beyond api.timeout counts as failed",
                empty=f"nothing was asked in this time, or {SILENT}",
            ),
            f"sum by (le) (increase({buckets}))",
            width=12,
        ),
        graph(
            Text(
                title="API latency, quantiles",
                tells="The time that 50, 90 and 99 in 100 requests took at most",
                worry="when 90 % comes near api.timeout",
                empty=f"nothing was asked in this time, or {SILENT}",
            ),
            *(
                (f"histogram_quantile({percent / 100}, sum by (le) (rate({buckets})))", f"{percent} %")
                for percent in (50, 90, 99)
            ),
            width=12,
            height=9,
            unit="s",
        ),
        graph(
            Text(
                title="Answers by code",
                tells="Requests to the API in a second, by HTTP status; error is where no answer came",
                worry="when another than 200 grows: 401 is the token, 429 that it is asked too often, 5xx the carrier",
                empty=f"nothing was asked in this time, or {SILENT}",
            ),
            (rate(REQUESTS, "code"), "{{code}}"),
            width=8,
            unit="reqps",
            stacked=True,
        ),
        graph(
            Text(
                title="Share of requests that failed",
                tells="Of all requests, those answered with another status than 2xx or not at all; tried again or not",
                worry="when it stays above a few per cent",
                empty=f"nothing was asked in this time, or {SILENT}",
            ),
            (f"({failed} or 0 * {asked}) / {asked}", "{{instance}}"),
            width=8,
            unit="percentunit",
        ),
        graph(
            Text(
                title="Requests tried again",
                tells="Requests in a second that were tried again, by what made the try before fail",
                worry="when it stays above 0: polls take longer, and each try costs budget",
                empty=SILENT,
            ),
            (rate("siptrunk_exporter_api_retries_total", "reason"), "{{reason}}"),
            width=8,
            unit="reqps",
            stacked=True,
        ),
        graph(
            Text(
                title="Odd answers by kind",
                tells="What was odd in an answer of the API and was survived, in a second, by kind",
                worry="when another kind than list_changed comes: the API's answers are not as documented",
                empty=SILENT,
            ),
            (rate("siptrunk_exporter_payload_anomalies_total", "kind"), "{{kind}}"),
            width=12,
            unit="cps",
            stacked=True,
        ),
        graph(
            Text(
                title="Failed look-ups of properties",
                tells="Look-ups of an account's properties that failed in a second, by account and reason",
                worry="when one stays above 0",
                empty=f"none failed, no account is set to discover its properties, or {SILENT}",
                no_value=NONE_OR_NOT_KNOWN,
            ),
            (
                f"{missed} > 0",
                "{{account_sid}} {{reason}}",
            ),
            width=12,
            unit="cps",
            stacked=True,
        ),
    ]


def budget() -> list[Builder[model.Panel]]:
    """Tell whether the request budget is enough."""
    waited, interval = (
        "instance:siptrunk_property_last_poll_age_seconds",
        f"siptrunk_exporter_poll_interval_seconds{OWN}",
    )
    return [
        graph(
            Text(
                title="Requests by endpoint",
                tells=(
                    "Requests to the API in a second, of each exporter. The configured budget, api.requests_per_second,"
                    " is no metric: compare with it"
                ),
                worry="when it stays at the budget: polls then wait for their turn",
                empty=f"nothing was asked in this time, or {SILENT}",
            ),
            (rate(REQUESTS, "instance, endpoint"), "{{instance}} {{endpoint}}"),
            width=8,
            unit="reqps",
            stacked=True,
        ),
        graph(
            Text(
                title="Requests in flight",
                tells="How many requests were under way at once, on average, of each exporter",
                worry="when it stays at api.max_concurrency: the API then is too slow for the budget",
                empty=f"nothing was asked in this time, or {SILENT}",
            ),
            (rate(f"{DURATION}_sum", "instance"), "{{instance}}"),
            width=8,
            unit="none",
        ),
        graph(
            Text(
                title="Time since the last poll, in intervals",
                tells="Of the property that waits longest since its last poll ended, well or badly, and of the median",
                worry="when the median stays above 1: polls come later than configured, and the budget is too small",
                empty=SILENT,
            ),
            (f"{waited}:max{OWN} / {interval}", "{{instance}} longest"),
            (f"{waited}:p50{OWN} / {interval}", "{{instance}} median"),
            width=8,
            unit="none",
        ),
    ]


def process() -> list[Builder[model.Panel]]:
    """Tell what the process costs."""
    return [
        graph(
            Text(
                title="Memory",
                tells="Resident memory of the process",
                worry="when it grows for days without end",
                empty=SILENT,
            ),
            (f"process_resident_memory_bytes{ANY}", "{{instance}}"),
            width=8,
            unit="bytes",
        ),
        graph(
            Text(
                title="CPU",
                tells="Share of one CPU that the process uses",
                worry="when it stays near 100 %: it uses no second one",
                empty=SILENT,
            ),
            (f"rate(process_cpu_seconds_total{ANY}[$__rate_interval])", "{{instance}}"),
            width=8,
            unit="percentunit",
        ),
        graph(
            Text(
                title="File descriptors",
                tells="Share of the file descriptors that the process may have open",
                worry="when it grows towards 100 %",
                empty=SILENT,
            ),
            (f"process_open_fds{ANY} / process_max_fds{ANY}", "{{instance}}"),
            width=8,
            unit="percentunit",
        ),
        graph(
            Text(
                title="Scrape duration",
                tells="How long Prometheus's scrapes of the exporter took",
                worry="when it comes near the scrape timeout, 10 s where nothing else is set",
                empty="Prometheus has no such target in a job named *siptrunk*",
            ),
            (f"scrape_duration_seconds{ANY}", "{{instance}}"),
            width=12,
            unit="s",
        ),
        graph(
            Text(
                title="Samples a scrape",
                tells="How many samples a scrape brings: about ten for each trunk",
                worry="when it falls without trunks having gone",
                empty="Prometheus has no such target in a job named *siptrunk*",
            ),
            (f"scrape_samples_scraped{ANY}", "{{instance}}"),
            width=12,
        ),
    ]


def exporter() -> model.Dashboard:
    """Make the dashboard."""
    return frame(
        "siptrunk-exporter",
        about="The exporter itself: how fresh its data are, how the API answers it, and what it costs.",
        start="now-6h",
        variables=variables(),
        rows={
            "Is all well?": well(),
            "Shards": shards(),
            "Freshness": freshness(),
            "Polls": polls(),
            "API": api(),
            "Request budget": budget(),
            "Process": process(),
        },
    )
