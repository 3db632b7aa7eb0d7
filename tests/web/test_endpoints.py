from __future__ import annotations

import asyncio
import gzip
import json
from typing import TYPE_CHECKING

import pytest
import yaml
from msgspec.structs import replace

from exporter.config import parse
from exporter.simulator import Simulator, SimulatorOptions
from exporter.web.status import encoded
from tests.running import configuration, running, write
from tests.secrets import holds

if TYPE_CHECKING:
    from pathlib import Path


async def test_ready_is_503_until_every_property_was_tried_once_while_all_else_answers(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=2, trunks=3)) as simulator:
        slow = simulator.carrier.property_sids[0]
        simulator.fail(slow, "hang")
        path = write(tmp_path, simulator, configuration(simulator, api="timeout: 3s, max_attempts: 1"))
        async with running(path) as exporter:
            early = {
                name: (await exporter.http.get(name)).status_code for name in ("/-/ready", "/-/healthy", "/metrics")
            }
            assert "not polled yet" in (await exporter.http.get("/")).text
            await exporter.ready()
            assert (await exporter.http.get("/-/ready")).status_code == 200
    assert early == {"/-/ready": 503, "/-/healthy": 200, "/metrics": 200}


async def test_healthy_is_503_where_a_task_has_ended_that_must_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ended = asyncio.Event()

    def broken(*_: object) -> None:
        ended.set()
        raise ZeroDivisionError

    monkeypatch.setattr("exporter.metrics.snapshot.REFRESH_EVERY", 0)
    async with (
        Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator,
        running(write(tmp_path, simulator)) as exporter,
    ):
        await exporter.ready()
        monkeypatch.setattr("exporter.metrics.snapshot.Snapshot.refresh", broken)
        await ended.wait()
        answer = await exporter.http.get("/-/healthy")
    assert "CRITICAL" in [record.levelname for record in caplog.records]
    assert (answer.status_code, answer.text) == (503, "a task that must not end has ended; the log says why\n")


async def test_each_format_is_had_by_its_accept_header_and_packed_by_its_encoding(tmp_path: Path) -> None:
    async with (
        Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator,
        running(write(tmp_path, simulator)) as it,
    ):
        await it.ready()
        for accept, content_type, last in (
            ("*/*", "text/plain; version=0.0.4; charset=utf-8", ""),
            ("text/plain; version=1.0.0", "text/plain; version=1.0.0; charset=utf-8; escaping=underscores", ""),
            ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8", "# EOF\n"),
        ):
            for encoding in ("identity", "gzip"):
                async with it.http.stream(
                    "GET", "/metrics?name[]=siptrunk_active", headers={"Accept": accept, "Accept-Encoding": encoding}
                ) as answer:
                    raw = b"".join([chunk async for chunk in answer.aiter_raw()])
                text = (gzip.decompress(raw) if encoding == "gzip" else raw).decode()
                assert answer.headers["Content-Type"] == content_type
                assert answer.headers["Vary"] == "Accept, Accept-Encoding"
                assert text.count("siptrunk_active{") > 0
                assert text.endswith(last)
                assert "siptrunk_info" not in text


async def test_the_process_and_the_python_that_runs_it_have_their_metrics(tmp_path: Path) -> None:
    async with (
        Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator,
        running(write(tmp_path, simulator)) as it,
    ):
        samples = await it.samples()
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total", "python_info"} <= samples.keys()
    assert "python_gc_collections_total" in samples


async def test_what_the_api_says_cannot_harm_the_page_or_the_other_properties(tmp_path: Path) -> None:
    """The carrier's message holds markup, a line's end and what cannot be UTF-8."""
    message = r'{"ResponseStatus": {"ErrorCode": "x", "Message": "<b>one</b>\ntwo \ud800"}}'

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 400 No\r\nContent-Length: {len(message)}\r\n\r\n{message}".encode())
        await writer.drain()
        writer.close()

    (tmp_path / "token").write_text("made up")
    path = tmp_path / "exporter.yaml"
    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        path.write_text(
            f"api: {{base_url: http://127.0.0.1:{port}}}\naccounts:\n- account_sid: A1\n  token_file: token\n"
            "  discover: {}\n  properties: [{sid: S1}]\n"
        )
        async with running(path) as exporter:
            await exporter.ready()
            page = await exporter.http.get("/")
            status = (await exporter.http.get("/api/v1/status")).json()
    said = "bad_request: HTTP 400 Bad Request: x: <b>one</b> two \ufffd"
    assert [status["properties"][0]["last_error"], status["discoveries"][0]["error"]] == [said, said]
    assert page.status_code == 200
    assert page.text.count("&lt;b&gt;one&lt;/b&gt; two \ufffd") > 2
    assert "<b>" not in page.text


def test_whatever_the_status_tells_can_be_written() -> None:
    told = {"error": "\ud800", "more": ['"', None, 1.5]}
    assert json.loads(encoded(told)) == told


async def test_the_status_says_what_the_metrics_say(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=30)) as simulator:
        (sid,) = simulator.carrier.property_sids
        for trunk, state in zip(simulator.carrier.trunks(sid), (1, 3), strict=False):
            simulator.carrier.put(sid, replace(trunk, provisioning_state=state))
        accounts = f"properties: [{{sid: {sid}, expected: {{trunks: [{{sid: ST1}}, {{sid: ST2}}]}}}}]"
        async with running(write(tmp_path, simulator, configuration(simulator, accounts=accounts))) as it:
            await it.ready()
            samples = await it.samples()
            status = (await it.http.get("/api/v1/status")).json()
    (told,) = status["properties"]
    states = samples["siptrunk_provisioning_state"]
    under_way = {
        dict(each)["trunk_sid"] for each, value in states.items() if value and dict(each)["state"].endswith("visioning")
    }
    begun = samples["siptrunk_provisioning_state_since_timestamp_seconds"]

    def metric(name: str) -> float:
        (value,) = samples[f"siptrunk_property_{name}"].values()
        return value

    assert status["ready"] is True
    assert told["trunks"] == len(samples["siptrunk_info"])
    assert told["active_trunks"] == metric("active_trunks")
    assert told["active_channel_limit"] == metric("active_channel_limit")
    assert told["not_as_agreed"] == sum(samples["siptrunk_drift"].values()) == 2
    assert told["provisioning_since"] == min(begun[each] for each in begun if dict(each)["trunk_sid"] in under_way)
    assert told["last_poll"] == metric("last_poll_timestamp_seconds")
    assert told["last_success"] == metric("last_success_timestamp_seconds")
    assert told["last_duration_seconds"] == metric("last_poll_duration_seconds")
    assert told["polls"] == metric("polls_total")


async def test_the_configuration_in_force_is_shown_without_its_secrets(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator:
        path = write(tmp_path, simulator)
        path.write_text(path.read_text().replace("token_file: token", "token: hunter2"))
        async with running(path) as exporter:
            text = (await exporter.http.get("/config")).text
            assert parse(text, "exporter.yaml", tmp_path).config.api == exporter.daemon.config.api
    assert not holds(text, "hunter2")
    assert yaml.safe_load(text)["accounts"][0]["token"] == "<secret>"


async def test_the_page_and_the_status_tell_of_every_property_and_trust_no_text(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=3, trunks=3)) as simulator:
        ill, well, stale = simulator.carrier.property_sids
        simulator.fail(ill, "404")
        hostile = "<script>alert(1)</script>"
        accounts = f"properties: [{{sid: {ill}, name: '{hostile}'}}, {{sid: {well}}}, {{sid: {stale}}}]"
        path = write(tmp_path, simulator, configuration(simulator, accounts=accounts))
        async with running(path) as exporter:
            await exporter.ready()
            simulator.fail(stale, "403")
            await exporter.poll(stale)
            page = await exporter.http.get("/")
            status = (await exporter.http.get("/api/v1/status")).json()
    assert hostile not in page.text
    assert "&lt;script&gt;" in page.text
    assert "2 of 3 properties down" in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    by_sid = {entry["property_sid"]: entry for entry in status["properties"]}
    assert (by_sid[ill]["up"], by_sid[ill]["trunks"], by_sid[ill]["failures"]["not_found"]) == (False, None, 1)
    assert [by_sid[sid]["state"] for sid in (ill, well, stale)] == ["down, no data", "up", "down, last good data"]
    assert (by_sid[well]["up"], by_sid[well]["trunks"]) == (True, len(simulator.carrier.trunks(well)))
    assert by_sid[ill]["last_error"].startswith("not_found: HTTP 404 Not Found: ")


async def test_reload_over_http_needs_its_flag(tmp_path: Path) -> None:
    async with (
        Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator,
        running(write(tmp_path, simulator), lifecycle=False) as exporter,
    ):
        answer = await exporter.http.post("/-/reload")
    assert (answer.status_code, answer.text) == (403, "start with --web.enable-lifecycle to reload over HTTP\n")


@pytest.mark.parametrize(
    "sent", [{"Origin": "http://elsewhere.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_no_page_of_another_site_has_it_reloaded(tmp_path: Path, sent: dict[str, str]) -> None:
    async with (
        Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator,
        running(write(tmp_path, simulator)) as it,
    ):
        own = {"Origin": str(it.http.base_url), "Sec-Fetch-Site": "same-origin"}
        assert (await it.http.post("/-/reload", headers=sent)).status_code == 403
        assert (await it.http.post("/-/reload", headers=own)).status_code == 200


async def test_reload_is_done_by_post_alone(tmp_path: Path) -> None:
    async with (
        Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator,
        running(write(tmp_path, simulator)) as it,
    ):
        assert (await it.http.get("/-/reload")).status_code == 405
        assert (await it.http.put("/-/reload")).status_code == 405
        assert (await it.http.post("/-/reload")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nothing", 404), ("POST", "/metrics", 405), ("HEAD", "/metrics", 200)]
)
async def test_what_is_not_there_is_404_and_what_is_not_meant_is_405(
    tmp_path: Path, method: str, path: str, status: int
) -> None:
    async with (
        Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator,
        running(write(tmp_path, simulator)) as it,
    ):
        assert (await it.http.request(method, path)).status_code == status
