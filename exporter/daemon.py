"""The daemon: the parts put together, run until a signal, reconfigured on the way."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import time
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - msgspec looks it up
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from exporter import __version__
from exporter.config import Config, Loaded, render
from exporter.errors import ConfigError
from exporter.heartbeat import Heartbeat
from exporter.metrics.exposition import Renderer
from exporter.metrics.scrape import Scraper
from exporter.metrics.snapshot import Snapshot
from exporter.notify import Notifier
from exporter.polling.poller import Poller
from exporter.polling.schedule import failed
from exporter.shard import WHOLE, Shard
from exporter.telemetry import Telemetry
from exporter.web.app import Endpoints
from exporter.web.guard import ConfiguredGuard, Guard
from exporter.web.listening import Listener
from exporter.web.sockets import bound, passed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exporter.history.keeper import Keeper

log = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 5.0
"""How long answers under way may go on after the signal to stop."""


class Address(msgspec.Struct, frozen=True):
    """Where to listen; an empty host means every address of the machine."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Serving(msgspec.Struct, frozen=True):
    """How the daemon is reached: its addresses, or the sockets that systemd passes; the path of the metrics.

    `lifecycle` tells whether HTTP may reload it, `config` is the file of the web configuration.
    """

    addresses: tuple[Address, ...]
    telemetry_path: str = "/metrics"
    lifecycle: bool = False
    config: Path | None = None
    systemd_socket: bool = False


class Daemon:
    """Polls its shard of the properties and serves; `load` reads the configuration, at the start and at every reload.

    Needs a running event loop. Raises `ConfigError` where the configuration is bad at the start.
    """

    def __init__(
        self, load: Callable[[], Loaded], clock: Callable[[], float] = time.time, shard: Shard = WHOLE
    ) -> None:
        self._load = load
        self._clock = clock
        self._reloading = asyncio.Lock()
        self.registry = CollectorRegistry()
        self.shard = shard
        self.telemetry = Telemetry(self.registry, shard)
        self.config = _announced(load())
        self.snapshot = Snapshot(Renderer(self.config.metrics))
        self.scraper = Scraper(self.snapshot, self.registry)
        self.poller = Poller(self.config, self.snapshot, self.telemetry, clock, shard)
        self.telemetry.loaded(clock(), self.config.poll.interval)
        self.telemetry.limited(asdict(self.config.limits))
        self._notifier = Notifier(os.environ, self._status)
        self._heartbeat = Heartbeat(self.telemetry.loop_delays)
        self._tasks: list[asyncio.Task[None]] = []
        self._keeper: Keeper | None = None

    def endpoints(self, serving: Serving) -> Endpoints:
        """Give what answers over HTTP."""
        return Endpoints(
            telemetry_path=serving.telemetry_path,
            scraper=self.scraper,
            snapshot=self.snapshot,
            poller=self.poller,
            telemetry=self.telemetry,
            clock=self._clock,
            config=lambda: render(self.config),
            trouble=self._trouble,
            reload=self.reload if serving.lifecycle else None,
            started=self._clock(),
        )

    async def reload(self) -> None:
        """Take the configuration anew, whole or not at all.

        Raises `ConfigError` or `OSError` where the old one stays.
        """
        async with self._reloading, self._notifier.reloading():
            try:
                # A large file takes a while to read, and scrapes should not wait for it.
                config = _announced(await asyncio.to_thread(self._load))
                await self.poller.configure(config)
            except (ConfigError, OSError) as error:
                self.telemetry.loaded(None, self.config.poll.interval)
                log.error("configuration not reloaded, the old one stays: %s", error)  # noqa: TRY400 - no crash
                raise
            if config.metrics != self.config.metrics:
                self.snapshot.render_with(Renderer(config.metrics), self.poller.views())
            before, self.config = self.config.state, config
            self.telemetry.loaded(self._clock(), config.poll.interval)
            self.telemetry.limited(asdict(config.limits))
            if config.state.path != before.path:
                await self._stop_keeping()
                await self._keep_state()
            elif self._keeper:
                self._keeper.configure(config.state)
            log.info("configuration reloaded")

    async def run(
        self, serving: Serving, stop: asyncio.Event, started: Callable[[Sequence[Address]], None] | None = None
    ) -> None:
        """Serve until `stop` is set, calling `started` with the true addresses once they can be reached.

        Raises `OSError` where an address cannot be listened on, `ConfigError` where the web configuration is bad.
        """
        guard = self._guard(serving)
        # A full collection holds everybody up; what the start has made need not be looked at.
        gc.freeze()
        for name in (ProcessCollector, PlatformCollector, GCCollector):
            name(registry=self.registry)
        app = self.endpoints(serving).application()
        app.on_response_prepare.append(guard.dress)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS / 2)  # it takes it twice
        await runner.setup()
        assert runner.server  # noqa: S101 - it was set up
        listener = Listener(runner.server, guard)
        self._tasks = [
            asyncio.create_task(each) for each in (self.snapshot.keep_fresh(), self._heartbeat.keep_beating())
        ]
        for task in self._tasks:
            task.add_done_callback(failed)
        try:
            sockets = await _sockets(serving)
            # Before the first scrape: a counter must not begin at 0 and then jump to what was remembered.
            await self._keep_state()
            listener.start(sockets)
            addresses = [_address(each) for each in sockets]
            extent = {"addresses": " ".join(map(str, addresses)), "shard": str(self.shard), "version": __version__}
            log.info("listening", extra=extent)
            self.poller.start()
            if started:
                started(addresses)
            async with self._notifier.serving():
                await stop.wait()
        finally:
            for task in self._tasks:
                task.cancel()
            await self.poller.stop()
            await self._stop_keeping()
            await listener.close()
            await runner.cleanup()

    async def _keep_state(self) -> None:
        """Have what is polled outlive the process where a file for that is configured."""
        if self.config.state.path:
            # SQLite has no place in the memory of those who do without.
            from exporter.history.keeper import Keeper  # noqa: PLC0415 - see above

            self._keeper = Keeper(self.config.state, self.poller, self.telemetry, self._clock)
            await self._keeper.start()

    async def _stop_keeping(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper:
            await keeper.stop()
            self.telemetry.state_kept(good=None)

    def _trouble(self) -> str | None:
        """Give what only a restart would mend, or what was of late; None where all is well."""
        if any(task.done() for task in self._tasks):
            return "a task that must not end has ended; the log says why"
        return self._heartbeat.trouble or self.poller.trouble

    def _guard(self, serving: Serving) -> Guard:
        if serving.config is None:
            return Guard()
        # It has no place in the memory of those who do without.
        from exporter.web.watched import Watched  # noqa: PLC0415 - see above

        return ConfiguredGuard(Watched(serving.config, self.telemetry.web_loaded).current)

    def _status(self) -> str:
        up = [poller.health.up for poller in self.poller.properties.values()]
        return f"{up.count(True)} of {len(up)} properties up"

    def on_signals(self, stop: asyncio.Event) -> None:
        """Stop on SIGTERM and SIGINT, reload on SIGHUP."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon)

    def _reload_soon(self) -> None:
        self._reload_task = asyncio.create_task(self._reload_quietly())

    async def _reload_quietly(self) -> None:
        try:
            await self.reload()
        except (ConfigError, OSError):
            # It is in the log and in the metrics, which is where a signal's sender looks.
            return


async def _sockets(serving: Serving) -> list[socket.socket]:
    if serving.systemd_socket:
        return passed(os.environ)
    sockets: list[socket.socket] = []
    try:
        for address in serving.addresses:
            sockets += await bound(address.host, address.port)
    except OSError:
        for each in sockets:
            each.close()
        raise
    return sockets


def _address(listening: socket.socket) -> Address:
    name = listening.getsockname()
    return Address(f"unix:{name}", 0) if listening.family == socket.AF_UNIX else Address(*name[:2])


def _announced(loaded: Loaded) -> Config:
    for warning in loaded.warnings:
        log.warning("%s", warning)
    return loaded.config
