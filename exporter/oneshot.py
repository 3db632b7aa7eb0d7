"""The commands that end by themselves: check, once and expect."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from prometheus_client import CollectorRegistry

from exporter.api.client import ApiClient
from exporter.api.listing import properties_of, trunks_of
from exporter.config import Filters, load
from exporter.daemon import Daemon
from exporter.drift import block
from exporter.errors import ConfigError, Fault, PollError
from exporter.polling.poller import read_credentials
from exporter.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from exporter.api.listing import Listing
    from exporter.config import Config, Loaded
    from exporter.config.web import LoadedWeb
    from exporter.errors import Place
    from exporter.model import Project, Trunk
    from exporter.shard import Shard

AnyLoaded = TypeVar("AnyLoaded", "Loaded", "LoadedWeb")


async def check(path: Path, shard: Shard, web: Path | None = None, *, live: bool) -> int:
    """Print every fault and warning of a configuration, and of the web configuration where one is named.

    With `live`, also what the API refuses to those properties that are the shard's. Gives the exit status.
    """
    good = not web or _web_is_good(web)
    loaded = _told(load, path)
    if not loaded:
        return 1
    if trouble := _state_trouble(loaded.config):
        print(f"{path}: warning: state.path: {trouble}")
    faults = [fault async for fault in _live_faults(loaded.config, shard)] if live else []
    for fault in faults:
        print(fault)
    if not faults:
        print(f"{path}: good, {_extent(loaded.config)}")
    return 0 if good and not faults else 1


def _state_trouble(config: Config) -> str | None:
    """Say why the state file cannot be used, where that can be seen without touching it."""
    if config.state.path is None:
        return None
    from exporter.history.state import StateError, look  # noqa: PLC0415 - few have one, and it brings SQLite

    try:
        look(config.state.path)
    except StateError as error:
        return str(error)
    return None


def _web_is_good(path: Path) -> bool:
    # Few have one, and it takes time to load what reads it.
    from exporter.config.web import load_web  # noqa: PLC0415 - see above

    return _told(load_web, path) is not None


def _told(load: Callable[[Path], AnyLoaded], path: Path) -> AnyLoaded | None:
    """Print the faults and warnings of one file; give what was loaded, None where it is bad."""
    try:
        loaded = load(path)
    except ConfigError as error:
        print(error)
        return None
    for warning in loaded.warnings:
        print(f"{warning.place}: warning: {warning.message}")
    return loaded


def _extent(config: Config) -> str:
    properties = sum(len(account.properties) for account in config.accounts)
    discovering = sum(account.discover is not None for account in config.accounts)
    return f"{len(config.accounts)} accounts, {properties} properties configured, {discovering} accounts discovering"


async def _live_faults(config: Config, shard: Shard) -> AsyncIterator[Fault]:
    """Make one request for each account and property of the shard, without retries, and yield what was refused."""
    client = ApiClient(replace(config.api, max_attempts=1), Telemetry(CollectorRegistry()))
    try:
        every = read_credentials(config, {})
        for account in config.accounts:
            credentials = every[account.account_sid]
            lists: list[tuple[Place, Listing[Project] | Listing[Trunk]]] = [
                (account.place, properties_of(credentials)),
                *(
                    (each.place, trunks_of(credentials, each.sid, each.filters))
                    for each in account.properties
                    if shard.owns(each.sid)
                ),
            ]
            for place, listing in lists:
                try:
                    await listing.probe(client)
                except PollError as error:
                    yield Fault(place, str(error))
    finally:
        await client.aclose()


async def once(path: Path, shard: Shard, only: str | None) -> int:
    """Poll the shard once, print the exposition, and give the exit status: 1 if anything failed.

    What is printed leaves the metrics of the process out: a textfile collector has its own.
    """
    daemon = await _polled(path, shard, only)
    scrape = await daemon.scraper.scrape("", "")
    # As bytes: the exposition is UTF-8 whatever the locale.
    sys.stdout.buffer.write(scrape.body)
    sys.stdout.buffer.flush()
    return _told_failures(daemon, only)


async def expect(path: Path, shard: Shard, only: str | None) -> int:
    """Poll the shard once, print what is there as what is expected, and give the exit status: 1 if anything failed."""
    daemon = await _polled(path, shard, only)
    pollers = daemon.poller.properties
    blocks = {sid: block(poller.view()) for sid, poller in pollers.items()}
    sys.stdout.buffer.write("".join(blocks.values()).encode())
    sys.stdout.buffer.flush()
    status = _told_failures(daemon, only)
    for sid, poller in pollers.items():
        if poller.health.up and not blocks[sid]:
            print(f"property {sid}: its list is too old by now or was too large to be kept", file=sys.stderr)
            status = 1
        if poller.target.filters != Filters():
            print(f"property {sid}: only what its filters let through is expected: keep them beside", file=sys.stderr)
    return status


async def _polled(path: Path, shard: Shard, only: str | None) -> Daemon:
    daemon = Daemon(lambda: load(path), time.time, shard)
    try:
        await daemon.poller.poll_once(only)
    finally:
        await daemon.poller.stop()
    return daemon


def _told_failures(daemon: Daemon, only: str | None) -> int:
    """Print what failed; give the exit status."""
    failures = [
        f"account {sid}: {discovery.last_error}"
        for sid, discovery in daemon.poller.discoveries.items()
        if discovery.last_error
    ]
    failures += [
        f"property {sid}: {poller.health.last_error}"
        for sid, poller in daemon.poller.properties.items()
        if poller.health.last_error
    ]
    if only and only not in daemon.poller.properties:
        why = "neither configured nor discovered" if daemon.shard.owns(only) else f"not of the shard {daemon.shard}"
        failures.append(f"property {only}: {why}")
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0
