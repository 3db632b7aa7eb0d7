"""Several exporters that share the properties of one carrier, over real sockets."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from exporter.cli import main
from exporter.shard import WHOLE, Shard
from exporter.simulator import Simulator, SimulatorOptions
from tests.carrier_truth import labels
from tests.running import Labels, Running, asking, command, configuration, finished, parse, running, write
from tests.test_cycle import data_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from exporter.polling.poller import Poller
    from tests.running import Samples

HERE = "--web.listen-address=127.0.0.1:0"
Series = set[tuple[str, Labels, float]]
CARRIER = SimulatorOptions(properties=24, trunks=5)
SLOW = "interval: 1d, stale_after: 2d"


def shards(count: int) -> list[Shard]:
    return [Shard(ordinal, count) for ordinal in range(count)]


def told(samples: Samples) -> Series:
    """What is told of trunks and properties, but for the times of polls."""
    health = {name: samples.get(name, {}) for name in ("siptrunk_property_info", "siptrunk_property_up")}
    return {(name, key, value) for name, of in (data_of(samples) | health).items() for key, value in of.items()}


def properties(series: Iterable[tuple[str, Labels, float]]) -> set[str]:
    return {dict(key)["property_sid"] for _, key, _ in series}


async def whole(stack: AsyncExitStack, path: Path, shard: Shard) -> Series:
    """Run the command until the block ends, and give what it tells once it is ready."""
    exporter = await stack.enter_async_context(command(f"--config.file={path}", f"--shard={shard}", HERE))
    line = await exporter.logged("listening")
    assert line["shard"] == str(shard)
    async with (
        asking(line["addresses"]) as http,
        asyncio.timeout(30),
    ):
        while (await http.get("/-/ready")).is_error:  # noqa: ASYNC110 - it does not tell when it is
            await asyncio.sleep(0.05)
        samples = parse((await http.get("/metrics")).text)
    assert samples["siptrunk_exporter_shard_ordinal"] == {labels(): shard.ordinal}
    assert samples["siptrunk_exporter_shards"] == {labels(): shard.shards}
    return told(samples)


@pytest.mark.parametrize("count", [2, 3, 5])
async def test_shards_together_equal_one_exporter_and_nothing_is_there_twice(count: int, tmp_path: Path) -> None:
    async with Simulator(CARRIER) as simulator, AsyncExitStack() as stack:
        named, filtered, *_ = simulator.carrier.property_sids
        listed = f"properties: [{{sid: {named}, name: Ours}}, {{sid: {filtered}, filters: {{active: true}}}}]"
        accounts = f"discover: {{}}\n    {listed}"
        path = write(tmp_path, simulator, configuration(simulator, accounts=accounts, poll=SLOW))
        one, *parts = await asyncio.gather(*(whole(stack, path, each) for each in (WHOLE, *shards(count))))
    assert set.union(*parts) == one
    assert sum(map(len, parts)) == len(one)
    assert properties(one) == set(simulator.carrier.property_sids)
    assert sum(len(properties(part)) for part in parts) == CARRIER.properties


def has_polled(poller: Poller, sids: set[str]) -> bool:
    """Whether these properties and no others are polled, each at least once."""
    return poller.properties.keys() == sids and all(each.health.polls for each in poller.properties.values())


async def now_told(*exporters: Running) -> list[Series]:
    return [told(await exporter.samples()) for exporter in exporters]


def times_seen(parts: list[Series]) -> Counter[str]:
    return Counter(sid for part in parts for sid in properties(part))


async def test_after_a_reload_and_a_look_up_that_finds_more_and_less_they_still_do(tmp_path: Path) -> None:
    async with Simulator(CARRIER) as simulator, AsyncExitStack() as stack:
        late, gone, listed, *_ = simulator.carrier.property_sids
        projects = simulator.carrier.projects()
        later = projects.pop(0)
        path = write(tmp_path, simulator, configuration(simulator, poll=SLOW))
        exporters = [await stack.enter_async_context(running(path, shard=each)) for each in (WHOLE, *shards(3))]

        async def settled(polled: set[str]) -> tuple[Series, list[Series]]:
            for exporter in exporters:
                poller = exporter.daemon.poller
                own = set(filter(poller.shard.owns, polled))
                async with asyncio.timeout(30):
                    while not has_polled(poller, own):  # noqa: ASYNC110 - nothing tells of properties that go
                        await asyncio.sleep(0.01)
            one, *parts = await now_told(*exporters)
            assert properties(one) == polled
            return one, parts

        every = set(simulator.carrier.property_sids)
        states = [await settled(every - {late})]
        projects[0] = later  # in the place of `gone`
        for exporter in exporters:
            exporter.daemon.poller.ask(*exporter.daemon.poller.discoveries.values())
        states.append(await settled(every - {gone}))
        path.write_text(
            configuration(simulator, accounts=f"properties: [{{sid: {listed}}}, {{sid: {gone}}}]", poll=SLOW)
        )
        for exporter in exporters:
            await exporter.daemon.reload()
        states.append(await settled({listed, gone}))
    for one, parts in states:
        assert set.union(*parts) == one
        assert sum(map(len, parts)) == len(one)


async def test_a_roll_to_one_shard_more_misses_nothing_where_the_new_come_before_the_old_go(tmp_path: Path) -> None:
    """Meanwhile the shard being replaced is there twice, and so is what has moved already; and nothing else."""
    async with Simulator(CARRIER) as simulator, AsyncExitStack() as stack:
        path = write(tmp_path, simulator, configuration(simulator, poll=SLOW))
        sids = simulator.carrier.property_sids
        new = Shard(3, 4)
        moving = {sid for sid in sids if new.owns(sid)}
        old = {each: AsyncExitStack() for each in shards(3)}
        running_now = {}
        for each, alone in old.items():
            running_now[each] = await alone.enter_async_context(running(path, shard=each))
            stack.push_async_exit(alone)
        running_now[new] = await stack.enter_async_context(running(path, shard=new))
        for exporter in running_now.values():
            await exporter.ready()
        seen = times_seen(await now_told(*running_now.values()))
        assert seen == Counter(sids) + Counter(moving)
        for each, alone in old.items():
            successor = Shard(each.ordinal, 4)
            running_now[successor] = await stack.enter_async_context(running(path, shard=successor))
            await running_now[successor].ready()
            seen = times_seen(await now_told(*running_now.values()))
            unmoved = {sid for sid in moving if any(s.shards == 3 and s.owns(sid) for s in running_now)}
            assert seen == Counter(sids) + Counter(unmoved) + Counter(filter(successor.owns, sids))
            await alone.aclose()
            del running_now[each]
        seen = times_seen(await now_told(*running_now.values()))
    assert moving
    assert seen == Counter(sids)


@pytest.mark.parametrize("new_is_there", [True, False])
async def test_a_shard_that_is_restarted_in_its_place_is_missed_but_for_what_has_moved_already(
    new_is_there: bool,  # noqa: FBT001 - a parameter of the test
    tmp_path: Path,
) -> None:
    async with Simulator(CARRIER) as simulator, AsyncExitStack() as stack:
        path = write(tmp_path, simulator, configuration(simulator, poll=SLOW))
        left = [Shard(1, 3), Shard(2, 3), *([Shard(3, 4)] if new_is_there else [])]
        exporters = [await stack.enter_async_context(running(path, shard=each)) for each in left]
        for exporter in exporters:
            await exporter.ready()
        seen = times_seen(await now_told(*exporters))
    restarted = Shard(0, 4) if new_is_there else Shard(0, 3)
    assert set(simulator.carrier.property_sids) - seen.keys() == set(
        filter(restarted.owns, simulator.carrier.property_sids)
    )


async def test_a_shard_that_is_killed_takes_its_own_properties_alone_and_brings_them_back(tmp_path: Path) -> None:
    async with Simulator(CARRIER) as simulator, AsyncExitStack() as stack:
        path = write(tmp_path, simulator, configuration(simulator, poll=SLOW))
        survivor = await stack.enter_async_context(running(path, shard=Shard(0, 2)))
        await survivor.ready()
        before = told(await survivor.samples())
        async with command(f"--config.file={path}", "--shard=1/2", HERE) as exporter:
            await exporter.logged("listening")
            exporter.process.kill()
            await exporter.process.wait()
        alone = told(await survivor.samples())
        again = await whole(stack, path, Shard(1, 2))
    assert alone == before
    assert properties(alone) | properties(again) == set(simulator.carrier.property_sids)
    assert properties(alone) & properties(again) == set()


async def test_n_shards_ask_for_each_property_once_and_two_replicas_twice_and_each_exporter_lists(
    tmp_path: Path,
) -> None:
    async def asked(*each: Shard) -> tuple[int, int]:
        """Requests for lists of properties, and of trunks, until all have polled once."""
        async with Simulator(CARRIER) as simulator, AsyncExitStack() as stack:
            path = write(tmp_path, simulator, configuration(simulator, poll=SLOW))
            exporters = [await stack.enter_async_context(running(path, shard=shard)) for shard in each]
            for exporter in exporters:
                await exporter.ready()
            return simulator.requests.by_endpoint["properties"], simulator.requests.by_endpoint["trunks"]

    lists, trunks = await asked(WHOLE)
    assert (lists, trunks) >= (1, CARRIER.properties)
    assert await asked(*shards(3)) == (3 * lists, trunks)
    assert await asked(*shards(3), *shards(3)) == (6 * lists, 2 * trunks)


async def test_a_shard_is_ready_when_its_own_properties_were_tried_and_tells_of_the_others(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=8, trunks=2)) as simulator:
        mine, others = Shard(0, 2), Shard(1, 2)
        own = [sid for sid in simulator.carrier.property_sids if mine.owns(sid)]
        for sid in simulator.carrier.property_sids:
            if others.owns(sid):
                simulator.fail(sid, "hang")
        async with running(write(tmp_path, simulator), shard=mine) as exporter:
            await exporter.ready()
            page = (await exporter.http.get("/")).text
            status = (await exporter.http.get("/api/v1/status")).json()
    assert [each["property_sid"] for each in status["properties"]] == own
    assert (status["shard_ordinal"], status["shards"], status["properties_elsewhere"]) == (0, 2, 8 - len(own))
    assert f"{len(own)} of {len(own)} up" in page
    assert f"This is shard 0 of 2, counted from 0; the others have {8 - len(own)} properties." in page


async def test_an_exporter_that_has_all_tells_so_and_its_page_says_nothing_of_shards(tmp_path: Path) -> None:
    async with (
        Simulator(SimulatorOptions(properties=2, trunks=2)) as simulator,
        running(write(tmp_path, simulator)) as it,
    ):
        await it.ready()
        status = (await it.http.get("/api/v1/status")).json()
        assert "shard" not in (await it.http.get("/")).text
        samples = await it.samples()
    assert (status["shard_ordinal"], status["shards"], status["properties_elsewhere"]) == (0, 1, 0)
    assert samples["siptrunk_exporter_shard_ordinal"] | samples["siptrunk_exporter_shards"] == {labels(): 1}


async def test_once_and_check_live_ask_for_the_properties_of_the_shard_alone(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=6, trunks=2)) as simulator:
        sids = simulator.carrier.property_sids
        accounts = "properties: [" + ", ".join(f"{{sid: {sid}}}" for sid in sids) + "]"
        path = write(tmp_path, simulator, configuration(simulator, accounts=accounts))
        mine, others = (set(filter(Shard(each, 2).owns, sids)) for each in (0, 1))
        for sid in others:
            simulator.fail(sid, "403")
        checked = await finished("check", "--live", f"--config.file={path}", "--shard=0/2")
        assert set(simulator.requests.by_property) == mine
        status, output, _ = await finished("once", f"--config.file={path}", "--shard=auto/2", POD_NAME="trunks-0")
        stranger = min(others)
        refused = await finished("once", f"--config.file={path}", "--shard=0/2", "--property", stranger)
    assert checked[0] == 0, checked
    assert status == 0
    assert {dict(key)["property_sid"] for key in parse(output)["siptrunk_property_up"]} == mine
    assert (refused[0], refused[2].splitlines()[-1]) == (1, f"property {stranger}: not of the shard 0/2")


@pytest.mark.parametrize(
    ("shard", "pod", "said"),
    [("3/3", "", "of 3 the last is 2/3"), ("auto/2", "trunks-2", "not 2 of the pod 'trunks-2'"), ("all", "", "I/N")],
)
def test_a_shard_that_cannot_be_ends_with_2_and_says_why(
    shard: str, pod: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POD_NAME", pod)
    with pytest.raises(SystemExit) as ended:
        main([f"--shard={shard}"])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_without_a_pods_name_the_host_has_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("POD_NAME", raising=False)
    monkeypatch.setattr("socket.gethostname", lambda: "trunks-7")
    with pytest.raises(SystemExit):
        main(["--shard=auto/3"])
    assert "not 7 of the pod 'trunks-7'" in capsys.readouterr().err
