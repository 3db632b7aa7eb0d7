"""What the numbers promise, checked by scrapes that never stop: before a fault, while it lasts, and after it."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import httpx
from msgspec.structs import replace

from tests.carrier_truth import labels, truth
from tests.running import Samples, parse
from tests.test_cycle import data_of, of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from exporter.simulator import Carrier

LATE = 2.0
"""Seconds that data may outlive their time, and a timestamp be off, on a machine that others use."""
EVERY = 0.1
CLOCK_ROUNDS = 0.001
LONGEST = 90.0
"""Seconds after which what is waited for is given up."""


class Generations:
    """A carrier whose properties change whole with every walk, and the truth of each of their generations.

    At the first request of a walk every trunk gets the generation's number for its channel limit, and another trunk
    takes the place of one. So the series of a property tell from which walk they are, and whether from one alone.
    """

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self.truths: dict[str, dict[int, Samples]] = {sid: {} for sid in carrier.property_sids}

    def seen(self, target: str) -> None:
        """Take note of a request that is about to be answered."""
        url = urlsplit(target)
        sid = next((part for part in url.path.split("/") if part in self.truths), None)
        if sid and parse_qs(url.query).get("Results_Skip") == ["0"]:
            self._next(sid)

    def _next(self, sid: str) -> None:
        carrier, number = self._carrier, len(self.truths[sid]) + 1
        first, *others = carrier.trunks(sid)
        carrier.remove(sid, first.sip_trunk_sid)
        for trunk in (*others, replace(first, sip_trunk_sid=f"ST{sid[:10]}{number:020}")):
            carrier.put(sid, replace(trunk, channel_limit=number, end_date=trunk.end_date and 1_600_000_000))
        self.truths[sid][number] = truth(carrier, time.time(), sid)


@dataclass(frozen=True)
class Recovery:
    """How the end of a fault was noticed, by the property that took longest.

    `intervals` is how long, in poll intervals, the next poll was waited for: from the fault's end, or the end of the
    poll that was under way then. `seconds` is how long after the fault's end a scrape had told of a success.
    """

    intervals: float
    seconds: float


@dataclass
class Known:
    """What the scrapes so far have told of a property.

    `last_poll`, `last_success` and `began`, that of the last poll, are Unix times of the daemon's clock; `success`
    bounds when the last success was, monotonic.
    """

    polls: float = 0
    failures: float = 0
    last_poll: float | None = None
    last_success: float | None = None
    up: float | None = None
    began: float = 0.0
    generation: int = 0
    success: tuple[float, float] | None = None


@dataclass
class Watch:
    """Scrapes again and again, and holds each scrape against the promises.

    Times are monotonic. `true_clock` tells whether the daemon has the machine's own; `ahead` are the seconds by which
    its clock is.
    """

    http: httpx.AsyncClient
    truths: dict[str, dict[int, Samples]]
    interval: float
    stale_after: float
    true_clock: bool = True
    ahead: float = 0.0
    known: dict[str, Known] = field(default_factory=dict)
    samples: Samples = field(default_factory=dict)
    scrapes: int = 0
    excused: bool = False
    """Whether the daemon may be out of reach."""
    healthy: tuple[int, str] = (0, "")
    """Status and text of the last answer of `/-/healthy`."""
    unwell: set[str] = field(default_factory=set)
    """What `/-/healthy` has said when it was not well."""
    halted: float = 0.0
    """Seconds by which this process woke up late, and by which the daemon may have been late too."""
    _sent: float = 0.0

    def __post_init__(self) -> None:
        self.restarted()

    def restarted(self) -> None:
        """Expect the counters of a new process; generations go on."""
        before = self.known
        self.known = {sid: Known(generation=before[sid].generation if before else 0) for sid in self.truths}

    async def look(self) -> None:
        """Scrape once and check; raises AssertionError where a promise is broken."""
        sent = time.monotonic()
        try:
            health = await self.http.get("/-/healthy")
            answer = await self.http.get("/metrics")
        except httpx.TransportError as error:
            if not self.excused:
                raise AssertionError(f"out of reach: {error!r}") from error
            return
        came = time.monotonic()
        self.healthy = health.status_code, health.text
        if health.status_code != 200:
            self.unwell.add(health.text)
        assert answer.status_code == 200, answer.text
        samples = parse(answer.text)
        for sid, known in self.known.items():
            self._check(sid, known, samples, sent, came)
        self.samples, self._sent = samples, sent
        self.scrapes += 1

    def _check(self, sid: str, known: Known, samples: Samples, sent: float, came: float) -> None:
        shown = {
            name: mine
            for name, values in data_of(samples).items()
            if (mine := {key: value for key, value in values.items() if ("property_sid", sid) in key})
        }
        if shown:
            generation = int(next(iter(shown["siptrunk_channel_limit"].values())))
            assert shown == self.truths[sid][generation], f"{sid} is not whole at generation {generation}"
            assert generation >= known.generation, f"{sid} went back to generation {generation}"
            known.generation = generation
        polls = of(samples, "siptrunk_property_polls_total", sid) or 0
        failed = sum(
            value
            for key, value in samples.get("siptrunk_property_poll_failures_total", {}).items()
            if ("property_sid", sid) in key
        )
        up = of(samples, "siptrunk_property_up", sid)
        if not polls:
            assert up is None, f"{sid} is said to be up or down before its first poll has ended"
            assert not shown
            return
        assert up in (0, 1)
        new, new_failures = polls - known.polls, failed - known.failures
        assert 0 <= new_failures <= new
        expected = known.up if not new else 1 if not new_failures else 0 if new_failures == new else up
        assert up == expected, f"{sid}: up is {up} after {new} more polls, of which {new_failures} failed"
        assert of(samples, "siptrunk_property_stale", sid) == bool(shown and not up)
        failing = [key for key in samples.get("siptrunk_property_failing", {}) if ("property_sid", sid) in key]
        assert len(failing) == (not up), f"{sid}: up is {up}, and it is failing for {failing}"
        known.polls, known.failures, known.up = polls, failed, up
        self._check_times(sid, known, samples, came)
        self._check_age(sid, known, sent, came, shown=bool(shown))

    def _check_times(self, sid: str, known: Known, samples: Samples, came: float) -> None:
        last_poll = of(samples, "siptrunk_property_last_poll_timestamp_seconds", sid)
        last_success = of(samples, "siptrunk_property_last_success_timestamp_seconds", sid)
        took = of(samples, "siptrunk_property_last_poll_duration_seconds", sid)
        assert last_poll is not None
        assert took is not None
        wall = time.time() - time.monotonic()
        if self.true_clock and known.last_poll is not None and last_poll != known.last_poll:
            assert self._sent - LATE <= last_poll - wall <= came + 0.01
        if last_success is not None and last_success != known.last_success:
            known.success = (self._sent, came)
        if known.up:
            assert last_success == last_poll
        known.last_poll, known.last_success, known.began = last_poll, last_success, last_poll - took

    def _check_age(self, sid: str, known: Known, sent: float, came: float, *, shown: bool) -> None:
        if known.success is None:
            assert not shown, f"{sid} has data, and never was there a success"
            return
        earliest, latest = known.success
        keeps = self.stale_after + (self.interval if known.up else 0)
        if shown:
            assert sent - latest <= keeps + LATE, f"{sid} still has data {sent - latest} s after its last success"
        else:
            assert came - earliest >= keeps - 0.01, f"{sid} lost its data {came - earliest} s after its last success"

    def value(self, name: str, sid: str, **more: str) -> float | None:
        return of(self.samples, name, sid, **more)

    def up(self, *sids: str) -> bool:
        return all(self.known[sid].up == 1 for sid in sids or self.known)

    def down(self, *sids: str) -> bool:
        return all(self.known[sid].up == 0 for sid in sids or self.known)

    def bare(self, *sids: str) -> bool:
        """Whether no data of these properties are served."""
        served = self.samples.get("siptrunk_channel_limit", {})
        return not any(("property_sid", sid) in key for key in served for sid in sids or self.known)

    def reasons(self, sid: str) -> dict[str, float]:
        """How often polls of a property have failed, by reason."""
        return {
            dict(key)["reason"]: count
            for key, count in self.samples["siptrunk_property_poll_failures_total"].items()
            if count and key >= labels(property_sid=sid)
        }

    def check_reasons(self, sids: Iterable[str], expected: set[str]) -> None:
        """Raise AssertionError where polls of these have not failed for these reasons alone, one of them at least.

        Forgiven is `timeout`: where the machine halts, any answer can come too late.
        """
        for sid in sids:
            seen = set(self.reasons(sid))
            assert seen & expected, f"{sid} failed with {seen}"
            assert seen <= expected | {"timeout"}, f"{sid} failed with {seen}"

    async def recovery(self, ended: float, *sids: str) -> Recovery:
        """Wait for a success of each property, or of these, that is later than the end of a fault, at that Unix time.

        Raises AssertionError where a poll that began after it failed, or did not come within an interval.
        """
        sids, ended_there, due = sids or tuple(self.known), ended + self.ahead, time.monotonic() + LONGEST
        halted = self.halted
        idle_since, waited, failures = dict.fromkeys(sids, ended_there), dict[str, float](), dict[str, float]()
        while len(waited) < len(sids):
            await asyncio.sleep(EVERY)
            await self.look()
            for sid in sids:
                known = self.known[sid]
                if known.last_poll is None or known.last_poll <= ended_there or sid in waited:
                    continue
                # Only one can have been under way when the fault ended.
                under_way = known.failures == failures.setdefault(sid, known.failures)
                failed_since = not under_way or (not known.up and known.began > ended_there + CLOCK_ROUNDS)
                assert not failed_since, f"{sid}: a poll that began after the fault's end failed"
                if known.up:
                    waited[sid] = max(known.began - idle_since[sid], 0.0)
                else:
                    idle_since[sid] = known.last_poll
            assert time.monotonic() < due, f"never recovered: {self.known}, {self.healthy}"
        recovery = Recovery(max(waited.values()) / self.interval, time.time() - ended)
        late = LATE + self.halted - halted
        assert recovery.intervals <= 1 + late / self.interval, (recovery, late)
        return recovery

    async def until(self, holds: Callable[[], bool], what: str = "") -> None:
        """Look until something holds."""
        due = time.monotonic() + LONGEST
        await self.look()
        while not holds():
            assert time.monotonic() < due, f"never {what}: {self.known}, {self.healthy}"
            await asyncio.sleep(EVERY)
            await self.look()

    async def count_halts(self) -> None:
        """Count, without end, what this task wakes up late by."""
        while True:
            due = time.monotonic() + EVERY
            await asyncio.sleep(EVERY)
            late = time.monotonic() - due
            # Less than that is what the checks themselves take.
            self.halted += late if late > EVERY else 0.0


@asynccontextmanager
async def watching(address: str, generations: Generations, interval: float, stale_after: float) -> AsyncIterator[Watch]:
    """Give a watch of the daemon at an address."""
    # Connected all the time: where file descriptors are used up, who comes anew is not let in.
    limits = httpx.Limits(keepalive_expiry=LONGEST)
    async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False, timeout=30, limits=limits) as http:
        watch = Watch(http, generations.truths, interval, stale_after)
        halts = asyncio.create_task(watch.count_halts())
        try:
            yield watch
        finally:
            halts.cancel()
