"""Lists and details come as the API's page says: shapes, pages, filters, refusals."""

from __future__ import annotations

import itertools

import pytest

from exporter.simulator import TrunkFilter
from tests.simulator.served import NOW, assert_refused, options, serve


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
