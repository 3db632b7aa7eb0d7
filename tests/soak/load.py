"""Scrapers by the hundred: how many requests a second are answered, how late, and what they leave behind."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
PATHS = ("/-/healthy", "/metrics?name[]=siptrunk_exporter_build_info", "/-/ready", "/-/healthy")
"""What is asked for where it is the number of requests that matters, and not that of bytes."""


@dataclass
class Load:
    """What a load has brought; `waits` are the seconds from when a request was due until its answer was whole."""

    waits: list[float] = field(default_factory=list)
    received: int = 0
    failed: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.waits) / self.seconds


async def load(port: int, scrapers: int, paths: tuple[str, ...], seconds: float, rate: float = 0.0) -> Load:
    """Have so many scrapers ask, each over one connection, all together `rate` times a second (0: as fast as it goes).

    The next request of a scraper is due whether or not the last was answered in time: a wait counts from then.
    """
    done = Load()
    began = time.perf_counter()

    async def scrape(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        due = began + (number / rate if rate else 0.0)
        asked = 0
        while due < began + seconds:
            if rate:
                await asyncio.sleep(due - time.perf_counter())
            else:
                due = time.perf_counter()
            path = paths[(number + asked) % len(paths)]
            writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\nAccept-Encoding: gzip\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            assert length, head
            left = int(length[1])
            while left:
                got = len(await reader.read(left))
                if not got:
                    raise ConnectionError("cut short")
                left -= got
            done.received += int(length[1])
            done.failed += b" 200 " not in head[:13]
            done.waits.append(time.perf_counter() - due)
            asked += 1
            due += scrapers / rate if rate else 0.0
        writer.close()

    await asyncio.gather(*map(scrape, range(scrapers)))
    done.seconds = time.perf_counter() - began
    return done


def loading(port: int, scrapers: int, paths: tuple[str, ...], seconds: float, rate: float = 0.0) -> Load:
    """Do the same in a process of its own."""
    return asyncio.run(load(port, scrapers, paths, seconds, rate))
