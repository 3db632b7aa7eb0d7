"""Expressions that more than one dashboard needs."""

from __future__ import annotations

ALERTS = 'alertname=~"SipTrunk.*"'
CHANGES = f'{ALERTS}, category="change"'
INFO = "property:siptrunk_property_info:latest"
UP = "property:siptrunk_property_up:max"
AGE = "property:siptrunk_data_age_seconds:min"
TRUNKS = "property:siptrunk_property_trunks:max"
ACTIVE_TRUNKS = "property:siptrunk_property_active_trunks:max"
CHANNELS = "property:siptrunk_property_active_channel_limit"
MODIFIED = "trunk:siptrunk_modified_timestamp_seconds:last1d"
CHANGED = "property:siptrunk_changes:increase2m"
CHANGED_AT = "property:siptrunk_changes_timestamp_seconds:last1d"
STATE_SINCE = "trunk:siptrunk_provisioning_state_since_timestamp_seconds:min"
DRIFT = "property:siptrunk_drift:sum"
INTERVAL = "max(siptrunk_exporter_poll_interval_seconds)"
EXPORTERS = 'up{job=~".*siptrunk.*"}'


def since(alerts: str) -> str:
    """Give when the firing alerts chosen by matchers became active, in milliseconds, with people's names."""
    active = f"ALERTS_FOR_STATE{{{alerts}}}"
    firing = f'ALERTS{{{alerts}, alertstate="firing"}}'
    return named(f"1000 * ({active} and ignoring (alertstate) {firing})", active)


def begun(alerts: str, within: str) -> str:
    """Give when the alerts chosen, also those that have ended since, became active; over time the same at each step."""
    active = f"last_over_time(ALERTS_FOR_STATE{{{alerts}}}[{within}] @ end())"
    return named(f"1000 * {active}", active)


def changes(labels: str, within: str, of: str = "") -> str:
    """Count the changes seen within a time, by labels; `of` are matchers."""
    return f"sum by ({labels}) (sum_over_time({CHANGED}{of}[{within}]))"


def named(series: str, sids: str) -> str:
    """Give series the labels `property` and `trunk`: people's names for Sids; `sids` has at least the Sids of `series`.

    What has no name, or no such Sid, stays without.
    """
    of_property = _labelled(series, sids, "property_sid", "property", INFO)
    return _labelled(of_property, sids, "property_sid, trunk_sid", "trunk", "trunk:siptrunk_info:notable")


def _labelled(series: str, sids: str, keys: str, label: str, names: str) -> str:
    return (
        f"{series}\n* on ({keys}) group_left ({label}) ("
        f'label_replace({names} @ end(), "{label}", "$1", "name", "(.*)") or on ({keys}) group by ({keys}) ({sids}))'
    )


def by_name(series: str) -> str:
    """Give series of properties the labels `name` and `account_sid`."""
    return f"{series}\n* on (property_sid) group_left (name, account_sid) {INFO}"


def or_none(count: str) -> str:
    """Give 0 where nothing is counted, but only while the properties are known at all."""
    return f"{count} or 0 * all:siptrunk_properties:count"


def aged(intervals: int) -> str:
    """Count the properties whose data are older than so many poll intervals."""
    return f"sum(property:siptrunk_data_age_intervals:min > bool {intervals})"
