"""The web configuration: good and bad files, as the exporter toolkit has them, and what it leaves open."""

from __future__ import annotations

import os
import re
import ssl
from typing import TYPE_CHECKING

import bcrypt
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config.web import CIPHER_SUITES, load_web, parse_web
from exporter.errors import ConfigError
from tests.web.authority import Authority

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.config.web import LoadedWeb

PAIR = "cert_file: server.crt, key_file: server.key"
HASH = bcrypt.hashpw(b"hunter2", bcrypt.gensalt(4)).decode()
GOOD = {
    "nothing": "",
    "comments alone": "# nothing\n",
    "certificate and key": f"tls_server_config: {{{PAIR}}}",
    "clients verified if given": f"tls_server_config: {{{PAIR}, client_auth_type: VerifyClientCertIfGiven}}",
    "clients verified by the machine's authorities": (
        f"tls_server_config: {{{PAIR}, client_auth_type: RequireAndVerifyClientCert}}"
    ),
    "clients verified": (
        f"tls_server_config: {{{PAIR}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem}}"
    ),
    "blank where nothing is meant": (
        f"tls_server_config: {{{PAIR}, cert: '', key: '', client_ca: '', client_ca_file: '', client_auth_type: ''}}"
    ),
    "clients by name": (
        f"tls_server_config: {{{PAIR}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem,"
        " client_allowed_sans: [one, test3, two]}"
    ),
    "all ciphers": (
        f"tls_server_config: {{{PAIR}, cipher_suites: [{', '.join(CIPHER_SUITES)}, TLS_AES_128_GCM_SHA256,"
        " TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256]}"
    ),
    "some ciphers in the client's order": (
        f"tls_server_config: {{{PAIR}, cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,"
        " TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256], prefer_server_cipher_suites: false, max_version: TLS12}"
    ),
    "a cipher that HTTP/2 would not have": (
        f"tls_server_config: {{{PAIR}, cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384], max_version: TLS12}}"
    ),
    "without HTTP/2": f"tls_server_config: {{{PAIR}}}\nhttp_server_config: {{http2: false}}",
    "one curve": f"tls_server_config: {{{PAIR}, min_version: TLS13, curve_preferences: [CurveP521]}}",
    "all curves": (f"tls_server_config: {{{PAIR}, curve_preferences: [CurveP256, CurveP384, CurveP521, X25519]}}"),
    "old versions": f"tls_server_config: {{{PAIR}, min_version: TLS10}}",
    "headers": (
        "http_server_config:\n  headers:\n    X-Frame-Options: deny\n"
        "    Strict-Transport-Security: max-age=31536000; includeSubDomains\n    X-Content-Type-Options: nosniff\n"
        "    X-XSS-Protection: 1\n    Content-Security-Policy: \"default-src 'self' *.test.example.net\"\n"
    ),
    "blank headers": "http_server_config: {headers: {X-Frame-Options: '', X-XSS-Protection: }}",
    "users": f"basic_auth_users: {{alice: {HASH}, bob: {HASH.replace('2b', '2y')}}}",
    "users with a certificate": f"tls_server_config: {{{PAIR}}}\nbasic_auth_users: {{alice: {HASH}}}",
    "no limit": "rate_limit: {interval: 0, burst: 0}",
    "a limit": "rate_limit: {interval: 1s, burst: 20}",
    "a limit as Go writes it": "rate_limit: {interval: 1m0.5s, burst: 20}",
}
CLIENTS = "client_auth_type: RequireAndVerifyClientCert"
BAD = {
    f"tls_server_config: {{cert_file: '', {PAIR[23:]}}}": ["1:20: missing one of cert or cert_file"],
    "tls_server_config: {cert: '', key_file: server.key}": ["1:20: missing one of cert or cert_file"],
    "tls_server_config: {cert_file: server.crt, key_file: ''}": ["1:20: missing one of key or key_file"],
    "tls_server_config: {cert_file: '', key_file: ''}": [
        "1:32: expected text, not blank text",
        "1:46: expected text, not blank text",
    ],
    "tls_server_config: {cert_file: server.crt}": ["1:20: missing one of key or key_file"],
    "tls_server_config: {min_version: TLS13}": [
        "1:20: missing one of cert or cert_file",
        "1:20: missing one of key or key_file",
    ],
    "tls_server_config: {cert_file: some, key_file: some}": [
        "1:32: FOLDER/some cannot be read: No such file or directory",
        "1:48: FOLDER/some cannot be read: No such file or directory",
    ],
    f"tls_server_config: {{{PAIR}, client_ca_file: none.pem}}": [
        "1:82: FOLDER/none.pem cannot be read: No such file or directory",
    ],
    f"tls_server_config: {{{PAIR}, client_ca_file: ca.pem}}": [
        "1:66: client_ca_file has no effect without client_auth_type: RequireAndVerifyClientCert asks for it"
    ],
    f"tls_server_config: {{{PAIR}, client_allowed_sans: [one]}}": [
        "1:66: client_allowed_sans has no effect without client_auth_type: RequireAndVerifyClientCert asks for it"
    ],
    f"tls_server_config: {{{PAIR}, client_allowed_sans: [], {CLIENTS}}}": [
        "1:87: expected a list of at least one name, not an empty list"
    ],
    f"tls_server_config: {{{PAIR}, {CLIENTS}, client_ca_file: server.key}}": [
        "1:112: client_ca cannot be used: no certificate or crl found"
    ],
    f"tls_server_config: {{{PAIR}, {CLIENTS}, client_ca_file: /dev/zero}}": [
        "1:128: /dev/zero cannot be read: it is no regular file"
    ],
    "tls_server_config: {cert_file: fifo, key_file: fifo}": [
        "1:32: FOLDER/fifo cannot be read: it is no regular file",
        "1:48: FOLDER/fifo cannot be read: it is no regular file",
    ],
    f"tls_server_config: {{{PAIR}, {CLIENTS}, client_ca: text}}": ["1:112: client_ca cannot be used: not PEM"],
    f"tls_server_config: {{{PAIR}, client_auth_type: x}}": [
        (
            "1:84: unknown client_auth_type 'x': expected one of NoClientCert, VerifyClientCertIfGiven,"
            " RequireAndVerifyClientCert"
        )
    ],
    f"tls_server_config: {{{PAIR}, client_auth_type: RequireAnyClientCert}}": [
        (
            "1:84: RequireAnyClientCert takes any certificate without verifying it, which keeps nobody out and which"
            " Python cannot do: use RequireAndVerifyClientCert with client_ca_file"
        )
    ],
    "tls_server_config: {cert_file: server.crt, key_file: other.key}": [
        "1:21: certificate and key cannot be used: key values mismatch"
    ],
    "tls_server_config: {cert_file: server.crt, key_file: locked.key}": [
        "1:21: certificate and key cannot be used: not PEM, or a key with a password"
    ],
    "tls_server_config: {cert_file: server.key, key_file: server.key}": [
        "1:21: certificate and key cannot be used: not PEM, or a key with a password"
    ],
    "tls_server_config: {cert_file: server.crt, key: hunter2}": [
        "1:21: certificate and key cannot be used: not PEM, or a key with a password"
    ],
    f"tls_server_config: {{{PAIR}, cert: x}}": ["1:21: cert is given twice: keep one of cert and cert_file"],
    f"tls_server_config: {{{PAIR}, cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA2048]}}": [
        (
            "1:82: unknown cipher suite 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA2048': did you mean"
            " 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'?"
        )
    ],
    f"tls_server_config: {{{PAIR}, cipher_suites: [TLS_AES_128_GCM_SHA256], max_version: TLS12}}": [
        "1:66: every suite is of TLS 1.3, and max_version is below"
    ],
    f"tls_server_config: {{{PAIR}, curve_preferences: [CurveP257]}}": [
        "1:86: unknown curve 'CurveP257': did you mean 'CurveP256'?"
    ],
    f"tls_server_config: {{{PAIR}, min_version: TLS111}}": [
        "1:79: unknown TLS version 'TLS111': did you mean 'TLS11'?"
    ],
    f"tls_server_config: {{{PAIR}, max_version: TLS11}}": [
        "1:66: TLS 1.0 and 1.1 are not spoken any more (RFC 8996): use TLS13"
    ],
    f"tls_server_config: {{{PAIR}, min_version: TLS13, max_version: TLS12}}": [
        "1:66: min_version is above max_version: no version is left"
    ],
    "hWkNKCp3fvIx3jKnsaBI\nTuEjdwNS8A2vYdFbiKqr\n": ["1:1: expected a mapping, not text"],
    "tls_server_config:\n  cert_filse: server.crt": [
        "2:3: missing one of key or key_file",
        "2:3: unknown key 'cert_filse': did you mean 'cert_file'?",
    ],
    "basic_auth_user: {}": ["1:1: unknown key 'basic_auth_user': did you mean 'basic_auth_users'?"],
    "http_server_config: {headers: {X-Content-Type-Options: sniff}}": [
        "1:56: unknown value 'sniff': did you mean 'nosniff'?"
    ],
    "http_server_config: {headers: {X-Frame-Options: foo}}": [
        "1:49: unknown value 'foo': expected one of deny, sameorigin"
    ],
    "http_server_config: {headers: {Content-Type: foo}}": [
        "1:32: unknown key 'Content-Type': did you mean 'X-Content-Type-Options'?"
    ],
    r'http_server_config: {headers: {Content-Security-Policy: "a\r\nSet-Cookie: b"}}': [
        "1:57: expected one line of ASCII text"
    ],
    "basic_auth_users: {john: hunter2}": [
        "1:26: expected a bcrypt hash like $2y$10$…: htpasswd -nBC 10 \"\" | tr -d ':\\n' makes one"
    ],
    f"basic_auth_users: {{john: [{HASH}]}}": [
        "1:26: expected a bcrypt hash like $2y$10$…: htpasswd -nBC 10 \"\" | tr -d ':\\n' makes one"
    ],
    f"basic_auth_users: {{john: {HASH.replace('$04$', '$19$')}}}": [
        "1:26: expected a bcrypt hash of cost 4 to 18, not 19: 10 is usual"
    ],
    f"basic_auth_users: {{john: {HASH}, john: {HASH}}}": ["1:88: duplicate key 'john': first given at web.yml:1:20"],
    f"basic_auth_users: {{'jo:hn': {HASH}}}": [
        "1:19: user 'jo:hn' cannot log in: no user's name has a colon or a control character"
    ],
    "basic_auth_users: [john]": ["1:19: expected a mapping of names of users, not a list"],
    "rate_limit: {interval: soon, burst: -1}": [
        "1:24: expected a duration like 1s or 100ms, not 'soon'",
        "1:37: expected a whole number from 0 to 1000000000, not '-1'",
    ],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("web")
    Authority(folder, "ca").issue("server", "DNS:localhost")
    Authority(folder, "another").issue("other")
    Authority(folder, "third").issue("locked", password="hunter2")
    os.mkfifo(folder / "fifo")
    return folder


def loaded(folder: Path, text: str) -> LoadedWeb:
    (folder / "web.yml").write_text(text)
    return load_web(folder / "web.yml")


@pytest.mark.parametrize("name", GOOD)
def test_a_good_file_is_taken(folder: Path, name: str) -> None:
    config = loaded(folder, GOOD[name]).config
    assert (config.tls_server_config.context is not None) == ("tls_server_config" in GOOD[name])
    assert bool(config.basic_auth_users) == ("basic_auth_users" in GOOD[name])


@pytest.mark.parametrize("text", BAD)
def test_a_bad_file_is_refused_with_every_place_and_no_secret(folder: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text)
    told = str(caught.value).replace(f"{folder}/web.yml", "web.yml").replace(str(folder), "FOLDER")
    assert [line.removeprefix("web.yml:") for line in told.splitlines()] == BAD[text]
    assert "hunter2" not in told + repr(caught.value)


def test_the_toolkits_own_example_is_good(folder: Path) -> None:
    text = (
        "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
        f'basic_auth_users:\n  alice: {HASH}\n  bob: {HASH}\nrate_limit:\n  interval: "1s"\n  burst: 20\n'
    )
    config, warnings = loaded(folder, text)
    assert warnings == []
    assert (config.rate_limit.interval, config.rate_limit.burst) == (1.0, 20)
    assert "hunter2" not in repr(config)
    assert HASH not in repr(config)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("", "the file is empty: everybody is let in"),
        ("# nothing yet\n---\n", "the file is empty: everybody is let in"),
        ("~", "the file is empty: everybody is let in"),
        ("tls_server_config: {}", "nothing is set: TLS is off"),
        ("basic_auth_users:", "there are no users: everybody is let in"),
        (GOOD["clients verified by the machine's authorities"], "every certificate of an authority that this machine"),
        (GOOD["all curves"], "Python offers one curve alone: it is CurveP256"),
        (GOOD["old versions"], "TLS12 is the least"),
        (f"basic_auth_users: {{a: {HASH.replace('$04$', '$15$')}}}", "takes seconds for a first request"),
        ("rate_limit: {interval: 1s}", "every request is refused"),
    ],
)
def test_what_protects_less_than_it_seems_draws_a_warning(folder: Path, text: str, warning: str) -> None:
    (told,) = loaded(folder, text).warnings
    assert warning in told.message


def test_a_curve_that_this_python_cannot_offer_alone_gives_way_to_the_next_and_is_never_offered_among_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = ssl.SSLContext.set_ecdh_curve

    def old(context: ssl.SSLContext, name: str) -> None:
        if name == "X25519":
            raise ssl.SSLError
        new(context, name)

    monkeypatch.setattr(ssl.SSLContext, "set_ecdh_curve", old)
    (told,) = loaded(folder, f"tls_server_config: {{{PAIR}, curve_preferences: [X25519, CurveP384]}}").warnings
    assert told.message == "Python offers one curve alone: it is CurveP384"
    with pytest.raises(ConfigError, match="1:66: this Python cannot offer X25519 alone: without curve_preferences it"):
        loaded(folder, f"tls_server_config: {{{PAIR}, curve_preferences: [X25519, X25519]}}")


def test_certificates_and_keys_may_stand_in_the_file_itself(folder: Path) -> None:
    def inline(path: str) -> str:
        return "|\n    " + (folder / path).read_text().replace("\n", "\n    ")

    text = (
        f"tls_server_config:\n  cert: {inline('server.crt')}\n  key: {inline('server.key')}\n"
        f"  client_ca: {inline('ca.pem')}\n  client_auth_type: RequireAndVerifyClientCert\n"
    )
    config = loaded(folder, text).config
    assert config.tls_server_config.context
    assert config.tls_server_config.context.verify_mode == ssl.CERT_REQUIRED
    assert not config.tls_server_config.stamps
    assert "PRIVATE KEY" not in repr(config)


def test_suites_of_tls_1_3_alone_leave_nothing_to_older_versions(folder: Path) -> None:
    config = loaded(folder, f"tls_server_config: {{{PAIR}, cipher_suites: [TLS_AES_128_GCM_SHA256]}}").config
    assert config.tls_server_config.context
    assert config.tls_server_config.context.minimum_version == ssl.TLSVersion.TLSv1_3


def test_paths_are_relative_to_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    (folder / "web.yml").write_text(GOOD["certificate and key"])
    assert load_web((folder / "web.yml").relative_to(folder.parent)).config.tls_server_config.context


def test_a_file_that_is_not_there_is_a_fault(folder: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape("none.yml:1:1: cannot be read: No such file")):
        load_web(folder / "none.yml")


def test_a_file_that_nobody_may_ever_write_to_is_not_waited_for(folder: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape("fifo:1:1: cannot be read: it is no regular file")):
        load_web(folder / "fifo")


KEYS = st.sampled_from(
    [
        "tls_server_config",
        "cert",
        "key",
        "client_ca",
        "cert_file",
        "key_file",
        "client_ca_file",
        "client_auth_type",
        "client_allowed_sans",
        "min_version",
        "max_version",
        "cipher_suites",
        "prefer_server_cipher_suites",
        "curve_preferences",
        "http_server_config",
        "http2",
        "headers",
        "X-Frame-Options",
        "Content-Security-Policy",
        "basic_auth_users",
        "rate_limit",
        "interval",
        "burst",
    ]
)
VALUES = st.sampled_from(
    [HASH, "server.crt", "server.key", "ca.pem", "/dev/null", "TLS12", "TLS13", "X25519", "deny", "nosniff", "1s", 0]
)
STRUCTURES = st.recursive(
    VALUES | st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS | st.text(), inner),
    max_leaves=30,
)


@settings(deadline=None)  # the machine may be busy
@given(st.text() | st.text("{}[]-:,!&*?|>'\"%@# \n\tab") | STRUCTURES.map(yaml.safe_dump))
def test_what_is_written_raises_nothing_but_config_error_and_lets_a_user_in_alone(folder: Path, text: str) -> None:
    try:
        config = parse_web(text, "web.yml", folder).config
    except ConfigError:
        return
    assert not config.hashes or config.protections["basic_auth_users"]


@settings(deadline=None)  # the machine may be busy
@given(st.dictionaries(KEYS, VALUES | st.lists(VALUES, max_size=3) | st.text()))
def test_any_tls_settings_make_a_context_or_a_fault(folder: Path, tls: dict[str, object]) -> None:
    text = yaml.safe_dump({"tls_server_config": {"cert_file": "server.crt", "key_file": "server.key"} | tls})
    try:
        assert parse_web(text, "web.yml", folder).config.tls_server_config.context
    except ConfigError as error:
        assert error.faults  # noqa: PT017 - either is right


SECRET = "hunter2"
HEAD, TAIL = "tls_server_config:\n  cert_file: server.crt\n  key: ", "\nbasic_auth_users:\n  alice: hunter2\n"


@settings(deadline=None)  # the machine may be busy
@given(st.integers(0, len(HEAD)), st.integers(0, len(TAIL)), st.text(":#&*!|>'\"{}[],?-% \n\t@x", max_size=3))
def test_no_slip_of_the_pen_makes_a_message_quote_a_secret(folder: Path, before: int, after: int, slip: str) -> None:
    for head, tail in ((HEAD[:before] + slip + HEAD[before:], TAIL), (HEAD, TAIL[:after] + slip + TAIL[after:])):
        try:
            told = [*parse_web(f"{head}{SECRET}{tail}", "web.yml", folder).warnings]
        except ConfigError as error:
            told = error.faults
        assert SECRET not in str(told)
