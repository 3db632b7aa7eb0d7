"""Whatever the API answers, the daemon survives it in bounded memory, tells the reason, and gets well at once."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.api.proxy import listening
from tests.carrier_truth import labels
from tests.hostile_answers import GOOD, MEBI, TABLE, UP, HostileServer, many
from tests.running import Samples, asking, command, parse
from tests.secrets import holds
from tests.test_cycle import failures

if TYPE_CHECKING:
    from collections.abc import Iterable

TOKEN = "0f9e8d7c6b5a49382716"


def peak_memory(pid: int) -> int:
    """The most bytes of memory that the process has had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def outcome(samples: Samples, sid: str) -> set[str]:
    """How the polls of a property have ended: up, or the reasons of the failures."""
    return failures(samples, sid) | ({UP} if samples["siptrunk_property_up"][labels(property_sid=sid)] else set())


def configured(folder: Path, port: int, sids: Iterable[str], api: str, more: str = "") -> Path:
    """Write a configuration for these properties."""
    path = folder / "exporter.yaml"
    path.write_text(
        f"api: {{base_url: 'http://127.0.0.1:{port}', max_attempts: 1, requests_per_second: 0, {api}}}\n"
        f"poll: {{interval: 1s}}\n{more}"
        f"accounts:\n- account_sid: A1\n  token: {TOKEN}\n  properties:\n"
        + "".join(f"  - sid: {sid}\n" for sid in sids)
    )
    return path


async def test_the_daemon_survives_every_hostile_answer_in_bounded_memory_and_tells_its_reason(tmp_path: Path) -> None:
    server = HostileServer(rounds=2)
    every = [server.sid(index) for index in range(len(TABLE) + 1)]
    expected = {sid: set(kind.ends.split()) for kind, sid in zip(TABLE, every, strict=False)}
    async with listening(server.serve) as port:
        path = configured(
            tmp_path,
            port,
            every,
            "timeout: 3s, page_size: 1000, max_concurrency: 20",
            "limits: {trunks_per_property: 2000}\n",
        )
        async with command("--config.file", path, "--web.listen-address=127.0.0.1:0") as exporter:
            address = (await exporter.logged("listening"))["addresses"]
            before = peak_memory(exporter.process.pid)
            async with asking(address) as http, asyncio.timeout(120):
                await server.round_ended.wait()
                # Asked twice is not polled twice: a large answer that finds no place is asked for again.
                while (await http.get("/-/ready")).status_code != 200:
                    pass
                samples = parse((await http.get("/metrics")).text)
                # Where the machine halts, any answer can come too late: asked again, it ends as it should.
                with suppress(TimeoutError):
                    async with asyncio.timeout(60):
                        while any(outcome(samples, sid) == {"timeout"} - ends for sid, ends in expected.items()):
                            samples = parse((await http.get("/metrics")).text)
                server.good = True
                recovered = samples
                while set(recovered["siptrunk_property_up"].values()) != {1}:
                    recovered = parse((await http.get("/metrics")).text)
                pages = [(await http.get(path)).text for path in ("/", "/config", "/api/v1/status", "/metrics")]
            grown = peak_memory(exporter.process.pid) - before
            assert await exporter.stop() == 0
    ended = {kind.name: (outcome(samples, sid), expected[sid]) for kind, sid in zip(TABLE, every, strict=False)}
    odd = {name: (seen, ends) for name, (seen, ends) in ended.items() if not seen & ends or seen - ends - {"timeout"}}
    assert odd == {}
    assert outcome(recovered, every[-1]) - {"timeout"} == {UP}
    assert grown < 150 * MEBI
    assert not any(holds(text, TOKEN) for text in (*pages, str(exporter.log)))


async def test_large_answers_of_many_properties_at_once_are_not_held_together_and_keep_no_other_waiting(
    tmp_path: Path,
) -> None:
    # It takes a while to read, so that others come meanwhile.
    odd = b'{"SipTrunks":[{"SipTrunkSid":"ST1","Type":"","X":[%b],"Y":"%b"}],"TotalCount":1}'
    large = odd % (many(b"0", 400_000), b"y" * (4 * MEBI - 400_200))
    sids = [HostileServer.sid(index) for index in range(60)]
    asked: Counter[str] = Counter()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while found := re.match(rb"GET /v2/Properties/(\w+)/", await reader.readuntil(b"\r\n\r\n")):
            sid = found[1].decode()
            asked[sid] += 1
            body = GOOD if sid == sids[-1] else large
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            writer.write(body)
            await writer.drain()

    async with listening(serve) as port:
        path = configured(tmp_path, port, sids, "timeout: 10s, max_concurrency: 8")
        async with command("--config.file", path, "--web.listen-address=127.0.0.1:0") as exporter:
            address = (await exporter.logged("listening"))["addresses"]
            before = peak_memory(exporter.process.pid)
            async with asking(address) as http, asyncio.timeout(120):
                while (await http.get("/-/ready")).status_code != 200:
                    pass
                samples = parse((await http.get("/metrics")).text)
            grown = peak_memory(exporter.process.pid) - before
            assert await exporter.stop() == 0
    assert {sid: outcome(samples, sid) for sid in sids} == {sid: {UP} for sid in sids}
    assert asked[sids[-1]] > 1
    assert grown < 80 * MEBI
