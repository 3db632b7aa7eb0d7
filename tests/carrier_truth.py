"""What the exposition must say, told from the simulated carrier alone and not by the exporter's code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.simulator import TrunkFilter

if TYPE_CHECKING:
    from exporter.simulator import Carrier, SipTrunk
    from tests.running import Labels, Samples

STATES = ("inactive", "provisioning", "active", "deprovisioning")
TYPES = ("ip_to_ip", "authenticated")


def labels(**values: str) -> Labels:
    return frozenset(values.items())


def truth(carrier: Carrier, now: float, *sids: str) -> Samples:
    """The values of the data families, by sample name and labels, at Unix time `now`; of all properties, or of some."""
    expected: Samples = {}
    for sid in sids or carrier.property_sids:
        trunks = carrier.trunks(sid)
        for trunk in trunks:
            _of_trunk(expected, sid, trunk, now)
        _of_property(expected, sid, trunks, now)
        assert len(trunks) == carrier.count(sid, TrunkFilter(), now)
    return expected


def _active(trunk: SipTrunk, now: float) -> bool:
    return not trunk.end_date or trunk.end_date > now


def _of_trunk(expected: Samples, sid: str, trunk: SipTrunk, now: float) -> None:
    me = {"property_sid": sid, "trunk_sid": trunk.sip_trunk_sid}

    def add(family: str, value: float, /, **more: str) -> None:
        expected.setdefault(family, {})[labels(**me, **more)] = value

    add("siptrunk_channel_limit", trunk.channel_limit)
    add("siptrunk_active", _active(trunk, now))
    for code, state in enumerate(STATES):
        add("siptrunk_provisioning_state", trunk.provisioning_state == code, state=state)
    add("siptrunk_created_timestamp_seconds", trunk.created)
    add("siptrunk_modified_timestamp_seconds", trunk.modified)
    if trunk.end_date:
        add("siptrunk_end_timestamp_seconds", trunk.end_date)
    add(
        "siptrunk_info",
        1,
        name=trunk.name,
        trunk_type=TYPES[trunk.type],
        customer_reference=trunk.customer_reference or "",
        external_reference=trunk.external_reference or "",
        default_caller_id=trunk.default_caller_id or "",
    )


def _of_property(expected: Samples, sid: str, trunks: list[SipTrunk], now: float) -> None:
    def add(family: str, value: float, /, **more: str) -> None:
        expected.setdefault(family, {})[labels(property_sid=sid, **more)] = value

    for type_code, trunk_type in enumerate(TYPES):
        for state_code, state in enumerate(STATES):
            pair = (type_code, state_code)
            count = sum((trunk.type, trunk.provisioning_state) == pair for trunk in trunks)
            add("siptrunk_property_trunks", count, trunk_type=trunk_type, state=state)
    active = [trunk for trunk in trunks if _active(trunk, now)]
    add("siptrunk_property_active_trunks", len(active))
    add("siptrunk_property_active_channel_limit", sum(trunk.channel_limit for trunk in active))
