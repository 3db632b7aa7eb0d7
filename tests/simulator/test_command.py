"""The `simulate` command: its flags, what it prints, and how it ends."""

from __future__ import annotations

import argparse
import asyncio
import signal
from contextlib import asynccontextmanager, suppress
from email.message import Message
from typing import TYPE_CHECKING

import httpx
import pytest

from exporter.simulator import (
    DEFAULT_TOKEN,
    FAULTS,
    Carrier,
    CarrierOptions,
    SimulateCommand,
    SimulatorOptions,
    add_arguments,
    from_arguments,
    run,
)
from tests.simulator.served import options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


# The first property of the world that the flags' defaults make.
SID = Carrier(CarrierOptions(), 0).property_sids[0]
KINDS = f"expected KIND or SID=KIND, KIND one of {', '.join(FAULTS)}, got"


def parse(*arguments: str) -> SimulateCommand:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return from_arguments(parser.parse_args(arguments))


def test_without_flags_the_command_is_the_documented_default() -> None:
    assert parse() == SimulateCommand("127.0.0.1", 15061, SimulatorOptions())


def test_every_flag_reaches_its_option() -> None:
    text = (
        f"--listen [::1]:0 --properties 3 --trunks 9 --exact --page-cap 4 --latency 50ms"
        f" --error-rate 0.1 --rate-limit 5 --churn 2.5 --seed 3 --shape object --no-total-count"
        f" --ignore-skip --gzip --etag"
        f" --account-sid {'A' * 32} --token abc --fault hang --retry-after soon"
    )
    changes: dict[str, object] = {
        "page_cap": 4,
        "latency": 0.05,
        "error_rate": 0.1,
        "rate_limit": 5.0,
        "churn": 2.5,
        "seed": 3,
    }
    changes |= {"properties": 3, "trunks": 9, "exact": True, "shape": "object", "total_count": False}
    changes |= {"ignore_skip": True, "gzip": True, "etag": True, "account_sid": "A" * 32, "token": "abc"}
    changes |= {"retry_after": "soon"}
    assert parse(*text.split()) == SimulateCommand("::1", 0, options(**changes), ((None, "hang"),))


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
        ("--churn", "inf", "a number from 0 to 1000"),
        ("--churn", "1000.1", "a number from 0 to 1000"),
        ("--churn", "1e12", "a number from 0 to 1000"),
        ("--seed", "x", "a whole number from 0"),
        ("--seed", "-1", "a whole number from 0"),
        *(("--fault", text, KINDS) for text in ("", "bang", "=500", f"{SID}=", f"{SID}=bang", f"500={SID}")),
        ("--fault", "S=500", f"no property 'S' in the world of these flags, but {SID}, "),
        ("--retry-after", "", "printable"),
        ("--retry-after", "1\r\nX: y", "printable"),
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
    assert capsys.readouterr().out.count("(default:") == 19


@asynccontextmanager
async def running(
    capsys: pytest.CaptureFixture[str], *arguments: str
) -> AsyncIterator[tuple[asyncio.Task[None], str, Message]]:
    """Run the command at a free port: its task, what it printed, and the fields of the configuration in that."""
    serving = asyncio.create_task(run(parse("--listen=127.0.0.1:0", *arguments)))
    printed = ""
    async with asyncio.timeout(30):
        while "discover" not in printed:
            await asyncio.sleep(0)
            printed += capsys.readouterr().out
    fields = Message()
    for line in printed.splitlines():
        name, _, value = line.strip(" -").partition(": ")
        fields[name] = value
    try:
        yield serving, printed, fields
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


@pytest.fixture
def unheard() -> Iterator[None]:
    """Let a signal that the command does not listen to pass, so that it does not end the tests' own process."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("token", [DEFAULT_TOKEN, "somebodys-own"])
async def test_the_command_prints_where_to_look_and_keeps_a_token_of_the_users_own_to_itself(
    token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with (
        running(capsys, f"--token={token}") as (_, printed, fields),
        httpx.AsyncClient(trust_env=False, auth=(fields["account_sid"], token)) as client,
    ):
        assert (await client.get(fields["base_url"] + "/v2/Properties")).json()["TotalCount"] == 5
    assert (token in printed) == (token == DEFAULT_TOKEN)


@pytest.mark.usefixtures("unheard")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_command_serves_until_either_signal(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(capsys) as (serving, _, fields), httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(fields["base_url"])).status_code == 401
        assert not serving.done()
        signal.raise_signal(number)
        async with asyncio.timeout(30):
            await serving
        with pytest.raises(httpx.ConnectError):
            await client.get(fields["base_url"])


def test_a_fault_is_for_one_property_or_for_every_one_and_may_be_given_several_times() -> None:
    given = parse("--fault", f"{SID}=500-html", "--fault=hang", f"--fault={SID}=half").faults
    assert given == ((SID, "500-html"), (None, "hang"), (SID, "half"))
    for kind in FAULTS:
        assert parse(f"--fault={kind}").faults == ((None, kind),)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([f"--fault={SID}=503"], [503, 200, 200, 200, 200]),
        (["--fault=429"], [429] * 5),
        (["--fault=429", f"--fault={SID}=503"], [503, 429, 429, 429, 429]),
        ([f"--fault={SID}=503", "--fault=429"], [503, 429, 429, 429, 429]),
        ([f"--fault={SID}=503", f"--fault={SID}=404"], [404, 200, 200, 200, 200]),
    ],
)
async def test_a_fault_strikes_its_property_and_one_without_a_sid_all_that_have_none_of_their_own(
    flags: list[str], expected: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    async with (
        running(capsys, "--retry-after=Thu, 01 Jan 2099 00:00:00 GMT", *flags) as (_, _, fields),
        httpx.AsyncClient(trust_env=False, auth=(fields["account_sid"], DEFAULT_TOKEN)) as client,
    ):
        url = fields["base_url"] + "/v2/Properties"
        projects = (await client.get(url)).json()["Projects"]
        answers = [await client.get(f"{url}/{project['PropertySid']}/SipTrunks") for project in projects]
    assert [answer.status_code for answer in answers] == expected
    hints = {answer.headers.get("Retry-After") for answer in answers if answer.status_code in (429, 503)}
    assert hints <= {"Thu, 01 Jan 2099 00:00:00 GMT"}
    assert bool(hints) == bool({429, 503} & set(expected))


def test_the_world_that_a_fault_is_checked_against_is_that_of_the_other_flags(
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = Carrier(CarrierOptions(seed=7, properties=9), 0).property_sids[8]
    assert parse("--seed=7", "--properties=9", f"--fault={other}=401").faults == ((other, "401"),)
    with pytest.raises(SystemExit) as ended:
        parse("--properties=0", f"--fault={SID}=401")
    assert ended.value.code == 2
    assert "in the world of these flags, but none" in capsys.readouterr().err
