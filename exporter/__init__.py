"""siptrunk-exporter: what a carrier's SIP trunks may do, as Prometheus metrics."""

import gc

__version__ = "0.1.0"

# What is loaded stays, and later hardly anything refers to itself in a circle: to look for that less often than usual
# spares the start a twentieth of its time and everybody else many pauses. The numbers: new objects to look at the
# young after, looks at the young to one at the older, looks at those to one at all.
gc.set_threshold(5_000, 10, 10)
