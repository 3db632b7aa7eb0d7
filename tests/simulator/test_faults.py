"""The simulator goes wrong in the ways asked for, and only where asked for."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import SimpleNamespace

import httpx
import pytest

from exporter.simulator import FAULTS, Fault
from tests.simulator.served import assert_refused, options, serve

STATUS_FAULTS: tuple[Fault, ...] = ("400", "401", "403", "404", "429", "500", "500-html", "502", "503")

HTML_FAULTS = ("500-html", "502", "503")


@pytest.mark.parametrize("fault", STATUS_FAULTS)
async def test_a_failing_property_answers_with_its_status_and_the_others_do_not(fault: Fault) -> None:
    async with serve(options(retry_after="7")) as api:
        api.simulator.fail(api.sid, fault)
        answer = await api.get()
        assert answer.headers.get("Retry-After") == ("7" if fault in ("429", "503") else None)
        if fault in HTML_FAULTS:
            assert answer.status_code == int(fault[:3])
            assert answer.text.startswith("<html>")
        else:
            assert_refused(answer, int(fault))
        other = api.carrier.property_sids[1]
        assert (await api.get(f"/v2/Properties/{other}/SipTrunks")).status_code == 200
        api.simulator.heal(api.sid)
        assert (await api.get()).status_code == 200


async def test_the_property_list_can_fail_alone() -> None:
    async with serve(options()) as api:
        api.simulator.fail(None, "403")
        assert_refused(await api.get("/v2/Properties"), 403)
        assert (await api.get()).status_code == 200
        assert_refused(await api.get("/elsewhere"), 404)


async def test_a_hanging_property_never_answers_and_does_not_hold_up_the_stop() -> None:
    async with serve(options()) as api:
        api.simulator.fail(api.sid, "hang")
        asked = asyncio.create_task(api.get())
        async with asyncio.timeout(30):
            while not api.simulator.requests.by_property[api.sid]:
                assert (await api.get("/v2/Properties")).status_code == 200
        assert not asked.done()
        await api.simulator.stop()
        with pytest.raises(httpx.TransportError):
            await asked


async def test_a_disconnecting_property_closes_the_connection_unanswered() -> None:
    async with serve(options()) as api:
        api.simulator.fail(api.sid, "disconnect")
        with pytest.raises(httpx.TransportError):
            await api.get()
        assert (await api.get("/v2/Properties")).status_code == 200


async def test_garbage_is_a_200_that_is_not_json() -> None:
    async with serve(options()) as api:
        api.simulator.fail(api.sid, "garbage")
        answer = await api.get()
        assert answer.status_code == 200
        with pytest.raises(ValueError, match="decode"):
            answer.json()


async def test_neither_is_a_200_with_an_object_without_a_list() -> None:
    async with serve(options()) as api:
        api.simulator.fail(api.sid, "neither")
        answer = await api.get()
        assert (answer.status_code, answer.json()) == (200, {"Status": "OK"})


async def test_a_flood_goes_on_until_the_client_leaves() -> None:
    async with serve(options()) as api:
        api.simulator.fail(api.sid, "flood")
        async with api.client.stream("GET", api.path) as answer:
            size = 0
            async for chunk in answer.aiter_raw():
                size += len(chunk)
                if size > 5_000_000:
                    break
        assert (await api.get("/v2/Properties")).status_code == 200


async def test_a_flood_that_nobody_reads_does_not_hold_up_the_stop() -> None:
    async with serve(options()) as api:
        api.simulator.fail(api.sid, "flood")
        async with api.client.stream("GET", api.path):
            await api.simulator.stop()


@pytest.mark.parametrize("compressed", [False, True])
async def test_half_is_a_body_cut_short_of_its_length(compressed: bool) -> None:  # noqa: FBT001 - a parameter
    async with serve(options(gzip=compressed)) as api:
        api.simulator.fail(api.sid, "half")
        async with api.client.stream("GET", api.path) as answer:
            assert answer.status_code == 200
            with pytest.raises(httpx.RemoteProtocolError):
                await answer.aread()
            assert 0 < answer.num_bytes_downloaded < int(answer.headers["Content-Length"])


async def test_a_misspelt_fault_or_property_is_an_error_of_the_caller() -> None:
    async with serve(options()) as api:
        with pytest.raises(ValueError, match="no such fault: bang"):
            api.simulator.fail(api.sid, "bang")  # type: ignore[arg-type]  # the mistake under test
        with pytest.raises(KeyError):
            api.simulator.fail("S", "hang")
        assert set(STATUS_FAULTS) < set(FAULTS)


async def test_beyond_the_rate_limit_requests_are_refused_with_429_and_the_time_to_wait() -> None:
    async with serve(options(rate_limit=0.25)) as api:
        assert (await api.get()).status_code == 200
        refused = await api.get()
        assert_refused(refused, 429)
        assert refused.headers["Retry-After"] == "4"
        api.clock.now += 3
        assert (await api.get()).headers["Retry-After"] == "1"
        api.clock.now += 1
        assert (await api.get()).status_code == 200


async def test_the_rate_limit_lets_a_second_worth_of_requests_through_at_once() -> None:
    async with serve(options(rate_limit=3)) as api:
        assert [(await api.get()).status_code for _ in range(5)] == [200, 200, 200, 429, 429]


async def test_the_error_rate_is_met_with_errors_of_both_kinds_and_the_same_ones_each_run() -> None:
    runs = []
    for _ in range(2):
        async with serve(options(error_rate=0.5)) as api:
            runs.append([await api.get() for _ in range(200)])
    seen = [Counter((answer.status_code, answer.headers["Content-Type"][:9]) for answer in run) for run in runs]
    assert set(seen[0]) == {
        (200, "applicati"),
        (500, "applicati"),
        (500, "text/html"),
        (502, "text/html"),
        (503, "text/html"),
    }
    assert 60 < seen[0][200, "applicati"] < 140
    assert [answer.status_code for answer in runs[0]] == [answer.status_code for answer in runs[1]]


@pytest.mark.parametrize(("latency", "waits"), [(0.25, [0.25, 0.25]), (0.0, [])])
async def test_latency_delays_every_answer_refusals_included_without_changing_it(
    latency: float, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("exporter.simulator.server.asyncio", SimpleNamespace(sleep=sleep))
    async with serve(options(latency=latency)) as api:
        assert (await api.get()).json() == api.listed()[:50]
        assert_refused(await api.get("/elsewhere"), 404)
    assert waited == waits
