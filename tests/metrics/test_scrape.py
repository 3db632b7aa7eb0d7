"""A scrape: the format that is asked for, the families that are asked for, put together once."""

from __future__ import annotations

import asyncio
import gzip
import re
import zlib
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from exporter.config import Metrics
from exporter.metrics import groups, scrape
from exporter.metrics.exposition import Renderer, header
from exporter.metrics.families import FAMILIES
from exporter.metrics.scrape import Scraper
from exporter.metrics.segments import segment
from exporter.metrics.snapshot import Snapshot
from exporter.telemetry import EXPORTER_FAMILIES, Telemetry
from tests.metrics.builders import FAILING, HEALTHY, IDENTITY, NOW, trunk, view

if TYPE_CHECKING:
    from collections.abc import Collection

    from exporter.metrics.families import Family
    from exporter.metrics.segments import Segment

TEXT = "text/plain; version=0.0.4; charset=utf-8"
TEXT_1 = "text/plain; version=1.0.0; charset=utf-8; escaping="
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping="
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping={0};q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=1.0.0;escaping={0};q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"


class Served:
    """A scraper with one property and an own registry that has been used."""

    def __init__(self, metrics: Metrics | None = None, trunks: int = 2) -> None:
        own = CollectorRegistry()
        self.telemetry = Telemetry(own)
        self.telemetry.loaded(NOW, 60)
        self.telemetry.count_request("sip_trunks", "200", 0.3)
        self.telemetry.api_retries.labels("timeout").inc()
        self.telemetry.discovery_up.labels("A1").set(1)
        self.telemetry.discovery_last_success.labels("A1").set(NOW)
        self.telemetry.state_kept(good=True)
        self.snapshot = Snapshot(Renderer(metrics or Metrics()))
        everything = {"created": 1, "modified": 1, "end_date": 1, "channel_limit": 1, "provisioning_state": 2}
        self.snapshot.publish(view(*(trunk(f"T{number}", **everything) for number in range(trunks)), health=FAILING))
        self.scraper = Scraper(self.snapshot, own)

    async def text(self, accept: str = "", names: Collection[str] = ()) -> str:
        return (await self.scraper.scrape(accept, "", names)).body.decode()


def families_in(text: str) -> list[str]:
    return re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE)


@pytest.fixture
def compressed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Give the texts of siptrunk_info that were compressed."""
    texts: list[bytes] = []

    def watched(text: bytes) -> Segment:
        if text.startswith(b"siptrunk_info{"):
            texts.append(text)
        return segment(text)

    monkeypatch.setattr(groups, "segment", watched)
    return texts


@pytest.fixture
def assembled(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Give for each body that was put together whether it was one of OpenMetrics."""
    bodies: list[bool] = []

    def watched(family: Family, *, openmetrics: bool) -> bytes:
        if family.name == "siptrunk_info":
            bodies.append(openmetrics)
        return header(family, openmetrics=openmetrics)

    monkeypatch.setattr(scrape, "header", watched)
    return bodies


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/html", TEXT),
        ("text/plain", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        ("text/plain;version=1.0.0", TEXT_1 + "underscores"),
        ("text/plain; version=1.0.0; escaping=underscores", TEXT_1 + "underscores"),
        ("text/plain;version=1.0.0;escaping=allow-utf-8", TEXT_1 + "allow-utf-8"),
        ("text/plain;version=1.0.0;escaping=dots", TEXT_1 + "underscores"),
        ("text/plain;version=1.0.0;escaping=values", TEXT_1 + "underscores"),
        ("application/openmetrics-text;version=0.0.1", TEXT),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("application/openmetrics-text;version=1.0.0", OPENMETRICS + "underscores"),
        ("application/openmetrics-text; version=1.0.0; escaping=dots", OPENMETRICS + "underscores"),
        ("application/openmetrics-text; version=1.0.0; escaping=values", OPENMETRICS + "underscores"),
        (PROMETHEUS_2, OPENMETRICS + "underscores"),
        (PROMETHEUS_3.format("allow-utf-8"), OPENMETRICS + "allow-utf-8"),
        (PROMETHEUS_3.format("underscores"), OPENMETRICS + "underscores"),
        (PROMETHEUS_3.format("dots"), OPENMETRICS + "underscores"),
        (PROTOBUF + PROMETHEUS_3.format("values"), OPENMETRICS + "underscores"),
        ("application/openmetrics-text;q=0,text/plain", TEXT),
        ("text/plain;q=0.9,application/openmetrics-text;q=0.1", TEXT),
        ("text/plain;q=0.1,application/openmetrics-text;version=1.0.0;q=0.9", OPENMETRICS + "underscores"),
        ("APPLICATION/OPENMETRICS-TEXT;version=99.1", OPENMETRICS + "underscores"),
        ("application/openmetrics-text;q=much", TEXT),
        ("text/plain;version=", TEXT),
        ("text/plain;version=nonsense", TEXT),
        ("application/openmetrics-text;version=1.x", TEXT),
    ],
)
async def test_the_format_is_the_one_that_accept_asks_for(accept: str, content_type: str) -> None:
    served = Served()
    answer = await served.scraper.scrape(accept, "")
    openmetrics = content_type.startswith("application/openmetrics-text")

    assert content_type == answer.content_type
    assert answer.body.endswith(b"# EOF\n") is openmetrics
    assert await served.text("application/openmetrics-text" if openmetrics else "") == answer.body.decode()


@pytest.mark.parametrize(
    ("accept_encoding", "compressed"),
    [
        ("", False),
        ("identity", False),
        ("deflate, br", False),
        ("gzip", True),
        ("gzip, deflate", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("GZIP ; Q=0, br", False),
        ("identity;q=1, gzip;q=0.000", False),
    ],
)
async def test_gzip_is_sent_just_to_those_who_take_it(accept_encoding: str, compressed: bool) -> None:  # noqa: FBT001 - a parameter of the test
    answer = await Served().scraper.scrape("", accept_encoding)

    assert compressed is answer.gzip
    assert compressed is answer.body.startswith(b"\x1f\x8b")


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text"])
@pytest.mark.parametrize("names", [(), ("siptrunk_active", "siptrunk_exporter_build_info"), ("no_such_family",)])
@pytest.mark.parametrize("trunks", [0, 2, 2000])
async def test_what_is_compressed_is_one_gzip_member_of_the_same_text(
    accept: str, names: tuple[str, ...], trunks: int
) -> None:
    served = Served(trunks=trunks)
    plain = await served.scraper.scrape(accept, "", names)
    packed = await served.scraper.scrape(accept, "gzip", names)
    inflate = zlib.decompressobj(31)

    assert plain.body == inflate.decompress(packed.body)
    assert (inflate.eof, inflate.unused_data) == (True, b"")
    assert plain.body == gzip.decompress(packed.body)
    assert [answer.length for answer in (plain, packed)] == [len(plain.body), len(packed.body)]


async def test_a_body_is_put_together_once_for_each_version_and_kind_of_header(assembled: list[bool]) -> None:
    served = Served()
    for accept in ("", "text/plain;version=1.0.0", PROMETHEUS_2, "", PROMETHEUS_2):
        served.telemetry.count_request("sip_trunks", "200", 0.1)
        body = (await served.scraper.scrape(accept, "gzip")).body
        assert (await served.text(accept)).encode() == gzip.decompress(body)

    assert sorted(assembled) == [False, True]


async def test_what_was_put_together_for_another_format_goes_when_the_data_have_changed() -> None:
    served = Served()
    await served.scraper.scrape("application/openmetrics-text", "gzip")
    await served.scraper.scrape("", "gzip")
    assert len(served.scraper._assemblies) == 2  # noqa: SLF001 - what is held cannot be seen from outside
    served.snapshot.publish(view(trunk("T9")))
    await served.scraper.scrape("", "gzip")

    assert len(served.scraper._assemblies) == 1  # noqa: SLF001 - what is held cannot be seen from outside


async def test_fifty_scrapers_at_once_share_one_body(assembled: list[bool], compressed: list[bytes]) -> None:
    served = Served(trunks=2000)
    answers = await asyncio.gather(*(served.scraper.scrape("", "gzip") for _ in range(50)))
    expected = (await served.text()).encode()

    assert [gzip.decompress(answer.body) == expected for answer in answers] == [True] * 50
    assert len(assembled) == len(compressed) == 1
    pieces = [{id(piece) for piece in answer.pieces() if len(piece) > 10**4} for answer in answers]
    assert len(set.intersection(*pieces)) == len(pieces[0])


async def test_of_scrapes_that_come_together_no_two_are_made_in_one_round_of_the_loop_and_own_metrics_are_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served = Served()
    own = served.scraper._own  # noqa: SLF001 - what collects cannot be reached from outside
    collecting = Mock(side_effect=own.collect)
    monkeypatch.setattr(own, "collect", collecting)
    rounds, made = 0, []

    async def scrape() -> None:
        await served.scraper.scrape("", "gzip", ["nothing"])
        made.append(rounds)

    async with asyncio.TaskGroup() as group:
        scrapes = [group.create_task(scrape()) for _ in range(50)]
        while not all(each.done() for each in scrapes):
            await asyncio.sleep(0)
            rounds += 1
    assert len(set(made)) == 50
    assert collecting.call_count == 1
    await served.scraper.scrape("", "gzip")
    assert collecting.call_count == 2


async def test_data_are_compressed_again_when_they_have_changed_and_not_when_only_the_health_has(
    compressed: list[bytes],
) -> None:
    served = Served()
    await served.scraper.scrape("", "gzip")
    served.snapshot.publish_health(IDENTITY, HEALTHY)
    body = (await served.scraper.scrape("", "gzip")).body
    assert b'siptrunk_property_up{property_sid="S1"} 1.0' in gzip.decompress(body)
    assert len(compressed) == 1

    served.snapshot.publish(view(trunk("T9")))
    body = (await served.scraper.scrape("", "gzip")).body
    assert b'trunk_sid="T9"' in gzip.decompress(body)
    assert len(compressed) == 2


EVERY_FAMILY = [family.name for family in (*FAMILIES, *EXPORTER_FAMILIES)]


def exposed(openmetrics: bool, name: str) -> str:  # noqa: FBT001 - a parameter of the tests
    return name.removesuffix("_total") if openmetrics else name


@pytest.mark.parametrize("openmetrics", [False, True])
@pytest.mark.parametrize("name", EVERY_FAMILY)
async def test_a_name_picks_the_whole_family_and_no_other(name: str, openmetrics: bool) -> None:  # noqa: FBT001 - a parameter of the test
    served = Served()
    accept = "application/openmetrics-text" * openmetrics
    blocks = re.split("(?=^# HELP )", (await served.text(accept)).removesuffix("# EOF\n"), flags=re.MULTILINE)
    (expected,) = (block for block in blocks if block.startswith(f"# HELP {exposed(openmetrics, name)} "))

    assert expected + "# EOF\n" * openmetrics == await served.text(accept, [name])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("no_such_family",), []),
        (("siptrunk_active", "no_such_family"), ["siptrunk_active"]),
        (("siptrunk_active", "siptrunk_active"), ["siptrunk_active"]),
        (
            ("siptrunk_exporter_build_info", "siptrunk_property_up", "siptrunk_active"),
            ["siptrunk_active", "siptrunk_property_up", "siptrunk_exporter_build_info"],
        ),
    ],
)
async def test_several_names_pick_each_its_family(names: tuple[str, ...], expected: list[str]) -> None:
    assert expected == families_in(await Served().text("", names))


@pytest.mark.parametrize("name", ["process_cpu_seconds_total", "python_info", "python_gc_collections_total"])
async def test_a_name_picks_a_family_of_the_process_too(name: str) -> None:
    own = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=own)
    body = (await Scraper(Snapshot(Renderer(Metrics())), own).scrape("", "", [name])).body

    assert [name] == families_in(body.decode())


@pytest.mark.parametrize("name", EVERY_FAMILY)
async def test_a_family_that_is_excluded_is_not_published_even_when_asked_for(name: str) -> None:
    everything = families_in(await Served().text())
    served = Served(Metrics(exclude=(name,)))

    assert [other for other in everything if other != name] == families_in(await served.text())
    assert families_in(await served.text("", [name])) == []


@pytest.mark.parametrize("openmetrics", [False, True])
async def test_a_counter_of_the_exporter_is_excluded_in_every_format(openmetrics: bool) -> None:  # noqa: FBT001 - a parameter of the test
    served = Served(Metrics(exclude=("siptrunk_exporter_api_requests_total",)))

    assert "siptrunk_exporter_api_requests" not in await served.text("application/openmetrics-text" * openmetrics)


async def test_everything_is_published_where_no_name_is_given() -> None:
    assert sorted(EVERY_FAMILY) == sorted(families_in(await Served().text()))
