"""How the simulator serves: compression, ETags, counts, churn by the clock, and where it listens."""

from __future__ import annotations

import msgspec
import pytest

from exporter.simulator import Carrier, Simulator
from tests.simulator.served import NOW, options, serve


async def test_compression_is_used_where_both_sides_want_it() -> None:
    async with serve(options(gzip=True)) as api, serve(options()) as plain:
        packed = await api.get()
        assert packed.headers["Content-Encoding"] == "gzip"
        assert packed.json() == api.listed()[:50]
        bare = await api.client.get(api.path, headers={"Accept-Encoding": "identity"})
        assert "Content-Encoding" not in bare.headers
        assert "Content-Encoding" not in (await plain.get()).headers


async def test_an_etag_is_answered_with_304_until_the_page_changes() -> None:
    async with serve(options(etag=True, gzip=True)) as api:
        tag = (await api.get()).headers["ETag"]
        same = await api.client.get(api.path, headers={"If-None-Match": f'"other", {tag}'})
        assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag)
        first = api.carrier.trunks(api.sid)[0]
        api.carrier.put(api.sid, msgspec.structs.replace(first, channel_limit=first.channel_limit + 1))
        changed = await api.client.get(api.path, headers={"If-None-Match": tag})
        assert changed.status_code == 200
        assert changed.json() == api.listed()[:50]


async def test_requests_are_counted_with_their_queries_by_endpoint_and_property() -> None:
    async with serve(options()) as api:
        await api.get(Results_Skip=50, Active="true")
        await api.get("/v2/Properties")
        await api.get(f"/v2/Properties/{'S' * 32}/SipTrunks")
        requests = api.simulator.requests
        assert requests.by_endpoint == {"trunks": 2, "properties": 1}
        assert requests.by_property == {api.sid: 1}
        assert requests.seen[0].query == {"Results_Skip": "50", "Active": "true"}
        assert [seen.property_sid for seen in requests.seen] == [api.sid, None, "S" * 32]


async def test_churn_follows_the_clock_and_the_answers_follow_churn() -> None:
    async with serve(options(churn=2)) as api:
        before = api.listed()
        assert await api.walk(50) == before
        api.clock.now += 100
        after = await api.walk(50)
        assert after == api.listed() != before
        twin = Carrier(api.simulator.options, NOW)
        for step in range(200):
            twin.churn_step(NOW + (step + 1) / 2)
        assert twin.trunks(api.sid) == api.carrier.trunks(api.sid)


async def test_after_a_silence_too_long_the_latest_changes_alone_are_made_and_then_churn_goes_on() -> None:
    async with serve(options(churn=1000, trunks=5)) as api:
        twin = Carrier(api.simulator.options, NOW)
        api.clock.now += 3600
        await api.get()
        for step in range(3_590_000, 3_600_000):
            twin.churn_step(NOW + (step + 1) / 1000)
        assert twin.trunks(api.sid) == api.carrier.trunks(api.sid)
        api.clock.now += 1
        await api.get()
        for step in range(3_600_000, 3_601_000):
            twin.churn_step(NOW + (step + 1) / 1000)
        assert twin.trunks(api.sid) == api.carrier.trunks(api.sid)


async def test_only_loopback_is_listened_on() -> None:
    simulator = Simulator(options())
    for host in ("0.0.0.0", "192.0.2.1", "example.com"):  # noqa: S104 - must be refused
        with pytest.raises(ValueError, match="loopback"):
            await simulator.start(host, 0)


async def test_a_taken_port_is_an_error_and_leaves_nothing_open() -> None:
    async with Simulator(options()) as first:
        second = Simulator(options())
        with pytest.raises(OSError, match="in use"):
            await second.start("127.0.0.1", first.port)
        await second.start()
        await second.stop()
