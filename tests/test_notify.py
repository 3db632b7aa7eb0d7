"""What a service manager hears, at a real socket: from the class, and from the command as a process."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from exporter import notify
from exporter.notify import Notifier
from exporter.polling.schedule import failed
from exporter.simulator import Simulator, SimulatorOptions
from tests.running import asking, command, write
from tests.service_manager import Manager, managing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

STATUS = "STATUS=all is well"


@pytest.fixture(params=["file", "abstract"])
async def manager(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Manager]:
    with managing(tmp_path / "notify" if request.param == "file" else f"@siptrunk-exporter-test-{os.getpid()}") as it:
        yield it


def notifier_of(manager: Manager, **environment: str) -> Notifier:
    return Notifier({"NOTIFY_SOCKET": manager.address, **environment}, lambda: "all is well")


async def test_it_tells_of_the_start_a_reload_and_the_stop(manager: Manager) -> None:
    notifier = notifier_of(manager)
    async with notifier.serving():
        assert manager.heard() == ["READY=1", STATUS]
        before = time.monotonic_ns() // 1000
        async with notifier.reloading():
            reloading, clock, status = manager.heard()
        assert (reloading, status) == ("RELOADING=1", STATUS)
        assert before <= int(clock.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
        assert manager.heard() == ["READY=1", STATUS]
    assert manager.heard() == ["STOPPING=1", "STATUS="]


async def test_a_reload_that_fails_is_over_too(manager: Manager) -> None:
    notifier = notifier_of(manager)
    async with notifier.serving():
        manager.heard()
        with pytest.raises(OSError, match="bad"):
            async with notifier.reloading():
                raise OSError("bad")
        assert manager.heard()[0] == "RELOADING=1"
        assert manager.heard()[0] == "READY=1"


async def test_a_reload_before_the_start_or_after_the_stop_says_nothing_of_being_ready(manager: Manager) -> None:
    notifier = notifier_of(manager)
    async with notifier.reloading():
        pass
    async with notifier.serving():
        manager.heard()
        late = notifier.reloading()
        await late.__aenter__()
        manager.heard()
    manager.heard()
    await late.__aexit__(None, None, None)
    with pytest.raises(BlockingIOError):
        manager.heard()


@pytest.mark.parametrize("whose", [{}, {"WATCHDOG_PID": str(os.getpid())}])
async def test_it_pings_the_watchdog_as_long_as_the_event_loop_goes_round(
    manager: Manager, whose: dict[str, str]
) -> None:
    async with notifier_of(manager, WATCHDOG_USEC="20000", **whose).serving():
        manager.heard()
        began = time.monotonic()
        for _ in range(3):
            assert await manager.hears() == ["WATCHDOG=1", STATUS]
        assert time.monotonic() - began >= 3 * 0.010
        with suppress(BlockingIOError):
            while manager.heard():
                pass
        # The loop is held up by listening, for many times as long as it takes until a ping is due.
        manager.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            manager.heard()
        manager.socket.settimeout(0)
        assert await manager.hears() == ["WATCHDOG=1", STATUS]
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_USEC": "20000", "WATCHDOG_PID": str(os.getppid())},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
    ],
)
async def test_without_a_watchdog_of_its_own_it_tells_the_status_alone(
    manager: Manager, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "STATUS_EVERY", 0.01)
    async with notifier_of(manager, **environment).serving():
        manager.heard()
        assert await manager.hears() == [STATUS]


async def test_a_patient_watchdog_hears_the_status_as_often_as_nobody_else(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "STATUS_EVERY", 0.01)
    async with notifier_of(manager, WATCHDOG_USEC="3600000000").serving():
        manager.heard()
        assert await manager.hears() == ["WATCHDOG=1", STATUS]


async def test_a_manager_that_cannot_be_reached_is_complained_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for address in (f"{tmp_path}/nobody", "@nobody-listens-here", "/" + "long" * 100):
        caplog.clear()
        notifier = Notifier({"NOTIFY_SOCKET": address}, str)
        async with notifier.serving(), notifier.reloading():
            pass
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert "the service manager cannot be told" in caplog.text


async def test_a_manager_that_does_not_listen_holds_nobody_up(
    manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    notifier = notifier_of(manager)
    async with notifier.serving():
        while not caplog.records:
            async with notifier.reloading():
                pass
    assert "temporarily unavailable" in caplog.text


async def test_a_manager_that_missed_that_a_reload_is_over_hears_it_later(
    manager: Manager, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "STATUS_EVERY", 0.01)
    notifier = notifier_of(manager)
    async with notifier.serving():
        for times in (1, 2):
            while len(caplog.records) < times:
                async with notifier.reloading():
                    pass
            with suppress(BlockingIOError):
                while manager.heard():
                    pass
            assert await manager.hears() == ["READY=1", STATUS]
            assert await manager.hears() == [STATUS]
    assert len(caplog.records) == 2


async def test_a_status_that_cannot_be_had_is_cried_out(
    manager: Manager, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "STATUS_EVERY", 0.01)
    cried = asyncio.Event()

    def cry(task: asyncio.Task[None]) -> None:
        failed(task)
        cried.set()

    monkeypatch.setattr(notify, "failed", cry)
    async with Notifier({"NOTIFY_SOCKET": manager.address}, ["all is well"].pop).serving(), asyncio.timeout(30):
        await cried.wait()
    assert [record.levelno for record in caplog.records] == [logging.CRITICAL]


async def test_without_a_manager_nothing_is_asked_or_told() -> None:
    def status() -> str:
        raise AssertionError("somebody asked")

    notifier = Notifier({"WATCHDOG_USEC": "1"}, status)
    async with notifier.serving(), notifier.reloading():
        for _ in range(3):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_command_tells_its_service_manager_of_its_whole_life(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=2, trunks=3)) as simulator:
        simulator.fail(simulator.carrier.property_sids[0], "404")
        path = write(tmp_path, simulator)
        words = (f"--config.file={path}", "--web.listen-address=127.0.0.1:0")
        with managing(tmp_path / "notify") as manager:
            async with command(*words, NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="100000") as exporter:
                assert (await manager.hears())[0] == "READY=1"
                address = (await exporter.logged("listening"))["addresses"]
                async with asking(address) as http:
                    assert (await http.get("/config")).status_code == 200
                assert (await manager.hears_of("STATUS=1 of 2 properties up"))[0] == "WATCHDOG=1"
                exporter.process.send_signal(signal.SIGHUP)
                assert (await manager.hears_of("RELOADING=1"))[1].startswith("MONOTONIC_USEC=")
                await manager.hears_of("READY=1")
                path.write_text("nonsense: 1")
                exporter.process.send_signal(signal.SIGHUP)
                await manager.hears_of("RELOADING=1")
                await manager.hears_of("READY=1")
                stopping = asyncio.create_task(exporter.stop())
                await manager.hears_of("STOPPING=1")
                assert await stopping == 0
