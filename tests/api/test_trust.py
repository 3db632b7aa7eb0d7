"""To whom the token goes: to the API's own host inside TLS, whatever stands in between or answers in its place."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import re
import ssl
import subprocess
import sys
from base64 import b64encode
from typing import TYPE_CHECKING

import httpx
import pytest
import trustme
from prometheus_client import CollectorRegistry

from exporter.api.client import ApiClient
from exporter.api.proxy import proxy_for
from exporter.api.transport import Transport
from exporter.config import Api
from exporter.errors import PollError, Reason
from exporter.telemetry import Telemetry
from tests.api.fake_api import ENCODED, TOKEN, asked
from tests.api.proxy import Proxy, Recorder, listening
from tests.running import command
from tests.secrets import holds

if TYPE_CHECKING:
    from pathlib import Path

HOST = "api.example"
"""A name that no resolver knows: who is asked for it is the proxy."""
NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    """Who is trusted, and the file of its certificate."""
    ca = trustme.CA()
    path = tmp_path_factory.mktemp("trusted") / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return ca, path


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


async def ask(api: Api) -> bytes:
    transport = Transport(api)
    try:
        headers = {"Authorization": f"Basic {ENCODED}"}
        return (await transport.get("/v2/Properties", {"Results_Skip": "0"}, headers, [])).body
    finally:
        await transport.retire()


async def refused(api: Api) -> PollError:
    with pytest.raises(PollError) as caught:
        await ask(api)
    return caught.value


def holds_token(*texts: bytes) -> bool:
    return any(secret.encode() in text for secret in (TOKEN, ENCODED) for text in texts)


def test_whom_openssl_trusts_counts_for_the_api_and_not_for_the_contexts_that_aiohttp_makes(
    authority: tuple[trustme.CA, Path],
) -> None:
    _, path = authority
    # The whole command is loaded first: it must not load aiohttp by another way.
    code = """
import exporter.cli
from exporter.api.sessions import aiohttp
from exporter.api.tls import context_for
from exporter.config import Api
others = [each for each in vars(aiohttp.connector).values() if isinstance(each, aiohttp.connector.SSLContext)]
print([each.cert_store_stats()["x509_ca"] for each in [context_for(Api("https://api.example")), *others]])
"""
    environment = {**os.environ, "SSL_CERT_FILE": str(path)}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout == "[1, 0, 0]\n"


async def test_a_certificate_of_a_named_authority_is_trusted_and_the_token_arrives(
    authority: tuple[trustme.CA, Path],
) -> None:
    ca, path = authority
    api = Recorder()
    async with listening(api.serve, server_context(ca.issue_cert("localhost"))) as port:
        assert await ask(Api(f"https://LocalHost:{port}", ca_file=path)) == b"[]"
    assert holds_token(*api.requests)
    assert f"Host: localhost:{port}".encode() in api.requests[0]


@pytest.mark.parametrize("fault", ["wrong name", "expired", "not yet valid", "self-signed", "other authority"])
@pytest.mark.parametrize("proxied", [False, True])
async def test_a_server_that_cannot_prove_who_it_is_is_a_tls_fault_and_sees_no_token(
    fault: str, authority: tuple[trustme.CA, Path], monkeypatch: pytest.MonkeyPatch, *, proxied: bool
) -> None:
    ca, path = authority
    host = HOST if proxied else "localhost"
    certificate = {
        "wrong name": lambda: ca.issue_cert("other.example"),
        "expired": lambda: ca.issue_cert(host, not_before=NOW - 2 * DAY, not_after=NOW - DAY),
        "not yet valid": lambda: ca.issue_cert(host, not_before=NOW + DAY, not_after=NOW + 2 * DAY),
        "self-signed": lambda: trustme.CA().issue_cert(host),
        "other authority": lambda: trustme.CA(organization_name="other").issue_cert(host),
    }[fault]()
    context = server_context(certificate)
    api = Recorder()
    async with listening(api.serve, context) as port:
        proxy = Proxy(port)
        async with listening(proxy.serve) as proxy_port:
            if proxied:
                monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy_port}")
            error = await refused(Api(f"https://{host}:{port}", ca_file=path, max_attempts=1))
    assert (error.reason, error.transient) == (Reason.TLS, False)
    assert proxy.tunnels == proxied
    assert api.requests == []
    assert not holds_token(proxy.heard)


@pytest.mark.parametrize("version", [b"\x03\x00", b"\x03\x01", b"\x03\x02"], ids=["SSL 3.0", "TLS 1.0", "TLS 1.1"])
async def test_a_server_that_talks_an_old_version_is_a_tls_fault_and_sees_no_token(version: bytes) -> None:
    heard = []
    # ServerHello (RFC 5246, section 7.4.1.3): version, random, session, cipher suite, compression.
    hello = version + bytes(32) + b"\0" + b"\x00\x2f" + b"\0"
    message = b"\x02" + len(hello).to_bytes(3, "big") + hello

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(65_536))
        writer.write(b"\x16" + version + len(message).to_bytes(2, "big") + message)
        heard.append(await reader.read())

    async with listening(serve) as port:
        assert (await refused(Api(f"https://localhost:{port}"))).reason == Reason.TLS
    assert heard
    assert not holds_token(*heard)


async def test_with_an_authority_of_ones_own_the_usual_ones_are_trusted_no_more(
    authority: tuple[trustme.CA, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca, path = authority
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    async with listening(Recorder().serve, server_context(ca.issue_cert("localhost"))) as port:
        assert await ask(Api(f"https://localhost:{port}")) == b"[]"
        assert (await refused(Api(f"https://localhost:{port}", ca_file=other))).reason == Reason.TLS


async def test_a_client_certificate_is_shown_where_the_server_asks_for_one(
    authority: tuple[trustme.CA, Path], tmp_path: Path
) -> None:
    ca, path = authority
    client = ca.issue_cert("client.example")
    client.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    client.private_key_pem.write_to_path(tmp_path / "client.key")
    context = server_context(ca.issue_cert("localhost"))
    context.verify_mode = ssl.CERT_REQUIRED
    ca.configure_trust(context)
    api = Recorder()
    async with listening(api.serve, context) as port:
        settings = Api(f"https://localhost:{port}", ca_file=path)
        assert (await refused(settings)).reason in (Reason.TLS, Reason.CONNECT)
        assert api.requests == []
        shown = Api(
            settings.base_url, ca_file=path, cert_file=tmp_path / "client.pem", key_file=tmp_path / "client.key"
        )
        assert await ask(shown) == b"[]"


def replace_file(path: Path, content: bytes) -> None:
    """Put a file in the place of another, which looks changed even where the file system's clock stands still."""
    before = path.stat().st_mtime_ns
    path.write_bytes(content)
    os.utime(path, ns=(before + 10**9, before + 10**9))


async def test_files_of_tls_are_read_again_when_they_change_and_bad_ones_leave_the_old_in_force(
    authority: tuple[trustme.CA, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ca, trusted = authority
    path = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(path)
    caplog.set_level("INFO")
    async with listening(Recorder().serve, server_context(ca.issue_cert("localhost"))) as port:
        client = ApiClient(
            Api(f"https://localhost:{port}", ca_file=path, max_attempts=1), Telemetry(CollectorRegistry())
        )
        with pytest.raises(PollError, match="tls"):
            await asked(client)
        assert client.refresh() is None
        replace_file(path, trusted.read_bytes())
        retired = client.refresh()
        assert retired
        await retired.retire()
        assert (await asked(client)).body == b"[]"
        replace_file(path, b"half a file")
        assert [client.refresh(), client.refresh()] == [None, None]
        assert (await asked(client)).body == b"[]"
        await client.aclose()
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "the files of TLS have changed and are in force",
        "the files of TLS are not read again, the old ones stay",
    ]


USER = "http://us%40er:hunter2%3A@"
PROXY_BASIC = re.compile(b"(?i:Proxy-Authorization): Basic " + re.escape(b64encode(b"us@er:hunter2:")))


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
async def test_through_a_proxy_the_token_travels_inside_tls_alone(
    variable: str,
    authority: tuple[trustme.CA, Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ca, path = authority
    caplog.set_level("DEBUG")
    api = Recorder()
    async with listening(api.serve, server_context(ca.issue_cert(HOST))) as port:
        proxy = Proxy(port)
        async with listening(proxy.serve) as proxy_port:
            monkeypatch.setenv(variable, f"{USER}127.0.0.1:{proxy_port}")
            assert await ask(Api(f"https://{HOST}:{port}", ca_file=path)) == b"[]"
    assert proxy.heard.startswith(f"CONNECT {HOST}:{port} HTTP/1.1\r\n".encode())
    assert PROXY_BASIC.search(proxy.heard)
    assert not holds_token(proxy.heard)
    assert holds_token(*api.requests)
    assert b"proxy-authorization" not in api.requests[0].lower()
    assert not holds(caplog.text, "hunter2")
    assert "token travels" not in caplog.text
    assert f"127.0.0.1:{proxy_port}" in str([vars(record) for record in caplog.records])
    assert not holds(str([vars(record) for record in caplog.records]), "hunter2")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_over_plain_http_the_proxy_could_read_the_token_which_is_warned_of(
    scheme: str,
    authority: tuple[trustme.CA, Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ca, path = authority
    tls = server_context(ca.issue_cert("localhost")) if scheme == "https" else None
    api = Recorder()
    async with listening(api.serve) as port:
        proxy = Proxy(port)
        async with listening(proxy.serve, tls) as proxy_port:
            monkeypatch.setenv("http_proxy", f"{USER.replace('http', scheme)}localhost:{proxy_port}")
            assert await ask(Api(f"http://{HOST}:{port}", ca_file=path)) == b"[]"
    assert proxy.heard.startswith(f"GET http://{HOST}:{port}/v2/Properties?Results_Skip=0 HTTP/1.1\r\n".encode())
    assert PROXY_BASIC.search(proxy.heard)
    assert "the token travels readable to the proxy and beyond: use https" in caplog.text
    assert not holds(str([vars(record) for record in caplog.records]), "hunter2")


@pytest.mark.parametrize(
    ("status", "transient"), [(302, False), (403, False), (407, False), (429, True), (502, True), (504, True)]
)
async def test_a_proxy_that_refuses_is_a_connect_fault_that_quotes_nothing(
    status: int, monkeypatch: pytest.MonkeyPatch, *, transient: bool
) -> None:
    refusal = f"HTTP/1.1 {status} hunter2\r\nLocation: https://evil.example/\r\nContent-Length: 0\r\n\r\n"
    proxy = Proxy(0, refusal.encode())
    async with listening(proxy.serve) as proxy_port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:hunter2@127.0.0.1:{proxy_port}")
        error = await refused(Api(f"https://{HOST}"))
    assert (error.reason, error.transient) == (Reason.CONNECT, transient)
    assert error.detail == f"the proxy answered CONNECT with HTTP {status}"
    assert not holds_token(proxy.heard)


async def test_a_proxy_that_is_not_there_is_a_connect_fault_that_does_not_tell_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with listening(Recorder().serve) as port:
        pass
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:hunter2@127.0.0.1:{port}")
    error = await refused(Api(f"https://{HOST}"))
    assert (error.reason, error.transient) == (Reason.CONNECT, True)
    assert not holds(str(error), "hunter2")


@pytest.mark.parametrize("to", [f"https://{HOST}/", "/elsewhere", "//evil.example/", "http://127.0.0.1:{proxy}/"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_leads_nowhere_though_a_proxy_could_reach_everything(
    status: int, to: str, authority: tuple[trustme.CA, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ca, path = authority
    api = Recorder()
    async with listening(api.serve, server_context(ca.issue_cert(HOST))) as port:
        proxy = Proxy(port)
        async with listening(proxy.serve) as proxy_port:
            location = to.format(proxy=proxy_port)
            api.answer = f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
            monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy_port}")
            error = await refused(Api(f"https://{HOST}", ca_file=path))
    assert error.reason == Reason.BAD_PAYLOAD
    assert (proxy.tunnels, len(api.requests)) == (1, 1)


@pytest.mark.parametrize("url", ["http://localhost:{port}", "http://127.0.0.1:{port}"])
async def test_what_is_on_this_machine_is_reached_without_a_proxy(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy(0)
    async with listening(Recorder().serve) as port, listening(proxy.serve) as proxy_port:
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy_port}")
        assert await ask(Api(url.format(port=port))) == b"[]"
    assert proxy.heard == b""


@pytest.mark.parametrize(
    ("url", "variables", "proxy"),
    [
        ("https://a.test", {}, None),
        ("https://a.test", {"HTTPS_PROXY": "http://p:1", "ALL_PROXY": "http://q:1"}, "http://p:1"),
        ("https://a.test", {"HTTPS_PROXY": "https://p:1"}, "https://p:1"),
        ("https://a.test", {"HTTPS_PROXY": "p:1"}, "http://p:1"),
        ("https://a.test", {"HTTPS_PROXY": "p"}, "http://p"),
        ("https://a.test", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://a.test", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        ("http://a.test", {"HTTP_PROXY": "http://p:1", "http_proxy": "http://q:1"}, "http://q:1"),
        ("http://a.test", {"ALL_PROXY": "http://p:1"}, "http://p:1"),
        ("https://a.test", {"HTTPS_PROXY": ""}, None),
        *(
            ("https://a.b.test:8443", {"ALL_PROXY": "http://p:1", "NO_PROXY": bypass}, proxy)
            for bypass, proxy in {
                "*": None,
                "b.test": None,
                ".b.test": None,
                "x.test, A.B.TEST": None,
                "a.b.test:8443": None,
                "a.b.test:443": "http://p:1",
                ".test.b": "http://p:1",
                "": "http://p:1",
            }.items()
        ),
        ("https://[::1]:1", {"ALL_PROXY": "http://p:1"}, None),
        ("https://LOCALHOST", {"ALL_PROXY": "http://p:1"}, None),
        ("https://api.localhost", {"ALL_PROXY": "http://p:1"}, None),
        ("https://localhost.evil.test", {"ALL_PROXY": "http://p:1"}, "http://p:1"),
    ],
)
def test_the_environment_names_the_proxy_and_what_is_reached_without(
    url: str, variables: dict[str, str], proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = proxy_for(url)
    assert (str(found.url) if found else None) == proxy


async def test_a_proxy_that_talks_tls_has_to_prove_who_it_is_too(
    authority: tuple[trustme.CA, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ca, path = authority
    api = Recorder()
    async with listening(api.serve, server_context(ca.issue_cert(HOST))) as port:
        proxy = Proxy(port)
        for certificate, reason in (
            (ca.issue_cert("localhost"), None),
            (trustme.CA().issue_cert("localhost"), Reason.TLS),
        ):
            async with listening(proxy.serve, server_context(certificate)) as proxy_port:
                monkeypatch.setenv("HTTPS_PROXY", f"https://localhost:{proxy_port}")
                if reason:
                    assert (await refused(Api(f"https://{HOST}", ca_file=path))).reason == reason
                else:
                    assert await ask(Api(f"https://{HOST}", ca_file=path)) == b"[]"
    assert (proxy.tunnels, len(api.requests)) == (1, 1)
    assert not holds_token(proxy.heard)


async def test_neither_log_nor_page_of_the_daemon_shows_the_password_of_a_proxy(
    authority: tuple[trustme.CA, Path], tmp_path: Path
) -> None:
    ca, path = authority
    body = b'{"SipTrunks":[{"SipTrunkSid":"ST1"}],"TotalCount":1}'
    api = Recorder(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    config = tmp_path / "exporter.yaml"
    config.write_text(
        f"api: {{base_url: 'https://{HOST}', ca_file: {path}, max_attempts: 1}}\n"
        f"accounts: [{{account_sid: A1, token: {TOKEN}, properties: [{{sid: S1}}, {{sid: S2}}]}}]\n"
    )
    async with listening(api.serve, server_context(ca.issue_cert(HOST))) as port:
        proxy = Proxy(port)
        async with listening(proxy.serve) as proxy_port:
            named = {"HTTPS_PROXY": f"http://user:hunter2@127.0.0.1:{proxy_port}"}
            async with command(
                *("--config.file", config, "--web.listen-address=127.0.0.1:0", "--log.level=debug"), **named
            ) as exporter:
                log = [await exporter.logged("requests go through a proxy")]
                address = (await exporter.logged("listening"))["addresses"]
                async with (
                    httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as http,
                    asyncio.timeout(30),
                ):
                    while (await http.get("/-/ready")).status_code != 200:
                        pass
                    pages = [(await http.get(page)).text for page in ("/", "/config", "/api/v1/status", "/metrics")]
                await exporter.stop()
    assert log[0]["proxy"] == f"http://127.0.0.1:{proxy_port}"
    assert 'siptrunk_property_up{property_sid="S2"} 1.0' in pages[-1]
    assert not any("hunter2" in text or TOKEN in text for text in (*pages, str(exporter.log)))
    assert not holds_token(proxy.heard)
