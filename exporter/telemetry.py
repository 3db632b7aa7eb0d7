"""The exporter's own metrics, kept by prometheus_client in a registry that is passed in."""

from __future__ import annotations

import os
import platform
import time
from functools import cache
from typing import TYPE_CHECKING, Any

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

from exporter import __version__
from exporter.errors import Anomaly, Reason
from exporter.history.hour import Hour
from exporter.metrics.families import Described
from exporter.shard import WHOLE, Shard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client import CollectorRegistry

EXPORTER_FAMILIES: tuple[Described, ...] = (
    Described(
        "siptrunk_exporter_build_info",
        "gauge",
        "What is running, always 1.",
        ("version", "revision", "python_version"),
    ),
    Described(
        "siptrunk_exporter_shard_ordinal",
        "gauge",
        "Which share of the properties this exporter polls, counted from 0.",
    ),
    Described(
        "siptrunk_exporter_shards",
        "gauge",
        "How many shares there are by the flags of this exporter, 1 where it polls all.",
    ),
    Described(
        "siptrunk_exporter_poll_interval_seconds",
        "gauge",
        "Configured seconds between two polls of a property.",
    ),
    Described(
        "siptrunk_exporter_api_requests_total",
        "counter",
        "Requests to the API, by endpoint and HTTP status; code is error where no answer came.",
        ("endpoint", "code"),
    ),
    Described(
        "siptrunk_exporter_api_request_duration_seconds",
        "histogram",
        "Seconds from sending a request to the API to the last byte of its answer.",
        ("endpoint",),
    ),
    Described(
        "siptrunk_exporter_api_retries_total",
        "counter",
        "Requests to the API that were tried again, by what made the first try fail.",
        ("reason",),
    ),
    Described(
        "siptrunk_exporter_payload_anomalies_total",
        "counter",
        "What was odd in an answer of the API and was survived, by kind; counted each time it is seen.",
        ("kind",),
    ),
    Described(
        "siptrunk_exporter_limit",
        "gauge",
        "Configured limits of what is taken from the API, by their key under limits.",
        ("limit",),
    ),
    Described(
        "siptrunk_exporter_event_loop_delay_seconds_total",
        "counter",
        "Seconds by which the event loop was late, looked at twice a second: everything else waits as long.",
    ),
    Described(
        "siptrunk_exporter_discovery_up",
        "gauge",
        "Whether the last look-up of the account's properties brought a complete list.",
        ("account_sid",),
    ),
    Described(
        "siptrunk_exporter_discovery_last_success_timestamp_seconds",
        "gauge",
        "Unix time at which the account's properties were last looked up successfully.",
        ("account_sid",),
    ),
    Described(
        "siptrunk_exporter_discovery_failing",
        "gauge",
        "Always 1, for the reason why the last look-up of the account's properties failed; absent where it did not.",
        ("account_sid", "reason"),
    ),
    Described(
        "siptrunk_exporter_discovery_failures_total",
        "counter",
        "Look-ups of the account's properties that failed, by reason.",
        ("account_sid", "reason"),
    ),
    Described(
        "siptrunk_exporter_config_last_reload_successful",
        "gauge",
        "Whether the last attempt to load the configuration succeeded, and that of the web configuration.",
    ),
    Described(
        "siptrunk_exporter_config_last_reload_success_timestamp_seconds",
        "gauge",
        "Unix time at which the configuration in force was loaded.",
    ),
    Described(
        "siptrunk_exporter_state_up",
        "gauge",
        "Whether the state file is written; absent where none is configured.",
    ),
    Described(
        "siptrunk_exporter_state_write_failures_total",
        "counter",
        "Writes to the state file that failed; each is tried again. Absent where none is configured.",
    ),
)

_DESCRIBED = {family.name: family for family in EXPORTER_FAMILIES}
_LATENCY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Telemetry:
    """What the exporter tells of itself; each attribute is the metric `siptrunk_exporter_` and its name."""

    def __init__(self, registry: CollectorRegistry, shard: Shard = WHOLE) -> None:
        # One series more for every counter, which nobody asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves it bare
        self._registry = registry
        self.build_info: Gauge = self._make(Gauge, "build_info")
        self.shard_ordinal: Gauge = self._make(Gauge, "shard_ordinal")
        self.shards: Gauge = self._make(Gauge, "shards")
        self.poll_interval: Gauge = self._make(Gauge, "poll_interval_seconds")
        self.api_requests: Counter = self._make(Counter, "api_requests_total")
        self.api_duration: Histogram = self._make(Histogram, "api_request_duration_seconds", buckets=_LATENCY_BUCKETS)
        self.api_retries: Counter = self._make(Counter, "api_retries_total")
        self.anomalies: Counter = self._make(Counter, "payload_anomalies_total")
        self.limit: Gauge = self._make(Gauge, "limit")
        self.loop_delays: Counter = self._make(Counter, "event_loop_delay_seconds_total")
        self.discovery_up: Gauge = self._make(Gauge, "discovery_up")
        self.discovery_last_success: Gauge = self._make(Gauge, "discovery_last_success_timestamp_seconds")
        self.discovery_failing: Gauge = self._make(Gauge, "discovery_failing")
        self.discovery_failures: Counter = self._make(Counter, "discovery_failures_total")
        self.reload_successful: Gauge = self._make(Gauge, "config_last_reload_successful")
        self.reload_success_time: Gauge = self._make(Gauge, "config_last_reload_success_timestamp_seconds")
        self.state_up: Gauge = self._make(Gauge, "state_up", registry=None)
        self.state_write_failures: Counter = self._make(Counter, "state_write_failures_total", registry=None)
        self._has_state = False
        self.unwritten_since: float | None = None
        """Since which Unix time the state file cannot be written; None where it can, or where there is none."""
        self.refused: dict[str, float] = {}
        """What could not be loaded, so that the old one stays, and since which Unix time."""
        self.slowest, self.requests = Hour(), Hour()
        """The slowest request, in seconds, and the number of requests of each minute, by `time.monotonic`."""
        # To look a child up costs more than to count.
        self._requests, self._durations = cache(self.api_requests.labels), cache(self.api_duration.labels)
        self._start(shard)

    def _make(self, metric: type[Any], name: str, **options: object) -> Any:  # noqa: ANN401 - any of three classes
        family = _DESCRIBED[f"siptrunk_exporter_{name}"]
        return metric(family.name, family.help, family.labels, **{"registry": self._registry, **options})

    def _start(self, shard: Shard) -> None:
        """Show what is known from the start, so that the first event of a kind is an increase."""
        revision = os.environ.get("SIPTRUNK_EXPORTER_REVISION", "")
        self.build_info.labels(__version__, revision, platform.python_version()).set(1)
        self.shard_ordinal.set(shard.ordinal)
        self.shards.set(shard.shards)
        for anomaly in Anomaly:
            self.anomalies.labels(anomaly)
        for reason in (Reason.TIMEOUT, Reason.CONNECT, Reason.RATE_LIMITED, Reason.SERVER_ERROR):
            self.api_retries.labels(reason)

    def count_request(self, endpoint: str, code: str, seconds: float) -> None:
        """Count one request: `code` is its HTTP status, or `error` where no answer came."""
        self._requests(endpoint, code).inc()
        self._durations(endpoint).observe(seconds)
        now = time.monotonic()
        self.slowest.note(now, seconds, failed=code not in ("200", "304"))
        self.requests.count(now)

    def count_anomalies(self, found: Mapping[Anomaly, int]) -> None:
        """Count what was odd in the answers of one walk."""
        for anomaly, times in found.items():
            self.anomalies.labels(anomaly).inc(times)

    def loaded(self, now: float | None, interval: float) -> None:
        """Note an attempt to load the configuration: `now` is its Unix time, None where it failed."""
        self._judge("configuration", good=now is not None)
        if now is not None:
            self.reload_success_time.set(now)
            self.poll_interval.set(interval)

    def limited(self, limits: Mapping[str, int]) -> None:
        """Show the limits in force, by their key in the configuration."""
        for key, most in limits.items():
            self.limit.labels(key).set(most)

    def state_kept(self, *, good: bool | None) -> None:
        """Show whether the state file is written; None where there is none."""
        if self._has_state != (good is not None):
            self._has_state = good is not None
            change = self._registry.register if self._has_state else self._registry.unregister
            for metric in (self.state_up, self.state_write_failures):
                change(metric)
        self.state_up.set(bool(good))
        self.unwritten_since = (self.unwritten_since or time.time()) if good is False else None

    def web_loaded(self, good: bool) -> None:  # noqa: FBT001 - it is all there is to tell
        """Note an attempt to load the web configuration."""
        self._judge("web configuration", good=good)

    def _judge(self, what: str, *, good: bool) -> None:
        if good:
            self.refused.pop(what, None)
        else:
            self.refused.setdefault(what, time.time())
        self.reload_successful.set(not self.refused)
