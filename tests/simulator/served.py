"""A simulator that serves, a client that knows its credentials, and the hand on its clock."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import msgspec

from exporter.simulator import Simulator, SimulatorOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NOW = 1_770_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Served:
    """A started simulator, a client that knows its credentials, and the hand on its clock."""

    def __init__(self, simulator: Simulator, client: httpx.AsyncClient, clock: Clock) -> None:
        self.simulator, self.client, self.clock = simulator, client, clock
        self.carrier = simulator.carrier
        self.sid = simulator.carrier.property_sids[0]
        self.path = f"/v2/Properties/{self.sid}/SipTrunks"

    async def get(self, path: str = "", **query: str | int) -> httpx.Response:
        return await self.client.get(path or self.path, params=query)

    async def walk(self, step: int, **query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        async with asyncio.timeout(30):
            while page := (await self.get(Results_Skip=len(found), Results_Count=step, **query)).json():
                found += page
        return found

    def listed(self) -> list[dict[str, Any]]:
        """Tell what the carrier's list is, as JSON would give it."""
        return [msgspec.json.decode(msgspec.json.encode(trunk)) for trunk in self.carrier.trunks(self.sid)]


@asynccontextmanager
async def serve(options: SimulatorOptions) -> AsyncIterator[Served]:
    clock = Clock()
    async with (
        Simulator(options, clock) as simulator,
        httpx.AsyncClient(
            base_url=simulator.base_url,
            auth=(options.account_sid, options.token),
            timeout=None,  # noqa: S113 - no test depends on time
            trust_env=False,
        ) as client,
    ):
        yield Served(simulator, client, clock)


def options(**changes: Any) -> SimulatorOptions:  # noqa: ANN401 - any option
    return SimulatorOptions(**{"properties": 2, "trunks": 120, "exact": True} | changes)


def assert_refused(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("application/json")
    assert set(answer.json()) == {"ResponseStatus"}
    assert all(answer.json()["ResponseStatus"][key] for key in ("ErrorCode", "Message"))
