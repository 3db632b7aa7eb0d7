"""siptrunk-exporter: what a carrier's SIP trunks may do, as Prometheus metrics."""

__version__ = "0.1.0"
