"""The exporter's configuration: its settings, their checks, and the configuration as text again."""
# ruff: noqa: RUF009 - the calls in the dataclasses make their fields

from __future__ import annotations

import errno
import os
import re
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import urlsplit

import httpx
import yaml

from exporter.api.pagination import MAX_RECORDS
from exporter.api.payload import LABEL_BYTES, MOST_LABEL_BYTES
from exporter.api.proxy import is_loopback, proxy_for
from exporter.api.tls import show_files, trust_files
from exporter.config.durations import format_duration, parse_duration
from exporter.config.nodes import BOOLEAN, REGEX, TEXT, Kind, Report, choice, duration, integer, number
from exporter.config.schema import Keys, Row, list_of, merged, optional, read, required, section, setting, shown, table
from exporter.errors import ConfigError, Fault, Place
from exporter.metrics.families import FAMILIES, INFO_LABELS
from exporter.model import PROVISIONING_STATES, TRUNK_TYPES
from exporter.telemetry import EXPORTER_FAMILIES

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SETTINGS", "Config", "Loaded", "format_duration", "load", "parse", "parse_duration", "render"]

Detail = Literal["trunk", "property"]
_DETAILS: tuple[Detail, ...] = ("trunk", "property")
Unusable = Literal["set_aside", "ignore"]
_UNUSABLE: tuple[Unusable, ...] = ("set_aside", "ignore")
LONGEST_NAME = 1024
"""Most characters of a name that a rule is tried on: harmless rules take a minute for some names of 64 kB."""
_TOKEN_KEYS = ("token_file", "token_env", "token")
_LONGEST_TOKEN = 65_536
_LONGEST_URL = 2048
# Without a character that any of those who read it on its way to the socket could take for the end of the host.
_PLAIN_URL = re.compile(r"(?i:https?)://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?(/[!\"$->A-\[\]-~]*)?")
# The pure Python dumper takes seconds for 20,000 properties.
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_NOWHERE = Place("", 1, 1)


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A text that neither `str` nor `repr` shows."""

    _text: str

    def reveal(self) -> str:
        """Give the text itself."""
        return self._text

    def __repr__(self) -> str:
        return "<secret>"


def _base_url(text: str, node: yaml.Node, report: Report) -> str | None:
    # The text is not quoted: it may hold a password.
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or not _PLAIN_URL.fullmatch(text) or len(text) > _LONGEST_URL or not _sendable(text):
        report.fault(node, "expected an http or https URL with a host and without user, query or fragment")
        return None
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        report.warn(node, "the token travels readable over plain http: use https")
    return text.rstrip("/")


def _sendable(url: str) -> bool:
    """Say whether the HTTP client would take the URL, and the name's parts are as long as DNS has them."""
    try:
        return all(0 < len(label) < 64 for label in httpx.URL(url).raw_host.rstrip(b".").split(b"."))  # noqa: PLR2004 - RFC 1035
    except (httpx.InvalidURL, UnicodeError):
        return False


def _file(text: str, _node: yaml.Node, report: Report) -> Path:
    return report.directory / text


@dataclass(frozen=True, slots=True)
class Api:
    """How the API is asked; `timeout` in seconds, `key_file` None where `cert_file` is."""

    base_url: str = setting(TEXT.then(_base_url), "https://api.fonedynamics.com", "where the API is")
    timeout: float = setting(
        duration(0.1, 600), 10.0, "longest wait for one request, half for its connection, 100ms to 10m"
    )
    page_size: int = setting(integer(1, 1000), 50, "entries asked for at once (`Results_Count`), 1 to 1000")
    max_concurrency: int = setting(integer(1, 1000), 8, "requests in flight, all properties together, 1 to 1000")
    requests_per_second: float = setting(number(0), 10.0, "request budget, all properties together; 0 = no limit")
    max_attempts: int = setting(integer(1, 20), 4, "tries of one request, with back-off between them, 1 to 20")
    ca_file: Path | None = optional(
        TEXT.then(_file),
        "certificates of the authorities to trust, instead of the usual ones; read again when it changes",
    )
    cert_file: Path | None = optional(
        TEXT.then(_file), "certificate that is shown to the API's server, and those it rests on; read again likewise"
    )
    key_file: Path | None = optional(
        TEXT.then(_file), "the certificate's private key, not encrypted; read again likewise"
    )


def _check_api(api: Api | None, keys: Keys, report: Report) -> None:
    pair = keys.find("cert_file", "key_file")
    if len(pair) == 1:
        report.fault(keys.node(pair[0]), "cert_file and key_file go together: add the other")
    elif api:
        for key, use, what, wanted in (
            ("ca_file", trust_files, "ca_file", "PEM certificates"),
            ("cert_file", show_files, "cert_file or key_file", "a PEM certificate and its key, not encrypted"),
        ):
            try:
                use(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), api)
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or error
                report.fault(keys.given[key], f"{what} cannot be used, expected {wanted}: {why}")


@dataclass(frozen=True, slots=True)
class Poll:
    """When properties are polled, in seconds."""

    interval: float = setting(duration(1, 86_400), 60.0, "time between two polls of a property, 1s to 1d")
    stale_after: float = setting(duration(0.001), 300.0, "how long a failing property's last good data is still served")


def _check_poll(poll: Poll | None, keys: Keys, report: Report) -> None:
    if poll and poll.interval > poll.stale_after:
        node = keys.given.get("interval") or keys.given["stale_after"]
        report.warn(node, "interval is longer than stale_after: one failed poll withdraws the data at once")


def _sid(what: str = "") -> Kind[str]:
    """Make the kind of Sids; `what` names them if none may come twice in the file."""

    def check(text: str, node: yaml.Node, report: Report) -> str | None:
        if not re.fullmatch("[A-Za-z0-9]+", text):
            report.fault(node, "expected a Sid of letters and digits alone")
            return None
        if not re.fullmatch("[A-Z0-9]{32}", text):
            report.warn(node, "does not look like a Sid: expected 32 upper-case letters and digits")
        if what:
            report.unique(node, f"{what} {text!r}")
        return text

    return TEXT.then(check)


@dataclass(frozen=True, slots=True)
class TokenSource:
    """Where an account's API token comes from; exactly one field is set."""

    file: Path | None = optional(
        TEXT.then(lambda text, node, report: _tried(TokenSource(file=report.directory / text), node, report).file),
        "file that holds the token, read again when it changes; relative to the configuration file",
        "token_file",
    )
    env: str | None = optional(
        # _variable comes after this class, which it needs.
        TEXT.then(lambda text, node, report: _variable(text, node, report)),  # noqa: PLW0108 - hence
        "environment variable that holds the token",
        "token_env",
    )
    inline: Secret | None = optional(
        TEXT.then(lambda text, node, report: _inline(Secret(text), node, report)),
        "the token itself; draws a warning",
        "token",
    )

    def read(self) -> str:
        """Give the token without the white space around it.

        Raises OSError if the file cannot be read, ValueError if what is there is no token; neither shows the token.
        """
        if self.file is not None:
            with regular(self.file).open("rb") as file:
                # What is not UTF-8 becomes unprintable, without an exception that would carry the bytes.
                text = file.read(_LONGEST_TOKEN).decode("utf-8", "surrogateescape").removeprefix("\ufeff")
            return _token(text, f"token_file {self.file}")
        if self.env is not None:
            return _token(os.environ.get(self.env, ""), f"environment variable {self.env}")
        return _token(self.inline.reveal() if self.inline else "", "token")


def _token(text: str, where: str) -> str:
    token = text.strip()
    if not token:
        raise ValueError(f"{where} is {'not set or ' * where.startswith('env')}empty: put the token there")
    if not token.isprintable():
        raise ValueError(f"{where} must hold the token alone, on one line")
    return token


def _tried(source: TokenSource, node: yaml.Node, report: Report) -> TokenSource:
    try:
        source.read()
    except OSError as error:
        report.fault(node, f"token_file {source.file} cannot be read: {error.strerror}")
    except ValueError as error:
        report.fault(node, str(error))
    return source


def _variable(name: str, node: yaml.Node, report: Report) -> str | None:
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
        # It is not quoted: somebody may have put the token itself there.
        report.fault(node, "expected the name of an environment variable: letters, digits and _")
        return None
    return _tried(TokenSource(env=name), node, report).env


def _inline(secret: Secret, node: yaml.Node, report: Report) -> Secret | None:
    report.warn(node, "everybody who may read this file may read the token: use token_file or token_env")
    return _tried(TokenSource(inline=secret), node, report).inline


@dataclass(frozen=True, slots=True)
class Discover:
    """Which of an account's properties are polled, by name."""

    include: re.Pattern[str] = setting(
        REGEX, re.compile(".*"), "regular expression found in the names to poll, of 1,024 characters at most"
    )
    exclude: re.Pattern[str] | None = optional(REGEX, "regular expression found in the names not to poll")

    def selects(self, name: str) -> bool:
        """Say whether the property called `name` is polled; one that is too long to be matched is where all are."""
        if len(name) > LONGEST_NAME:
            return self == Discover()
        return bool(self.include.search(name)) and not (self.exclude and self.exclude.search(name))


@dataclass(frozen=True, slots=True)
class Filters:
    """Which of a property's trunks the API is asked for; None asks for all."""

    type: str | None = optional(choice("type", TRUNK_TYPES.values()), "`ip_to_ip` or `authenticated` trunks only")
    active: bool | None = optional(BOOLEAN, "active or inactive trunks only")
    provisioning_state: str | None = optional(
        choice("provisioning state", PROVISIONING_STATES.values()),
        "trunks in this state only: " + ", ".join(f"`{state}`" for state in PROVISIONING_STATES.values()),
    )


@dataclass(frozen=True, slots=True)
class ExpectedTrunk:
    """What a trunk should be like; None expects nothing."""

    sid: str = required(_sid(), "the trunk's Sid; it should be there")
    channel_limit: int | None = optional(integer(0, 2**53), "its channel limit")
    provisioning_state: str | None = optional(
        choice("provisioning state", PROVISIONING_STATES.values()), "its provisioning state"
    )
    trunk_type: str | None = optional(choice("type", TRUNK_TYPES.values()), "`ip_to_ip` or `authenticated`")
    active: bool | None = optional(BOOLEAN, "whether it is not deactivated")


@dataclass(frozen=True, slots=True)
class Expected:
    """Which trunks a property should have, and what they should be like."""

    only: bool = setting(BOOLEAN, False, "whether no other trunks may exist")  # noqa: FBT003 - as all settings are written
    trunks: tuple[ExpectedTrunk, ...] = setting(
        # A trunk that is being moved is there twice.
        list_of(
            section(ExpectedTrunk), "a list of trunks", unique="expected trunk sid", known_by=lambda each: each.sid
        ),
        (),
        "trunks that should be there",
    )


@dataclass(frozen=True, slots=True)
class PropertySettings:
    """One property to poll; `place` is where the file names it."""

    sid: str = required(_sid("property sid"), "the property's Sid")
    name: str | None = optional(TEXT, "what people call the property; else the name found by discovery")
    filters: Filters = setting(section(Filters), Filters(), "which of its trunks to ask for")
    expected: Expected | None = optional(section(Expected), "what was agreed: what differs is drift")
    place: Place = field(default=_NOWHERE, compare=False)


def _check_property(chosen: PropertySettings | None, keys: Keys, report: Report) -> None:
    if chosen and chosen.expected and chosen.filters != Filters():
        report.warn(keys.given["expected"], "trunks that the filters leave out will be missing: expect, or filter")


@dataclass(frozen=True, slots=True)
class Account:
    """One account of the API and its properties; `place` is where the file names it."""

    account_sid: str = required(_sid("account_sid"), "the account's Sid")
    token: TokenSource = merged(section(TokenSource))
    discover: Discover | None = optional(section(Discover), "poll the properties found by name, looked up each round")
    properties: tuple[PropertySettings, ...] = setting(
        list_of(section(PropertySettings, _check_property), "a list of properties"),
        (),
        "properties to poll, beside those discovered",
    )
    place: Place = field(default=_NOWHERE, compare=False)


def _check_account(account: Account | None, keys: Keys, report: Report) -> None:
    sources = keys.find(*_TOKEN_KEYS)
    if not sources:
        report.fault(keys.mapping, f"no token: add one of {', '.join(_TOKEN_KEYS)}")
    for name in sources[1:]:
        report.fault(keys.node(name), f"more than one token: keep one of {', '.join(sources)}")
    if not keys.find("discover", "properties") or (account and not account.discover and not account.properties):
        report.fault(keys.mapping, "no properties: add properties or discover")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is taken from the API: what is beyond makes no series."""

    trunks_per_property: int = setting(
        integer(1, MAX_RECORDS), MAX_RECORDS, f"a property with more fails as `too_large`, 1 to {MAX_RECORDS}"
    )
    properties_per_account: int = setting(
        integer(1, MAX_RECORDS),
        20_000,
        f"a look-up that finds more fails as `too_large`, and those found before stay, 1 to {MAX_RECORDS}",
    )
    label_bytes: int = setting(
        integer(64, MOST_LABEL_BYTES), LABEL_BYTES, "text of more bytes in UTF-8 is cut and ends in `…`, 64 to 65536"
    )


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered of changes, and where it outlives a restart."""

    path: Path | None = optional(
        TEXT.then(_file), "file (SQLite) that keeps the last good data and the changes over a restart"
    )
    changes: int = setting(integer(1, 1_000_000), 10_000, "most changes that are kept, 1 to 1000000")
    keep_for: float = setting(
        duration(60, 366 * 86_400), 30 * 86_400.0, "how long changes, and lists that nobody polls, are kept, 1m to 366d"
    )
    unusable: Unusable = setting(
        choice("unusable", _UNUSABLE),
        "set_aside",
        "a file that is damaged or of a newer exporter: `set_aside`, to begin a new one, or `ignore`, to do without",
    )


@dataclass(frozen=True, slots=True)
class Metrics:
    """What is published."""

    detail: Detail = setting(
        choice("detail", _DETAILS), "trunk", "`trunk`, or `property`: aggregates, and of trunks only what is `expected`"
    )
    info_labels: tuple[str, ...] = setting(
        list_of(choice("label", INFO_LABELS), "a list of labels", unique="label"),
        INFO_LABELS,
        "labels of `siptrunk_info`",
    )
    exclude: tuple[str, ...] = setting(
        list_of(
            choice("metric family", [family.name for family in (*FAMILIES, *EXPORTER_FAMILIES)]),
            "a list of metric families",
            unique="metric family",
        ),
        (),
        "metric families not to publish",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole configuration."""

    api: Api = setting(section(Api, _check_api), Api(), "how the API is asked")
    poll: Poll = setting(section(Poll, _check_poll), Poll(), "when properties are polled")
    accounts: tuple[Account, ...] = required(
        list_of(section(Account, _check_account), "a list of at least one account", 1), "the accounts to poll"
    )
    limits: Limits = setting(section(Limits), Limits(), "how much is taken from the API")
    state: State = setting(section(State), State(), "what is remembered of changes, and where")
    metrics: Metrics = setting(section(Metrics), Metrics(), "what is published")


def _check_config(config: Config | None, keys: Keys, report: Report) -> None:
    if config:
        try:
            proxy_for(config.api.base_url)
        except ValueError as error:
            report.fault(keys.given.get("api", keys.mapping), str(error))


class Loaded(NamedTuple):
    """A configuration, and what in it deserves attention."""

    config: Config
    warnings: list[Fault]


SETTINGS: tuple[Row, ...] = tuple(table(Config))
"""Every setting: its dotted key (`[]` marks a list), its default and what it means."""


def regular(path: Path) -> Path:
    """Give a path back; raise OSError where a file is there that might have its reader wait, as a FIFO does."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is no regular file")
    return path


def contents(path: Path) -> str:
    """Give the text of a configuration file; raise ConfigError where it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError([Fault(Place(str(path), 1, 1), f"cannot be read: {error.strerror}")]) from error
    # What is not UTF-8 is refused, with its place, by the reading of the text.
    return data.decode("utf-8", "surrogateescape")


def load(path: Path) -> Loaded:
    """Give the configuration in the file `path`; raise ConfigError with every fault found."""
    return parse(contents(path), str(path), path.parent)


def parse(text: str, file: str, directory: Path) -> Loaded:
    """Give the configuration in `text`; raise ConfigError with every fault found.

    `file` is its name in messages; a relative `token_file` is looked for in `directory`.
    """
    report = Report(file, directory.absolute())
    return Loaded(read(section(Config, _check_config), text, report), sorted(report.warnings))


def render(config: Config) -> str:
    """Give the configuration as YAML: every setting, defaults included, with `<secret>` for a token."""
    return str(yaml.dump(shown(config), Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=10_000))
