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
    properties:
      - sid: {agreed}
        expected:
          trunks:
            - {{sid: {short}, channel_limit: 1000}}
            - {{sid: {well}, active: true}}
            - {{sid: STHASNEVERBEENORDERED00000000000}}
"""

DOWN_AFTER = 20.0
"""Seconds after which one property cannot be polled any more."""

_GREETING = """\
A simulated carrier with {properties} properties is being polled every 5 seconds; every 5 seconds something changes.
One of them has two trunks that are not as agreed, and after {down_after:.0f} seconds another one is down.

Look at     {url}/           how it goes, and what is not well
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
        daemon = Daemon(partial(_load, simulator))
        asyncio.get_running_loop().call_later(DOWN_AFTER, simulator.fail, simulator.carrier.property_sids[1], "503")
        daemon.on_signals(stop)
        await daemon.run(
            serving,
            stop,
            lambda addresses: print(greeting(addresses[0], serving.telemetry_path, simulator), flush=True),
        )


def _load(simulator: Simulator) -> Loaded:
    agreed = simulator.carrier.property_sids[0]
    short, well = [trunk.sip_trunk_sid for trunk in simulator.carrier.trunks(agreed)][:2]
    text = _CONFIG.format(
        base_url=simulator.base_url,
        account_sid=OPTIONS.account_sid,
        token=OPTIONS.token,
        agreed=agreed,
        short=short,
        well=well,
    )
    # The one warning is of the token in the text, which is no secret.
    return Loaded(parse(text, "demo", Path()).config, [])


def greeting(address: Address, telemetry_path: str, simulator: Simulator) -> str:
    """Tell where to look and what to try."""
    if ip_address(address.host).is_unspecified:
        # "Every address" is none to open.
        address = Address("127.0.0.1", address.port)
    return _GREETING.format(
        properties=OPTIONS.properties,
        down_after=DOWN_AFTER,
        url=f"http://{address}",
        path=telemetry_path,
        api=simulator.base_url,
        account_sid=OPTIONS.account_sid,
        token=OPTIONS.token,
    )
