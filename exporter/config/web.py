"""The web configuration: who may reach the endpoints, and how, in the format of the Prometheus exporter toolkit.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
"""
# ruff: noqa: RUF009 - the calls in the dataclasses make their fields

from __future__ import annotations

import os
import re
import ssl
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import yaml

from exporter.config.nodes import BOOLEAN, NULL, TEXT, Kind, Report, choice, integer, scalar
from exporter.config.schema import Keys, list_of, mapping_of, optional, read, section, setting, shown
from exporter.config.settings import Secret, contents, regular
from exporter.errors import ConfigError, Fault, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

CIPHER_SUITES = {
    f"TLS_ECDHE_{key}_WITH_{suite}": f"ECDHE-{key}-{name}"
    for key in ("ECDSA", "RSA")
    for suite, name in (
        ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
        ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
        ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
        ("AES_128_CBC_SHA", "AES128-SHA"),
        ("AES_256_CBC_SHA", "AES256-SHA"),
    )
}
"""Go's names of the suites up to TLS 1.2, as the toolkit knows them, and OpenSSL's."""
_SUITES_OF_TLS13 = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
_CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}
_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_OLD_VERSIONS = ("TLS10", "TLS11")
_CLIENTS = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_UNVERIFIED = ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert")

_SLOW_COST, _HIGHEST_COST = 14, 18
_NANOSECONDS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9}
_NANOSECONDS["h"] = 3600 * 10**9
_GO_DURATION = re.compile(rf"([0-9]+\.?[0-9]*|\.[0-9]+)({'|'.join(_NANOSECONDS)})")

Stamp = tuple[int, ...]
"""What changes where a file does."""


def stamp(path: Path) -> Stamp | None:
    """Give the stamp of the file `path`, None where it cannot be had."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _readable(text: str, node: yaml.Node, report: Report) -> Path | None:
    path = report.directory / text
    try:
        with regular(path).open("rb") as file:
            file.read(1)
    except (OSError, ValueError) as error:
        report.fault(node, f"{path} cannot be read: {getattr(error, 'strerror', error)}")
        return None
    return path


def _client_auth_type(text: str, node: yaml.Node, report: Report) -> str | None:
    if text in _UNVERIFIED:
        report.fault(
            node,
            f"{text} takes any certificate without verifying it, which keeps nobody out and which Python cannot do:"
            " use RequireAndVerifyClientCert with client_ca_file",
        )
        return None
    return choice("client_auth_type", _CLIENTS).read(node, report)


_VERSION = choice("TLS version", (*_VERSIONS, *_OLD_VERSIONS))


@dataclass(slots=True, eq=False)
class Tls:
    """How TLS is spoken: not at all where `context` is None.

    `stamps` are those of the files that were read.
    """

    cert: str | None = optional(TEXT, "the server's certificate")
    key: Secret | None = optional(TEXT.then(lambda text, _node, _report: Secret(text)), "its key")
    client_ca: str | None = optional(TEXT, "the authority of the clients' certificates")
    cert_file: Path | None = optional(TEXT.then(_readable), "file of the server's certificate")
    key_file: Path | None = optional(TEXT.then(_readable), "file of its key")
    client_ca_file: Path | None = optional(TEXT.then(_readable), "file of the authority of the clients' certificates")
    client_auth_type: str = setting(TEXT.then(_client_auth_type), "NoClientCert", "whether clients need a certificate")
    client_allowed_sans: tuple[str, ...] | None = optional(
        list_of(TEXT, "a list of at least one name", 1), "names of which a client's certificate must have one"
    )
    min_version: str = setting(_VERSION, "TLS12", "least version")
    max_version: str = setting(_VERSION, "TLS13", "highest version")
    cipher_suites: tuple[str, ...] = setting(
        list_of(choice("cipher suite", (*CIPHER_SUITES, *_SUITES_OF_TLS13)), "a list of cipher suites"),
        (),
        "cipher suites up to TLS 1.2, the preferred first",
    )
    prefer_server_cipher_suites: bool = setting(BOOLEAN, default=True, doc="whether the server's preference counts")
    curve_preferences: tuple[str, ...] = setting(
        list_of(choice("curve", _CURVES), "a list of curves"), (), "curves, the preferred first"
    )
    context: ssl.SSLContext | None = field(default=None)
    stamps: Mapping[Path, Stamp | None] = field(default_factory=dict)

    @property
    def clients(self) -> tuple[object, ...]:
        """What says which clients may come in."""
        authority = self.client_ca_file and self.stamps.get(self.client_ca_file)
        return self.client_auth_type, self.client_ca, self.client_ca_file, authority, self.client_allowed_sans


_MAY_BE_BLANK = ("cert", "key", "client_ca", "cert_file", "key_file", "client_ca_file", "client_auth_type")


def _read_tls(node: yaml.Node, report: Report) -> Tls | None:
    """Read the section; as in the toolkit, what is blank is not set, unless that would switch TLS off."""
    if isinstance(node, yaml.MappingNode):
        given = [(key, value) for key, value in node.value if not (key.value in _MAY_BE_BLANK and value.value == "")]
        node.value = given or node.value
    return section(Tls, _check_tls).read(node, report)


def _check_tls(tls: Tls | None, keys: Keys, report: Report) -> None:
    given = isinstance(keys.mapping, yaml.MappingNode) and keys.mapping.value
    if not given:
        report.warn(keys.mapping, "nothing is set: TLS is off")
        return
    for what in ("cert", "key", "client_ca"):
        both = keys.find(what, f"{what}_file")
        if not both and what != "client_ca":
            report.fault(keys.mapping, f"missing one of {what} or {what}_file")
        for name in both[1:]:
            report.fault(keys.node(name), f"{what} is given twice: keep one of {' and '.join(both)}")
    clients = tls.client_auth_type if tls else ""
    for name in keys.find("client_ca", "client_ca_file", "client_allowed_sans") if clients == "NoClientCert" else ():
        report.fault(
            keys.node(name), f"{name} has no effect without client_auth_type: RequireAndVerifyClientCert asks for it"
        )
    if tls and clients != "NoClientCert" and not keys.find("client_ca", "client_ca_file"):
        report.warn(
            keys.node("client_auth_type"),
            "without client_ca_file every certificate of an authority that this machine trusts is accepted",
        )
    if tls and not report.faults:
        _make_context(tls, keys, report)


def _make_context(tls: Tls, keys: Keys, report: Report) -> None:
    files = filter(None, (tls.cert_file, tls.key_file, tls.client_ca_file))
    # Taken before the files are read: what changes while they are is seen the next time.
    tls.stamps = {path: stamp(path) for path in files}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION
    if not tls.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    _set_versions(context, tls, keys, report)
    _set_suites(context, tls, keys, report)
    _set_curve(context, tls, keys, report)
    context.verify_mode = _CLIENTS[tls.client_auth_type]
    with _refusals(keys, ("client_ca", "client_ca_file"), report):
        if tls.client_ca_file:
            context.load_verify_locations(cafile=tls.client_ca_file)
        elif tls.client_ca:
            context.load_verify_locations(cadata=tls.client_ca)
        elif tls.client_auth_type != "NoClientCert":
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    with (
        _refusals(keys, ("cert", "cert_file"), report),
        _as_file(tls.cert, tls.cert_file) as cert,
        _as_file(tls.key.reveal() if tls.key else None, tls.key_file) as key,
    ):
        # With no password at all, OpenSSL would ask for that of an encrypted key at the terminal.
        context.load_cert_chain(cert, key, password="")
    tls.context = context


def _set_versions(context: ssl.SSLContext, tls: Tls, keys: Keys, report: Report) -> None:
    if tls.max_version in _OLD_VERSIONS:
        report.fault(keys.node("max_version"), "TLS 1.0 and 1.1 are not spoken any more (RFC 8996): use TLS13")
        return
    if tls.min_version in _OLD_VERSIONS:
        report.warn(keys.node("min_version"), "TLS 1.0 and 1.1 are not spoken any more (RFC 8996): TLS12 is the least")
    least, highest = _VERSIONS.get(tls.min_version, ssl.TLSVersion.TLSv1_2), _VERSIONS[tls.max_version]
    if least > highest:
        report.fault(keys.node("min_version"), "min_version is above max_version: no version is left")
        return
    context.minimum_version, context.maximum_version = least, highest


def _set_suites(context: ssl.SSLContext, tls: Tls, keys: Keys, report: Report) -> None:
    if suites := [CIPHER_SUITES[name] for name in tls.cipher_suites if name in CIPHER_SUITES]:
        context.set_ciphers(":".join(suites))
    elif tls.cipher_suites and tls.max_version == "TLS12":
        report.fault(keys.node("cipher_suites"), "every suite is of TLS 1.3, and max_version is below")
    elif tls.cipher_suites:
        # As in Go, where this leaves no suite to older versions.
        context.minimum_version = ssl.TLSVersion.TLSv1_3


def _set_curve(context: ssl.SSLContext, tls: Tls, keys: Keys, report: Report) -> None:
    given = tls.curve_preferences
    offered = next((name for name in given if _offers(context, name)), None)
    if offered and set(given) != {offered}:
        report.warn(keys.node("curve_preferences"), f"Python offers one curve alone: it is {offered}")
    elif given and not offered:
        # Only an old one's X25519. All that OpenSSL has would be more than what was asked for.
        report.fault(
            keys.node("curve_preferences"),
            f"this Python cannot offer {given[0]} alone: without curve_preferences it comes first, before the others",
        )


def _offers(context: ssl.SSLContext, curve: str) -> bool:
    try:
        context.set_ecdh_curve(_CURVES[curve])
    except (ValueError, ssl.SSLError):
        return False
    return True


@contextmanager
def _refusals(keys: Keys, names: tuple[str, ...], report: Report) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, TypeError) as error:
        # OpenSSL's own words begin in capitals, and often there are none.
        reason = re.match("[A-Z_]*", getattr(error, "reason", None) or "")
        found = keys.find(*names)
        node = keys.node(found[0]) if found else keys.mapping
        said = reason[0].replace("_", " ").lower() if reason else ""
        what, unsaid = names[0], "not PEM"
        if what == "cert":
            what, unsaid = "certificate and key", "not PEM, or a key with a password"
        report.fault(node, f"{what} cannot be used: {said or unsaid}")


@contextmanager
def _as_file(text: str | None, path: Path | None) -> Iterator[str | Path]:
    """Give a file of the text, which lies in memory alone, or else the path."""
    if text is None:
        yield path or ""
        return
    with os.fdopen(os.memfd_create("pem"), "wb") as file:
        file.write(text.encode())
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"


def _header(*allowed: str) -> Kind[str]:
    def read_header(node: yaml.Node, report: Report) -> str | None:
        if node.tag == NULL or (isinstance(node, yaml.ScalarNode) and not node.value.strip()):
            return ""
        text = TEXT.read(node, report)
        if text is not None and not (text.isascii() and text.isprintable()):
            report.fault(node, "expected one line of ASCII text")
            return None
        return text if text is None or not allowed else choice("value", allowed).read(node, report)

    return Kind(read_header)


@dataclass(frozen=True, slots=True)
class Headers:
    """What is added to answers that do not have it; None or blank is nothing."""

    content_security_policy: str | None = optional(_header(), "", "Content-Security-Policy")
    frame_options: str | None = optional(_header("deny", "sameorigin"), "", "X-Frame-Options")
    content_type_options: str | None = optional(_header("nosniff"), "", "X-Content-Type-Options")
    xss_protection: str | None = optional(_header(), "", "X-XSS-Protection")
    transport_security: str | None = optional(_header(), "", "Strict-Transport-Security")


@dataclass(frozen=True, slots=True)
class HttpServer:
    """How HTTP is spoken: always HTTP/1.1, whatever `http2` is."""

    http2: bool = setting(BOOLEAN, default=True, doc="whether HTTP/2 may be spoken, which this exporter does not")
    headers: Headers = setting(section(Headers), Headers(), "headers of every answer")


def _interval(text: str) -> float:
    # A duration as Go writes it, which has fractions where Prometheus has none.
    if text != "0" and not re.fullmatch(f"({_GO_DURATION.pattern})+", text):
        raise ValueError
    return sum(float(number) * _NANOSECONDS[unit] for number, unit in _GO_DURATION.findall(text)) / 1e9


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many requests are answered: one each `interval` seconds, and `burst` at once; no limit where it is 0."""

    interval: float = setting(scalar("a duration like 1s or 100ms", _interval), 0.0, "time between two requests")
    burst: int = setting(integer(0, 10**9), 0, "requests answered at once")


def _check_rate_limit(limit: RateLimit | None, keys: Keys, report: Report) -> None:
    if limit and limit.interval and not limit.burst:
        report.warn(keys.mapping, "with a burst of 0 every request is refused")


def _bcrypt(node: yaml.Node, report: Report) -> Secret | None:
    # The text is not quoted: somebody may have put the password itself there.
    text = node.value if isinstance(node, yaml.ScalarNode) else ""
    found = re.fullmatch(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}", text)
    if not found:
        report.fault(node, """expected a bcrypt hash like $2y$10$…: htpasswd -nBC 10 "" | tr -d ':\\n' makes one""")
        return None
    cost = int(found[1])
    if not 4 <= cost <= _HIGHEST_COST:  # noqa: PLR2004 - the least that bcrypt knows
        report.fault(node, f"expected a bcrypt hash of cost 4 to {_HIGHEST_COST}, not {cost}: 10 is usual")
        return None
    if cost > _SLOW_COST:
        report.warn(node, f"a bcrypt hash of cost {cost} takes seconds for a first request: 10 is usual")
    return Secret(text)


def _check_users(users: Mapping[str, Secret], node: yaml.Node, report: Report) -> Mapping[str, Secret]:
    if not users:
        report.warn(node, "there are no users: everybody is let in")
    for name in users:
        if ":" in name or not name.isprintable():
            report.fault(node, f"user {name!r} cannot log in: no user's name has a colon or a control character")
    return users


@dataclass(frozen=True, kw_only=True)
class WebConfig:
    """The whole web configuration; without any setting everybody is let in."""

    tls_server_config: Tls = setting(replace(section(Tls, _check_tls), read=_read_tls), Tls(), "how TLS is spoken")
    http_server_config: HttpServer = setting(section(HttpServer), HttpServer(), "how HTTP is spoken")
    basic_auth_users: Mapping[str, Secret] | None = optional(
        mapping_of(Kind(_bcrypt), "names of users").then(_check_users), "users and bcrypt hashes of their passwords"
    )
    rate_limit: RateLimit = setting(
        section(RateLimit, _check_rate_limit), RateLimit(), "how many requests are answered"
    )

    @cached_property
    def headers(self) -> dict[str, str]:
        """The headers of every answer that does not have them."""
        return {name: text for name, text in shown(self.http_server_config.headers).items() if text}

    @cached_property
    def hashes(self) -> dict[bytes, bytes]:
        """The hashes of the users' passwords by their names."""
        return {name.encode(): secret.reveal().encode() for name, secret in (self.basic_auth_users or {}).items()}

    @cached_property
    def protections(self) -> dict[str, bool]:
        """What keeps somebody out, and whether it is on."""
        tls = self.tls_server_config
        return {
            "TLS": tls.context is not None,
            "client certificates": tls.client_auth_type != "NoClientCert",
            "client certificates required": tls.client_auth_type == "RequireAndVerifyClientCert",
            "client_allowed_sans": tls.client_allowed_sans is not None,
            "basic_auth_users": bool(self.basic_auth_users),
        }


class LoadedWeb(NamedTuple):
    """A web configuration, and what in it deserves attention."""

    config: WebConfig
    warnings: list[Fault]


def load_web(path: Path) -> LoadedWeb:
    """Give the web configuration in the file `path`; raise ConfigError with every fault found.

    Beside what the toolkit refuses, it refuses what would protect nobody unnoticed. An empty file is good.
    """
    try:
        # A reload is done within the event loop.
        regular(path)
    except OSError as error:
        raise ConfigError([Fault(Place(str(path), 1, 1), f"cannot be read: {error.strerror}")]) from error
    return parse_web(contents(path), str(path), path.parent)


def parse_web(text: str, file: str, directory: Path) -> LoadedWeb:
    """Give the web configuration in `text`; raise ConfigError with every fault found.

    `file` is its name in messages; relative paths in it begin in `directory`.
    """
    report = Report(file, directory.absolute())
    if re.sub("(?m)^[ \\t]*#.*", "", text).strip() in ("", "---", "~", "null"):
        return LoadedWeb(WebConfig(), [Fault(report.at(None), "the file is empty: everybody is let in")])
    return LoadedWeb(read(section(WebConfig), text, report), sorted(report.warnings))
