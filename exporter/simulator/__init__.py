"""A stand-in for the carrier's REST API, for the demo, for tests and for benchmarks.

The world (properties, trunks and how they change) is `Carrier`, pure and made from a seed; `Simulator` serves it
over a loopback socket as the API's page says, faults included.
"""

from exporter.simulator.carrier import Carrier, CarrierOptions, Change
from exporter.simulator.faults import FAULTS, Fault
from exporter.simulator.options import SimulateCommand, add_arguments, from_arguments, run
from exporter.simulator.server import DEFAULT_TOKEN, SeenRequest, Simulator, SimulatorOptions
from exporter.simulator.trunks import Project, SipTrunk, TrunkFilter

__all__ = [
    "DEFAULT_TOKEN",
    "FAULTS",
    "Carrier",
    "CarrierOptions",
    "Change",
    "Fault",
    "Project",
    "SeenRequest",
    "SimulateCommand",
    "Simulator",
    "SimulatorOptions",
    "SipTrunk",
    "TrunkFilter",
    "add_arguments",
    "from_arguments",
    "run",
]
