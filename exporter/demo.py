"""The demo: a simulated carrier and the daemon polling it, in one process."""

from __future__ import annotations

import asyncio
from functools import partial
from ipaddress import ip_address
from pathlib import Path

from exporter.config import Loaded, parse
from exporter.daemon import Address, Daemon, Serving
from exporter.simulator import Simulator, SimulatorOptions

OPTIONS = SimulatorOptions(properties=8, trunks=48, shape="object", latency=0.02, error_rate=0.01, churn=0.2)

_CONFIG = """\
api:
  base_url: {base_url}
  page_size: 20
  requests_per_second: 50
poll:
  interval: 5s
  stale_after: 1m
accounts:
  - account_sid: {account_sid}
    token: {token}
    discover: {{}}
"""

_GREETING = """\
A simulated carrier with {properties} properties is being polled every 5 seconds; every 5 seconds something changes.

Look at     {url}/           the properties' health
            {url}{path}    the metrics
            {url}/config     the configuration in force
Try         curl -s {url}{path} | grep siptrunk_property_active
            curl -s '{url}{path}?name[]=siptrunk_channel_limit' | head
            curl -s {url}/api/v1/status
The carrier {api}/v2/Properties  (user {account_sid}, password {token})
Stop with Ctrl-C.
"""


async def run(serving: Serving) -> None:
    """Serve the demo until SIGTERM or SIGINT; raises `OSError` where an address cannot be listened on."""
    stop = asyncio.Event()
    async with Simulator(OPTIONS) as simulator:
        daemon = Daemon(partial(_load, simulator.base_url))
        daemon.on_signals(stop)
        await daemon.run(
            serving,
            stop,
            lambda addresses: print(greeting(addresses[0], serving.telemetry_path, simulator), flush=True),
        )


def _load(base_url: str) -> Loaded:
    text = _CONFIG.format(base_url=base_url, account_sid=OPTIONS.account_sid, token=OPTIONS.token)
    # The one warning is of the token in the text, which is no secret.
    return Loaded(parse(text, "demo", Path()).config, [])


def greeting(address: Address, telemetry_path: str, simulator: Simulator) -> str:
    """Tell where to look and what to try."""
    if ip_address(address.host).is_unspecified:
        # "Every address" is none to open.
        address = Address("127.0.0.1", address.port)
    return _GREETING.format(
        properties=OPTIONS.properties,
        url=f"http://{address}",
        path=telemetry_path,
        api=simulator.base_url,
        account_sid=OPTIONS.account_sid,
        token=OPTIONS.token,
    )
