"""The web configuration in force: read again when a file of it changes, and never to let in whom it kept out."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from exporter.config.web import load_web, stamp
from exporter.errors import ConfigError, Fault, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from exporter.config.web import Stamp, WebConfig

log = logging.getLogger(__name__)

TRY_AGAIN = 5.0
"""Seconds after which a bad configuration is read again although no file that is known of has changed."""


class Watched:
    """The web configuration of the file `path`; `told` hears of each reading whether it was good.

    Raises `ConfigError` where it is bad at the start. A bad one later leaves the old one in force, as does one that
    has a protection no more: it may be half written. To turn one off takes a restart.
    """

    def __init__(
        self, path: Path, told: Callable[[bool], None], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._told = told
        self._monotonic = monotonic
        self._stamps: dict[Path, Stamp | None] = {path: stamp(path)}
        self._config = self._load()
        self._stamps |= self._config.tls_server_config.stamps
        self._try_again: float | None = None
        self._said = ""

    def current(self) -> WebConfig:
        """Give what is in force, after a look at the files: what was changed holds from the next request on."""
        stamps = {path: stamp(path) for path in self._stamps}
        overdue = self._try_again is not None and self._monotonic() >= self._try_again
        if stamps != self._stamps or overdue:
            self._stamps = stamps
            self._reload(stamps)
        return self._config

    def _reload(self, stamps: Mapping[Path, Stamp | None]) -> None:
        try:
            config = self._load()
            self._refuse_to_open(config)
        except ConfigError as error:
            self._try_again = self._monotonic() + TRY_AGAIN
            self._told(False)  # noqa: FBT003 - it hears one thing alone
            if str(error) != self._said:
                self._said = str(error)
                log.error("web configuration not reloaded, the old one stays: %s", error)  # noqa: TRY400 - no crash
            return
        self._try_again = None
        self._said = ""
        self._stamps = {self._path: stamps[self._path], **config.tls_server_config.stamps}
        self._config = config
        self._told(True)  # noqa: FBT003 - as above
        log.info("web configuration reloaded")

    def _refuse_to_open(self, config: WebConfig) -> None:
        place = Place(str(self._path), 1, 1)
        lost = [name for name, on in self._config.protections.items() if on > config.protections[name]]
        if lost:
            raise ConfigError([Fault(place, f"{name} would be turned off: restart for that") for name in lost])

    def _load(self) -> WebConfig:
        config, warnings = load_web(self._path)
        for warning in warnings:
            log.warning("%s", warning)
        return config
