"""The two lists are asked for exactly as documented, walked within their time, and not sent again where unchanged."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from exporter.api.budget import Manner
from exporter.api.client import ApiClient
from exporter.api.listing import DETAIL_LENGTH, Anomalies, Listing, properties_of, trunks_of
from exporter.api.payload import TRUNKS, Page, Reader
from exporter.api.transport import LARGE
from exporter.config import Api, Filters, Limits
from exporter.errors import Anomaly, PollError, Reason
from exporter.simulator import Simulator, SimulatorOptions
from exporter.telemetry import Telemetry
from tests.api.fake_api import ACCOUNT_SID, CREDENTIALS, ENCODED, PATH, TOKEN, FakeApi, answer
from tests.api.proxy import EMPTY_LIST, Recorder, listening

if TYPE_CHECKING:
    import httpx

    from exporter.model import Project, Trunk
    from exporter.simulator import Fault

T = TypeVar("T")
Found = tuple[tuple[T, ...] | None, Anomalies]
ONE_PAGE = answer(b'{"SipTrunks":[{"SipTrunkSid":"ST1"}],"TotalCount":1}')


def trunks(filters: Filters | None = None) -> Listing[Trunk]:
    return trunks_of(CREDENTIALS, "S1", filters or Filters())


def sids(found: Found[Trunk] | Found[Project]) -> list[str]:
    records, _ = found
    assert records is not None
    return [record.sid for record in records]


async def walked(listing: Listing[Trunk], client: ApiClient, limits: Limits | None = None) -> str:
    """Walk once, and give the Sids of the list, with a `=` before it where it was the same as the last time."""
    records, _ = await listing.fetch(client, limits)
    every = "".join(record.sid for record in listing.records() or ())
    assert records is None or sids((records, Counter())) == list(every)
    return "=" * (records is None) + every


def refused(api: FakeApi, **settings: float | str) -> PollError:
    with pytest.raises(PollError) as caught:
        api.run(lambda client: trunks().fetch(client), **settings)
    return caught.value


class PagedApi(FakeApi):
    """Serves trunks in pages as asked for, each after `seconds`, with an ETag where `tagged`."""

    def __init__(self, trunks: str, *, seconds: float = 0.0, tagged: bool = False) -> None:
        super().__init__(self._page)
        self.trunks, self._seconds, self._tagged = trunks, seconds, tagged
        self.codes: list[int] = []

    async def _page(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(self._seconds)
        skip, count = (int(request.url.params[name]) for name in ("Results_Skip", "Results_Count"))
        body = json.dumps([{"SipTrunkSid": sid} for sid in self.trunks[skip : skip + count]]).encode()
        tag = f'"{hashlib.sha256(body).hexdigest()}"'
        unchanged = request.headers.get("If-None-Match") == tag
        self.codes.append(304 if unchanged else 200)
        return answer(b"" if unchanged else body, self.codes[-1], {"ETag": tag} if self._tagged else {})

    def skips(self) -> list[str]:
        return [request.url.params["Results_Skip"] for request in self.requests]


@pytest.mark.parametrize(
    ("filters", "parameters"),
    [
        ({}, {}),
        ({"type": "ip_to_ip"}, {"Type": "0"}),
        ({"type": "authenticated"}, {"Type": "1"}),
        ({"active": True}, {"Active": "true"}),
        ({"active": False}, {"Active": "false"}),
        ({"provisioning_state": "inactive"}, {"ProvisioningState": "0"}),
        ({"provisioning_state": "provisioning"}, {"ProvisioningState": "1"}),
        ({"provisioning_state": "active"}, {"ProvisioningState": "2"}),
        ({"provisioning_state": "deprovisioning"}, {"ProvisioningState": "3"}),
        (
            {"type": "ip_to_ip", "active": False, "provisioning_state": "inactive"},
            {"Type": "0", "Active": "false", "ProvisioningState": "0"},
        ),
    ],
)
def test_every_filter_is_passed_on_as_documented(filters: dict[str, Any], parameters: dict[str, str]) -> None:
    api = FakeApi(ONE_PAGE)
    assert sids(api.run(lambda client: trunks(Filters(**filters)).fetch(client))) == ["ST1"]
    (request,) = api.requests
    assert request.url.path == PATH
    assert dict(request.url.params.multi_items()) == {**parameters, "Results_Skip": "0", "Results_Count": "50"}
    assert len(request.url.params.multi_items()) == len(parameters) + 2


def test_each_page_is_asked_for_with_its_place_the_page_size_and_the_filters() -> None:
    api = PagedApi("ABCDE")
    assert sids(api.run(lambda client: trunks(Filters(active=True)).fetch(client), page_size=3)) == list("ABCDE")
    assert [dict(request.url.params.multi_items()) for request in api.requests] == [
        {"Active": "true", "Results_Skip": skip, "Results_Count": "3"} for skip in ("0", "2", "4")
    ]


def test_the_properties_are_listed_in_the_same_way() -> None:
    api = FakeApi(answer(b'{"Projects":[{"PropertySid":"S1","Name":"Sydney"}],"TotalCount":1}'))
    assert sids(api.run(lambda client: properties_of(CREDENTIALS).fetch(client))) == ["S1"]
    (request,) = api.requests
    assert request.url.path == "/v2/Properties"
    assert dict(request.url.params.multi_items()) == {"Results_Skip": "0", "Results_Count": "50"}
    assert api.counted("api_requests_total", endpoint="properties", code="200") == 1


def test_a_probe_asks_for_one_record() -> None:
    api = FakeApi(ONE_PAGE)
    api.run(trunks().probe)
    assert [dict(request.url.params) for request in api.requests] == [{"Results_Skip": "0", "Results_Count": "1"}]


@pytest.mark.parametrize(("body", "status"), [(b"", 403), (b"{}", 200)])
def test_a_probe_says_why_the_list_cannot_be_had(body: bytes, status: int) -> None:
    with pytest.raises(PollError) as caught:
        FakeApi(answer(body, status)).run(trunks().probe)
    assert caught.value.reason == {403: Reason.FORBIDDEN, 200: Reason.BAD_PAYLOAD}[status]


@pytest.mark.parametrize(("longest", "requests"), [(12.0, 5), (14.9, 5), (2.0, 1)])
def test_a_walk_that_takes_the_server_longer_than_allowed_times_out(
    longest: float, requests: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.api.listing.LONGEST_WALK", longest)
    api = PagedApi("ABCDEFGHIJ", seconds=3)
    assert refused(api, page_size=3).reason == Reason.TIMEOUT
    assert len(api.requests) == requests


@pytest.mark.parametrize(("largest", "requests"), [(0, 1), (100, 2), (10_000, 6)])
def test_the_pages_of_a_walk_are_bounded_together(largest: int, requests: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.api.listing.LARGEST_WALK", largest)
    api = PagedApi("ABCDEFGHIJ")
    if requests < 6:
        assert refused(api, page_size=3).reason == Reason.TOO_LARGE
    else:
        assert sids(api.run(lambda client: trunks().fetch(client), page_size=3)) == list("ABCDEFGHIJ")
    assert len(api.requests) == requests


def test_waiting_for_the_budget_is_not_the_time_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.api.listing.LONGEST_WALK", 3.5)
    api = PagedApi("ABCDE", seconds=1)
    fetched = api.run(lambda client: trunks().fetch(client), page_size=3, requests_per_second=0.1)
    assert sids(fetched) == list("ABCDE")
    assert api.times == pytest.approx([0, 10, 20])


def test_pages_that_are_unchanged_are_taken_from_the_last_walk() -> None:
    api = PagedApi("ABCDE", tagged=True)

    async def walks(client: ApiClient) -> list[str]:
        listing = trunks()
        found = [await walked(listing, client) for _ in range(2)]
        api.trunks = "ABCDXYZ"
        return [*found, await walked(listing, client)]

    assert api.run(walks, page_size=3) == ["ABCDE", "=ABCDE", "ABCDXYZ"]
    assert api.skips() == ["0", "2", "4", "0", "2", "4", "0", "2", "4", "6"]
    assert api.codes == [200, 200, 200, 304, 304, 304, 304, 200, 200, 200]


def test_pages_of_another_size_are_not_taken_for_the_same() -> None:
    api = PagedApi("ABCDE", tagged=True)

    async def walks(client: ApiClient) -> list[str]:
        listing = trunks()
        first = await walked(listing, client)
        client.configure(replace(client.api, page_size=4))
        return [first, await walked(listing, client)]

    assert api.run(walks, page_size=3) == ["ABCDE"] * 2
    assert set(api.codes) == {200}


def test_other_limits_hold_for_pages_that_stayed_the_same_too() -> None:
    listed = [{"SipTrunkSid": "ST1", "Name": "n" * 100}, {"SipTrunkSid": "ST2"}]
    page = answer(json.dumps({"SipTrunks": listed, "TotalCount": 2}).encode())

    async def walks(client: ApiClient) -> list[object]:
        listing = trunks()
        before, _ = await listing.fetch(client)
        cut, anomalies = await listing.fetch(client, Limits(label_bytes=64))
        same, again = await listing.fetch(client, Limits(label_bytes=64))
        with pytest.raises(PollError, match="too_large"):
            await listing.fetch(client, Limits(trunks_per_property=1))
        assert before
        assert cut
        return [before[0].name, cut[0].name, +anomalies, same, +again]

    once = Counter({Anomaly.LABEL_TOO_LONG: 1})
    assert FakeApi(page).run(walks) == ["n" * 100, "n" * 61 + "…", once, None, once]


def test_what_is_odd_on_an_unchanged_page_is_counted_again() -> None:
    odd = answer(b'{"SipTrunks":[{"SipTrunkSid":"ST1","Type":9}],"TotalCount":1}', 200, {"ETag": '"1"'})

    async def walks(client: ApiClient) -> list[int]:
        listing = trunks()
        return [(await listing.fetch(client))[1][Anomaly.UNDOCUMENTED_CODE] for _ in range(2)]

    assert FakeApi(odd, answer(b"", 304)).run(walks) == [1, 1]


def test_a_page_size_that_changes_during_a_walk_leaves_nothing_out() -> None:
    api = PagedApi("ABCDE", seconds=2)

    async def walk(client: ApiClient) -> list[str]:
        walking = asyncio.create_task(trunks().fetch(client))
        await asyncio.sleep(1)
        client.configure(replace(client.api, page_size=1))
        return sids(await walking)

    assert api.run(walk, page_size=3) == list("ABCDE")


def test_what_nobody_thought_of_is_a_bad_payload_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert refused(FakeApi(ZeroDivisionError("what"))).reason == Reason.BAD_PAYLOAD
    assert "ZeroDivisionError: what" in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"ResponseStatus": {"ErrorCode": "Unauthorized", "Message": f"you sent {TOKEN}"}}),
        json.dumps({"ResponseStatus": {"ErrorCode": "Unauthorized", "Message": f"Basic {ENCODED}"}}),
        json.dumps([{"SipTrunkSid": TOKEN, "Type": 0}, {"SipTrunkSid": TOKEN, "Type": 1}]),
    ],
)
def test_no_error_shows_the_token_where_a_good_status_comes_with_it(body: str) -> None:
    error = str(refused(FakeApi(answer(body.encode()))))
    assert not any(secret in error for secret in (TOKEN, ENCODED))


@pytest.mark.parametrize("before", ["", *(" " * (DETAIL_LENGTH - 30 - cut) for cut in (1, 10, 19, 20))])
@pytest.mark.parametrize("secret", [TOKEN, ENCODED], ids=["plain", "encoded"])
def test_no_error_shows_the_token_or_its_beginning_where_the_server_quotes_it(before: str, secret: str) -> None:
    body = json.dumps({"ResponseStatus": {"Message": before + secret}}).encode()
    assert secret[:8] not in str(refused(FakeApi(answer(body, 401))))


def test_an_error_is_short_however_much_the_server_says() -> None:
    body = json.dumps({"ResponseStatus": {"Message": "x" * 100_000}}).encode()
    assert len(str(refused(FakeApi(answer(body))))) < 1000


async def fetch(base_url: str, property_sid: str, **settings: Any) -> Found[Trunk]:  # noqa: ANN401 - any setting
    api = FakeApi()
    client = ApiClient(Api(base_url=base_url, requests_per_second=0, **settings), api.telemetry)
    try:
        return await trunks_of(CREDENTIALS, property_sid, Filters()).fetch(client)
    finally:
        await client.aclose()


@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 200 OK\r\nbad name: "])
async def test_no_error_shows_the_token_where_the_server_echoes_what_it_was_sent(before: bytes) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        writer.write(before + request[request.lower().index(b"authorization") :])
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        with pytest.raises(PollError) as caught:
            await fetch(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "S1", max_attempts=1)
    assert ENCODED not in str(caught.value)


def simulated(**options: Any) -> Simulator:  # noqa: ANN401 - any option
    return Simulator(
        SimulatorOptions(properties=1, trunks=23, exact=True, account_sid=ACCOUNT_SID, token=TOKEN, **options)
    )


@pytest.mark.parametrize("shape", ["array", "object"])
@pytest.mark.parametrize("page_cap", [None, 1, 7])
async def test_a_whole_list_comes_over_a_real_connection(shape: str, page_cap: int | None) -> None:
    async with simulated(shape=shape, page_cap=page_cap, gzip=True, etag=True) as simulator:
        (sid,) = simulator.carrier.property_sids
        found = await fetch(simulator.base_url, sid, page_size=10)
        assert sids(found) == [trunk.sip_trunk_sid for trunk in simulator.carrier.trunks(sid)]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("400", Reason.BAD_REQUEST),
        ("401", Reason.AUTH),
        ("403", Reason.FORBIDDEN),
        ("404", Reason.NOT_FOUND),
        ("429", Reason.RATE_LIMITED),
        ("500", Reason.SERVER_ERROR),
        ("500-html", Reason.SERVER_ERROR),
        ("502", Reason.SERVER_ERROR),
        ("503", Reason.SERVER_ERROR),
        ("garbage", Reason.BAD_PAYLOAD),
        ("neither", Reason.BAD_PAYLOAD),
    ],
)
async def test_every_answer_that_is_no_list_fails_the_walk_with_its_reason(fault: Fault, reason: Reason) -> None:
    async with simulated() as simulator:
        (sid,) = simulator.carrier.property_sids
        simulator.fail(sid, fault)
        with pytest.raises(PollError) as caught:
            await fetch(simulator.base_url, sid, max_attempts=1)
    assert caught.value.reason == reason


def test_a_walk_that_fails_leaves_the_last_complete_one_as_it_was() -> None:
    limits = Limits(trunks_per_property=6)
    api = PagedApi("ABCDE", tagged=True)

    async def walks(client: ApiClient) -> list[str]:
        listing = trunks()
        found = [await walked(listing, client, limits)]
        for api.trunks in ("ABCDEFGHIJ", "UVWXYZABCD"):
            with pytest.raises(PollError, match="too_large"):
                await listing.fetch(client, limits)
            found.append("".join(record.sid for record in listing.records() or ()))
        api.trunks = "ABCDE"
        return [*found, await walked(listing, client, limits)]

    assert api.run(walks, page_size=3) == ["ABCDE", "ABCDE", "ABCDE", "=ABCDE"]


ROOM = st.sampled_from([0, 50, 100, 200, 1000])
PLACES = st.lists(st.sampled_from("ABCDEFGHIJ"), unique=True, max_size=8).map("".join)


@given(lists=st.lists(PLACES, min_size=2, max_size=5), size=st.integers(1, 4), tagged=st.booleans())
def test_a_list_walked_again_is_what_a_first_walk_finds(lists: list[str], size: int, tagged: bool) -> None:  # noqa: FBT001 - a parameter of the test
    api = PagedApi("", tagged=tagged)

    async def walks(client: ApiClient) -> None:
        listing = trunks()
        before = None
        for api.trunks in lists:
            assert await walked(listing, client) == "=" * (api.trunks == before) + api.trunks
            before = api.trunks

    api.run(walks, page_size=size)


def test_what_has_not_changed_costs_no_request_more_than_before() -> None:
    api = PagedApi("ABCDEFGH")

    async def walks(client: ApiClient) -> list[int]:
        listing = trunks()
        counts = []
        for api.trunks in ("ABCDEFGH", "ABCDEFGH", "ABCDEFXH", "ABCDEFX"):
            before = len(api.requests)
            await walked(listing, client)
            counts.append(len(api.requests) - before)
        return counts

    assert api.run(walks, page_size=3) == [5, 5, 5, 4]


async def test_large_answers_are_read_one_after_another_so_that_their_memory_does_not_add_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("exporter.api.listing.LARGE", 0)
    reading, most = 0, 0

    def read(body: bytes, longest: int) -> Page[Trunk]:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        time.sleep(0.01)
        reading -= 1
        return TRUNKS.read(body, longest)

    slow = SimpleNamespace(read=read)
    async with listening(Recorder(EMPTY_LIST).serve) as port:
        client = ApiClient(Api(f"http://127.0.0.1:{port}", requests_per_second=0), Telemetry(CollectorRegistry()))
        lists = [Listing(cast("Reader[Trunk]", slow), trunks().query) for _ in range(4)]
        assert [records for records, _ in await asyncio.gather(*(each.fetch(client) for each in lists))] == [()] * 4
        await client.aclose()
    assert most == 1


def test_an_answer_that_does_not_fit_into_memory_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    async def walk(*_: object) -> None:
        raise MemoryError

    async def walks(client: ApiClient) -> Reason:
        monkeypatch.setattr(Listing, "_walk", walk)
        with pytest.raises(PollError) as caught:
            await trunks().fetch(client)
        return caught.value.reason

    assert PagedApi("ABC").run(walks) is Reason.TOO_LARGE


async def test_a_list_whose_answers_are_large_waits_among_its_like_until_they_are_small_again() -> None:
    # Over a real connection: a thread reads what is large, which the fake clock would not wait for.
    recorder, manner, found = Recorder(), Manner(), []
    large = b"[" + b" " * LARGE + b"]"
    answers = (
        EMPTY_LIST,
        b"HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: %d\r\n\r\n%b" % (len(large), large),
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        EMPTY_LIST,
    )
    async with listening(recorder.serve) as port:
        client = ApiClient(Api(f"http://127.0.0.1:{port}", requests_per_second=0), Telemetry(CollectorRegistry()))
        listing = trunks()
        for recorder.answer in answers:
            with suppress(PollError):
                await listing.fetch(client, manner=manner)
            found.append(manner.large)
        await client.aclose()
    assert found == [False, True, True, True, False]


async def test_while_the_large_answer_of_a_walk_that_was_cancelled_is_being_read_no_other_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("exporter.api.listing.LARGE", 0)
    began, may_end = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def read(body: bytes, longest: int) -> Page[Trunk]:
        loop.call_soon_threadsafe(began.set)
        may_end.wait()
        return TRUNKS.read(body, longest)

    async with listening(Recorder(EMPTY_LIST).serve) as port:
        client = ApiClient(Api(f"http://127.0.0.1:{port}", requests_per_second=0), Telemetry(CollectorRegistry()))
        listing = Listing(cast("Reader[Trunk]", SimpleNamespace(read=read)), trunks().query)
        walk = asyncio.create_task(listing.fetch(client))
        await began.wait()
        walk.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        held = client.reading_large.locked()
        may_end.set()
        await asyncio.gather(walk, return_exceptions=True)
        assert (held, walk.cancelled(), client.reading_large.locked()) == (True, True, False)
        await client.aclose()


@pytest.mark.parametrize("left", [0, 100, 10_000])
def test_pages_for_which_there_is_no_room_are_not_kept_and_cost_no_more_than_being_read_again(left: int) -> None:
    api = PagedApi("ABCDE", tagged=True)

    async def walks(client: ApiClient) -> list[object]:
        client.left_to_keep = left
        listing = trunks()
        walked = [await listing.fetch(client, Limits()) for _ in range(2)]
        told = [anomalies[Anomaly.NOT_KEPT] for _, anomalies in walked]
        again = listing.records()
        held = left - client.left_to_keep
        listing.forget(client)
        assert client.left_to_keep == left
        return [sids(walked[0]), walked[1][0] is None, again is None, held > 0, told]

    keeps = left == 10_000
    assert api.run(walks, page_size=3) == [list("ABCDE"), keeps, not keeps, keeps, [int(not keeps)] * 2]


def test_no_list_takes_all_the_room_that_there_is_to_keep_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.api.listing.MOST_KEPT_OF_ONE", 100)

    async def walk(client: ApiClient) -> tuple[bool, int]:
        before, listing = client.left_to_keep, trunks()
        await listing.fetch(client)
        return listing.records() is None, before - client.left_to_keep

    assert PagedApi("ABCDE").run(walk, page_size=3) == (True, 0)


@given(lists=st.lists(PLACES, max_size=5), faults=st.lists(st.booleans(), min_size=5, max_size=5), room=ROOM)
def test_room_is_given_back_however_walks_end(lists: list[str], faults: list[bool], room: int) -> None:
    api = PagedApi("")

    async def walks(client: ApiClient) -> None:
        client.left_to_keep = room
        listing = trunks()
        for api.trunks, fails in zip(lists, faults, strict=False):
            with suppress(PollError):
                await listing.fetch(client, Limits(trunks_per_property=3 if fails else 1000))
            assert 0 <= client.left_to_keep <= room
        listing.forget(client)
        assert client.left_to_keep == room

    api.run(walks, page_size=3)
