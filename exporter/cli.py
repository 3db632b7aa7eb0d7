"""The command line: subcommands and flags, and the exit status (0 done, 1 fault, 2 wrong usage)."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import re
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter import __version__, log, oneshot, shard
from exporter.config import load
from exporter.daemon import Address, Daemon, Serving
from exporter.errors import ConfigError
from exporter.web.app import PROPERTIES, RESERVED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

DEFAULT_PORT = 15060
HIGHEST_PORT = 65535
INTERRUPTED = 130
"""What a shell gives for a command that Ctrl-C ended."""


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or int(port) > HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"expected [HOST]:PORT like :{DEFAULT_PORT} or 127.0.0.1:9100, not {text!r}")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))


def _path(text: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text):
        raise argparse.ArgumentTypeError(f"expected a path like /metrics, not {text!r}")
    if text in RESERVED or text.startswith(PROPERTIES):
        raise argparse.ArgumentTypeError(f"{text} is another endpoint: choose a path like /metrics")
    return text


def _shard(text: str) -> shard.Shard:
    try:
        # The pod's own host name may be cut short, or its machine's.
        return shard.parse(text, os.environ.get("POD_NAME") or socket.gethostname())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag as the table in the README shows it; `options` are what argparse needs beside."""

    name: str
    help: str
    default: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dest(self) -> str:
        """The name of its value in the parsed options."""
        return str(self.options.get("dest", self.name.removeprefix("--")))

    def add_to(self, parser: argparse.ArgumentParser, *, subcommand: bool) -> None:
        """Add the flag; after a subcommand it has no default, to leave alone what was given before."""
        options = dict(self.options)
        default = argparse.SUPPRESS if subcommand else self.default
        if options.get("action") == "append":
            # argparse would add to a default, and after a subcommand begin a list of its own.
            default = argparse.SUPPRESS if subcommand else None
            options["dest"] += "_after" if subcommand else ""
        shown = f" (default: {self.default})" if self.default else ""
        parser.add_argument(self.name, default=default, help=self.help + shown, **options)


CONFIG_FLAGS = (
    Flag("--config.file", "the configuration", "exporter.yaml", {"metavar": "FILE", "dest": "config"}),
    Flag(
        "--shard",
        "share of the properties to poll: I/N, I from 0 to N-1, or auto/N, I being the ordinal of a StatefulSet's pod",
        "0/1",
        {"metavar": "I/N", "type": _shard},
    ),
)
WEB_CONFIG_FLAG = Flag(
    "--web.config.file",
    "TLS, client certificates, basic authentication, headers and rate limit, in the exporter toolkit's format",
    None,
    {"metavar": "FILE", "dest": "web_config", "type": lambda text: Path(text) if text else None},
)
WEB_FLAGS = (
    Flag(
        "--web.listen-address",
        "address to listen on; may be given several times",
        f":{DEFAULT_PORT}",
        {"metavar": "ADDRESS", "dest": "addresses", "action": "append", "type": _address},
    ),
    Flag("--web.telemetry-path", "path of the metrics", "/metrics", {"metavar": "PATH", "dest": "path", "type": _path}),
    Flag(
        "--web.enable-lifecycle",
        "let POST /-/reload reload the configuration",
        None,
        {"dest": "lifecycle", "action": "store_true"},
    ),
    WEB_CONFIG_FLAG,
    Flag(
        "--web.systemd-socket",
        "listen at the sockets that systemd passes instead of addresses",
        None,
        {"dest": "systemd_socket", "action": "store_true"},
    ),
)
LOG_FLAGS = (
    Flag(
        "--log.level",
        "least level logged: debug, info, warn or error",
        "info",
        {"dest": "log_level", "choices": ("debug", "info", "warn", "error"), "metavar": "LEVEL"},
    ),
    Flag(
        "--log.format",
        "logfmt or json",
        "logfmt",
        {"dest": "log_format", "choices": ("logfmt", "json"), "metavar": "FORMAT"},
    ),
)
VERSION_FLAG = Flag(
    "--version",
    "print the version and end",
    None,
    {"action": "version", "version": f"siptrunk-exporter {__version__} (Python {platform.python_version()})"},
)
FLAGS = (*CONFIG_FLAGS, *WEB_FLAGS, *LOG_FLAGS, VERSION_FLAG)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (default: those of the process) ask for; give the exit status."""
    top = parser()
    options = top.parse_args(arguments)
    _refuse_what_is_ignored(top, options)
    log.configure(options.log_level, options.log_format)
    try:
        return int(options.run(options))
    except ConfigError as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(f"siptrunk-exporter: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 1


def _refuse_what_is_ignored(top: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End where a flag stands before a command that does nothing with it."""
    given, defaults = vars(options), vars(top.parse_args([]))
    for flag in FLAGS:
        if flag not in options.takes and given.get(flag.dest) != defaults.get(flag.dest):
            top.error(f"{options.command} does not take {flag.name}")


class _Command(argparse.ArgumentParser):
    """A subcommand's parser, which may take in arguments only when the subcommand is used: see `complete`."""

    complete: Callable[[argparse.ArgumentParser], None] = staticmethod(lambda _parser: None)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401 - as argparse has it
        self.complete(self)
        return super().parse_known_args(args, namespace)


def parser() -> argparse.ArgumentParser:
    """Make the parser; flags may stand before or after the subcommand."""
    top = argparse.ArgumentParser(
        prog="siptrunk-exporter",
        description="Prometheus exporter for SIP trunks: channel limits, activity, provisioning.",
        allow_abbrev=False,
    )
    top.set_defaults(run=_serve, takes=FLAGS)
    for flag in FLAGS:
        flag.add_to(top, subcommand=False)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=_Command)

    def add(name: str, run: Callable[..., int], text: str, flags: Sequence[Flag]) -> _Command:
        command = commands.add_parser(name, help=text, description=text.capitalize() + ".", allow_abbrev=False)
        takes = (*flags, *LOG_FLAGS)
        command.set_defaults(run=run, takes=takes)
        for flag in takes:
            flag.add_to(command, subcommand=True)
        return command

    add("serve", _serve, "poll and serve until SIGTERM; the default", CONFIG_FLAGS + WEB_FLAGS)
    check = add("check", _check, "validate the configuration and print every fault", (*CONFIG_FLAGS, WEB_CONFIG_FLAG))
    check.add_argument("--live", action="store_true", help="also ask the API once for each account and property")
    once = add("once", _once, "poll once and print the exposition", CONFIG_FLAGS)
    expect = add("expect", _expect, "print what is there now as the expected part of a configuration", CONFIG_FLAGS)
    for command in (once, expect):
        command.add_argument("--property", metavar="SID", help="poll this property alone")
    add("demo", _demo, "serve a simulated carrier's trunks, to see it work", WEB_FLAGS)
    add("simulate", _simulate, "be a stand-in for the carrier's API", ()).complete = _add_simulators
    return top


def _serving(options: argparse.Namespace, host: str = "") -> Serving:
    addresses = *(options.addresses or ()), *getattr(options, "addresses_after", ())
    return Serving(
        addresses or (Address(host, DEFAULT_PORT),),
        options.path,
        lifecycle=bool(options.lifecycle),
        config=options.web_config,
        systemd_socket=bool(options.systemd_socket),
    )


def _serve(options: argparse.Namespace) -> int:
    async def serve() -> None:
        stop = asyncio.Event()
        daemon = Daemon(partial(load, Path(options.config)), shard=options.shard)
        daemon.on_signals(stop)
        await daemon.run(_serving(options), stop)

    log.take_strays()
    runner = asyncio.Runner()
    try:
        runner.run(serve())
    finally:
        # Where memory is used up, no thread can be begun that waits for the others; the interpreter waits for them too.
        with suppress(RuntimeError):
            runner.close()
    return 0


def _check(options: argparse.Namespace) -> int:
    return asyncio.run(oneshot.check(Path(options.config), options.shard, options.web_config, live=options.live))


def _once(options: argparse.Namespace) -> int:
    return asyncio.run(oneshot.once(Path(options.config), options.shard, options.property))


def _expect(options: argparse.Namespace) -> int:
    return asyncio.run(oneshot.expect(Path(options.config), options.shard, options.property))


# The daemon does without the simulator, whose loading takes time and memory.


def _demo(options: argparse.Namespace) -> int:
    from exporter import demo  # noqa: PLC0415 - see above

    # A made-up carrier is nobody else's business.
    asyncio.run(demo.run(_serving(options, host="127.0.0.1")))
    return 0


def _simulate(options: argparse.Namespace) -> int:
    from exporter import simulator  # noqa: PLC0415 - see above

    asyncio.run(simulator.run(simulator.from_arguments(options)))
    return 0


def _add_simulators(command: argparse.ArgumentParser) -> None:
    from exporter import simulator  # noqa: PLC0415 - see above

    simulator.add_arguments(command)
