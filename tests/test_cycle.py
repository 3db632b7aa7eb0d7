"""The whole cycle over real sockets: the simulated carrier on the one side, scrapes on the other."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, Any

import pytest

from exporter.simulator import Simulator, SimulatorOptions
from tests.carrier_truth import labels, truth
from tests.running import Samples, configuration, listing, running, write
from tests.secrets import holds

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.simulator import Fault

SINCE = "siptrunk_provisioning_state_since_timestamp_seconds"
NOW = 1_790_000_000.0


def clock() -> float:
    return NOW


def data_of(samples: Samples) -> Samples:
    """Leave out how the polling went, what was before, and what the exporter tells of itself."""
    told_otherwise = ("siptrunk_exporter_", "siptrunk_property_", "siptrunk_changes_", SINCE, "process_", "python_")
    aggregates = (
        "siptrunk_property_trunks",
        "siptrunk_property_active_trunks",
        "siptrunk_property_active_channel_limit",
    )
    return {
        name: values for name, values in samples.items() if name in aggregates or not name.startswith(told_otherwise)
    }


def failures(samples: Samples, sid: str) -> set[str]:
    """The reasons for which polls of a property have failed."""
    counted = samples["siptrunk_property_poll_failures_total"].items()
    return {dict(key)["reason"] for key, count in counted if count and ("property_sid", sid) in key}


def changes_of(samples: Samples, sid: str) -> dict[str, float]:
    """Give the changes counted for a property, by kind, as far as there were any."""
    counted = {
        dict(key)["kind"]: count
        for key, count in samples["siptrunk_changes_total"].items()
        if sid in dict(key).values()
    }
    return {kind: count for kind, count in counted.items() if count}


def of(samples: Samples, name: str, sid: str, **more: str) -> float | None:
    return samples.get(name, {}).get(labels(property_sid=sid, **more))


@pytest.mark.parametrize(
    "behaviour",
    [
        {"shape": "array"},
        {"shape": "object"},
        {"shape": "object", "total_count": False},
        {"shape": "array", "page_cap": 7},
        {"shape": "array", "page_cap": 1, "trunks": 6},
        {"shape": "object", "page_cap": 20, "gzip": True, "etag": True},
        {"trunks": 0},
    ],
    ids=str,
)
async def test_what_the_carrier_has_is_what_a_scrape_says_in_every_shape_of_its_answers(
    tmp_path: Path, behaviour: dict[str, Any]
) -> None:
    options = SimulatorOptions(**{"properties": 3, "trunks": 60, **behaviour})
    async with Simulator(options, clock) as simulator, running(write(tmp_path, simulator), clock) as exporter:
        await exporter.ready()
        samples = await exporter.samples()
        assert data_of(samples) == truth(simulator.carrier, NOW)
        assert set(samples["siptrunk_property_up"].values()) == {1}
        # At first sight a state lasts since the trunk was last modified.
        assert samples.get(SINCE) == samples.get("siptrunk_modified_timestamp_seconds")


async def test_whatever_the_page_size_the_samples_are_the_same(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=2, trunks=30, shape="array"), clock) as simulator:
        for size in (1, 2, 7, 1000):
            path = write(tmp_path, simulator, configuration(simulator, api=f"page_size: {size}"))
            async with running(path, clock) as exporter:
                await exporter.ready()
                assert data_of(await exporter.samples()) == truth(simulator.carrier, NOW)


def known(simulator: Simulator, sid: str) -> dict[str, tuple[object, ...]]:
    """Give what of a property's trunks changes at the simulated carrier, by the trunk's Sid."""
    return {
        each.sip_trunk_sid: (each.name, each.channel_limit, each.provisioning_state, bool(each.end_date))
        for each in simulator.carrier.trunks(sid)
    }


async def test_what_changes_at_the_carrier_changes_at_the_next_poll(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=2, trunks=20), clock) as simulator:
        async with running(write(tmp_path, simulator), clock) as exporter:
            await exporter.ready()
            sid = simulator.carrier.property_sids[0]
            before = {each: known(simulator, each) for each in simulator.carrier.property_sids}
            gone = simulator.carrier.trunks(sid)[0]
            simulator.carrier.remove(sid, gone.sip_trunk_sid)
            for _ in range(50):
                simulator.carrier.churn_step(NOW)
            for each in simulator.carrier.property_sids:
                await exporter.poll(each)
            samples = await exporter.samples()
        assert data_of(samples) == truth(simulator.carrier, NOW)
        assert of(samples, "siptrunk_channel_limit", sid, trunk_sid=gone.sip_trunk_sid) is None
        for each, was in before.items():
            now = known(simulator, each)
            stayed = was.keys() & now.keys()
            expected = {"added": len(now.keys() - was.keys()), "removed": len(was.keys() - now.keys())}
            for at, kind in enumerate(("renamed", "channel_limit", "provisioning_state", "active")):
                expected[kind] = sum(was[trunk][at] != now[trunk][at] for trunk in stayed)
            counted = changes_of(samples, each)
            counted["active"] = counted.pop("deactivated", 0) + counted.pop("reactivated", 0)
            assert counted == {kind: count for kind, count in expected.items() if count or kind == "active"}
            assert counted


FAULTS = {
    "400": "bad_request",
    "401": "auth",
    "403": "forbidden",
    "404": "not_found",
    "429": "rate_limited",
    "500": "server_error",
    "500-html": "server_error",
    "502": "server_error",
    "503": "server_error",
    "hang": "timeout",
    "disconnect": "connect",
    "garbage": "bad_payload",
    "neither": "bad_payload",
    "flood": "too_large",
    "half": "connect",
}


async def test_every_fault_has_its_own_reason_and_leaves_the_other_properties_good(tmp_path: Path) -> None:
    """One property for each fault, all at once, and one that is well."""
    options = SimulatorOptions(properties=len(FAULTS) + 1, trunks=10, exact=True, retry_after="0")
    async with Simulator(options, clock) as simulator:
        *ill, well = simulator.carrier.property_sids
        for sid, fault in zip(ill, FAULTS, strict=True):
            simulator.fail(sid, fault)  # type: ignore[arg-type]  # a key of FAULTS
        api = "timeout: 1s, max_attempts: 1, max_concurrency: 32"
        path = write(tmp_path, simulator, configuration(simulator, accounts=listing(*ill, well), api=api))
        expected = {sid: {reason} for sid, reason in zip(ill, FAULTS.values(), strict=True)} | {well: set()}
        async with running(path, clock) as exporter:
            await exporter.ready()
            samples = await exporter.samples()
            # Where the machine halts, any answer comes too late: asked again, it has its own reason.
            for sid in [sid for sid in expected if failures(samples, sid) == {"timeout"} != expected[sid]]:
                await exporter.poll(sid)
            samples = await exporter.samples()
        assert all(failures(samples, sid) for sid in ill)
        late = {"timeout"}
        seen = {sid: failures(samples, sid) - late for sid in expected}
        assert seen == {sid: reasons - late for sid, reasons in expected.items()}
        assert {dict(key)["property_sid"] for key, up in samples["siptrunk_property_up"].items() if up} == {well}
        assert {dict(key)["property_sid"] for key in samples["siptrunk_channel_limit"]} == {well}
        trunks = {key for key in truth(simulator.carrier, NOW)["siptrunk_info"] if ("property_sid", well) in key}
        assert set(samples["siptrunk_info"]) == trunks


async def test_a_server_that_ignores_the_paging_gives_incomplete_and_no_half_list(tmp_path: Path) -> None:
    options = SimulatorOptions(properties=1, trunks=120, ignore_skip=True, shape="array", page_cap=50, exact=True)
    async with Simulator(options, clock) as simulator:
        sid = simulator.carrier.property_sids[0]
        accounts = f"properties: [{{sid: {sid}}}]"
        path = write(tmp_path, simulator, configuration(simulator, accounts=accounts))
        async with running(path, clock) as exporter:
            await exporter.ready()
            samples = await exporter.samples()
    assert of(samples, "siptrunk_property_up", sid) == 0
    assert of(samples, "siptrunk_property_poll_failures_total", sid, reason="incomplete") == 1
    assert data_of(samples) == {}


async def test_a_failing_property_keeps_its_data_and_says_that_they_are_stale(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=2, trunks=10), clock) as simulator:
        seldom = "interval: 1d, stale_after: 2d"
        path = write(tmp_path, simulator, configuration(simulator, api="max_attempts: 1", poll=seldom))
        async with running(path, clock) as exporter:
            await exporter.ready()
            sid = simulator.carrier.property_sids[0]
            before = data_of(await exporter.samples())
            simulator.fail(sid, "500")
            await exporter.poll(sid)
            failing = await exporter.samples()
            simulator.heal(sid)
            await exporter.poll(sid)
            healed = await exporter.samples()
    health = ("siptrunk_property_up", "siptrunk_property_stale")
    assert data_of(failing) == before
    assert [of(failing, name, sid) for name in health] == [0, 1]
    assert [of(healed, name, sid) for name in health] == [1, 0]
    assert of(healed, "siptrunk_property_polls_total", sid) == 3


async def test_the_configured_filters_choose_the_trunks(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=60), clock) as simulator:
        sid = simulator.carrier.property_sids[0]
        filters = "{type: authenticated, active: true, provisioning_state: active}"
        accounts = f"properties: [{{sid: {sid}, filters: {filters}}}]"
        path = write(tmp_path, simulator, configuration(simulator, accounts=accounts))
        async with running(path, clock) as exporter:
            await exporter.ready()
            samples = await exporter.samples()
        wanted = {
            trunk.sip_trunk_sid
            for trunk in simulator.carrier.trunks(sid)
            if trunk.type == 1 and trunk.active(NOW) and trunk.provisioning_state == 2
        }
    assert {dict(key)["trunk_sid"] for key in samples["siptrunk_active"]} == wanted
    assert wanted


async def test_with_detail_property_no_trunk_has_series_of_its_own(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=2, trunks=10), clock) as simulator:
        path = write(tmp_path, simulator, configuration(simulator, metrics="detail: property"))
        async with running(path, clock) as exporter:
            await exporter.ready()
            samples = data_of(await exporter.samples())
        aggregates = {
            name: values
            for name, values in truth(simulator.carrier, NOW).items()
            if name.startswith("siptrunk_property_")
        }
    assert samples == aggregates


async def test_the_token_is_nowhere_to_be_seen(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    options = SimulatorOptions(properties=1, trunks=3, token="hunter2-and-more")
    async with Simulator(options, time.time) as simulator, running(write(tmp_path, simulator)) as exporter:
        await exporter.ready()
        (tmp_path / "token").write_text("hunter2-but-wrong")
        for credentials in exporter.daemon.poller.credentials.values():
            credentials.refresh()
        await exporter.poll(simulator.carrier.property_sids[0])
        pages = [(await exporter.http.get(path)).text for path in ("/", "/metrics", "/config", "/api/v1/status")]
    assert "auth" in pages[3]
    assert not holds("".join(pages) + caplog.text, "hunter2")


@pytest.mark.parametrize("fault", ["500", "401", "garbage"])
async def test_polls_that_fail_leave_nothing_for_the_garbage_collector(tmp_path: Path, fault: Fault) -> None:
    """A full collection is rare, so what waits for one piles up: an outage lasts for hours."""
    polls = 30
    async with Simulator(SimulatorOptions(properties=1, trunks=3)) as simulator:
        (sid,) = simulator.carrier.property_sids
        path = write(tmp_path, simulator, configuration(simulator, api="max_attempts: 1", poll="interval: 1h"))
        async with running(path) as exporter:
            await exporter.ready()
            simulator.fail(sid, fault)
            await exporter.poll(sid)
            gc.collect()
            gc.disable()
            try:
                for _ in range(polls):
                    await exporter.poll(sid)
                found = gc.collect()
            finally:
                gc.enable()
    assert found < 10 * polls
