"""A simulated carrier of which no alert tells anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from exporter.simulator.trunks import ACTIVE

if TYPE_CHECKING:
    from exporter.simulator import Simulator


def let_arrive(simulator: Simulator) -> None:
    """End the provisioning of every trunk: of those that have long been on their way an alert would tell at once."""
    for sid in simulator.carrier.property_sids:
        for trunk in simulator.carrier.trunks(sid):
            simulator.carrier.put(sid, replace(trunk, provisioning_state=ACTIVE))
