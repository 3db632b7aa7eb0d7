"""The `simulate` command: its flags, what they mean, and serving until a signal comes."""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exporter.simulator.carrier import Carrier, CarrierOptions
from exporter.simulator.faults import FAULTS, Fault
from exporter.simulator.server import DEFAULT_TOKEN, Simulator, SimulatorOptions, is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEFAULT_LISTEN: Final = "127.0.0.1:15061"
TOKEN_VARIABLE: Final = "SIPTRUNK_SIMULATOR_TOKEN"  # noqa: S105 - the variable's name
LARGEST_PORT: Final = 65_535
LARGEST_CHURN: Final = 1000
_DEFAULT: Final = " (default: %(default)s)"
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m)")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}
_ACCOUNT_SID: Final = re.compile(r"A[A-Z0-9]{31}")


@dataclass(frozen=True)
class SimulateCommand:
    """The command as given: the loopback address to listen on (port 0: any free one), the options, and the faults.

    A fault goes with its property's Sid, or with None for every property that has none of its own; of several for
    the same, the last counts. The property list is struck by none.
    """

    host: str
    port: int
    options: SimulatorOptions
    faults: tuple[tuple[str | None, Fault], ...] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags; a bad value ends the program with status 2 and says what was expected."""
    _add_world(parser)
    _add_answers(parser)
    _add_troubles(parser)
    # What a single value cannot tell, that a property does not exist, is refused the same way.
    parser.set_defaults(refuse=parser.error)


def from_arguments(namespace: argparse.Namespace) -> SimulateCommand:
    """Turn what a parser with these flags parsed into the command.

    A fault of a property that does not exist ends the program as a bad value does.
    """
    host, port = namespace.listen
    options = SimulatorOptions(
        account_sid=namespace.account_sid,
        token=namespace.token,
        properties=namespace.properties,
        trunks=namespace.trunks,
        exact=namespace.exact,
        seed=namespace.seed,
        shape=namespace.shape,
        total_count=not namespace.no_total_count,
        page_cap=namespace.page_cap,
        latency=namespace.latency,
        error_rate=namespace.error_rate,
        rate_limit=namespace.rate_limit,
        churn=namespace.churn,
        ignore_skip=namespace.ignore_skip,
        gzip=namespace.gzip,
        etag=namespace.etag,
        retry_after=namespace.retry_after,
    )
    faults = tuple(namespace.fault)
    if named := [sid for sid, _ in faults if sid is not None]:
        # Its Sids come from the seed alone, so the world of any time tells them.
        carrier = Carrier(options, 0)
        for sid in named:
            if not carrier.has_property(sid):
                some = ", ".join(carrier.property_sids[:5]) or "none"
                namespace.refuse(f"argument --fault: no property {sid!r} in the world of these flags, but {some}")
    return SimulateCommand(host, port, options, faults)


async def run(command: SimulateCommand) -> None:
    """Serve until SIGTERM or SIGINT; prints where, and a configuration to try it with.

    Raises OSError where the port cannot be had.
    """
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    simulator = Simulator(command.options)
    strike(simulator, command.faults)
    await simulator.start(command.host, command.port)
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        sys.stdout.write(greeting(simulator))
        sys.stdout.flush()
        await ended.wait()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        await simulator.stop()


def strike(simulator: Simulator, faults: Sequence[tuple[str | None, Fault]]) -> None:
    """Put the command's faults into force; raises as `Simulator.fail` does."""
    everywhere = [fault for sid, fault in faults if sid is None]
    for property_sid in simulator.carrier.property_sids if everywhere else ():
        simulator.fail(property_sid, everywhere[-1])
    for sid, fault in faults:
        if sid is not None:
            simulator.fail(sid, fault)


def greeting(simulator: Simulator) -> str:
    """Tell where a started simulator is to be found, with an exporter.yaml for it.

    Only the simulator's own made-up token is printed; one given by the user is named by a variable instead.
    """
    options, own = simulator.options, simulator.options.token == DEFAULT_TOKEN
    secret = f"token: {DEFAULT_TOKEN}" if own else f"token_env: {TOKEN_VARIABLE}   # the value of --token"
    look = f"curl -u {options.account_sid}:{DEFAULT_TOKEN if own else f'${TOKEN_VARIABLE}'}"
    return f"""\
Simulating the carrier's API on {simulator.base_url} for AccountSid {options.account_sid}.
Look at it:  {look} {simulator.base_url}/v2/Properties
An exporter.yaml for it:

api:
  base_url: {simulator.base_url}
accounts:
  - account_sid: {options.account_sid}
    {secret}
    discover: {{include: ".*"}}

"""


def _add_world(parser: argparse.ArgumentParser) -> None:
    group, world = parser.add_argument_group("what there is"), CarrierOptions
    whole = _number(int, 0, None, "a whole number from 0")
    group.add_argument(
        "--properties", metavar="N", type=whole, default=world.properties, help="properties of the account" + _DEFAULT
    )
    group.add_argument(
        "--trunks",
        metavar="N",
        type=whole,
        default=world.trunks,
        help="trunks of a property; each draws between a half and one and a half times as many" + _DEFAULT,
    )
    group.add_argument("--exact", action="store_true", help="exactly --trunks trunks in each property" + _DEFAULT)
    group.add_argument(
        "--seed",
        metavar="N",
        type=whole,
        default=world.seed,
        help="a whole number from 0; one seed is one world" + _DEFAULT,
    )
    changes = _number(float, 0, LARGEST_CHURN, f"a number from 0 to {LARGEST_CHURN}")
    group.add_argument(
        "--churn",
        metavar="N",
        type=changes,
        default=0.0,
        help=f"changes to trunks, a second, at most {LARGEST_CHURN}" + _DEFAULT,
    )


def _add_answers(parser: argparse.ArgumentParser) -> None:
    group, options = parser.add_argument_group("how it answers"), SimulatorOptions
    group.add_argument(
        "--listen",
        metavar="IP:PORT",
        type=_address,
        default=DEFAULT_LISTEN,
        help="loopback address; port 0 takes a free one" + _DEFAULT,
    )
    group.add_argument(
        "--account-sid", metavar="SID", type=_account_sid, default=options.account_sid, help="the user name" + _DEFAULT
    )
    group.add_argument("--token", type=_token, default=DEFAULT_TOKEN, help="the password" + _DEFAULT)
    group.add_argument(
        "--shape",
        choices=("array", "object"),
        default=options.shape,
        help="a trunk list is a bare array, or an object with SipTrunks" + _DEFAULT,
    )
    group.add_argument(
        "--no-total-count",
        action="store_true",
        help="leave TotalCount and NextPageToken out of the object shape" + _DEFAULT,
    )
    group.add_argument("--gzip", action="store_true", help="compress where the client accepts it" + _DEFAULT)
    group.add_argument("--etag", action="store_true", help="send ETag, and 304 to If-None-Match" + _DEFAULT)


def _add_troubles(parser: argparse.ArgumentParser) -> None:
    group, rate = parser.add_argument_group("what goes wrong"), _number(float, 0, None, "a number from 0")
    cap, share = _number(int, 1, None, "a whole number from 1"), _number(float, 0, 1, "a number from 0 to 1")
    group.add_argument(
        "--page-cap", metavar="N", type=cap, help="most objects of a page, whatever was asked for (default: none)"
    )
    group.add_argument(
        "--latency",
        metavar="DURATION",
        type=_duration,
        default="0s",
        help="time before each answer, such as 50ms or 1.5s" + _DEFAULT,
    )
    group.add_argument(
        "--error-rate",
        metavar="SHARE",
        type=share,
        default=0.0,
        help="share of requests answered with a 500, 502 or 503" + _DEFAULT,
    )
    group.add_argument(
        "--rate-limit",
        metavar="N",
        type=rate,
        default=0.0,
        help="requests a second beyond which it answers 429; 0 is no limit" + _DEFAULT,
    )
    group.add_argument("--ignore-skip", action="store_true", help="ignore Results_Skip" + _DEFAULT)
    group.add_argument(
        "--fault",
        metavar="SID=KIND",
        type=_fault,
        action="append",
        default=[],
        help="answer everything about the property SID with a fault; KIND alone strikes every property that has no"
        f" fault of its own; may be given several times. KIND is one of {', '.join(FAULTS)} (default: none)",
    )
    group.add_argument(
        "--retry-after",
        metavar="TEXT",
        type=_header,
        default=SimulatorOptions.retry_after,
        help="Retry-After of the 429 and 503 of --fault and --error-rate: seconds, an HTTP date, or nonsense"
        + _DEFAULT,
    )


def _number(kind: type[int | float], least: float, most: float | None, expected: str) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            number = float("nan")
        # Written so that NaN, which compares to nothing, is refused; infinity is no use either.
        if not least <= number <= (1e12 if most is None else most):
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
        return number

    return read


def _duration(text: str) -> float:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"expected a duration such as 50ms, 1.5s or 0.05s, got {text!r}")
    return float(found[1]) * _UNITS[found[2]]


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not is_loopback(host) or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > LARGEST_PORT:
        raise argparse.ArgumentTypeError(
            f"expected a loopback IP address and a port, such as {DEFAULT_LISTEN} or [::1]:0, got {text!r}"
        )
    return host, int(port)


def _fault(text: str) -> tuple[str | None, Fault]:
    sid, equals, name = text.rpartition("=")
    kind = next((fault for fault in FAULTS if fault == name), None)
    if kind is None or (equals and not sid):
        raise argparse.ArgumentTypeError(f"expected KIND or SID=KIND, KIND one of {', '.join(FAULTS)}, got {text!r}")
    return sid or None, kind


def _header(text: str) -> str:
    if not (text.isascii() and text.isprintable() and text.strip()):
        raise argparse.ArgumentTypeError(f"expected printable ASCII characters, got {text!r}")
    return text


def _account_sid(text: str) -> str:
    if not _ACCOUNT_SID.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expected A and 31 upper-case letters or digits, got {text!r}")
    return text


def _token(text: str) -> str:
    if not (text.isascii() and text.isprintable() and text):
        # The value is not repeated: it may be somebody's true token.
        raise argparse.ArgumentTypeError("expected printable ASCII characters, at least one")
    return text
