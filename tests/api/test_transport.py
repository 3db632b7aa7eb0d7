"""What came back, or why nothing did: bodies at the HTTP border, and faults over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import shutil
import ssl
import subprocess
import tracemalloc
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from exporter.api import transport
from exporter.api.transport import Transport
from exporter.config import Api
from exporter.errors import PollError, Reason
from exporter.simulator import Simulator, SimulatorOptions
from tests.api.fake_api import ACCOUNT_SID, BASE_URL, ENCODED, TOKEN, Chunks, FakeApi, answer
from tests.faults.proxy import HOST, Trouble, proxying

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    import httpx

    from exporter.simulator import Fault

GZIP = {"Content-Encoding": "gzip"}
BODY = b'[{"SipTrunkSid":"ST1"}]'
PACKED = gzip.compress(BODY, mtime=0)
# A handshake that the server refuses: the TLS record of the alert handshake_failure.
TLS_ALERT = b"\x15\x03\x03\x00\x02\x02\x28"


@pytest.mark.parametrize("encoding", [{}, {"Content-Encoding": "identity"}, GZIP, {"Content-Encoding": " GZIP "}])
@pytest.mark.parametrize("size", [1, 5, 10_000])
def test_a_body_is_unpacked_whatever_pieces_it_comes_in(encoding: dict[str, str], size: int) -> None:
    packed = PACKED if "gzip" in str(encoding).lower() else BODY
    pieces = Chunks([packed[at : at + size] for at in range(0, len(packed), size)])
    assert FakeApi(answer(pieces, 200, encoding)).ask().body == BODY


@pytest.mark.parametrize("encoding", [None, "gzip"])
@pytest.mark.parametrize(("length", "fits"), [(1000, True), (1001, False)])
def test_a_body_may_have_max_body_bytes_and_not_one_more(
    monkeypatch: pytest.MonkeyPatch, encoding: str | None, length: int, *, fits: bool
) -> None:
    monkeypatch.setattr(transport, "MAX_BODY", 1000)
    body = gzip.compress(bytes(length)) if encoding else bytes(length)
    api = FakeApi(answer(body, 200, GZIP if encoding else {}))
    if fits:
        assert api.ask().body == bytes(length)
    else:
        assert api.refuse().reason == Reason.TOO_LARGE
        assert len(api.requests) == 1


def test_a_gzip_bomb_is_too_large_and_never_held_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_BODY", 2**20)
    bomb = gzip.compress(bytes(2**26))
    tracemalloc.start()
    try:
        error = FakeApi(answer(bomb, 200, GZIP)).refuse()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error.reason == Reason.TOO_LARGE
    assert peak < 2**24


def endless(piece: bytes) -> Iterator[bytes]:
    return itertools.repeat(piece)


def test_a_body_without_end_is_left_as_soon_as_it_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_BODY", 1000)
    body = Chunks(endless(b"x" * 100))
    assert FakeApi(answer(body)).refuse().reason == Reason.TOO_LARGE
    assert body.taken == 11


def test_the_body_of_an_error_is_left_much_sooner_for_its_status_says_enough() -> None:
    body = Chunks(endless(b"x" * 1024))
    assert FakeApi(answer(body, 403)).refuse().reason == Reason.FORBIDDEN
    assert body.taken == transport.MAX_ERROR / 1024 + 1


def test_a_body_that_trickles_times_out_as_a_whole() -> None:
    async def trickle(_request: httpx.Request) -> httpx.Response:
        return answer(Chunks(endless(b" "), seconds=3))

    api = FakeApi(trickle)
    error = api.refuse(timeout=10.0, max_attempts=1)
    assert (error.reason, error.transient) == (Reason.TIMEOUT, True)


@pytest.mark.parametrize("length", [1, 10, 12, len(PACKED) - 8, len(PACKED) - 1])
def test_a_compressed_body_that_is_cut_short_counts_as_a_lost_connection(length: int) -> None:
    error = FakeApi(answer(PACKED[:length], 200, GZIP)).refuse(max_attempts=1)
    assert (error.reason, error.transient) == (Reason.CONNECT, True)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"not gzip", "gzip"),
        (PACKED[:-8] + bytes(8), "gzip"),
        (PACKED + b"x", "gzip"),
        (BODY, "br"),
        (BODY, "deflate"),
        (gzip.compress(PACKED), "gzip, gzip"),
    ],
)
def test_a_body_that_cannot_be_unpacked_is_a_bad_payload(body: bytes, encoding: str) -> None:
    api = FakeApi(answer(body, 200, {"Content-Encoding": encoding}))
    assert api.refuse().reason == Reason.BAD_PAYLOAD
    assert len(api.requests) == 1


def redirect(to: str, status: int = 302) -> httpx.Response:
    return answer(b"", status, {"Location": to})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "to", ["/elsewhere", BASE_URL, "https://evil.test/", "//evil.test/", "https://u:p@api.test/", "https://["]
)
def test_no_redirect_is_followed_so_the_token_and_the_budget_stay_where_they_belong(status: int, to: str) -> None:
    api = FakeApi(redirect(to, status), answer(BODY))
    assert api.refuse().reason == Reason.BAD_PAYLOAD
    assert [request.url.host for request in api.requests] == ["api.test"]
    assert api.counted("api_requests_total", endpoint="sip_trunks", code=str(status)) == 1


@asynccontextmanager
async def listening(
    reply: Callable[[bytes], bytes], *, until: bytes = b"\r\n\r\n", tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Answer every connection once, when it has sent `until`, and close it; gives host and port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(await reader.readuntil(until)))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def refused(base_url: str, path: str = "/", seconds: float = 60.0) -> PollError:
    connections = Transport(Api(base_url=base_url, timeout=seconds))
    try:
        with pytest.raises(PollError) as caught:
            await connections.get(path, {}, {"Authorization": f"Basic {ENCODED}"}, [])
    finally:
        await connections.retire()
    return caught.value


@pytest.mark.parametrize(
    ("fault", "reason", "transient", "seconds"),
    [
        ("hang", Reason.TIMEOUT, True, 0.2),
        ("disconnect", Reason.CONNECT, True, 60.0),
        ("half", Reason.CONNECT, True, 60.0),
        ("flood", Reason.TOO_LARGE, False, 60.0),
    ],
)
async def test_each_way_in_which_no_whole_answer_comes_has_its_reason(
    fault: Fault, reason: Reason, seconds: float, *, transient: bool
) -> None:
    options = SimulatorOptions(properties=1, account_sid=ACCOUNT_SID, token=TOKEN)
    async with Simulator(options) as simulator:
        simulator.fail(None, fault)
        error = await refused(simulator.base_url, "/v2/Properties", seconds)
    assert (error.reason, error.transient) == (reason, transient)


async def test_a_port_where_nobody_listens_is_a_connect_fault() -> None:
    async with listening(lambda _request: b"") as address:
        pass
    error = await refused(f"http://{address}")
    assert (error.reason, error.transient) == (Reason.CONNECT, True)


async def test_whoever_hears_nothing_is_given_up_after_half_the_time_and_that_is_said() -> None:
    async with proxying(0) as proxy:
        await proxy.make(Trouble.UNHEARD)
        for _ in range(5):
            error = await refused(f"http://{HOST}:{proxy.port}", seconds=2.0)
            # Where the machine halts, both limits are over at once.
            if str(error) != "timeout: no whole answer within 2 s":
                break
    assert (error.reason, error.transient) == (Reason.TIMEOUT, True)
    assert str(error) == "timeout: not connected within 1 s"


async def test_tls_to_a_plain_text_port_is_a_tls_fault() -> None:
    """The connection stands; it is its first bytes that are not TLS."""
    async with listening(lambda _hello: b"HTTP/1.1 400 Bad Request\r\n\r\n", until=b"\x16\x03") as address:
        assert (await refused(f"https://{address}")).reason == Reason.TLS


async def test_a_handshake_that_the_server_refuses_is_a_tls_fault() -> None:
    async with listening(lambda _hello: TLS_ALERT, until=b"\x16\x03") as address:
        assert (await refused(f"https://{address}")).reason == Reason.TLS


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
async def test_a_certificate_that_nobody_vouches_for_is_a_tls_fault(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    options = (
        f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=api -keyout {key} -out {certificate}"
    )
    program = shutil.which("openssl") or ""
    await asyncio.to_thread(subprocess.run, [program, *options.split()], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    async with listening(lambda _request: b"", tls=tls) as address:
        error = await refused(f"https://{address}")
    assert (error.reason, error.transient) == (Reason.TLS, False)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"", Reason.CONNECT),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[]", Reason.CONNECT),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n", Reason.CONNECT),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Reason.BAD_PAYLOAD),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", Reason.BAD_PAYLOAD),
    ],
)
async def test_an_answer_that_is_lost_and_one_that_is_no_http_are_told_apart(reply: bytes, reason: Reason) -> None:
    async with listening(lambda _request: reply) as address:
        assert (await refused(f"http://{address}")).reason == reason


async def test_one_connection_serves_request_after_request_and_no_cookie_is_kept() -> None:
    connections: set[object] = set()
    heads: list[bytes] = []
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(writer)
        while await reader.readline():
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\n[]")
        writer.close()
        await writer.wait_closed()
        closed.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        kept = Transport(Api(base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
        assert [(await kept.get("/", {}, {}, [])).body for _ in range(3)] == [b"[]"] * 3
        await kept.retire()
        await asyncio.wait_for(closed.wait(), 30)
    assert len(connections) == 1
    assert not [head for head in heads if b"cookie" in head.lower()]


async def test_as_many_requests_are_in_flight_as_are_sent() -> None:
    many, arrived, all_there = 120, [], asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.append(await reader.readuntil(b"\r\n\r\n"))
        if len(arrived) == many:
            all_there.set()
        await all_there.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, backlog=many) as server:
        transport = Transport(Api(base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=60))
        answers = await asyncio.gather(*(transport.get("/", {}, {}, []) for _ in range(many)))
        await transport.retire()
    assert [answer.body for answer in answers] == [b"[]"] * many


async def test_a_transport_that_is_retired_lets_the_request_in_flight_end_and_closes_then() -> None:
    arrived, go_on, closed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await go_on.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        closed.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        old = Transport(Api(base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
        answering = asyncio.create_task(old.get("/", {}, {}, []))
        await arrived.wait()
        await old.retire()
        go_on.set()
        assert (await answering).body == b"[]"
        await asyncio.wait_for(closed.wait(), 30)
