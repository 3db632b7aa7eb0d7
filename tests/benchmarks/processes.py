"""The programs under measurement, each a process of its own at a loopback port, ended with its block."""

import http.client
import os
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What is installed has been compiled; so is what is measured, once it was started.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@dataclass
class Process:
    """A running program: where its output goes, when it was started (`time.monotonic`), and the port it took."""

    popen: subprocess.Popen[bytes]
    log: Path
    started: float
    port: int

    def cpu(self) -> float:
        """CPU seconds so far, the system's included."""
        # proc(5): utime and stime, counted from behind the name, which may hold anything.
        fields = Path(f"/proc/{self.popen.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, field: str = "VmRSS") -> int:
        """Resident bytes; `VmHWM` gives the most there ever were."""
        (kibibytes,) = re.findall(rf"{field}:\s+(\d+) kB", Path(f"/proc/{self.popen.pid}/status").read_text())
        return int(kibibytes) * 1024

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask it over HTTP, outside of what is timed; the status is 0 where it does not answer yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except ConnectionError:
            return 0, b""
        finally:
            connection.close()

    def until(self, path: str, within: float, every: float) -> float:
        """Ask every so many seconds until it answers 200; give the seconds since its start."""
        while self.get(path)[0] != 200:
            self.alive(within)
            time.sleep(every)
        return time.monotonic() - self.started

    def alive(self, within: float) -> None:
        """Raise RuntimeError with the end of its output where it ended, or is older than so many seconds."""
        if self.popen.poll() is not None or time.monotonic() - self.started > within:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self.log.stem} (exit status {self.popen.returncode}, {within:.0f} s): {tail}")


@contextmanager
def running(log: Path, command: Sequence[str], listening: str | int, within: float = 60) -> Iterator[Process]:
    """Run a program until the block ends.

    `listening` is a regular expression whose group is the port that it tells of within so many seconds, or the port
    it was given: then the caller waits. Raises RuntimeError where it does not come up.
    """
    with log.open("wb") as output:
        started = time.monotonic()
        popen = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, env=ENVIRONMENT)
    process = Process(popen, log, started, listening if isinstance(listening, int) else 0)
    try:
        while not process.port:
            process.alive(within)
            time.sleep(0.002)
            if found := re.search(str(listening), log.read_text(errors="replace")):
                process.port = int(found[1])
        yield process
    finally:
        popen.terminate()
        try:
            popen.wait(15)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()
