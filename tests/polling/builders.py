"""Configurations in a line, and a poller with all that stands around it."""

from __future__ import annotations

import asyncio
import functools
import re
from typing import TYPE_CHECKING, ParamSpec, Self

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from exporter.config import (
    Account,
    Api,
    Config,
    Discover,
    Filters,
    Metrics,
    Poll,
    PropertySettings,
    Secret,
    TokenSource,
)
from exporter.metrics.exposition import Renderer
from exporter.metrics.snapshot import Snapshot
from exporter.polling.poller import Poller
from exporter.telemetry import Telemetry
from tests import fake_clock
from tests.metrics.builders import exposition

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from exporter.model import Health, Identity, PropertyView, Shown

P = ParamSpec("P")
API = Api(base_url="https://api.test", requests_per_second=0, max_attempts=1)
EVERY = Discover()
HEALTH_BEFORE_THE_FIRST_POLL = {
    "siptrunk_property_info",
    "siptrunk_changes_total",
    "siptrunk_property_polls_total",
    "siptrunk_property_poll_failures_total",
}
HEALTH = HEALTH_BEFORE_THE_FIRST_POLL | {
    "siptrunk_property_up",
    "siptrunk_property_stale",
    "siptrunk_property_last_poll_timestamp_seconds",
    "siptrunk_property_last_success_timestamp_seconds",
    "siptrunk_property_last_poll_duration_seconds",
}


def on_fake_clock(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test on a loop whose time jumps; what a callback or a task raises unseen fails it too."""

    async def watched(*args: P.args, **kwargs: P.kwargs) -> None:
        unseen: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unseen.append(context))
        await test(*args, **kwargs)
        assert unseen == []

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        fake_clock.run(watched(*args, **kwargs))

    return run


def configured(sid: str, name: str | None = None, **filters: Any) -> PropertySettings:  # noqa: ANN401 - as Filters has them
    """Give the settings of one property."""
    return PropertySettings(sid, name, Filters(**filters))


def account(
    *properties: PropertySettings | str,
    sid: str = "A1",
    token: TokenSource | str = "t1",  # noqa: S107 - made up
    discover: Discover | None = None,
) -> Account:
    """Give one account; properties may be named by Sid alone."""
    source = TokenSource(inline=Secret(token)) if isinstance(token, str) else token
    every = tuple(configured(each) if isinstance(each, str) else each for each in properties)
    return Account(sid, source, discover, every)


def config(*accounts: Account, interval: float = 60, stale_after: float = 300, api: Api = API) -> Config:
    """Give a configuration; without accounts, one that polls the property S1."""
    return Config(api=api, poll=Poll(interval, stale_after), accounts=accounts or (account("S1"),))


class WatchedSnapshot(Snapshot):
    """Says when something is published."""

    def __init__(self) -> None:
        super().__init__(Renderer(Metrics()))
        self.changed = asyncio.Event()

    def publish(self, view: PropertyView) -> Shown:
        self.changed.set()
        return super().publish(view)

    def publish_health(self, identity: Identity, health: Health) -> Shown:
        self.changed.set()
        return super().publish_health(identity, health)


class Polled:
    """A poller at work as long as the context lasts."""

    def __init__(self, config: Config, clock: Callable[[], float] = fake_clock.unix_time) -> None:
        self.registry = CollectorRegistry()
        self.snapshot = WatchedSnapshot()
        self.telemetry = Telemetry(self.registry)
        self.poller = Poller(config, self.snapshot, self.telemetry, clock)

    async def __aenter__(self) -> Self:
        self.poller.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.poller.stop()

    async def reload(self, config: Config) -> None:
        """Take another configuration, as the daemon does."""
        await self.poller.configure(config)

    async def polls(self, count: int, sid: str = "S1") -> None:
        """Wait until that many polls of a property have ended."""
        async with asyncio.timeout(50_000):
            while sid not in self.poller.properties or self.poller.properties[sid].health.polls < count:
                self.snapshot.changed.clear()
                await self.snapshot.changed.wait()

    @property
    def text(self) -> str:
        """The exposition of the properties."""
        return exposition(self.snapshot)

    @property
    def served(self) -> set[str]:
        """The Sids of the properties that are served."""
        return {shown.identity.sid for shown in self.snapshot}

    def value(self, series: str, sid: str = "S1", /, **labels: str) -> float | None:
        """Give the value of one series of a property, None where there is none."""
        wanted = {"property_sid": sid, **labels}
        samples = (sample for metric in text_string_to_metric_families(self.text) for sample in metric.samples)
        return next((each.value for each in samples if each.name == series and each.labels == wanted), None)

    def own(self, name: str, **labels: str) -> float | None:
        """Give the value of one of the exporter's own series."""
        return self.registry.get_sample_value(f"siptrunk_exporter_{name}", labels)

    def families(self, sid: str = "S1") -> set[str]:
        """Give the families that have series for a property, but for the one that is there just where it is not up."""
        found = set(re.findall(rf'^(\w+){{.*property_sid="{sid}".*}} ', self.text, re.MULTILINE))
        return found - {"siptrunk_property_failing"}

    def trunks(self, sid: str = "S1") -> list[str]:
        """Give the Sids of the trunks that are served for a property."""
        return re.findall(rf'^siptrunk_info{{.*property_sid="{sid}",trunk_sid="(\w+)"', self.text, re.MULTILINE)
