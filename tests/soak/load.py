"""Scrapers by the hundred: how many requests a second are answered, how late, and what that costs."""

from __future__ import annotations

import asyncio
import re
import time
from array import array
from dataclasses import dataclass, field

WHOLE = "/metrics"
SMALL = ("/-/healthy", "/metrics?name[]=siptrunk_exporter_build_info", "/-/ready", "/-/healthy")
"""What is asked for where it is the number of requests that matters, and not that of bytes."""
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


def _waits() -> array[float]:
    return array("f")


@dataclass
class Load:
    """What a load has brought.

    `small` and `whole` are the seconds from when a request was due until its answer was whole, `failed` counts
    requests that got no whole answer with status 200, `cpu` are the seconds that the scrapers themselves took.
    """

    small: array[float] = field(default_factory=_waits)
    whole: array[float] = field(default_factory=_waits)
    received: int = 0
    failed: int = 0
    seconds: float = 0.0
    cpu: float = 0.0

    @property
    def asked(self) -> int:
        """Requests in all."""
        return len(self.small) + len(self.whole) + self.failed

    @property
    def rate(self) -> float:
        """Answers a second."""
        return (self.asked - self.failed) / self.seconds


@dataclass(frozen=True)
class Plan:
    """What is asked for: so many requests in all, or those of so many seconds, over `scrapers` connections.

    `rate` is that of all together, 0: as fast as it goes. Of each scraper's requests one in `whole_every` is for the
    whole exposition as gzip, 0: none, at another place for each scraper; all others are `SMALL`.
    """

    requests: int
    longest: float
    rate: float = 0.0
    whole_every: int = 0
    scrapers: int = 200


async def load(port: int, plan: Plan) -> Load:
    """Have scrapers ask; the next request of each is due whether or not the last was answered in time."""
    done = Load()
    began = time.perf_counter()

    async def scrape(number: int) -> None:
        due = began + (number / plan.rate if plan.rate else 0.0)
        reader = writer = None
        for asked in range((plan.requests - number - 1) // plan.scrapers + 1):
            if due > began + plan.longest:
                break
            if plan.rate:
                await asyncio.sleep(due - time.perf_counter())
            else:
                due = time.perf_counter()
            place = asked + number * plan.whole_every // plan.scrapers
            whole = bool(plan.whole_every) and place % plan.whole_every == 0
            try:
                if not reader or not writer:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
                received = await _answer(reader, writer, WHOLE if whole else SMALL[place % len(SMALL)])
            except (OSError, EOFError, ValueError):
                done.failed += 1
                reader = None
            else:
                done.received += received
                (done.whole if whole else done.small).append(time.perf_counter() - due)
            due += plan.scrapers / plan.rate if plan.rate else 0.0
        if writer:
            writer.close()

    await asyncio.gather(*map(scrape, range(plan.scrapers)))
    done.seconds = time.perf_counter() - began
    return done


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> int:
    """Ask once and give the bytes of the answer's body; raises ValueError where its status is not 200."""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\nAccept-Encoding: gzip\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    if not length or b" 200 " not in head[:13]:
        raise ValueError(head)
    left = int(length[1])
    while left:
        got = len(await reader.read(left))
        if not got:
            raise EOFError
        left -= got
    return int(length[1])


def loading(port: int, plan: Plan) -> Load:
    """Do the same in a process of its own."""
    before = time.process_time()
    done = asyncio.run(load(port, plan))
    done.cpu = time.process_time() - before
    return done
