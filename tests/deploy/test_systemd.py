"""The systemd unit: judged by systemd's own tools, and its command lines run as they stand."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exporter.cli import DEFAULT_PORT
from exporter.daemon import SHUTDOWN_SECONDS
from exporter.simulator import Simulator, SimulatorOptions
from tests.programs import program
from tests.running import command, finished, write
from tests.service_manager import managing

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parents[2] / "deploy" / "systemd"
UNIT = HERE / "siptrunk-exporter.service"
SOCKET = HERE / "siptrunk-exporter.socket"
EXPORTER = "/opt/siptrunk-exporter/bin/siptrunk-exporter"
CONFIG = "/etc/siptrunk-exporter/exporter.yaml"


def settings(name: str) -> list[str]:
    """The values of a setting of the unit, in the order in which they stand."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def analyze(*arguments: str | Path) -> tuple[int, str]:
    """The exit status of systemd-analyze, and all that it says."""
    words = [program("systemd-analyze"), "--no-pager", *arguments]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit with a program that is there."""
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace(EXPORTER, sys.executable))
    return path


def test_systemd_finds_nothing_to_say_about_the_unit(installed: Path) -> None:
    assert analyze("verify", installed) == (0, "")


def test_systemd_finds_nothing_to_say_about_the_socket_which_listens_where_the_exporter_would(installed: Path) -> None:
    path = installed.with_suffix(".socket")
    path.write_text(SOCKET.read_text())
    assert analyze("verify", path) == (0, "")
    assert re.findall(r"^ListenStream=(.*)$", path.read_text(), re.MULTILINE) == [str(DEFAULT_PORT)]


def test_systemd_would_say_what_is_wrong(installed: Path) -> None:
    installed.write_text(installed.read_text().replace("ProtectClock=yes", "ProtectClok=yes"))
    assert "ProtectClok" in analyze("verify", installed)[1]


def test_the_unit_is_hardened_as_far_as_a_service_that_talks_to_the_network_can_be() -> None:
    status, said = analyze("security", "--offline=true", "--threshold=11", UNIT)
    assert (status, re.findall(r"exposure level for \S+ [\d.]+ (\w+)", said)) == (0, ["OK"]), said


def test_nothing_that_the_unit_is_hardened_by_is_lost() -> None:
    plain = (
        *(
            "DynamicUser",
            "LockPersonality",
            "MemoryDenyWriteExecute",
            "PrivateDevices",
            "PrivateMounts",
            "PrivateUsers",
        ),
        *("ProtectClock", "ProtectControlGroups", "ProtectHome", "ProtectHostname", "ProtectKernelLogs"),
        *("ProtectKernelModules", "ProtectKernelTunables", "RestrictNamespaces", "RestrictRealtime"),
    )
    others = {
        "CapabilityBoundingSet=",
        "KeyringMode=private",
        "LimitCORE=0",
        "MemoryMax=1G",
        "ProtectProc=invisible",
        "ProtectSystem=strict",
        "StateDirectoryMode=0700",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
        "SystemCallArchitectures=native",
        "SystemCallFilter=@system-service",
        "SystemCallFilter=~@privileged @resources",
        "TasksMax=128",
        "UMask=0077",
    }
    assert others | {f"{name}=yes" for name in plain} <= set(UNIT.read_text().splitlines())


def test_systemd_waits_for_the_start_and_the_stop_watches_the_loop_and_brings_the_exporter_back_for_ever() -> None:
    lines = "Type=notify NotifyAccess=main Restart=on-failure RestartSec=10s StartLimitIntervalSec=0 WatchdogSec=30s"
    assert {*lines.split(), "Environment=PYTHONFAULTHANDLER=1"} <= set(UNIT.read_text().splitlines())
    (stop,) = settings("TimeoutStopSec")
    assert int(stop.removesuffix("s")) >= 2 * SHUTDOWN_SECONDS


async def test_the_units_command_line_is_a_daemon_that_tells_when_it_is_ready_and_reloads(tmp_path: Path) -> None:
    (start,) = settings("ExecStart")
    (reload,) = settings("ExecReload")
    name, *words = shlex.split(start)
    assert name == EXPORTER
    async with Simulator(SimulatorOptions(properties=2, trunks=3)) as simulator:
        path = write(tmp_path, simulator)
        words = [word.replace(CONFIG, str(path)) for word in words]
        assert f"--config.file={path}" in words
        with managing(tmp_path / "notify") as manager:
            here = "--web.listen-address=127.0.0.1:0"
            async with command(*words, here, NOTIFY_SOCKET=manager.address) as exporter:
                assert (await manager.hears())[0] == "READY=1"
                pid = {"MAINPID": str(exporter.process.pid)}
                subprocess.run(["/bin/sh", "-c", reload], env=pid, check=True)  # noqa: ASYNC221 - done at once
                await exporter.logged("configuration reloaded")
                assert [(await manager.hears())[0] for _ in range(2)] == ["RELOADING=1", "READY=1"]
                assert await exporter.stop() == 0


async def test_wrong_usage_is_what_is_not_tried_again() -> None:
    (status,) = settings("RestartPreventExitStatus")
    assert (await finished("--nonsense"))[0] == int(status)


def credentials() -> Iterator[str]:
    """Where the unit's credentials lie for the service."""
    for each in settings("LoadCredential"):
        yield f"/run/credentials/{UNIT.name}/{each.partition(':')[0]}"


async def test_the_example_reads_the_units_credential_and_is_good(tmp_path: Path) -> None:
    (token,) = credentials()
    example = (HERE / "exporter.yaml").read_text()
    assert f"token_file: {token}\n" in example
    (tmp_path / "token").write_text("secret")
    path = tmp_path / "exporter.yaml"
    (folder,) = settings("StateDirectory")
    state = f"/var/lib/{folder}/"
    assert f"  path: {state}state.db\n" in example
    path.write_text(example.replace(token, "token").replace(state, ""))
    done = await finished("check", f"--config.file={path}")
    assert done == (0, f"{path}: good, 1 accounts, 0 properties configured, 1 accounts discovering\n", "")


def test_the_readme_installs_to_where_the_unit_looks() -> None:
    readme = (HERE / "README.md").read_text()
    (token,) = settings("LoadCredential")
    for path in (Path(EXPORTER).parents[1], CONFIG, token.partition(":")[2]):
        assert str(path) in readme
