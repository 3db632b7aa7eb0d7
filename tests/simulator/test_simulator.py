"""The simulator behaves as the API's page says, and goes wrong in the ways asked for."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import signal
from collections import Counter
from contextlib import asynccontextmanager
from email.message import Message
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.simulator import (
    DEFAULT_TOKEN,
    FAULTS,
    Carrier,
    CarrierOptions,
    Fault,
    SimulateCommand,
    Simulator,
    SimulatorOptions,
    TrunkFilter,
    add_arguments,
    from_arguments,
    run,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NOW = 1_770_000_000.0
DAY = 86_400
STATUS_FAULTS: tuple[Fault, ...] = ("400", "401", "403", "404", "429", "500", "500-html", "502", "503")
HTML_FAULTS = ("500-html", "502", "503")


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Served:
    """A started simulator, a client that knows its credentials, and the hand on its clock."""

    def __init__(self, simulator: Simulator, client: httpx.AsyncClient, clock: Clock) -> None:
        self.simulator, self.client, self.clock = simulator, client, clock
        self.carrier = simulator.carrier
        self.sid = simulator.carrier.property_sids[0]
        self.path = f"/v2/Properties/{self.sid}/SipTrunks"

    async def get(self, path: str = "", **query: str | int) -> httpx.Response:
        return await self.client.get(path or self.path, params=query)

    async def walk(self, step: int, **query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while page := (await self.get(Results_Skip=len(found), Results_Count=step, **query)).json():
            found += page
        return found

    def listed(self) -> list[dict[str, Any]]:
        """Tell what the carrier's list is, as JSON would give it."""
        return [msgspec.json.decode(msgspec.json.encode(trunk)) for trunk in self.carrier.trunks(self.sid)]


@asynccontextmanager
async def serve(options: SimulatorOptions) -> AsyncIterator[Served]:
    clock = Clock()
    async with (
        Simulator(options, clock) as simulator,
        httpx.AsyncClient(
            base_url=simulator.base_url,
            auth=(options.account_sid, options.token),
            timeout=None,  # noqa: S113 - no test depends on time
            trust_env=False,
        ) as client,
    ):
        yield Served(simulator, client, clock)


def options(**changes: Any) -> SimulatorOptions:  # noqa: ANN401 - any option
    return SimulatorOptions(**{"properties": 2, "trunks": 120, "exact": True} | changes)


def assert_refused(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("application/json")
    assert set(answer.json()) == {"ResponseStatus"}
    assert all(answer.json()["ResponseStatus"][key] for key in ("ErrorCode", "Message"))


@pytest.mark.parametrize(("user", "password"), [("", ""), ("A" * 32, DEFAULT_TOKEN), (None, "wrong")])
async def test_wrong_credentials_are_refused_with_401(user: str | None, password: str) -> None:
    async with serve(options()) as api:
        user = api.simulator.options.account_sid if user is None else user
        assert_refused(await api.client.get(api.path, auth=(user, password)), 401)


async def test_a_request_without_credentials_is_refused_with_401() -> None:
    async with serve(options()) as api, httpx.AsyncClient(trust_env=False) as stranger:
        assert_refused(await stranger.get(api.simulator.base_url + "/v2/Properties"), 401)


async def test_credentials_with_a_name_and_token_of_ones_own_are_taken() -> None:
    async with serve(options(account_sid="A" * 32, token="päss:word")) as api:
        assert (await api.get()).status_code == 200


async def test_the_property_list_is_an_object_of_projects_with_count_and_token() -> None:
    async with serve(options(properties=60, trunks=1)) as api:
        first, rest = (
            (await api.get("/v2/Properties")).json(),
            (await api.get("/v2/Properties", Results_Skip=50)).json(),
        )
    assert set(first) == {"Projects", "TotalCount", "NextPageToken"}
    assert (first["TotalCount"], len(first["Projects"]), len(rest["Projects"])) == (60, 50, 10)
    projects = first["Projects"] + rest["Projects"]
    assert tuple(project["PropertySid"] for project in projects) == api.carrier.property_sids
    assert all(set(project) == {"AccountSid", "PropertySid", "Name", "MainDomain", "TimeZone"} for project in projects)
    assert len({project["Name"] for project in projects}) == 60


async def test_the_array_shape_gives_the_first_50_trunks_bare() -> None:
    async with serve(options()) as api:
        assert (await api.get()).json() == api.listed()[:50]


async def test_the_object_shape_gives_the_trunks_with_count_and_token() -> None:
    async with serve(options(shape="object")) as api:
        body = (await api.get(Results_Skip=100, Results_Count=10)).json()
        last = (await api.get(Results_Skip=110, Results_Count=10)).json()
        assert body == {"SipTrunks": api.listed()[100:110], "TotalCount": 120, "NextPageToken": "110"}
        assert last["NextPageToken"] == ""


async def test_the_object_shape_can_come_without_count_and_token() -> None:
    async with serve(options(shape="object", total_count=False)) as api:
        assert (await api.get()).json() == {"SipTrunks": api.listed()[:50]}


async def test_the_total_count_is_the_number_of_trunks_that_pass_the_filters() -> None:
    async with serve(options(shape="object")) as api:
        body = (await api.get(Type=1, Results_Count=3)).json()
        assert body["TotalCount"] == api.carrier.count(api.sid, TrunkFilter(type=1), NOW) < 120


@pytest.mark.parametrize("step", [1, 7, 40, 50, 119, 120, 121, 500])
async def test_paging_covers_the_list_exactly(step: int) -> None:
    async with serve(options()) as api:
        assert await api.walk(step) == api.listed()


async def test_the_page_cap_shortens_pages_and_loses_nothing() -> None:
    async with serve(options(page_cap=20)) as api:
        assert len((await api.get(Results_Count=50)).json()) == 20
        assert len((await api.get(Results_Count=5)).json()) == 5
        assert await api.walk(50) == api.listed()


async def test_a_skip_beyond_the_end_and_a_count_of_none_give_empty_lists() -> None:
    async with serve(options()) as api:
        assert (await api.get(Results_Skip=120)).json() == (await api.get(Results_Count=0)).json() == []


async def test_a_server_that_ignores_the_skip_gives_the_first_page_again() -> None:
    async with serve(options(ignore_skip=True)) as api:
        assert (await api.get(Results_Skip=50)).json() == (await api.get()).json() == api.listed()[:50]


async def test_each_filter_and_every_combination_agrees_with_the_carrier() -> None:
    async with serve(options(trunks=400)) as api:
        assert {trunk["ProvisioningState"] for trunk in api.listed()} == {0, 1, 2, 3}
        for kind, active, state in itertools.product((None, 0, 1), (None, True, False), (None, 0, 1, 2, 3)):
            given_ones = {"Type": kind, "Active": active, "ProvisioningState": state}
            query = {key: str(value).lower() for key, value in given_ones.items() if value is not None}
            wanted = [
                trunk
                for trunk in api.listed()
                if kind in (None, trunk["Type"])
                and state in (None, trunk["ProvisioningState"])
                and active in (None, not trunk.get("EndDate") or trunk["EndDate"] > NOW)
            ]
            assert (await api.get(**query, Results_Count=1000)).json() == wanted
            assert await api.walk(60, **query) == wanted


async def test_a_trunk_that_ends_in_the_future_is_active_until_the_clock_gets_there() -> None:
    async with serve(options(trunks=400)) as api:
        ending = next(trunk for trunk in api.listed() if (trunk.get("EndDate") or 0) > NOW)
        assert ending in (await api.get(Active="true", Results_Count=1000)).json()
        api.clock.now = ending["EndDate"]
        assert ending in (await api.get(Active="false", Results_Count=1000)).json()


@pytest.mark.parametrize(
    "query",
    [
        *(f"Results_Skip={value}" for value in ("-1", "x", "1.5", "9" * 5000)),
        *(f"Results_Count={value}" for value in ("-5", "", "1e3", "%D9%A3")),
        *(f"Type={value}" for value in ("2", "-1", "ip")),
        *(f"ProvisioningState={value}" for value in ("4", "a")),
        *(f"Active={value}" for value in ("1", "True", "")),
    ],
)
async def test_a_bad_parameter_is_refused_with_400(query: str) -> None:
    async with serve(options()) as api:
        assert_refused(await api.client.get(f"{api.path}?{query}"), 400)


async def test_what_does_not_exist_is_refused_with_404() -> None:
    async with serve(options()) as api:
        unknown = "S" + "0" * 31
        for path in (f"/v2/Properties/{unknown}/SipTrunks", "/", "/v2/Properties/", f"{api.path}/x", "/v1/Properties"):
            assert_refused(await api.get(path), 404)
        assert_refused(await api.get(f"/v2/Properties/{api.sid}/SipTrunk/{unknown}/Details"), 404)


async def test_any_method_but_get_is_refused_with_405() -> None:
    async with serve(options()) as api:
        assert_refused(await api.client.post(api.path, json={}), 405)


async def test_the_details_of_a_trunk_are_the_lists_fields_and_more() -> None:
    async with serve(options()) as api:
        for trunk in api.listed()[::10]:
            details = (await api.get(f"/v2/Properties/{api.sid}/SipTrunk/{trunk['SipTrunkSid']}/Details")).json()
            assert details.items() > trunk.items()


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
            api.simulator.fail(api.sid, "bang")  # type: ignore[arg-type]
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


async def test_latency_delays_an_answer_without_changing_it() -> None:
    async with serve(options(latency=0.001)) as api:
        assert (await api.get()).json() == api.listed()[:50]


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


def world(carrier: Carrier) -> list[object]:
    return [carrier.projects(), *(carrier.trunks(sid) for sid in carrier.property_sids)]


def test_the_same_seed_gives_the_same_world_in_whatever_order_it_is_looked_at() -> None:
    first, second = (Carrier(CarrierOptions(seed=7), NOW + later) for later in (0, 60))
    for sid in reversed(second.property_sids):
        second.trunks(sid)
    for step in range(300):
        assert first.churn_step(NOW + step) == second.churn_step(NOW + step)
    assert world(first) == world(second)


def test_another_seed_gives_another_world() -> None:
    assert world(Carrier(CarrierOptions(seed=1), NOW)) != world(Carrier(CarrierOptions(seed=2), NOW))


@pytest.mark.parametrize("trunks", [0, 1, 2, 48])
def test_the_number_of_trunks_is_exact_or_varies_by_half(trunks: int) -> None:
    exact = Carrier(CarrierOptions(properties=100, trunks=trunks, exact=True), NOW)
    varied = Carrier(CarrierOptions(properties=100, trunks=trunks), NOW)
    assert {len(exact.trunks(sid)) for sid in exact.property_sids} == {trunks}
    sizes = {len(varied.trunks(sid)) for sid in varied.property_sids}
    assert trunks - trunks // 2 <= min(sizes) <= max(sizes) <= trunks + trunks // 2


def test_every_way_of_writing_no_end_and_no_reference_occurs_in_a_world() -> None:
    carrier = Carrier(CarrierOptions(), NOW)
    trunks = [trunk for sid in carrier.property_sids for trunk in carrier.trunks(sid)]
    assert {trunk.end_date for trunk in trunks} >= {msgspec.UNSET, None, 0}
    assert any(trunk.end_date and trunk.end_date > NOW for trunk in trunks)
    assert {trunk.external_reference for trunk in trunks} >= {msgspec.UNSET, None}
    states = Counter(trunk.provisioning_state for trunk in trunks)
    assert states[2] > len(trunks) / 2


def assert_sound(carrier: Carrier, now: float) -> None:
    sids = []
    for property_sid in carrier.property_sids:
        for record in carrier.listing(property_sid, TrunkFilter(), now):
            trunk = record.trunk
            sids.append(trunk.sip_trunk_sid)
            assert len(trunk.sip_trunk_sid) == 32
            assert trunk.created <= trunk.modified <= now
            assert trunk.channel_limit >= 1
            assert trunk.type in (0, 1)
            assert trunk.provisioning_state in (1, 2) or not trunk.active(now)
            assert trunk.provisioning_state != 1 or trunk.active(now)
            assert (record.end, record.type, record.state) == (
                trunk.end_date or 0,
                trunk.type,
                trunk.provisioning_state,
            )
    assert len(set(sids)) == len(sids)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.lists(st.floats(0, 30 * DAY), max_size=60))
def test_churn_keeps_the_world_sound_and_changes_one_trunk_a_step(seed: int, pauses: list[float]) -> None:
    carrier, now = Carrier(CarrierOptions(seed=seed, properties=2, trunks=4), NOW), NOW
    assert_sound(carrier, now)
    for pause in pauses:
        now += pause
        before = {trunk for sid in carrier.property_sids for trunk in carrier.trunks(sid)}
        change = carrier.churn_step(now)
        after = {trunk for sid in carrier.property_sids for trunk in carrier.trunks(sid)}
        assert change is not None
        assert {trunk.sip_trunk_sid for trunk in before ^ after} == {change.trunk_sid}
        assert_sound(carrier, now)


def test_churn_of_every_kind_occurs_and_the_world_keeps_about_its_size() -> None:
    carrier = Carrier(CarrierOptions(), NOW)
    size = sum(len(carrier.trunks(sid)) for sid in carrier.property_sids)
    kinds = Counter(change.kind for step in range(20_000) if (change := carrier.churn_step(NOW + 60 * step)))
    assert set(kinds) == {"provision", "finish", "limit", "rename", "deactivate", "retire", "remove"}
    assert size / 2 < sum(len(carrier.trunks(sid)) for sid in carrier.property_sids) < size * 2


def test_a_carrier_without_properties_has_nothing_to_change() -> None:
    assert Carrier(CarrierOptions(properties=0), NOW).churn_step(NOW) is None


def test_trunks_can_be_put_found_and_removed_by_hand() -> None:
    carrier = Carrier(CarrierOptions(properties=1, trunks=3, exact=True), NOW)
    (sid,) = carrier.property_sids
    first, second, third = carrier.trunks(sid)
    renamed = msgspec.structs.replace(second, name="Renamed")
    carrier.put(sid, renamed)
    assert carrier.find(sid, second.sip_trunk_sid) == renamed
    carrier.remove(sid, first.sip_trunk_sid)
    carrier.put(sid, first)
    assert carrier.trunks(sid) == [renamed, third, first]
    with pytest.raises(KeyError):
        carrier.trunks("S")


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


def parse(*arguments: str) -> SimulateCommand:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return from_arguments(parser.parse_args(arguments))


def test_without_flags_the_command_is_the_documented_default() -> None:
    assert parse() == SimulateCommand("127.0.0.1", 15061, SimulatorOptions())


def test_every_flag_reaches_its_option() -> None:
    text = (
        f"--listen [::1]:0 --properties 3 --trunks 9 --exact --page-cap 4 --latency 50ms"
        f" --error-rate 0.1 --rate-limit 5 --churn 2.5 --seed -3 --shape object --no-total-count"
        f" --ignore-skip --gzip --etag"
        f" --account-sid {'A' * 32} --token abc"
    )
    changes: dict[str, object] = {
        "page_cap": 4,
        "latency": 0.05,
        "error_rate": 0.1,
        "rate_limit": 5.0,
        "churn": 2.5,
        "seed": -3,
    }
    changes |= {"properties": 3, "trunks": 9, "exact": True, "shape": "object", "total_count": False}
    changes |= {"ignore_skip": True, "gzip": True, "etag": True, "account_sid": "A" * 32, "token": "abc"}
    assert parse(*text.split()) == SimulateCommand("::1", 0, options(**changes))


@pytest.mark.parametrize(("text", "seconds"), [("50ms", 0.05), ("1.5s", 1.5), ("0.05s", 0.05), ("1m", 60.0)])
def test_a_latency_is_a_duration(text: str, seconds: float) -> None:
    assert parse("--latency", text).options.latency == seconds


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        ("--listen", "0.0.0.0:1", "loopback"),
        ("--listen", "127.0.0.1:70000", "a port"),
        ("--listen", "15061", "a port"),
        ("--properties", "-1", "a whole number from 0"),
        ("--trunks", "many", "a whole number from 0"),
        ("--page-cap", "0", "a whole number from 1"),
        ("--latency", "50", "a duration"),
        ("--latency", "-1s", "a duration"),
        ("--error-rate", "1.1", "a number from 0 to 1"),
        ("--error-rate", "nan", "a number from 0 to 1"),
        ("--rate-limit", "-1", "a number from 0"),
        ("--churn", "inf", "a number from 0"),
        ("--seed", "x", "a whole number"),
        ("--shape", "list", "array"),
        ("--account-sid", "A1", "A and 31"),
        ("--token", "", "printable"),
    ],
)
def test_a_bad_flag_ends_with_2_and_says_what_was_expected(
    flag: str, value: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(f"{flag}={value}")
    assert ended.value.code == 2
    assert expected in capsys.readouterr().err


def test_the_help_shows_each_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--help")
    assert capsys.readouterr().out.count("(default:") == 17


@pytest.mark.parametrize("token", [DEFAULT_TOKEN, "somebodys-own"])
async def test_the_command_prints_where_to_look_and_serves_until_the_signal(
    token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = parse("--listen=127.0.0.1:0", f"--token={token}")
    serving = asyncio.create_task(run(command))
    printed = ""
    while "discover" not in printed:
        await asyncio.sleep(0)
        printed += capsys.readouterr().out
    fields = Message()
    for line in printed.splitlines():
        name, _, value = line.strip(" -").partition(": ")
        fields[name] = value
    async with httpx.AsyncClient(trust_env=False, auth=(fields["account_sid"], token)) as client:
        assert (await client.get(fields["base_url"] + "/v2/Properties")).json()["TotalCount"] == 5
    assert (token in printed) == (token == DEFAULT_TOKEN)
    signal.raise_signal(signal.SIGTERM)
    await serving
