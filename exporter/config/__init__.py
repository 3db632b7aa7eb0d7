"""The configuration: exporter.yaml read into values that do not change, every fault with its place."""

from exporter.config.durations import format_duration, parse_duration
from exporter.config.settings import (
    SETTINGS,
    Account,
    Api,
    Config,
    Discover,
    Filters,
    Limits,
    Loaded,
    Metrics,
    Poll,
    PropertySettings,
    Secret,
    TokenSource,
    load,
    parse,
    render,
)

__all__ = [
    "SETTINGS",
    "Account",
    "Api",
    "Config",
    "Discover",
    "Filters",
    "Limits",
    "Loaded",
    "Metrics",
    "Poll",
    "PropertySettings",
    "Secret",
    "TokenSource",
    "format_duration",
    "load",
    "parse",
    "parse_duration",
    "render",
]
