"""Memory over restarts of the daemon itself: processes that are killed, reloads, and commands that leave it alone."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from exporter.simulator import Simulator, SimulatorOptions
from tests.carrier_truth import labels
from tests.history.state_builders import opened
from tests.running import asking, command, configuration, finished, parse, running, write

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Running, Samples

HERE = "--web.listen-address=127.0.0.1:0"
TRUNKS = 7


def configured(folder: Path, simulator: Simulator, name: str = "state.db") -> Path:
    sections = {"poll": "interval: 1s, stale_after: 1h", "state": f"path: {name}"}
    return write(folder, simulator, configuration(simulator, **sections))


async def samples(address: str) -> Samples:
    async with asking(address) as http:
        return parse((await http.get("/metrics")).text)


async def shown(address: str, trunks: int) -> Samples:
    """Wait until so many trunks are served: they are shown by and by."""
    found = await samples(address)
    async with asyncio.timeout(30):
        while len(found.get("siptrunk_info", ())) < trunks:
            found = await samples(address)
    return found


def read(path: Path) -> bytes:
    return path.read_bytes()


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def remembered(path: Path, folder: Path) -> int:
    """How many lists a file holds that may be in use, seen as if its user had just been killed."""
    folder.mkdir()
    try:
        for each in path.parent.glob(f"{path.name}*"):
            shutil.copy(each, folder)
        with opened(folder / path.name) as (_, contents):
            return len(contents.lists)
    finally:
        shutil.rmtree(folder)


async def test_killed_at_random_moments_it_serves_what_it_had_with_the_api_down(tmp_path: Path) -> None:
    chance = random.Random(2)  # noqa: S311 - reproducible
    state = tmp_path / "state.db"
    async with Simulator(SimulatorOptions(properties=3, trunks=TRUNKS, exact=True)) as simulator:
        path = configured(tmp_path, simulator)
        sids = simulator.carrier.property_sids
        async with asyncio.timeout(60):
            while not state.exists() or remembered(state, tmp_path / "copy") < 1 + len(sids):
                async with command(f"--config.file={path}", HERE) as exporter:
                    await exporter.logged("listening")
                    await asyncio.sleep(chance.uniform(0, 5))
                    exporter.process.kill()
                    await exporter.process.communicate()
    async with command(f"--config.file={path}", HERE) as exporter:
        address = (await exporter.logged("listening"))["addresses"]
        found = await shown(address, 3 * TRUNKS)
        for sid in sids:
            assert found["siptrunk_property_stale"][labels(property_sid=sid)] == 1
        assert found["siptrunk_exporter_state_up"][labels()] == 1
        assert await exporter.stop() == 0
        # That it is opened late, as where the machine halts, is no loss.
        said = [line["msg"] for line in exporter.log if "state file" in line["msg"]]
        assert [line for line in said if " is not open after " not in line and " was opened late" not in line] == []
    assert names(tmp_path) == ["exporter.yaml", "state.db", "token"]
    content = read(state)
    assert sids[0].encode() in content
    assert simulator.options.token.encode() not in content


async def state_up(exporter: Running) -> None:
    """Wait until the daemon says that the state file is as it should be."""
    async with asyncio.timeout(60):
        while (await exporter.samples())["siptrunk_exporter_state_up"] != {labels(): 1}:
            pass


async def test_a_reload_takes_another_file_and_leaves_the_old_one_and_then_none(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=2, trunks=TRUNKS, exact=True)) as simulator:
        path = configured(tmp_path, simulator, "one.db")
        async with running(path) as exporter:
            await exporter.ready()
            configured(tmp_path, simulator, "two.db")
            assert (await exporter.http.post("/-/reload")).status_code == 200
            with opened(tmp_path / "one.db") as (_, contents):
                assert len(contents.lists) == 3
            await state_up(exporter)
            write(tmp_path, simulator)
            assert (await exporter.http.post("/-/reload")).status_code == 200
            with opened(tmp_path / "two.db") as (_, contents):
                assert len(contents.lists) == 3
            assert "siptrunk_exporter_state_up" not in await exporter.samples()
            configured(tmp_path, simulator, "two.db")
            assert (await exporter.http.post("/-/reload")).status_code == 200
            await state_up(exporter)


async def test_once_and_check_leave_the_file_alone_and_check_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=1)) as simulator:
        path = configured(tmp_path, simulator)
        for words in (("once",), ("check",), ("check", "--live")):
            status, output, _ = await finished(*words, f"--config.file={path}")
            assert status == 0
            assert "warning" not in output
        assert not (tmp_path / "state.db").exists()
        (tmp_path / "state.db").write_text("mine")
        status, output, _ = await finished("check", f"--config.file={path}")
        assert status == 0
        assert f"{path}: warning: state.path: {tmp_path / 'state.db'} is no state file: name another\n" in output
        path = configured(tmp_path, simulator, "no/such/state.db")
        _, output, _ = await finished("check", f"--config.file={path}")
        assert "cannot be made: its directory does not exist, make it" in output
        assert (tmp_path / "state.db").read_text() == "mine"


IN_USE = "is in use by another process: give each exporter a file of its own"


async def test_of_two_daemons_with_one_file_both_serve_and_the_second_is_told(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(properties=1, trunks=TRUNKS, exact=True)) as simulator:
        path = configured(tmp_path, simulator)
        async with command(f"--config.file={path}", HERE) as first:
            addresses = [(await first.logged("listening"))["addresses"]]
            async with command(f"--config.file={path}", HERE) as second:
                addresses.append((await second.logged("listening"))["addresses"])
                # Where the machine halts, it is told first that the file is not open after a while.
                while not any(IN_USE in line["msg"] for line in second.log):
                    await second.logged("the state file")
                for address, kept in zip(addresses, (1, 0), strict=True):
                    found = await shown(address, TRUNKS)
                    assert found["siptrunk_exporter_state_up"] == {labels(): kept}


async def test_a_disk_that_hangs_does_not_keep_the_process_from_its_end(tmp_path: Path) -> None:
    # Python runs it before all else; whatever measures coverage has files of its own to open.
    (tmp_path / "sitecustomize.py").write_text(
        "import sqlite3, threading\n"
        "connect = sqlite3.connect\n"
        "def hang(*args, **more):\n"
        "    if threading.current_thread().name == 'state':\n"
        "        threading.Event().wait()\n"
        "    return connect(*args, **more)\n"
        "sqlite3.connect = hang\n"
    )
    async with Simulator(SimulatorOptions(properties=1, trunks=1)) as simulator:
        path = configured(tmp_path, simulator)
        async with command(f"--config.file={path}", HERE, PYTHONPATH=str(tmp_path)) as exporter:
            assert "is not open after 2 s" in (await exporter.logged("the state file"))["msg"]
            async with asyncio.timeout(60):
                assert await exporter.stop() == 0


def test_without_a_file_sqlite_is_not_even_loaded() -> None:
    # Whatever measures coverage has loaded it for itself.
    code = "import sys; sys.modules.pop('sqlite3', 0); import exporter.cli; sys.exit('sqlite3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
