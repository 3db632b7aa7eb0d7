"""The daemon as a process under attack: scrapes stay right, and when it is over nothing is left of it."""

from __future__ import annotations

import asyncio
import gzip
import resource
import socket
from collections import Counter
from itertools import count
from pathlib import Path

import bcrypt
import httpx
import pytest

from exporter.web.users import REMEMBERED, WAITING_EACH
from tests.web.authority import Authority
from tests.web.reached import Reached, reached

TRUNKS = 2000
STARTS = (
    b"",
    b"GET",
    b"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Basic ",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 50,
    bytes(range(256)),
)


async def scraped(it: Reached) -> tuple[list[str], int]:
    """What is said of the trunks, line by line, and how many files the daemon has open."""
    words = ("--user", "alice:hunter2", "--header", "Accept-Encoding: gzip")
    answer = await it.curl("/metrics", *words, scheme="https" if (it.folder / "server.crt").exists() else "http")
    assert answer.status == 200
    lines = gzip.decompress(answer.body).decode().splitlines()
    (files,) = (line for line in lines if line.startswith("process_open_fds "))
    return [line for line in lines if 'trunk_sid="' in line], int(float(files.split()[1]))


@pytest.mark.parametrize(("path", "properties", "trunks"), [("/metrics", 1, 20_000), ("/api/v1/status", 2_000, 1)])
async def test_400_readers_that_take_nothing_of_their_answer_neither_hold_scrapes_up_nor_fill_the_memory(
    tmp_path: Path, path: str, properties: int, trunks: int
) -> None:
    loop = asyncio.get_running_loop()
    async with reached(tmp_path, "", properties=properties, trunks=trunks) as it:
        async with asyncio.timeout(60):
            while await it.status("/-/ready", scheme="http") != 200:
                pass
        pid, url = it.exporter.process.pid, f"http://127.0.0.1:{it.port}"
        plain = {"Accept-Encoding": "identity"}
        begun = it.exporter.cpu()
        async with httpx.AsyncClient(base_url=url, headers=plain, trust_env=False, timeout=30) as http:
            for _ in range(20):
                await http.get(path)
        whole = (it.exporter.cpu() - begun) / 20
        begun, before = it.exporter.cpu(), resident(pid)
        readers = []
        for _ in range(400):
            reader = socket.socket()
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            reader.setblocking(False)  # noqa: FBT003 - it takes no keyword
            await loop.sock_connect(reader, ("127.0.0.1", it.port))
            readers.append(reader)
        for reader in readers:
            await loop.sock_sendall(reader, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        # Each begins to be answered, and somebody else is in between.
        for reader in readers:
            assert await loop.sock_recv(reader, 1) == b"H"
        # Of an answer that is not taken, little is made; 400 whole ones at once would hold the event loop up.
        assert it.exporter.cpu() - begun < 80 * whole
        # How long a scrape takes is told by how many small answers come meanwhile: a clock would tell of the machine.
        small = 0
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
            scrape = asyncio.create_task(http.get("/metrics"))
            while not scrape.done():
                assert (await http.get("/-/healthy")).status_code == 200
                small += 1
        assert (await scrape).status_code == 200
        more = resident(pid) - before
        for reader in readers:
            reader.close()
        await it.exporter.stop()
    assert more < 400 * 2**19
    # It has its turn among them, and does not come after all that they have.
    assert small < 400


def resident(process: int) -> int:
    """Bytes of memory that a process has."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
async def test_700_connections_that_mean_no_good_keep_no_scrape_from_being_right(tmp_path: Path, *, tls: bool) -> None:
    web = f"basic_auth_users: {{alice: {bcrypt.hashpw(b'hunter2', bcrypt.gensalt(4)).decode()}}}\n"
    if tls:
        Authority(tmp_path).issue("server", "DNS:localhost")
        web += "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
    async with reached(tmp_path, web, "--web.enable-lifecycle", trunks=TRUNKS) as it:
        (tmp_path / "authority.pem").touch()
        async with asyncio.timeout(60):
            while not (scrape := await scraped(it))[0]:
                pass
        before, files = scrape
        writers = []
        for number in range(700):
            _, writer = await asyncio.open_connection("127.0.0.1", it.port)
            writer.write(STARTS[number % len(STARTS)])
            writers.append(writer)
            if number % 100 == 99:
                assert (await scraped(it))[0] == before
        assert (await scraped(it))[1] < 600
        for writer in writers:
            writer.transport.abort()
        async with asyncio.timeout(30):
            while (await scraped(it))[1] > files:
                pass
        await it.exporter.stop()
    assert {line["msg"] for line in it.exporter.log if line["level"] not in ("info", "debug")} == set()


async def test_half_open_connections_that_come_again_and_again_take_no_more_memory(tmp_path: Path) -> None:
    Authority(tmp_path).issue("server", "DNS:localhost")
    async with reached(tmp_path, "tls_server_config: {cert_file: server.crt, key_file: server.key}") as it:

        async def taken() -> int:
            """Bytes of memory that the daemon has once 700 more have come, which stay until they are cut off."""
            come = [await asyncio.open_connection("127.0.0.1", it.port) for _ in range(700)]
            assert await it.status("/-/healthy") == 200
            for _, writer in come:
                writer.transport.abort()
            return resident(it.exporter.process.pid)

        first = await taken()
        assert max([await taken() for _ in range(2)]) - first < 2**26
        await it.exporter.stop()


async def test_a_flood_of_wrong_passwords_keeps_nobody_out_who_is_known(tmp_path: Path) -> None:
    web = f"basic_auth_users: {{alice: {bcrypt.hashpw(b'hunter2', bcrypt.gensalt(5)).decode()}}}\n"
    seen: Counter[int] = Counter()
    numbers = count()
    async with reached(tmp_path, web) as it:
        url = f"http://127.0.0.1:{it.port}/-/healthy"

        async def flood(http: httpx.AsyncClient) -> None:
            # For long enough that what is remembered of a right one would be gone among so many.
            while seen[401] < 2 * REMEMBERED:
                seen[(await http.get(url, auth=("alice", f"{next(numbers)}"))).status_code] += 1

        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            assert (await http.get(url, auth=("alice", "hunter2"))).status_code == 200
            # More than may wait at once: 503 is their answer where they meet.
            async with asyncio.TaskGroup() as group:
                flooding = [group.create_task(flood(http)) for _ in range(3 * WAITING_EACH)]
                while not all(each.done() for each in flooding):
                    assert (await http.get(url, auth=("alice", "hunter2"))).status_code == 200
            assert (await http.get(url, auth=("alice", "hunter2"))).status_code == 200
    assert set(seen) <= {401, 503}
