"""Scrapes as Prometheus 2.42 does them, over a plain socket; the stages have them done by a process of their own."""

import os
import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path

ACCEPT = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
CLOSE = "Connection: close\r\n"
DISCARDED, TIMEOUT_SECONDS = Path(os.devnull), 120.0
_kept: dict[int, socket.socket] = {}
_buffer = memoryview(bytearray(1 << 20))


@dataclass(frozen=True)
class Answer:
    """The body's size in bytes, and the seconds from before the connect or send to the last byte."""

    size: int
    seconds: float
    content_type: str


def scrape(
    port: int, path: str = "/metrics", coding: str = "gzip", save: Path = DISCARDED, *, once: bool = False
) -> Answer:
    """Ask a loopback port, over the connection kept from before if any; the body goes to the file `save`.

    `once` has a connection made for this request alone: for those that do not tell the body's length. Raises
    RuntimeError where the answer is not a 200, whole, and in the content coding asked for.
    """
    request = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: Prometheus/2.42.0\r\nAccept: {ACCEPT}\r\n"
        f"Accept-Encoding: {coding}\r\nX-Prometheus-Scrape-Timeout-Seconds: 15\r\n{CLOSE if once else ''}\r\n"
    ).encode()
    received = b""
    with save.open("wb", buffering=0) as file:
        started = time.perf_counter()
        connected = None if once else _kept.get(port)
        connected = connected or socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)
        connected.sendall(request)
        while b"\r\n\r\n" not in received and (count := connected.recv_into(_buffer)):
            received += _buffer[:count]
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(_header(head, "content-length") or -1)
        size = file.write(body)
        while size != length and (count := connected.recv_into(_buffer)):
            size += file.write(_buffer[:count])
        seconds = time.perf_counter() - started
    if not once:
        _kept[port] = connected
    whole = size == length or (length < 0 and once)
    coded = (_header(head, "content-encoding") == "gzip") == (coding == "gzip")
    if not (whole and coded and b" 200 " in head[:13]):
        raise RuntimeError(f"asked for {path} as {coding}, it gave {size} bytes after {head.decode('latin-1')!r}")
    return Answer(size, seconds, _header(head, "content-type"))


def _header(head: bytes, name: str) -> str:
    found = re.search(rf"(?i)\r\n{name}: *([^\r]*)", head.decode("latin-1"))
    return found[1] if found else ""


def small(port: int, times: int, every: float) -> list[float]:
    """Ask for /-/healthy once in so many seconds, each time over a new connection; give the seconds that each took."""
    took, due = [], time.perf_counter()
    for _ in range(times):
        time.sleep(max(0.0, due - time.perf_counter()))
        due += every
        took.append(scrape(port, "/-/healthy", "identity", once=True).seconds)
    return took
