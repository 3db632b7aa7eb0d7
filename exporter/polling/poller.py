"""All that is polled: which properties there are, by configuration and discovery."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from exporter.api.client import LONGEST_WAIT, ApiClient
from exporter.api.credentials import Credentials
from exporter.api.payload import cut
from exporter.config import Filters
from exporter.errors import Anomaly, ConfigError, Fault
from exporter.history.journal import Journal
from exporter.model import Identity
from exporter.polling.discovery import Discovery
from exporter.polling.property_poller import PropertyPoller, Surroundings, Target
from exporter.polling.rhythm import phase
from exporter.polling.schedule import Schedule, failed
from exporter.shard import WHOLE, Shard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from exporter.api.budget import Budget
    from exporter.config import Config, PropertySettings
    from exporter.history.remembered import Memory, Remembered
    from exporter.metrics.snapshot import Snapshot
    from exporter.model import PropertyView
    from exporter.telemetry import Telemetry

log = logging.getLogger(__name__)

Runner = PropertyPoller | Discovery

FILES_CHECKED_EVERY = 1.0
"""Seconds between looks at whether a file with a token, key or certificate has changed."""


class Poller:
    """Polls every property of a configuration that is its shard's, and publishes it in a snapshot.

    Needs a running event loop. `clock` gives the Unix time. `elsewhere` counts the properties of the other shards.
    """

    def __init__(
        self,
        config: Config,
        snapshot: Snapshot,
        telemetry: Telemetry,
        clock: Callable[[], float] = time.time,
        shard: Shard = WHOLE,
    ) -> None:
        client = ApiClient(config.api, telemetry)
        self.journal = Journal(config.state, clock)
        self._around = Surroundings(
            client, snapshot, telemetry, config.poll, config.limits, clock, self.ask, self.journal
        )
        self._config = config
        self.shard = shard
        self.elsewhere = 0
        self._schedule = Schedule(client.budget)
        self._watching: asyncio.Task[None] | None = None
        self._ready = False
        self._overload: tuple[int, float, float] | None = None
        self.properties: dict[str, PropertyPoller] = {}
        self.discoveries: dict[str, Discovery] = {}
        self._settle(read_credentials(config, {}))

    def start(self) -> None:
        """Begin to poll."""
        self._watching = asyncio.create_task(self._watch_files())
        self._watching.add_done_callback(failed)
        self._warn_of_overload()
        for runner in self.runners():
            self._schedule.plan(runner)

    async def stop(self) -> None:
        """End all polling; what was published stays."""
        watching, self._watching = self._watching, None
        if watching:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        await self._schedule.stop()
        await self._around.client.aclose()

    def ask(self, runner: Runner) -> None:
        """Poll a property, or look an account up, at once."""
        runner.rhythm.ask()
        self._plan(runner)

    async def configure(self, config: Config) -> None:
        """Poll as another configuration has it from now on; what is the same in both keeps its data and rhythm.

        Raises `ConfigError` or `OSError` where that cannot be; then all stays as it was.
        """
        credentials = read_credentials(config, self.credentials)
        retired = self._around.client.configure(config.api)
        if config.api.base_url != self._config.api.base_url:
            for runner in list(self.runners()):
                self._end(runner)
            self.properties.clear()
            self.discoveries.clear()
        self._config = config
        self._around.poll, self._around.limits = config.poll, config.limits
        self.journal.configure(config.state)
        self._settle(credentials)
        for runner in self.runners():
            runner.replan()
            self._plan(runner)
        if retired:
            await retired.retire()

    @property
    def ready(self) -> bool:
        """Whether every property of the shard was tried once; once true, it stays so."""
        if not self._ready:
            tried = all(poller.health.polls for poller in self.properties.values())
            self._ready = tried and all(discovery.tried for discovery in self.discoveries.values())
        return self._ready

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._config

    @property
    def budget(self) -> Budget:
        """The requests that all properties share."""
        return self._around.client.budget

    @property
    def trouble(self) -> str | None:
        """What keeps the polling from going on; None where it goes on, however slowly or badly."""
        if self._schedule.broken or (self._watching and self._watching.done()):
            return "polling has ended in part; the log says why"
        api = self._config.api
        gap = 1 / api.requests_per_second if api.requests_per_second else 0.0
        # Twice what may lie between the ends of two requests: a try, its turn, the wait asked for, and the back-off.
        patience = 2 * (api.timeout + gap + 2 * LONGEST_WAIT)
        return f"no request has ended for {patience:g} s" if self._schedule.stalled(patience) else None

    def views(self) -> Iterator[PropertyView]:
        """Give all that is served, the trunks read again, in the order of the snapshot."""
        return (self.properties[shown.identity.sid].view() for shown in self._around.snapshot)

    def remember(self, memory: Memory | None) -> None:
        """Tell `memory` from now on of all that was polled."""
        self._around.memory = memory

    def recall(self, lists: dict[str, tuple[float, Remembered]]) -> None:
        """Take out of `lists` what was known, and when it was seen, of each that no walk has brought since."""
        for discovery in self.discoveries.values():
            _recall(discovery, lists)
        # There may be more of them now.
        for poller in self.properties.values():
            _recall(poller, lists)

    async def poll_once(self, only: str | None = None) -> None:
        """Look every account up and poll every property (or the one whose Sid is `only`) a single time."""
        await asyncio.gather(*(discovery.poll() for discovery in self.discoveries.values()))
        for sid in list(self.properties):
            if only not in (None, sid):
                self._end(self.properties.pop(sid))
        await asyncio.gather(*(poller.poll() for poller in self.properties.values()))

    def _settle(self, credentials: dict[str, Credentials]) -> None:
        """Take the accounts as configured: their credentials and their discoveries."""
        self.credentials = credentials
        rules = {account.account_sid: account.discover for account in self._config.accounts if account.discover}
        for sid in self.discoveries.keys() - rules.keys():
            self._end(self.discoveries.pop(sid))
        for sid, rule in rules.items():
            if sid in self.discoveries:
                self.discoveries[sid].update(credentials[sid], rule)
            else:
                discovery = self.discoveries[sid] = Discovery(credentials[sid], rule, self._around, self._reconcile)
                self._plan(discovery)
        self._reconcile()

    def _reconcile(self) -> None:
        """Poll what is to be polled now: begin with what is new, end what is gone, leave the rest alone."""
        every = self._targets()
        targets = {sid: target for sid, target in every.items() if self.shard.owns(sid)}
        self.elsewhere = len(every) - len(targets)
        for sid, poller in list(self.properties.items()):
            if sid not in targets or not poller.target.same_list(targets[sid]):
                self._end(self.properties.pop(sid))
            elif poller.target != targets[sid]:
                poller.update(targets[sid])
        # In the order in which they will be polled: what changes together then lies together in the snapshot.
        for sid in sorted(targets.keys() - self.properties.keys(), key=phase):
            poller = self.properties[sid] = PropertyPoller(targets[sid], self._around)
            self._plan(poller)
        self.properties = {sid: self.properties[sid] for sid in targets}
        if self._watching:
            self._warn_of_overload()

    def _plan(self, runner: Runner) -> None:
        if self._watching:
            self._schedule.plan(runner)

    def _warn_of_overload(self) -> None:
        """Say so where the budget cannot carry even one request for each property and interval."""
        load = len(self.properties), self._config.api.requests_per_second, self._config.poll.interval
        properties, budget, interval = load
        if budget and properties > budget * interval and load != self._overload:
            self._overload = load
            log.warning(
                "the request budget is too small: %d properties at %g requests a second take %g s, not %g s",
                *(properties, budget, properties / budget, interval),
            )

    def _targets(self) -> dict[str, Target]:
        """Give what all shards together poll, by Sid; what is configured goes before what is only discovered."""
        targets: dict[str, Target] = {}
        for account in self._config.accounts:
            discovery = self.discoveries.get(account.account_sid)
            names = discovery.names if discovery else {}
            for chosen in account.properties:
                name = names.get(chosen.sid, "") if chosen.name is None else chosen.name
                targets[chosen.sid] = self._target(account.account_sid, chosen.sid, name, chosen)
        for account_sid, discovery in self.discoveries.items():
            for sid, name in discovery.found.items():
                target = targets.setdefault(sid, self._target(account_sid, sid, name))
                if target.identity.account_sid != account_sid:
                    self._around.telemetry.anomalies.labels(Anomaly.REPEATED_PROPERTY).inc()
        return targets

    def _target(self, account_sid: str, sid: str, name: str, chosen: PropertySettings | None = None) -> Target:
        shown = Identity(sid, account_sid, cut(name, self._config.limits.label_bytes))
        filters, expected = (chosen.filters, chosen.expected) if chosen else (Filters(), None)
        return Target(shown, self.credentials[account_sid], filters, expected)

    def runners(self) -> Iterator[Runner]:
        """Give all that is polled, properties and look-ups."""
        yield from self.discoveries.values()
        yield from self.properties.values()

    def _end(self, runner: Runner) -> None:
        self._schedule.drop(runner)
        runner.close()
        if self._around.memory:
            self._around.memory.forget(runner)

    async def _watch_files(self) -> None:
        while True:
            await asyncio.sleep(FILES_CHECKED_EVERY)
            if retired := self._around.client.refresh():
                await retired.retire()
            changed = {sid for sid, credentials in self.credentials.items() if credentials.refresh()}
            for runner in self.runners():
                if runner.rhythm.rejected and runner.account_sid in changed:
                    self.ask(runner)


def _recall(runner: Runner, lists: dict[str, tuple[float, Remembered]]) -> None:
    if runner.seen is None and (known := lists.pop(runner.key, None)):
        seen, remembered = known
        try:
            runner.recall(remembered, seen)
        except Exception:
            log.exception("what was remembered cannot be read", extra={"list": runner.key})


def read_credentials(config: Config, known: Mapping[str, Credentials]) -> dict[str, Credentials]:
    """Give the credentials of every account by its Sid, those of `known` whose source is the same among them.

    Raises `ConfigError` where a source cannot be read.
    """
    result = {}
    for account in config.accounts:
        kept = known.get(account.account_sid)
        same = kept is not None and kept.source == account.token
        try:
            result[account.account_sid] = kept if kept and same else Credentials(account.account_sid, account.token)
        except (OSError, ValueError) as error:
            raise ConfigError([Fault(account.place, str(error))]) from None
    return result
