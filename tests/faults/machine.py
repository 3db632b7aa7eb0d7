"""Faults of the machine, each played once from start to end: its time, its memory, its files, its attention."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import ssl
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

from exporter.heartbeat import HELD_UP
from exporter.simulator import Simulator, SimulatorOptions
from tests.carrier_truth import labels
from tests.faults.drill import (
    INTERVAL,
    PROPERTIES,
    STALE_AFTER,
    TOKEN,
    TRUNKS,
    Drill,
    configuration,
    drill,
    free_port,
)
from tests.faults.network import certificate
from tests.faults.promises import LATE, Generations, Recovery, watching
from tests.faults.proxy import HOST, Trouble, proxying
from tests.programs import library
from tests.running import command, write

DAY = 86_400
NAME = "api.carrier.example"
FEW_FILES = 'ulimit -n 48; exec "$@"'


async def paused(folder: Path) -> Recovery:
    """SIGSTOP for longer than data may be served, then SIGCONT: nothing outdated is shown, no polls are made up for."""
    async with drill(folder) as it:
        await it.well()
        polls = {sid: known.polls for sid, known in it.watch.known.items()}
        it.exporter.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        await asyncio.sleep(STALE_AFTER + INTERVAL + LATE + HELD_UP)
        it.exporter.process.send_signal(signal.SIGCONT)
        recovery = await it.recovered()
        # Where the machine itself stood still before, that may be what was told, for it is told once a minute.
        assert any(told.startswith("the event loop was held up for ") for told in it.watch.unwell)
        # At most the one that was under way, the one that was due, and those of the time since.
        allowed = 2 + (time.monotonic() - began - STALE_AFTER - INTERVAL - LATE - HELD_UP) / INTERVAL + 1
        for sid, known in it.watch.known.items():
            assert known.polls - polls[sid] <= allowed, sid
        return recovery


async def log_in(folder: Path, shell: str) -> Recovery:
    """A fault of the network while the log goes nowhere."""
    async with drill(folder, shell=shell) as it:
        await it.well()
        await it.proxy.make(Trouble.REFUSED)
        await it.watch.until(it.watch.bare, "bare")
        await it.proxy.make(None)
        return await it.recovered()


async def disk_full(folder: Path) -> Recovery:
    return await log_in(folder, 'exec "$@" 2>/dev/full')


async def log_closed(folder: Path) -> Recovery:
    return await log_in(folder, 'exec "$@" 2>&-')


async def log_read_only(folder: Path) -> Recovery:
    return await log_in(folder, 'exec "$@" 2</dev/null')


async def log_pipe_full(folder: Path) -> Recovery:
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    pipe = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    try:
        while True:
            os.write(pipe, bytes(2**12))
    except BlockingIOError:
        return await log_in(folder, f'exec "$@" 2>{fifo}')
    finally:
        os.close(pipe)


def state_up(it: Drill) -> float | None:
    return it.watch.samples.get("siptrunk_exporter_state_up", {}).get(labels())


async def state_disk_full(folder: Path) -> Recovery:
    """No file can grow: what is served does not suffer, and all is written when there is room again."""
    async with drill(folder, state="state.db") as it:
        await it.well()
        await it.watch.until(lambda: state_up(it) == 1, "written")
        limits, pid = resource.RLIMIT_FSIZE, it.exporter.process.pid
        before = resource.prlimit(pid, limits)
        resource.prlimit(pid, limits, (2**12, before[1]))
        await it.watch.until(lambda: state_up(it) == 0, "full")
        assert it.watch.up()
        resource.prlimit(pid, limits, before)
        await it.watch.until(lambda: state_up(it) == 1, "written again")
        assert it.watch.up()
        return await it.recovered()


async def state_read_only(folder: Path) -> Recovery:
    """The state file cannot be made, for nothing can be made there, not even by root."""
    async with drill(folder, state="/sys/state.db") as it:
        await it.well()
        assert state_up(it) == 0
        return await it.recovered()


async def state_removed(folder: Path) -> Recovery:
    """Somebody removes the state file under the daemon."""
    async with drill(folder, state="state.db") as it:
        await it.well()
        path = folder / "state.db"
        await it.watch.until(lambda: state_up(it) == 1 and path.exists(), "written")
        path.unlink()
        await it.watch.until(lambda: state_up(it) == 1 and path.exists(), "begun anew")
        assert it.watch.up()
        return await it.recovered()


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


async def files_used_up(folder: Path) -> Recovery:
    """No file can be opened more: who is connected is answered, who knocks waits, and nobody tries without a pause."""
    async with drill(folder) as it:
        await it.well()
        pid, limits = it.exporter.process.pid, resource.RLIMIT_NOFILE
        before = resource.prlimit(pid, limits)
        # Less than it has: what is given back cannot be taken again.
        resource.prlimit(pid, limits, (3, before[1]))
        # Those to the API end, and no new ones come about.
        await it.proxy.make(Trouble.REFUSED)
        knocking = [await it.connected() for _ in range(20)]
        for _, writer in knocking:
            writer.write(b"GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n")
        await it.watch.until(it.watch.down, "down")
        await it.proxy.make(None)
        used, began = it.exporter.cpu(), time.monotonic()
        await it.watch.until(it.watch.bare, "bare")
        for _ in range(10):
            await it.watch.look()
            await asyncio.sleep(INTERVAL / 10)
        assert it.exporter.cpu() - used < (time.monotonic() - began) / 2
        it.watch.check_reasons(it.sids, {"connect"})
        resource.prlimit(pid, limits, before)
        took = await it.recovered()
        for reader, _ in knocking:
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    assert [line["msg"] for line in it.exporter.log].count("no connection can be accepted: Too many open files") == 1
    return took


async def few_files(folder: Path) -> Recovery:
    """Whoever connects, and however often, polls keep the file descriptors that they need."""
    async with drill(folder, shell=FEW_FILES) as it:
        await it.well()
        for _ in range(100):
            await it.connected()
        await it.proxy.make(Trouble.REFUSED)
        await it.watch.until(it.watch.down, "down")
        await it.proxy.make(None)
        took = await it.recovered()
    assert not any("no connection can be accepted" in line["msg"] for line in it.exporter.log)
    return took


def memory(it: Drill) -> int:
    return int(Path(f"/proc/{it.exporter.process.pid}/statm").read_text().split()[0]) * resource.getpagesize()


async def memory_used_up(folder: Path) -> Recovery:
    """An answer that does not fit into the memory that there is fails its poll, and the others go on."""
    async with drill(folder) as it:
        await it.well()
        ill, *others = it.sids
        pid = it.exporter.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_AS)
        # Too little for the largest answer that is taken, as it grows, and enough for those of the others.
        resource.prlimit(pid, resource.RLIMIT_AS, (memory(it) + 4 * 2**20, before[1]))
        it.simulator.fail(ill, "flood")
        polls = {sid: it.watch.known[sid].polls for sid in others}
        # Nothing can be promised of a scrape for which there is no memory, save that it tells nothing wrong.
        it.watch.excused = True
        await it.watch.until(
            lambda: it.watch.bare(ill) and all(it.watch.known[sid].polls > polls[sid] for sid in others), "bare"
        )
        it.watch.check_reasons([ill], {"too_large", "connect"})
        for sid in others:
            assert it.watch.reasons(sid) == {}
        it.simulator.heal(ill)
        it.watch.excused = False
        return await it.recovered(ill)


async def tls_cut(folder: Path) -> Recovery:
    return await _tls(folder, Trouble.TLS_CUT, {"connect", "tls"})


async def tls_plain(folder: Path) -> Recovery:
    return await _tls(folder, Trouble.TLS_PLAIN, {"tls"})


async def _tls(folder: Path, trouble: Trouble, reasons: set[str]) -> Recovery:
    chain, key = await asyncio.to_thread(certificate, folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    async with drill(folder, host="localhost", tls=context, environment={"SSL_CERT_FILE": str(chain)}) as it:
        await it.well()
        await it.proxy.make(trouble)
        await it.watch.until(it.watch.bare, "bare")
        it.watch.check_reasons(it.sids, reasons)
        await it.proxy.make(None)
        return await it.recovered()


class Lines:
    """A file that a library in the daemon's process reads again when its time of change is another."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._time = 1_000_000_000

    def write(self, line: str) -> None:
        self._time += 10
        # In one step, for it may be read at any moment.
        successor = self.path.with_suffix(".new")
        successor.write_text(f"{line}\n")
        os.utime(successor, (self._time, self._time))
        successor.replace(self.path)


def names_from(hosts: Lines) -> dict[str, str]:
    """Give the environment in which names are looked up in that file."""
    return {"LD_PRELOAD": str(library("libnss_wrapper.so")), "NSS_WRAPPER_HOSTS": str(hosts.path)}


async def no_such_host(folder: Path) -> Recovery:
    """The API's name is not known when the daemon starts, and later it is."""
    hosts = Lines(folder / "hosts")
    hosts.write("127.0.0.1 another.example")
    async with drill(folder, host=NAME, environment=names_from(hosts)) as it:
        failures = "siptrunk_exporter_discovery_failures_total"
        account = {"account_sid": it.simulator.options.account_sid, "reason": "connect"}
        await it.watch.until(lambda: it.watch.samples[failures][labels(**account)] > 0, "failed")
        assert it.proxy.connections == 0
        hosts.write(f"127.0.0.1 {NAME}")
        return await it.recovered()


async def name_gone(folder: Path) -> Recovery:
    """The API's name is known no more, once the connections to it have ended, and later it is again."""
    hosts = Lines(folder / "hosts")
    hosts.write(f"127.0.0.1 {NAME}")
    async with drill(folder, host=NAME, environment=names_from(hosts)) as it:
        await it.well()
        hosts.write("127.0.0.1 another.example")
        await it.proxy.make(Trouble.REFUSED)
        # It remembers for a while where the name led.
        while not await all_say(it, "Name or service not known"):
            await it.watch.look()
            await asyncio.sleep(INTERVAL / 10)
        await it.proxy.make(None)
        polls, connections = {sid: known.polls for sid, known in it.watch.known.items()}, it.proxy.connections
        await it.watch.until(lambda: all(known.polls > polls[sid] + 1 for sid, known in it.watch.known.items()))
        assert it.watch.down()
        assert it.proxy.connections == connections
        it.watch.check_reasons(it.sids, {"connect"})
        hosts.write(f"127.0.0.1 {NAME}")
        return await it.recovered()


async def all_say(it: Drill, words: str) -> bool:
    """Whether the last error of every property has these words in it."""
    status = (await it.watch.http.get("/api/v1/status")).json()
    return all(words in (each["last_error"] or "") for each in status["properties"])


async def clock_jumps(folder: Path) -> Recovery:
    """The clock jumps forth and back, in health and while the API is out of reach: what passes is monotonic time."""
    clock = Lines(folder / "clock")
    clock.write("+0d")
    environment = {
        "LD_PRELOAD": str(library("libfaketime.so.1")),
        "FAKETIME_TIMESTAMP_FILE": str(folder / "clock"),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
    }
    async with drill(folder, environment=environment) as it:
        watch = it.watch
        watch.true_clock = False
        await it.well()
        for days in (400, -800):
            clock.write(f"{days:+}d")
            await watch.look()
            polls, began = {sid: known.polls for sid, known in watch.known.items()}, time.monotonic()
            await watch.until(lambda: all(known.polls > polls[sid] + 1 for sid, known in watch.known.items()))  # noqa: B023
            passed = time.monotonic() - began
            for sid, known in watch.known.items():
                assert known.polls - polls[sid] <= passed / INTERVAL + 2
                assert known.last_success is not None
                assert known.success is not None
                earliest, latest = known.success
                jumped = time.time() - time.monotonic() + days * DAY
                assert earliest - LATE <= known.last_success - jumped <= latest + LATE
            assert watch.up()
            assert not watch.bare()
        await it.proxy.make(Trouble.REFUSED)
        clock.write("+400d")
        await watch.until(watch.bare, "bare")
        clock.write("-800d")
        watch.ahead = -800 * DAY
        # What ended before the jump is not to be taken for what ends after it.
        await watch.look()
        polls = {sid: known.polls for sid, known in watch.known.items()}
        await watch.until(lambda: all(known.polls > polls[sid] for sid, known in watch.known.items()))
        await it.proxy.make(None)
        return await it.recovered()


async def killed(folder: Path, times: int = 6) -> Recovery:
    """`kill -9` at random moments of starts and polls; each start finds the same folder and address."""
    chance = random.Random(1)  # noqa: S311 - reproducible
    world = SimulatorOptions(properties=PROPERTIES, trunks=TRUNKS, exact=True, shape="object", token=TOKEN)
    async with Simulator(world) as simulator:
        generations = Generations(simulator.carrier)
        async with proxying(simulator.port, generations.seen) as proxy:
            base_url = f"http://{HOST}:{proxy.port}"
            path = write(folder, simulator, configuration(base_url, world.account_sid))
            before = names(folder)
            port = free_port()
            async with watching(f"{HOST}:{port}", generations, INTERVAL, STALE_AFTER) as watch:
                watch.excused = True
                for kill in range(times + 1):
                    watch.restarted()
                    words = (f"--config.file={path}", f"--web.listen-address={HOST}:{port}")
                    async with command(*words, TMPDIR=str(folder)) as exporter:
                        if kill == times:
                            await exporter.logged("listening")
                            return await watch.recovery(time.time())
                        await asyncio.sleep(chance.uniform(0.1, 1.5))
                        await watch.look()
                        exporter.process.kill()
                        await exporter.process.communicate()
                    assert names(folder) == before
    raise AssertionError("never started")


Fault = Callable[[Path], Coroutine[None, None, Recovery]]
FAULTS: dict[str, Fault] = {
    "SIGSTOP, SIGCONT": paused,
    "disk full under the log": disk_full,
    "log closed": log_closed,
    "log read-only": log_read_only,
    "log pipe that nobody reads": log_pipe_full,
    "disk full under the state": state_disk_full,
    "state read-only": state_read_only,
    "state removed": state_removed,
    "file descriptors used up": files_used_up,
    "few file descriptors and many connections": few_files,
    "memory used up": memory_used_up,
    "kill -9": killed,
    "TLS handshake cut": tls_cut,
    "TLS handshake answered in plain text": tls_plain,
}
PRELOADED: dict[str, tuple[str, Fault]] = {
    "name not known": ("libnss_wrapper.so", no_such_host),
    "name gone": ("libnss_wrapper.so", name_gone),
    "clock jumps": ("libfaketime.so.1", clock_jumps),
}
"""Those that need a library in the daemon's process, which comes first."""
