"""What takes input that nobody vouches for, each with what it promises whatever the input is.

A target raises `AssertionError` where a promise is broken, and what nobody caught as it is.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from exporter.api.client import refusal
from exporter.api.pagination import walk
from exporter.api.payload import LABEL_BYTES, PROJECTS, TRUNKS, Page
from exporter.api.transport import Response
from exporter.config import SETTINGS, Metrics, parse, render
from exporter.errors import ConfigError, PollError
from exporter.metrics.exposition import Renderer
from exporter.model import Project, Trunk, summarise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HERE = Path(__file__).parent
BETWEEN_PAGES = b"\x1e"
LONGEST_LABEL = 64
"""Bytes: so short that small inputs reach it."""
RENDERER = Renderer(Metrics())


def payload(data: bytes) -> None:
    """Whatever a body holds, it is a page of good records, or a `PollError`."""
    for reader in (TRUNKS, PROJECTS):
        for longest in (LONGEST_LABEL, LABEL_BYTES):
            try:
                records = reader.read(data, longest).records
            except PollError as error:
                str(error).encode("utf-8", "surrogatepass")
            else:
                _check(records, longest)
    for status in (400, 503):
        refusal(Response(status, {"Retry-After": data[:40].decode("latin-1")}, data))


def _check(records: Sequence[Trunk | Project], longest: int) -> None:
    for record in records:
        assert record.sid
        texts = [value for name in record.__struct_fields__ if isinstance(value := getattr(record, name), str)]
        assert all(len(text.encode()) <= longest for text in texts if text != record.sid)


def walked(data: bytes) -> None:
    """Whatever pages come, again and again, the walk gives a list in which no Sid comes twice, or a `PollError`."""
    bodies, asked = data.split(BETWEEN_PAGES), 0

    async def fetch(_skip: int) -> Page[Trunk]:
        nonlocal asked
        asked += 1
        return TRUNKS.read(bodies[(asked - 1) % len(bodies)], LONGEST_LABEL)

    try:
        walk(fetch, most=100).send(None)
    except PollError:
        return
    except StopIteration as ended:
        trunks = ended.value.records
    sids = {trunk.sid for trunk in trunks}
    assert len(sids) == len(trunks) <= 100
    assert summarise(trunks, 1.0).trunks == len(trunks)
    # A label that breaks out of its quotation marks would be a sample of its own, or no exposition at all.
    exposition = b"".join(RENDERER.trunks("S1", trunks, 1.0)).decode()
    samples = [sample for family in text_string_to_metric_families(exposition) for sample in family.samples]
    assert len(samples) == exposition.count("\n") - exposition.count("\n#") - exposition.startswith("#")
    assert {sample.labels["trunk_sid"] for sample in samples} == sids


def configuration(data: bytes) -> None:
    """Whatever a file holds, it is a configuration that survives being written and read again, or a `ConfigError`."""
    try:
        config = parse(data.decode("utf-8", "surrogateescape"), "exporter.yaml", HERE).config
    except ConfigError as error:
        if not error.faults:
            raise AssertionError("refused without a reason") from None
        return
    again = render(config)
    if "<secret>" not in again:
        assert parse(again, "exporter.yaml", HERE).config == config


TARGETS: dict[str, Callable[[bytes], None]] = {"payload": payload, "walk": walked, "configuration": configuration}


def words(name: str) -> list[bytes]:
    """What the inputs of a target are made of: tokens and names, for a fuzzer to put together."""
    if name == "configuration":
        keys = {part for row in SETTINGS for part in re.split(r"[.\[\]]+", row.key) if part}
        return [f"{key}:".encode() for key in sorted(keys)] + [
            b"- ",
            b": ",
            b"{",
            b"}",
            b"[",
            b"]",
            b"&a ",
            b"*a",
            b"!!",
        ]
    fields = [*Trunk.__struct_encode_fields__, *Project.__struct_encode_fields__]
    keys = {*fields, "SipTrunks", "Projects", "TotalCount", "ResponseStatus", "ErrorCode", "Message"}
    literals = [
        b"null",
        b"true",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"30.0",
        b"-1",
        b"\\ud800",
        b"\\u0000",
        b'\\"',
        b"\xff",
    ]
    return [f'"{key}":'.encode() for key in sorted(keys)] + literals + [b"{}", b"[]", b'""', BETWEEN_PAGES]


def seeds(name: str) -> dict[str, bytes]:
    """The inputs to begin with, by the name of their file; what was found before is among them."""
    folders = [HERE / "corpus" / name]
    if name == "configuration":
        folders += [HERE.parent / "config" / folder for folder in ("good", "bad")]
    return {
        f"{path.parent.name}-{path.name}": path.read_bytes() for folder in folders for path in sorted(folder.iterdir())
    }
