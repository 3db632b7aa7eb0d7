"""Who gets an answer: the real daemon with a web configuration, reached by the real curl."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import ssl
import sys
from typing import TYPE_CHECKING

import bcrypt
import pytest

from exporter.simulator import Simulator, SimulatorOptions
from tests.running import finished, parse, write
from tests.secrets import holds
from tests.web.authority import Authority
from tests.web.reached import ENDPOINTS, NONE, reached

if TYPE_CHECKING:
    from pathlib import Path

PAIR = "cert_file: server.crt, key_file: server.key"
CLIENTS = f"{PAIR}, client_ca_file: authority.pem, client_auth_type"
HASH = bcrypt.hashpw(b"hunter2", bcrypt.gensalt(4)).decode()
USERS = f"basic_auth_users: {{alice: {HASH}}}\n"
ALICE = ("--user", "alice:hunter2")
ALICES = base64.b64encode(b"alice:hunter2").decode()
RELOADED = "siptrunk_exporter_config_last_reload_successful"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    authority = Authority(tmp_path)
    authority.issue("server", "DNS:localhost")
    return authority


def identity(paths: tuple[Path, Path]) -> tuple[str | Path, ...]:
    return "--cert", paths[0], "--key", paths[1]


async def test_tls_is_spoken_in_the_versions_set_and_nothing_else(tmp_path: Path, authority: Authority) -> None:
    assert authority
    async with reached(tmp_path, f"tls_server_config: {{{PAIR}}}") as it:
        assert await it.status("/-/healthy", "--tls-max", "1.2") == 200
        assert await it.status("/-/healthy", "--tlsv1.3") == 200
        old = await it.curl("/-/healthy", "--tlsv1.0", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0")
        assert (old.status, old.exit) == (NONE, 35)
        assert await it.status("/-/healthy", scheme="http") == NONE
        assert (await it.curl("/-/healthy", "--http2")).status == 200
        await it.exporter.stop()
    assert [line for line in it.exporter.log if line["level"] not in ("info", "debug")] == []


async def test_a_large_scrape_is_the_same_with_tls_and_a_password(tmp_path: Path, authority: Authority) -> None:
    assert authority
    async with reached(tmp_path, f"tls_server_config: {{{PAIR}}}\n{USERS}", trunks=5000) as it:
        async with asyncio.timeout(60):
            while await it.status("/-/ready", *ALICE) != 200:
                pass
        packed = await it.curl("/metrics", *ALICE, "--compressed")
        plain = await it.curl("/metrics?name[]=siptrunk_info", "--globoff", *ALICE)
    assert len(packed.body) > 2**20
    assert packed.headers["content-encoding"] == ["gzip"]
    assert len(parse(packed.body.decode())["siptrunk_info"]) == 5000
    assert parse(plain.body.decode())["siptrunk_info"] == parse(packed.body.decode())["siptrunk_info"]


async def test_a_client_needs_a_certificate_of_the_authority(tmp_path: Path, authority: Authority) -> None:
    good = identity(authority.issue("client"))
    foreign = identity(Authority(tmp_path, "other").issue("intruder"))
    async with reached(tmp_path, f"tls_server_config: {{{CLIENTS}: RequireAndVerifyClientCert}}") as it:
        for versions in (("--tls-max", "1.2"), ("--tlsv1.3",)):
            assert await it.status("/-/healthy", *versions) == NONE
            assert await it.status("/-/healthy", *versions, *foreign) == NONE
            assert await it.status("/-/healthy", *versions, *good) == 200


async def test_a_client_that_shows_a_certificate_needs_a_good_one(tmp_path: Path, authority: Authority) -> None:
    good = identity(authority.issue("client"))
    foreign = identity(Authority(tmp_path, "other").issue("intruder"))
    async with reached(tmp_path, f"tls_server_config: {{{CLIENTS}: VerifyClientCertIfGiven}}") as it:
        assert await it.status("/-/healthy") == 200
        assert await it.status("/-/healthy", *good) == 200
        assert await it.status("/-/healthy", *foreign) == NONE


async def test_where_names_are_allowed_a_client_needs_a_certificate_though_none_is_required(
    tmp_path: Path, authority: Authority
) -> None:
    text = f"tls_server_config: {{{CLIENTS}: VerifyClientCertIfGiven, client_allowed_sans: [prometheus]}}"
    async with reached(tmp_path, text) as it:
        assert await it.status("/-/healthy") == NONE
        assert await it.status("/-/healthy", *identity(authority.issue("client", "DNS:other"))) == NONE
        assert await it.status("/-/healthy", *identity(authority.issue("client", "DNS:prometheus"))) == 200


async def test_a_client_needs_one_of_the_allowed_names(tmp_path: Path, authority: Authority) -> None:
    allowed = "prometheus, root@example.net, 192.0.2.1, '2001:db8::1', 'spiffe://example.net/prometheus'"
    text = f"tls_server_config: {{{CLIENTS}: RequireAndVerifyClientCert, client_allowed_sans: [{allowed}]}}"
    cases: dict[tuple[str, ...], int] = {
        ("DNS:prometheus",): 200,
        ("DNS:other", "DNS:prometheus"): 200,
        ("email:root@example.net",): 200,
        ("IP:192.0.2.1",): 200,
        ("IP:2001:db8::1",): 200,
        ("URI:spiffe://example.net/prometheus",): 200,
        ("DNS:prometheus.example.net",): NONE,
        ("DNS:Prometheus",): NONE,
        ("IP:192.0.2.10",): NONE,
        (): NONE,
    }
    async with reached(tmp_path, text) as it:
        found = {names: await it.status("/-/healthy", *identity(authority.issue("client", *names))) for names in cases}
        refused = await it.exporter.logged(
            "a client is refused: it showed no certificate with one of client_allowed_sans"
        )
    assert found == cases
    assert refused["level"] == "warning"


STRANGERS = (
    (),
    ("--user", "alice:wrong"),
    ("--user", "alice:"),
    ("--user", "nobody:hunter2"),
    ("--user", ":hunter2"),
    ("--header", "Authorization: Bearer hunter2"),
    ("--header", "Authorization: Basic !"),
    ("--header", "Authorization: Basic"),
    ("--header", f"Authorization: Basic {base64.b64encode(b'alice').decode()}"),
    ("--header", "Authorization: Basic YWxpY2U6aHVudGVyMg==", "--header", "Authorization: Basic eDp5"),
)


async def test_every_path_is_for_users_alone(tmp_path: Path) -> None:
    async with reached(tmp_path, USERS, "--web.enable-lifecycle") as it:
        for words in STRANGERS:
            answers = [await it.curl(path, *words, scheme="http") for path in ENDPOINTS]
            answers.append(await it.curl("/-/reload", "--request", "POST", *words, scheme="http"))
            assert {answer.status for answer in answers} == {401}, words
            assert all(answer.headers["www-authenticate"][0].startswith("Basic realm=") for answer in answers)
            assert {answer.body for answer in answers} == {b"unauthorized\n"}
            assert {answer.headers["server"][0] for answer in answers} == {"siptrunk-exporter"}
        for words in (ALICE, ("--header", "authorization: bAsIc YWxpY2U6aHVudGVyMg==")):
            found = [await it.status(path, *words, scheme="http") for path in ENDPOINTS]
            assert found == [404 if path == "/nothing" else 200 for path in ENDPOINTS]
        assert not any(line["msg"] == "configuration reloaded" for line in it.exporter.log)
        assert await it.status("/-/reload", "--request", "POST", *ALICE, scheme="http") == 200
        await it.exporter.stop()
    assert [line["msg"] for line in it.exporter.log].count("configuration reloaded") == 1
    assert not holds(str(it.exporter.log), "hunter2")


async def test_no_log_and_no_page_has_a_user_or_a_hash_or_what_a_stranger_gave_as_one(tmp_path: Path) -> None:
    swapped = base64.b64encode(b"hunter2:alice").decode()
    async with reached(tmp_path, USERS, "--log.level=debug", "--web.enable-lifecycle") as it:
        for words in (*STRANGERS, ("--user", "hunter2:alice"), ("--header", f"Authorization: Basic {swapped}\x01")):
            assert await it.status("/metrics", *words, scheme="http") in {400, 401}
        pages = [(await it.curl(path, *ALICE, scheme="http")).body.decode() for path in ENDPOINTS]
        it.web.write_text(USERS.replace(HASH, f"{HASH}x"))
        pages.append((await it.curl("/metrics", *ALICE, scheme="http")).body.decode())
        await it.exporter.logged("web configuration not reloaded")
        await it.exporter.stop()
    told = "".join(pages) + json.dumps(it.exporter.log)
    assert "siptrunk_property_up" in told
    for secret in ("hunter2", "alice", HASH, swapped):
        assert secret not in told


async def test_a_certificate_is_renewed_without_a_restart(tmp_path: Path, authority: Authority) -> None:
    async with reached(tmp_path, f"tls_server_config: {{{PAIR}}}") as it:
        trusted = ssl.create_default_context(cafile=tmp_path / "authority.pem")
        reader, writer = await asyncio.open_connection("localhost", it.port, ssl=trusted)
        first = writer.get_extra_info("peercert")["serialNumber"]
        writer.write(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"healthy\n")

        async def serial() -> str:
            _, other = await asyncio.open_connection("localhost", it.port, ssl=trusted)
            number: str = other.get_extra_info("peercert")["serialNumber"]
            other.close()
            return number

        assert await serial() == first
        authority.issue("server", "DNS:localhost")
        assert await serial() != first
        # The connection made under the old one ends, since nothing is under way there.
        assert await reader.read() == b""
        writer.close()
        second = await serial()
        (tmp_path / "server.crt").write_text("half writ")
        assert await serial() == second
        assert "certificate and key cannot be used" in (await it.exporter.logged("web configuration not"))["msg"]
        assert f"{RELOADED} 0.0" in (await it.curl("/metrics")).body.decode()
        authority.issue("server", "DNS:localhost")
        assert await serial() != second
        assert f"{RELOADED} 1.0" in (await it.curl("/metrics")).body.decode()


async def test_users_come_and_go_without_a_restart(tmp_path: Path) -> None:
    async with reached(tmp_path, USERS) as it:
        assert await it.status("/-/healthy", *ALICE, scheme="http") == 200
        it.web.write_text(USERS.replace("alice", "bob"))
        assert await it.status("/-/healthy", *ALICE, scheme="http") == 401
        assert await it.status("/-/healthy", "--user", "bob:hunter2", scheme="http") == 200
        it.web.write_text(USERS.replace(HASH, bcrypt.hashpw(b"changed", bcrypt.gensalt(4)).decode()))
        assert await it.status("/-/healthy", *ALICE, scheme="http") == 401
        assert await it.status("/-/healthy", "--user", "alice:changed", scheme="http") == 200


async def test_no_change_of_the_file_lets_anybody_in(tmp_path: Path, authority: Authority) -> None:
    client = identity(authority.issue("client", "DNS:one"))
    tls = f"tls_server_config: {{{CLIENTS}: RequireAndVerifyClientCert, client_allowed_sans: [one]}}\n"
    good = tls + USERS
    bad = ["", "# gone\n", "basic_auth_users:\n", "rate_limit: {}\n", "{", tls, USERS, f"{tls}basic_auth_users: {{}}\n"]
    bad += [good[:-10], good.replace("RequireAnd", "").replace("yClientCert", "yClientCertIfGiven")]
    bad += [good.replace(", client_allowed_sans: [one]", ""), f"tls_server_config: {{{PAIR}}}\n{USERS}"]
    async with reached(tmp_path, good) as it:
        for text in (None, *bad):
            if text is None:
                it.web.unlink()
            else:
                it.web.write_text(text)
            assert await it.status("/metrics", *client) == 401, text
            assert await it.status("/metrics", *ALICE) == NONE, text
            assert await it.status("/metrics", *ALICE, scheme="http") == NONE, text
            assert f"{RELOADED} 0.0" in (await it.curl("/metrics", *client, *ALICE)).body.decode(), text
        it.web.write_text(good)
        assert f"{RELOADED} 1.0" in (await it.curl("/metrics", *client, *ALICE)).body.decode()
        it.web.write_text(good.replace("[one]", "[two]"))
        assert await it.status("/metrics", *client, *ALICE) == NONE


async def test_who_may_come_no_more_gets_no_further_answer_on_a_connection_that_is_there(
    tmp_path: Path, authority: Authority
) -> None:
    certificate, key = authority.issue("client", "DNS:one")
    tls = f"tls_server_config: {{{CLIENTS}: RequireAndVerifyClientCert, client_allowed_sans: [one]}}\n"
    context = ssl.create_default_context(cafile=tmp_path / "authority.pem")
    context.load_cert_chain(certificate, key)
    async with reached(tmp_path, tls) as it:
        reader, writer = await asyncio.open_connection("localhost", it.port, ssl=context)
        request = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
        writer.write(request)
        assert await reader.readuntil(b"healthy\n")
        it.web.write_text(tls.replace("[one]", "[two]"))
        writer.write(request)
        assert await reader.read() == b""
        writer.close()


async def test_headers_are_added_where_an_answer_has_none_of_its_own(tmp_path: Path) -> None:
    headers = "X-Frame-Options: deny, Strict-Transport-Security: max-age=1, Content-Security-Policy: sandbox"
    async with reached(tmp_path, f"http_server_config: {{headers: {{{headers}}}}}") as it:
        metrics = await it.curl("/metrics", scheme="http")
        page = await it.curl("/", scheme="http")
        garbage = await it.curl("/", "--request", "G T", scheme="http")
    for answer in (metrics, page, garbage):
        assert answer.headers["x-frame-options"] == ["deny"]
        assert answer.headers["strict-transport-security"] == ["max-age=1"]
        assert answer.headers["x-content-type-options"] == ["nosniff"]
        assert answer.headers["server"] == ["siptrunk-exporter"]
    assert metrics.headers["content-security-policy"] == ["sandbox"]
    assert "default-src 'none'" in page.headers["content-security-policy"][0]
    assert garbage.status == 400


async def test_beyond_the_rate_limit_the_answer_is_429(tmp_path: Path) -> None:
    async with reached(tmp_path, "rate_limit: {interval: 1h, burst: 2}\n" + USERS) as it:
        first = [await it.status("/-/healthy", *ALICE, scheme="http") for _ in range(2)]
        beyond = await it.curl("/-/healthy", scheme="http")
        it.web.write_text("rate_limit: {interval: 0, burst: 2}\n" + USERS)
        assert await it.status("/-/healthy", *ALICE, scheme="http") == 200
    assert first == [200, 200]
    assert beyond.status == 429
    assert 3500 < int(*beyond.headers["retry-after"]) <= 3600


async def test_suites_versions_and_curves_are_those_set(tmp_path: Path) -> None:
    Authority(tmp_path).issue("server", "DNS:localhost", rsa_key=True)
    old = ("--tls-max", "1.2")
    cases = (
        (
            "cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]",
            (*old, "--ciphers", "ECDHE-RSA-AES128-GCM-SHA256"),
            200,
        ),
        ("cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]", (*old, "--ciphers", "ECDHE-RSA-AES256-SHA"), NONE),
        ("cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA]", (*old, "--ciphers", "ECDHE-RSA-AES256-SHA"), 200),
        ("cipher_suites: [TLS_AES_128_GCM_SHA256]", old, NONE),
        ("min_version: TLS13", old, NONE),
        ("max_version: TLS12", ("--tlsv1.3",), NONE),
        ("curve_preferences: [CurveP521]", ("--curves", "P-521"), 200),
        ("curve_preferences: [CurveP521]", ("--curves", "P-384"), NONE),
        # The first that Python can offer: an older one has no X25519.
        ("curve_preferences: [X25519, CurveP384]", ("--curves", "X25519:P-384"), 200),
        ("curve_preferences: [X25519, CurveP384]", ("--curves", "P-256:P-521"), NONE),
    )
    async with reached(tmp_path, f"tls_server_config: {{{PAIR}}}") as it:
        for settings, words, status in cases:
            it.web.write_text(f"tls_server_config: {{{PAIR}, {settings}}}")
            assert await it.status("/-/healthy", *words) == status, (settings, words)


async def test_a_bad_web_configuration_ends_the_start_and_check_tells_of_it(tmp_path: Path) -> None:
    web = tmp_path / "web.yml"
    web.write_text("basic_auth_users: {a: b}\ntls_server_confg: {}\n")
    (tmp_path / "exporter.yaml").write_text("accounts: [{account_sid: A1, token: t, discover: {}}]\n")
    words = (f"--config.file={tmp_path}/exporter.yaml", f"--web.config.file={web}")
    status, _, said = await finished(*words)
    checked, output, _ = await finished("check", *words)
    web.write_text(USERS)
    good, _, _ = await finished("check", *words)
    expected = f"{web}:2:1: unknown key 'tls_server_confg': did you mean 'tls_server_config'?"
    assert (status, checked, good) == (1, 1, 0)
    assert said.splitlines()[-1] == expected
    assert expected in output
    assert f"{web}:1:23: expected a bcrypt hash" in output


AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


@pytest.mark.parametrize("web", [False, True], ids=["open", "users"])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
async def test_sockets_that_systemd_passes_are_listened_at(
    tmp_path: Path, family: socket.AddressFamily, *, web: bool
) -> None:
    (tmp_path / "web.yml").write_text(USERS)
    with socket.socket(family) as listening:
        listening.bind(("127.0.0.1", 0) if family == socket.AF_INET else str(tmp_path / "socket"))
        listening.listen()
        async with Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", AS_SYSTEMD, str(listening.fileno())),
                *("-m", "exporter", "--web.systemd-socket", f"--config.file={write(tmp_path, simulator)}"),
                *[f"--web.config.file={tmp_path}/web.yml"][: int(web)],
                pass_fds=[listening.fileno()],
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                async with asyncio.timeout(30):
                    answers = [await asked(listening, header) for header in ("", f"Authorization: Basic {ALICES}\r\n")]
            finally:
                process.terminate()
                _, said = await process.communicate()
    healthy = b"HTTP/1.0 200 OK", b"healthy"
    assert answers == [(b"HTTP/1.0 401 Unauthorized", b"unauthorized") if web else healthy, healthy]
    assert process.returncode == 0
    assert b"msg=listening" in said


async def asked(listening: socket.socket, header: str) -> tuple[bytes, bytes]:
    """Ask at a socket's address for the health; give the first line and the last of the answer."""
    with socket.socket(listening.family) as client:
        client.setblocking(False)  # noqa: FBT003 - the library's own
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, listening.getsockname())
        await loop.sock_sendall(client, f"GET /-/healthy HTTP/1.0\r\n{header}\r\n".encode())
        answer = b""
        while more := await loop.sock_recv(client, 4096):
            answer += more
    lines = answer.splitlines()
    return lines[0], lines[-1]


async def test_without_a_socket_of_systemds_the_start_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "exporter.yaml").write_text("accounts: [{account_sid: A1, token: t, discover: {}}]\n")
    status, _, said = await finished(f"--config.file={tmp_path}/exporter.yaml", "--web.systemd-socket")
    assert status == 1
    assert "systemd has passed no socket: start siptrunk-exporter.socket" in said
