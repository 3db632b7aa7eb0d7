"""What one would write first: the series of an exposition as prometheus_client's gauges, served until SIGTERM."""

import sys
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, start_http_server
from prometheus_client.parser import text_string_to_metric_families

registry = CollectorRegistry()
gauges: dict[str, Gauge] = {}
for family in text_string_to_metric_families(Path(sys.argv[1]).read_text()):
    for name, labels, value, *_ in family.samples:
        if name not in gauges:
            gauges[name] = Gauge(name, family.documentation, list(labels), registry=registry)
        (gauges[name].labels(**labels) if labels else gauges[name]).set(value)
server, thread = start_http_server(0, "127.0.0.1", registry)
print(f"listening on {server.server_port}", flush=True)
thread.join()
