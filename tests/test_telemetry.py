"""What the exporter tells of itself."""

from __future__ import annotations

import platform

import pytest
from prometheus_client import CollectorRegistry

from exporter import __version__
from exporter.errors import Anomaly
from exporter.telemetry import EXPORTER_FAMILIES, Telemetry

TABLE = {
    "siptrunk_exporter_build_info": ("gauge", ("version", "revision", "python_version")),
    "siptrunk_exporter_shard_ordinal": ("gauge", ()),
    "siptrunk_exporter_shards": ("gauge", ()),
    "siptrunk_exporter_poll_interval_seconds": ("gauge", ()),
    "siptrunk_exporter_api_requests_total": ("counter", ("endpoint", "code")),
    "siptrunk_exporter_api_request_duration_seconds": ("histogram", ("endpoint",)),
    "siptrunk_exporter_api_retries_total": ("counter", ("reason",)),
    "siptrunk_exporter_payload_anomalies_total": ("counter", ("kind",)),
    "siptrunk_exporter_limit": ("gauge", ("limit",)),
    "siptrunk_exporter_event_loop_delay_seconds_total": ("counter", ()),
    "siptrunk_exporter_discovery_up": ("gauge", ("account_sid",)),
    "siptrunk_exporter_discovery_last_success_timestamp_seconds": ("gauge", ("account_sid",)),
    "siptrunk_exporter_discovery_failing": ("gauge", ("account_sid", "reason")),
    "siptrunk_exporter_discovery_failures_total": ("counter", ("account_sid", "reason")),
    "siptrunk_exporter_config_last_reload_successful": ("gauge", ()),
    "siptrunk_exporter_config_last_reload_success_timestamp_seconds": ("gauge", ()),
    "siptrunk_exporter_state_up": ("gauge", ()),
    "siptrunk_exporter_state_write_failures_total": ("counter", ()),
}


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"siptrunk_exporter_{name}", labels)


def test_the_families_are_those_that_users_rely_on() -> None:
    assert {family.name: (family.type, family.labels) for family in EXPORTER_FAMILIES} == TABLE


def test_the_registry_holds_just_the_families_of_the_table() -> None:
    registry = CollectorRegistry()
    Telemetry(registry).state_kept(good=True)
    suffix = {"counter": "_total"}

    assert sorted(
        (metric.name + suffix.get(metric.type, ""), metric.type, metric.documentation) for metric in registry.collect()
    ) == sorted((family.name, family.type, family.help) for family in EXPORTER_FAMILIES)


def test_two_registries_know_nothing_of_each_other() -> None:
    one, two = CollectorRegistry(), CollectorRegistry()
    Telemetry(one).count_request("sip_trunks", "200", 0.1)
    Telemetry(two)

    assert value(two, "api_requests_total", endpoint="sip_trunks", code="200") is None


@pytest.mark.parametrize("revision", [None, "abc123"])
def test_the_build_is_told(revision: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIPTRUNK_EXPORTER_REVISION", raising=False)
    if revision:
        monkeypatch.setenv("SIPTRUNK_EXPORTER_REVISION", revision)
    registry = CollectorRegistry()
    Telemetry(registry)
    labels = {"version": __version__, "revision": revision or "", "python_version": platform.python_version()}

    assert value(registry, "build_info", **labels) == 1


def test_requests_are_counted_by_endpoint_and_code_and_timed_by_endpoint() -> None:
    registry = CollectorRegistry()
    telemetry = Telemetry(registry)
    for code, seconds in (("200", 0.03), ("200", 3), ("error", 40)):
        telemetry.count_request("sip_trunks", code, seconds)

    assert value(registry, "api_requests_total", endpoint="sip_trunks", code="200") == 2
    assert value(registry, "api_requests_total", endpoint="sip_trunks", code="error") == 1
    assert value(registry, "api_request_duration_seconds_count", endpoint="sip_trunks") == 3
    assert value(registry, "api_request_duration_seconds_sum", endpoint="sip_trunks") == pytest.approx(43.03)
    assert value(registry, "api_request_duration_seconds_bucket", endpoint="sip_trunks", le="0.05") == 1
    assert value(registry, "api_request_duration_seconds_bucket", endpoint="sip_trunks", le="30.0") == 2


def test_every_kind_of_anomaly_is_there_from_the_start_and_counted() -> None:
    registry = CollectorRegistry()
    telemetry = Telemetry(registry)
    telemetry.count_anomalies({Anomaly.REPEATED_SID: 2, Anomaly.LIST_CHANGED: 0})
    telemetry.count_anomalies({Anomaly.REPEATED_SID: 1})
    counted = {kind.value: value(registry, "payload_anomalies_total", kind=kind.value) for kind in Anomaly}

    assert dict.fromkeys((kind.value for kind in Anomaly), 0.0) | {"repeated_sid": 3.0} == counted


@pytest.mark.parametrize("reason", ["timeout", "connect", "rate_limited", "server_error"])
def test_what_may_be_tried_again_is_there_from_the_start(reason: str) -> None:
    registry = CollectorRegistry()
    Telemetry(registry)

    assert value(registry, "api_retries_total", reason=reason) == 0


def test_a_reload_that_fails_leaves_the_time_and_the_interval_of_the_configuration_in_force() -> None:
    registry = CollectorRegistry()
    telemetry = Telemetry(registry)
    told = []
    for now, interval in ((1000.0, 60.0), (None, 90.0), (3000.0, 90.0)):
        telemetry.loaded(now, interval)
        told.append(
            (
                value(registry, "config_last_reload_successful"),
                value(registry, "config_last_reload_success_timestamp_seconds"),
                value(registry, "poll_interval_seconds"),
            )
        )

    assert told == [(1, 1000, 60), (0, 1000, 60), (1, 3000, 90)]
