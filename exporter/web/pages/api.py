"""How the API answers, what of the request budget is used, and the configuration in force."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING

from exporter.config import format_duration
from exporter.web.pages.charts import bars, worst
from exporter.web.pages.html import Content, Html, h
from exporter.web.pages.layout import figure, table
from exporter.web.pages.words import since, span

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.telemetry import Telemetry
    from exporter.web.app import Endpoints

SHARES = (0.5, 0.95, 0.99)


def api(endpoints: Endpoints) -> Html:
    """Show the latency of the API's answers and the budget of requests."""
    telemetry, settings = endpoints.telemetry, endpoints.poller.config.api
    now = time.monotonic()
    per_minute, slowest = telemetry.requests.minutes(now), telemetry.slowest.minutes(now)
    rate = per_minute[-2] / 60
    limit = settings.requests_per_second
    line = limit * 60 if limit * 60 <= 2 * max(per_minute) else 0.0
    asked = f"{rate:.1f}{f' of {limit:g}' if limit else ''} a second in the last full minute"
    asked += "; the line is the budget" if line else ""
    told = worst(slowest, "request")
    budget = endpoints.poller.budget
    return h.section(
        h.h2("The carrier's API"),
        h.p(f"{budget.held} of {settings.max_concurrency} requests in flight, {budget.waiting:,} waiting for a turn."),
        figure("Requests", bars(per_minute, f"Requests of the last hour: {asked}", line), asked),
        figure("Slowest request of each minute", bars(slowest, told), told),
        _latency(telemetry),
    )


def _latency(telemetry: Telemetry) -> Html | None:
    """Show for each list how many requests there were since the start, and within what time most were answered."""
    buckets: Mapping[str, list[tuple[float, float]]] = defaultdict(list)
    for metric in telemetry.api_duration.collect():
        for sample in metric.samples:
            if sample.name.endswith("_bucket"):
                buckets[sample.labels["endpoint"]].append((float(sample.labels["le"]), sample.value))
    head = [
        h.th(name, scope="col", class_="number" if at else None)
        for at, name in enumerate(("List", "Requests", *(f"{share:.0%} within" for share in SHARES)))
    ]
    rows = [
        h.tr(
            h.th(endpoint.replace("_", " "), scope="row"),
            h.td(f"{counts[-1][1]:,.0f}", class_="number", data_label="Requests"),
            [h.td(_within(counts, share), class_="number", data_label=f"{share:.0%} within") for share in SHARES],
        )
        for endpoint, counts in buckets.items()
    ]
    return table("Latency since the start", head, rows) if rows else None


def _within(counts: list[tuple[float, float]], share: float) -> str:
    bound = next(bound for bound, count in counts if count >= share * counts[-1][1])
    return span(bound) if bound < float("inf") else f"over {span(counts[-2][0])}"


def configuration(endpoints: Endpoints, now: float) -> Html:
    """Show what of the configuration matters at a glance, and where all of it is."""
    config, telemetry = endpoints.poller.config, endpoints.telemetry
    loaded = next(iter(telemetry.reload_success_time.collect())).samples[0].value
    facts: tuple[tuple[str, Content], ...] = (
        ("In force", since(loaded, now) if loaded else "—"),
        ("API", h.bdi(config.api.base_url)),
        ("Polled every", format_duration(config.poll.interval)),
        ("Last good data shown for", format_duration(config.poll.stale_after)),
        ("Accounts", f"{len(config.accounts):,}"),
        ("Changes kept", f"{config.state.changes:,}, for {format_duration(config.state.keep_for)}"),
    )
    return h.section(
        h.h2("Configuration"),
        h.dl([h.div(h.dt(name), h.dd(value)) for name, value in facts], class_="facts"),
        h.p(h.a("All of it, secrets blanked", href="config")),
    )
