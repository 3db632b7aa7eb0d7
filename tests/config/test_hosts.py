from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import trustme
import yaml
import yarl
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given
from hypothesis import strategies as st

from exporter.api.transport import Transport
from exporter.config import parse
from exporter.errors import ConfigError

ACCOUNT = "accounts: [{account_sid: A1, token_env: %s, discover: {}}]\n"
ASKED_FOR = "expected an http or https URL with a host and without user, query or fragment"


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "exporter.yaml", Path())
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    "url",
    [
        "https://999.10.0.1",
        "http://[v1.a]",
        "http://[::1]x",
        "http://a..b",
        f"http://{'a' * 64}.test",
        f"http://host/{'x' * 2048}",
    ],
)
def test_a_host_that_nobody_could_reach_is_a_fault(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "made up")
    assert faults(f"api: {{base_url: '{url}'}}\n" + ACCOUNT % "TOKEN") == [f"exporter.yaml:1:17: {ASKED_FOR}"]


@pytest.mark.parametrize(
    "url", ["https://api.fonedynamics.com", "http://127.0.0.1:1", "http://[::1]:1/api", "http://a.b."]
)
async def test_a_host_that_is_accepted_can_be_asked(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "made up")
    config = parse(f"api: {{base_url: '{url}'}}\n" + ACCOUNT % "TOKEN", "exporter.yaml", Path()).config
    await Transport(config.api).retire()
    assert config.api.base_url == url


def test_a_token_in_the_place_of_its_variable_is_not_quoted() -> None:
    told = "exporter.yaml:1:41: expected the name of an environment variable: letters, digits and _"
    assert faults(ACCOUNT % "0f9e8d7c6b5a4938") == [told]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with ca.pem, client.pem and client.key, another.key, locked.key and empty.pem."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client = authority.issue_cert("client.example")
    client.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    client.private_key_pem.write_to_path(tmp_path / "client.key")
    authority.issue_cert("another.example").private_key_pem.write_to_path(tmp_path / "another.key")
    key = load_pem_private_key(client.private_key_pem.bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"made up"))
    (tmp_path / "locked.key").write_bytes(locked)
    (tmp_path / "empty.pem").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("ca_file: none.pem", "1:7: ca_file cannot be used, expected PEM certificates: No such file or directory"),
        (
            "ca_file: empty.pem",
            "1:7: ca_file cannot be used, expected PEM certificates: [X509: NO_CERTIFICATE_OR_CRL_FOUND]",
        ),
        (
            "ca_file: client.key",
            "1:7: ca_file cannot be used, expected PEM certificates: [X509: NO_CERTIFICATE_OR_CRL_FOUND]",
        ),
        ("ca_file: .", "1:7: ca_file cannot be used, expected PEM certificates: "),
        ('ca_file: "a\\0b"', "1:7: ca_file cannot be used, expected PEM certificates: embedded null byte"),
        ("cert_file: client.pem", "1:7: cert_file and key_file go together: add the other"),
        ("key_file: client.key", "1:7: cert_file and key_file go together: add the other"),
        (
            "cert_file: client.pem, key_file: none.key",
            "1:7: cert_file or key_file cannot be used, expected a PEM certificate and its key, not encrypted: No such",
        ),
        (
            "cert_file: client.pem, key_file: another.key",
            "1:7: cert_file or key_file cannot be used, expected a PEM certificate and its key, not encrypted: [X509",
        ),
        (
            "cert_file: client.pem, key_file: locked.key",
            "1:7: cert_file or key_file cannot be used, expected a PEM certificate and its key, not encrypted: ",
        ),
    ],
)
def test_files_of_tls_that_cannot_be_used_are_a_fault_with_its_place(settings: str, told: str, files: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"api: {{{settings}}}\naccounts: [{{account_sid: A1, token: x, discover: }}]", "exporter.yaml", files)
    (fault,) = caught.value.faults
    assert str(fault).startswith(f"exporter.yaml:{told}")


def test_files_of_tls_are_looked_for_beside_the_configuration(files: Path) -> None:
    text = "api: {ca_file: ca.pem, cert_file: client.pem, key_file: client.key}\n"
    api = parse(f"{text}accounts: [{{account_sid: A1, token: x, discover: }}]", "exporter.yaml", files).config.api
    assert (api.ca_file, api.cert_file, api.key_file) == (files / "ca.pem", files / "client.pem", files / "client.key")


@pytest.mark.parametrize(
    "proxy",
    [
        "socks5://user:hunter2@proxy.example:1080",
        "ftp://user:hunter2@proxy.example",
        "http://user:hunter2@",
        "http://user:hunter2@proxy.example:99999",
        "http://user:hunter2@[::",
        "http://user:/hunter2@proxy.example:3128",
        "http://user:1/hunter2@proxy.example:3128",
        "http://proxy.example:3128/?key=hunter2",
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_that_nobody_could_use_is_a_fault_that_does_not_quote_it(
    proxy: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "made up")
    monkeypatch.setenv(variable, proxy)
    told = f"{variable.upper()} in the environment must be like http://proxy.example:3128"
    assert faults("poll: {}\n" + ACCOUNT % "TOKEN") == [f"exporter.yaml:1:1: {told}"]
    assert faults("poll: {}\napi: {timeout: 9s}\n" + ACCOUNT % "TOKEN") == [f"exporter.yaml:2:1: {told}"]


@given(
    scheme=st.sampled_from(["http", "https", "HTTPS"]),
    rest=st.from_regex(r"[ab019.\-]{1,8}(:[0-9]{1,4})?(/[a.%]{0,4})?", fullmatch=True)
    | st.text("ab19.-_:/[]%@?#\\;,!$&'()*+=|^`{}\"<>~ \t\u00e9\u3002\uff0e", max_size=12),
)
def test_all_who_read_an_accepted_url_on_its_way_to_the_socket_see_the_same_host(scheme: str, rest: str) -> None:
    url = f"{scheme}://{rest}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKEN", "made up")
        try:
            base = parse(
                yaml.safe_dump({"api": {"base_url": url}}) + ACCOUNT % "TOKEN", "x", Path()
            ).config.api.base_url
        except ConfigError:
            return
    read = urlsplit(base)
    asked = httpx.URL(f"{base}/v2/Properties")
    sent = yarl.URL(str(asked))
    default = {"http": 80, "https": 443}[read.scheme]
    assert {read.hostname, asked.host, sent.host} == {read.hostname}
    assert {read.port or default, asked.port or default, sent.port} == {read.port or default}
    assert sent.path.endswith("/v2/Properties")
    assert not sent.user
