"""Requests go out as the API wants them; each refusal is understood, and tried again only where that is sensible."""

from __future__ import annotations

import asyncio
import json
import math
import time

import aiohttp
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter import __version__
from exporter.api.budget import Kind, Manner
from exporter.api.client import Answer, ApiClient, Validators, refusal, wait_before_retry
from exporter.api.transport import LARGE, Response
from exporter.config import Api
from exporter.errors import PollError, Reason
from tests import fake_clock
from tests.api.fake_api import BASE_URL, ENCODED, PATH, QUERY, Chunks, FakeApi, answer, asked, http_date


def said(message: str, code: str = "Code") -> bytes:
    return json.dumps({"ResponseStatus": {"ErrorCode": code, "Message": message}}).encode()


def test_a_request_carries_the_documented_headers() -> None:
    api = FakeApi(answer())
    api.ask()
    (request,) = api.requests
    assert (request.method, str(request.url)) == ("GET", BASE_URL + PATH)
    assert {name: request.headers[name] for name in ("Authorization", "Accept", "User-Agent", "Accept-Encoding")} == {
        "Authorization": f"Basic {ENCODED}",
        "Accept": "application/json",
        "User-Agent": f"siptrunk-exporter/{__version__}",
        "Accept-Encoding": "gzip",
    }


def test_a_base_url_with_a_path_keeps_it() -> None:
    api = FakeApi(answer())
    api.ask(base_url=f"{BASE_URL}/proxy")
    assert str(api.requests[0].url) == f"{BASE_URL}/proxy{PATH}"


def test_a_large_answer_that_finds_no_place_is_asked_for_again_once_there_is_one_and_that_is_no_failure() -> None:
    """Of two places one is for large answers."""

    async def large(_request: httpx.Request) -> httpx.Response:
        return answer(Chunks([bytes(LARGE), b"x"], seconds=1))

    async def story(client: ApiClient) -> list[Kind]:
        manners = [Manner(), Manner()]
        async with client.ask(QUERY, None, manners[0]):
            second = asyncio.create_task(asked(client, manner=manners[1]))
            await asyncio.sleep(60)
            assert (len(api.requests), second.done()) == (2, False)
        assert len((await second).body or b"") == LARGE + 1
        return [manner.kind for manner in manners]

    api = FakeApi(large)
    assert api.run(story, max_concurrency=2, max_attempts=1) == [Kind(large=True)] * 2
    assert len(api.requests) == 3
    assert api.counted("api_requests_total", endpoint="sip_trunks", code="200") == 3


def test_cookies_are_not_kept() -> None:
    api = FakeApi(answer(headers={"Set-Cookie": "session=1; Path=/"}))

    async def twice(client: ApiClient) -> None:
        await asked(client)
        await asked(client)

    api.run(twice)
    assert ["Cookie" in request.headers for request in api.requests] == [False, False]


@pytest.mark.parametrize(
    ("status", "reason", "tries"),
    [
        (400, Reason.BAD_REQUEST, 1),
        (401, Reason.AUTH, 1),
        (403, Reason.FORBIDDEN, 1),
        (404, Reason.NOT_FOUND, 1),
        (405, Reason.BAD_REQUEST, 1),
        (418, Reason.BAD_REQUEST, 1),
        (429, Reason.RATE_LIMITED, 3),
        (500, Reason.SERVER_ERROR, 3),
        (501, Reason.SERVER_ERROR, 1),
        (599, Reason.SERVER_ERROR, 1),
        (502, Reason.SERVER_ERROR, 3),
        (503, Reason.SERVER_ERROR, 3),
        (504, Reason.SERVER_ERROR, 3),
        (204, Reason.BAD_PAYLOAD, 1),
        (206, Reason.BAD_PAYLOAD, 1),
        (300, Reason.BAD_PAYLOAD, 1),
        (304, Reason.BAD_PAYLOAD, 1),
    ],
)
def test_each_status_has_its_reason_and_is_tried_again_only_where_it_may_pass(
    status: int, reason: Reason, tries: int
) -> None:
    api = FakeApi(answer(b"", status))
    assert api.refuse(max_attempts=3).reason == reason
    assert len(api.requests) == tries
    assert api.counted("api_requests_total", endpoint="sip_trunks", code=str(status)) == tries
    assert (api.counted("api_retries_total", reason=reason) or 0) == tries - 1


@pytest.mark.parametrize("max_attempts", [1, 2, 5])
def test_a_request_is_tried_max_attempts_times(max_attempts: int) -> None:
    api = FakeApi(answer(b"", 500))
    api.refuse(max_attempts=max_attempts)
    assert len(api.requests) == max_attempts


def test_a_good_answer_after_failures_is_good_and_all_of_them_are_counted() -> None:
    api = FakeApi(answer(b"", 503), aiohttp.ServerTimeoutError(), aiohttp.ClientConnectionError("gone"), answer(b"[1]"))
    assert api.ask().body == b"[1]"
    codes = ("503", "error", "200")
    assert [api.counted("api_requests_total", endpoint="sip_trunks", code=code) for code in codes] == [1, 2, 1]
    reasons = (Reason.SERVER_ERROR, Reason.TIMEOUT, Reason.CONNECT, Reason.RATE_LIMITED)
    assert [api.counted("api_retries_total", reason=reason) for reason in reasons] == [1, 1, 1, 0]
    assert api.counted("api_request_duration_seconds_count", endpoint="sip_trunks") == 4


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (said("Wrong type.", "BadType"), ": BadType: Wrong type."),
        (b'{"ResponseStatus":{"Message":"Alone"}}', ": Alone"),
        *(
            (body, "no ResponseStatus")
            for body in (b"<html><h1>Bad</h1></html>", b"\xff\xfe", b"[" * 100_000, b"1" * 5000, b"[]", b"")
        ),
    ],
)
def test_an_error_tells_the_status_and_what_the_api_said(body: bytes, says: str) -> None:
    detail = FakeApi(answer(body, 400)).refuse().detail
    assert (detail[:8], detail[-len(says) :]) == ("HTTP 400", says)


@pytest.mark.parametrize("status", [401, 503])
def test_a_status_counts_even_where_its_body_cannot_be_read(status: int) -> None:
    api = FakeApi(answer(b"\x0b\x02\x80", status, {"Content-Encoding": "br"}))
    assert api.refuse(max_attempts=1).reason == {401: Reason.AUTH, 503: Reason.SERVER_ERROR}[status]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 5 ", 5),
        (http_date(90), 90),
        (http_date(-90), 0),
        ("999999", 999_999),
        ("9" * 400, math.inf),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_read_as_seconds_or_as_a_date(status: int, value: str | None, seconds: float | None) -> None:
    headers = {} if value is None else {"Retry-After": value}
    assert FakeApi(answer(b"", status, headers)).refuse(max_attempts=1).retry_after == seconds


def test_retry_after_is_not_read_where_nothing_is_tried_again() -> None:
    assert FakeApi(answer(b"", 403, {"Retry-After": "120"})).refuse().retry_after is None


PARTS = st.sampled_from(["Wed,", "Oct", "21", "0", "9999", "10000", "07:28:00", "1.2.3", "GMT", "+9999", ",", ":", "-"])


@settings(deadline=None)
@given(st.text() | st.lists(PARTS | st.text(max_size=3)).map(" ".join))
def test_whatever_retry_after_says_it_asks_for_no_less_than_nothing(value: str) -> None:
    error = refusal(Response(429, {"Retry-After": value}, b""))
    assert error.retry_after is None or error.retry_after >= 0


@pytest.mark.parametrize("drawn", [0.0, 1.0])
def test_retries_back_off_exponentially_with_full_jitter(monkeypatch: pytest.MonkeyPatch, drawn: float) -> None:
    monkeypatch.setattr("exporter.api.client.random.uniform", lambda low, high: low + drawn * (high - low))
    api = FakeApi(answer(b"", 500))
    api.refuse(max_attempts=10)
    longest = [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert api.gaps() == pytest.approx([drawn * each for each in longest])


@pytest.mark.parametrize(("header", "asked"), [("7", 7.0), ("30", 30.0), (http_date(12), 12.0)])
def test_what_retry_after_asks_for_comes_on_top_of_the_back_off(
    monkeypatch: pytest.MonkeyPatch, header: str, asked: float
) -> None:
    monkeypatch.setattr("exporter.api.client.random.uniform", lambda _low, high: high)
    api = FakeApi(answer(b"", 429, {"Retry-After": header}), answer())
    api.ask()
    assert api.gaps() == pytest.approx([asked + 0.5])


def test_a_retry_after_longer_than_a_poll_may_wait_ends_it_at_once() -> None:
    api = FakeApi(answer(b"", 429, {"Retry-After": "31"}))
    assert api.refuse().retry_after == 31
    assert len(api.requests) == 1


@given(attempt=st.integers(1, 19), asked=st.none() | st.floats(0, 30))
def test_every_wait_lies_within_its_bounds(attempt: int, asked: float | None) -> None:
    error = PollError(Reason.RATE_LIMITED, "", transient=True, retry_after=asked)
    wait = wait_before_retry(error, attempt, 20)
    assert wait is not None
    assert (asked or 0) <= wait <= (asked or 0) + min(30, 0.5 * 2 ** (attempt - 1))


def test_the_seconds_of_an_answer_include_the_failed_tries_and_the_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.api.client.random.uniform", lambda _low, high: high)

    async def hang(_request: httpx.Request) -> httpx.Response:
        return await asyncio.Event().wait() and answer()

    assert FakeApi(hang, answer()).ask(timeout=10.0).seconds == pytest.approx(10.5)


def test_an_answer_gives_what_to_recognise_it_by() -> None:
    headers = {"ETag": 'W/"1"', "Last-Modified": http_date(0)}
    assert FakeApi(answer(b"[]", 200, headers)).ask() == Answer(b"[]", Validators('W/"1"', http_date(0)), 0.0)


@pytest.mark.parametrize(
    ("validators", "headers"),
    [
        (None, {}),
        (Validators(), {}),
        (Validators('"1"', None), {"If-None-Match": '"1"'}),
        (Validators(None, http_date(0)), {"If-Modified-Since": http_date(0)}),
        (Validators('"1"', http_date(0)), {"If-None-Match": '"1"', "If-Modified-Since": http_date(0)}),
    ],
)
def test_what_an_answer_was_recognised_by_is_sent_back(validators: Validators | None, headers: dict[str, str]) -> None:
    api = FakeApi(answer())
    api.ask(validators)
    sent = api.requests[0].headers
    assert {name: sent[name] for name in ("If-None-Match", "If-Modified-Since") if name in sent} == headers


def test_an_answer_that_is_unchanged_has_no_body_and_keeps_its_validators() -> None:
    api = FakeApi(answer(b"", 304))
    assert api.ask(Validators('"1"')) == Answer(None, Validators('"1"'), 0.0)
    assert api.counted("api_requests_total", endpoint="sip_trunks", code="304") == 1


def test_an_etag_beyond_ascii_does_not_keep_the_next_request_from_being_sent() -> None:
    api = FakeApi(httpx.Response(200, headers=[(b"ETag", b'"\xe9"')], stream=answer().stream))
    assert api.ask(api.ask().validators).body == b"[]"


def test_requests_keep_to_the_budget() -> None:
    async def thrice(client: ApiClient) -> None:
        await asyncio.gather(*(asked(client) for _ in range(3)))

    api = FakeApi(answer())
    api.run(thrice, requests_per_second=2.0)
    assert api.times == pytest.approx([0, 0.5, 1])


def test_a_new_configuration_rules_the_next_request_and_lets_those_in_flight_end() -> None:
    async def slowly(_request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(5)
        return answer(b"[1]")

    async def reconfigured(client: ApiClient) -> list[bytes | None]:
        in_flight = asyncio.create_task(asked(client))
        await asyncio.sleep(1)
        client.configure(Api(base_url="https://other.test", timeout=1.0))
        return [(await asked(client)).body, (await in_flight).body]

    api = FakeApi(slowly, answer(b"[2]"))
    assert api.run(reconfigured) == [b"[2]", b"[1]"]
    assert [request.url.host for request in api.requests] == ["api.test", "other.test"]


def test_a_naive_date_in_retry_after_is_utc_whatever_the_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Australia/Sydney")
    time.tzset()
    try:
        asctime = time.asctime(time.gmtime(fake_clock.EPOCH + 90))
        assert FakeApi(answer(b"", 429, {"Retry-After": asctime})).refuse(max_attempts=1).retry_after == 90
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_failure_that_was_quick_does_not_send_the_retry_behind_those_that_hang() -> None:
    """One place of two is for suspects, and taken; the one that failed at once is no suspect."""

    async def answers(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/hangs":
            await asyncio.sleep(100)
        return answer(b"", 503) if len(api.requests) == 2 else answer(b"[1]")

    async def story(client: ApiClient) -> float:
        hanging = asyncio.create_task(asked(client, manner=Manner(suspect=True), path="/hangs"))
        await asyncio.sleep(1)
        await asked(client)
        ended = asyncio.get_running_loop().time()
        await hanging
        return ended

    api = FakeApi(answers)
    assert api.run(story, max_concurrency=2, timeout=200.0) < 2
