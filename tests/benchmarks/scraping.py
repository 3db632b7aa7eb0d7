"""Stages about scrapes: beside nginx, beside the usual means, while data change, and by a real Prometheus."""

import gzip
import json
import signal
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from urllib.parse import quote

from tests.benchmarks.figures import Row, mb, medians, ms, pairs_ratio
from tests.benchmarks.processes import Process, running
from tests.benchmarks.scraper import DISCARDED
from tests.benchmarks.world import Bench, served
from tests.programs import find

PAUSE_SECONDS, CHANGES_PER_SECOND, CANDIDATES = 0.3, 20, 8


def in_turn(bench: Bench, first: Process, second: Process, coding: str, times: int) -> list[tuple[float, float]]:
    """Scrape two so many times, each of them first every other time; give the seconds of each pair."""
    pairs = []
    for turn in range(times):
        # Time enough for some polls to end, as between scrapes in earnest.
        time.sleep(PAUSE_SECONDS)
        order = (first, second) if turn % 2 else (second, first)
        took = {each.port: bench.scrape(each.port, coding=coding).seconds for each in order}
        pairs.append((took[first.port], took[second.port]))
    return pairs


def scrape(bench: Bench) -> Iterator[Row]:
    with served(bench) as (subject, nginx, text, packed):
        zipped = in_turn(bench, subject, nginx, "gzip", bench.times(40, 10))
        plain = in_turn(bench, subject, nginx, "identity", bench.times(10, 3))
        resident, most = subject.memory(), subject.memory("VmHWM")
        six = [bench.scrape(nginx.port, "/six") for _ in range(bench.times(20, 5))]
    yield Row("scrape", "gzip scrape ÷ nginx gzip_static", pairs_ratio(zipped), 1.5, detail=medians(zipped))
    yield Row("scrape", "identity scrape ÷ nginx static file", pairs_ratio(plain), 5, detail=medians(plain))
    detail = f"{mb(resident)}, at most {mb(most)}, to {mb(text.size)} of text and {mb(packed.size)} of gzip"
    yield Row("scrape", "resident memory ÷ exposition text", resident / text.size, 0.75, detail=detail)
    took = statistics.median(each.seconds for each in six) * 1000
    yield Row("scrape", "nginx with the text as gzip -6 leaves it", took, unit="ms", detail=mb(six[0].size))


def naive(bench: Bench) -> Iterator[Row]:
    folder = bench.folder / "textfile"
    folder.mkdir()
    prom = folder / "siptrunk.prom"
    with served(bench) as (subject, *_):
        bench.scrape(subject.port, coding="identity", save=prom)
        # Each server has process_* and python_* of its own.
        prom.write_bytes(b"".join(line for line in prom.open("rb") if b"siptrunk_" in line))
        plain = (sys.executable, "-m", "tests.benchmarks.plain", str(prom))
        yield faster(bench, subject, "plain prometheus_client gauges", plain)
        flags = ("--collector.disable-defaults", "--collector.textfile", "--web.listen-address=127.0.0.1:0")
        node = (find("prometheus-node-exporter"), *flags, f"--collector.textfile.directory={folder}")
        yield faster(bench, subject, "the node exporter's textfile collector", node)


def faster(bench: Bench, subject: Process, what: str, command: Sequence[str]) -> Row:
    """Measure how many times the exporter's gzip scrape is faster than that of another server of the same series."""
    with running(bench.folder / "naive.log", command, r"(?i)listening on.*[ :](\d+)\b", within=300) as other:
        pairs = []
        for _ in range(bench.times(3, 2)):
            slow = bench.scrape(other.port, once=True)
            if slow.size * 4 < bench.scrape(subject.port).size:
                raise RuntimeError(f"{what} gave but {slow.size} bytes")
            fast = statistics.median(each for each, _ in in_turn(bench, subject, subject, "gzip", 3))
            pairs.append((slow.seconds, fast))
        detail = f"{medians(pairs)}, {len(pairs)} times; its resident memory {mb(other.memory())}"
    return Row("naive", f"gzip scrape, times faster than {what}", pairs_ratio(pairs), 500, at_least=True, detail=detail)


def churn(bench: Bench) -> Iterator[Row]:
    took, beside, bodies = [], [], [bench.folder / "first.gz", bench.folder / "last.gz"]
    seconds = bench.times(60, 10)
    with served(bench, CHANGES_PER_SECOND) as (subject, nginx, *_):
        for at in range(seconds):
            began = time.monotonic()
            save = bodies[at > 0] if at in (0, seconds - 1) else DISCARDED
            took.append(bench.scrape(subject.port, save=save).seconds)
            beside.append(bench.scrape(nginx.port).seconds)
            time.sleep(max(0.0, began + 1 - time.monotonic()))
    first, last = (set(gzip.decompress(body.read_bytes()).splitlines()) for body in bodies)
    changed = sum(b"trunk_sid=" in line for line in last - first)
    # The last changes may not have been polled yet.
    if changed < CHANGES_PER_SECOND * seconds / 4:
        raise RuntimeError(f"only {changed} lines about trunks changed in {seconds} s")
    middle = statistics.median(beside)
    worst = f"{ms(max(took))}, median {ms(statistics.median(took))}, to {ms(middle)}"
    detail = f"{worst}; {changed} lines about trunks changed in {seconds} scrapes"
    figure = f"worst gzip scrape while {CHANGES_PER_SECOND} properties change a second ÷ nginx's median"
    yield Row("churn", figure, max(took) / middle, 8, detail=detail)


def prometheus(bench: Bench) -> Iterator[Row]:
    config, interval, wanted = bench.folder / "prometheus.yml", bench.times(15, 5), bench.times(8, 3) + 2
    flags = (f"--storage.tsdb.path={bench.folder}/data", "--web.listen-address=127.0.0.1:0")
    command = (find("prometheus"), f"--config.file={config}", *flags)

    def configure(turns: Sequence[int], limit: str) -> None:
        """Have both scraped; `turns` are nginx's targets, and a body above `limit` is not read."""
        targets = [{"targets": [f"127.0.0.1:{nginx.port}"], "labels": {"turn": str(turn)}} for turn in turns]
        jobs = {"exporter": [{"targets": [f"127.0.0.1:{subject.port}"]}], "nginx": targets}
        times = {"scrape_interval": f"{interval}s", "scrape_timeout": f"{interval}s", "body_size_limit": limit}
        scrapes = [{"job_name": job, **times, "static_configs": targets} for job, targets in jobs.items()]
        config.write_text(json.dumps({"scrape_configs": scrapes}))

    with served(bench) as (subject, nginx, *_):
        # A target's labels decide when in the interval it is scraped, so look for one far from the exporter's time.
        configure(range(CANDIDATES), "1KB")
        with running(bench.folder / "prometheus.log", command, r"Listening on.*127\.0\.0\.1:(\d+)") as server:
            configure([farthest(server, interval)], "0")
            server.popen.send_signal(signal.SIGHUP)
            scrapes: dict[str, list[tuple[float, float]]] = {}
            while min(map(len, scrapes.values()), default=0) < wanted - 2:
                server.alive(interval * (wanted + 8) + 60)
                time.sleep(1)
                scrapes = {job: succeeded(server, job)[2:wanted] for job in ("exporter", "nginx")}
    in_order = sorted(scrapes["exporter"] + scrapes["nginx"])
    if any(at + took > later for (at, took), (later, _) in pairwise(in_order)):
        raise RuntimeError(f"scrapes overlapped: {in_order}")
    pairs = [(ours, theirs) for (_, ours), (_, theirs) in zip(scrapes["exporter"], scrapes["nginx"], strict=True)]
    figure = "scrape_duration_seconds of a real Prometheus ÷ that of nginx"
    detail = f"{medians(pairs)}, {len(pairs)} scrapes each in turn"
    yield Row("prometheus", figure, pairs_ratio(pairs), 1.05, detail=detail)


def farthest(server: Process, interval: int) -> int:
    """Wait until every target was tried; give the turn that Prometheus scrapes farthest from the exporter."""
    server.until("/-/ready", 60, 0.1)
    at: dict[str, float] = {}
    while len(at) < CANDIDATES + 1:
        server.alive(interval * 2 + 30)
        time.sleep(0.5)
        targets = json.loads(server.get("/api/v1/targets?state=active")[1])["data"]["activeTargets"]
        tried = [each for each in targets if not each["lastScrape"].startswith("0001")]
        at = {each["labels"].get("turn", ""): datetime.fromisoformat(each["lastScrape"]).timestamp() for each in tried}
    subject = at.pop("")
    return int(max(at, key=lambda turn: abs((at[turn] - subject + interval / 2) % interval - interval / 2)))


def succeeded(server: Process, job: str) -> list[tuple[float, float]]:
    """The scrapes of a job that succeeded, each as its Unix time and what Prometheus says it took, in seconds."""

    def samples(name: str) -> dict[float, float]:
        expression = f'{name}{{job="{job}"}}[1h]'
        _, body = server.get(f"/api/v1/query?query={quote(expression)}")
        return {at: float(value) for each in json.loads(body)["data"]["result"] for at, value in each["values"]}

    up = samples("up")
    return sorted((at, took) for at, took in samples("scrape_duration_seconds").items() if up.get(at))
