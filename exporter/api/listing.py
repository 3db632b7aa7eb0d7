"""The two lists that the API gives: a property's trunks and an account's properties."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import traceback
from collections import Counter, deque
from typing import TYPE_CHECKING, Generic, NamedTuple, cast

import msgspec
from isal import isal_zlib

from exporter.api.budget import Manner
from exporter.api.client import MOST_KEPT, ApiClient, Query, Validators
from exporter.api.pagination import Walked, walk
from exporter.api.payload import PROJECTS, TRUNKS, Page, Reader, Record
from exporter.api.transport import LARGE
from exporter.config import Limits
from exporter.errors import Anomaly, PollError, Reason
from exporter.model import PROVISIONING_STATES, TRUNK_TYPES, Project, Trunk
from exporter.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from exporter.api.credentials import Credentials
    from exporter.config import Filters

log = logging.getLogger(__name__)

Anomalies = Counter[Anomaly]

LONGEST_WALK = 600.0
"""Most seconds of the server's time that one walk may take, retries included."""
LARGEST_WALK = 128 * 2**20
"""Most bytes of all pages of one walk: 100,000 trunks with long names fit."""
DETAIL_LENGTH = 500
"""Most characters that are told of what went wrong."""
MOST_KEPT_OF_ONE = MOST_KEPT // 8
"""Most bytes that are kept of one list: the memory for all must not be one's alone."""

SIP_TRUNKS = "sip_trunks"
PROPERTIES = "properties"

_TYPE_CODES = {name: str(code) for code, name in TRUNK_TYPES.items()}
_STATE_CODES = {name: str(code) for code, name in PROVISIONING_STATES.items()}


class _Kept(NamedTuple):
    """A page of the last complete walk: its `Results_Skip`, and the answer of `size` bytes as it came, compressed."""

    skip: int
    validators: Validators
    digest: bytes
    size: int
    packed: bytes

    @property
    def body(self) -> bytes:
        """The answer as it came."""
        # One that was remembered may have been made to become any size.
        return isal_zlib.decompressobj().decompress(self.packed, self.size)


class Saved(msgspec.Struct, frozen=True):
    """All that a listing knows of the last complete walk: under which limits, by how many records a page, its pages."""

    limits: Limits
    count: int
    kept: tuple[_Kept, ...]
    steady: dict[Anomaly, int]


def _pack(body: bytes) -> bytes:
    # The copy has just its size: what the compressor gives lies in a buffer several times as large.
    return bytes(memoryview(isal_zlib.compress(body, 1)))


class Listing(Generic[Record]):
    """One list of the API, walked anew at each call.

    A walk is told by its pages alone. So the places that the last complete walk asked for are asked for again, and
    where every page comes back byte for byte the same, or the server says that it is unchanged, so is the list, and
    nothing is decoded. From the first page on that differs, the list is walked as if for the first time. So it is where
    there was no room left to keep the pages.
    """

    def __init__(self, reader: Reader[Record], query: Query) -> None:
        self.query = query
        self.replaced: Callable[[tuple[Record, ...] | None, tuple[Record, ...]], Awaitable[None]] | None = None
        """Called with the list before, None where none is known, and the one that takes its place."""
        self._reader = reader
        self._count = 0
        self._kept: tuple[_Kept, ...] = ()
        self._size_kept = 0
        self._steady: Counter[Anomaly] = Counter()
        self._limits = Limits()

    def forget(self, client: ApiClient) -> None:
        """Keep nothing of the last walk: the next one is the first."""
        self._keep(client, ())

    def _keep(self, client: ApiClient, pages: tuple[_Kept, ...]) -> None:
        size = sum(len(page.packed) for page in pages)
        client.left_to_keep += self._size_kept - size
        self._kept, self._size_kept = pages, size

    def saved(self) -> Saved | None:
        """Give what is known of the last complete walk, for `restore`; None where there is nothing."""
        return Saved(self._limits, self._count, self._kept, self._steady) if self._kept else None

    def restore(self, client: ApiClient, saved: Saved) -> None:
        """Go on from a walk that may have been another process's, where there is room to keep it."""
        told = [page.size for page in saved.kept]
        as_walked = min(told, default=0) > 0 and sum(told) <= LARGEST_WALK
        if as_walked and sum(len(page.packed) for page in saved.kept) <= min(client.left_to_keep, MOST_KEPT_OF_ONE):
            self._keep(client, saved.kept)
            self._limits, self._count, self._steady = saved.limits, saved.count, Counter(saved.steady)

    def records(self) -> tuple[Record, ...] | None:
        """Read again what the last complete walk brought; None where it was not kept."""
        if not self._kept:
            return None
        pages = iter(self._kept)

        async def again(_skip: int) -> Page[Record]:
            return self._reader.read(next(pages).body, self._limits.label_bytes)

        try:
            # Pages in hand are not waited for, so the walk ends in one step.
            walk(again).send(None)
        except StopIteration as ended:
            return cast("Walked[Record]", ended.value).records
        raise AssertionError("a walk through pages in hand waited")

    async def _earlier(self, client: ApiClient) -> tuple[Record, ...] | None:
        """Read again what the last complete walk brought while others run; None where that cannot be."""
        pages, turns = iter(self._kept), Turns()

        async def again(_skip: int) -> Page[Record]:
            kept = next(pages)
            await turns.give()
            return await self._read(client, kept.size, lambda: kept.body)

        try:
            return (await walk(again)).records if self._kept else None
        except PollError:
            # By the limits of now it is too large.
            return None

    async def fetch(
        self, client: ApiClient, limits: Limits | None = None, manner: Manner | None = None
    ) -> tuple[tuple[Record, ...] | None, Anomalies]:
        """Walk through the list; give it, or None where it is the same as the last time, and what was odd.

        `manner` tells how it was answered before, and learns how it is now. Where other `limits` are given than the
        last time, pages that stayed the same are read again.

        Raises `PollError`, and nothing else, with whatever kept the walk from being complete: one answer that
        nobody thought of must not end the polling.
        """
        if limits and limits != self._limits:
            self._limits, self._count = limits, 0
        manner = manner or Manner()
        # A reload must not change the size under the walk: whether pages can overlap depends on it.
        asking = _Asking(client, self.query, client.api.page_size, manner, self._read)
        try:
            found = await self._walk(asking)
            manner.large = asking.large
        except PollError as error:
            raise self._redacted(error) from None
        except MemoryError:
            raise PollError(Reason.TOO_LARGE, "the answer does not fit into the memory that there is") from None
        except Exception:  # noqa: BLE001 - it is logged, but not before what it says was redacted
            trace = self.query.credentials.redact(traceback.format_exc())
            log.error("an answer could not be handled: %s", trace, extra={"path": self.query.path})  # noqa: TRY400 - likewise
            raise PollError(Reason.BAD_PAYLOAD, "the answer could not be handled; the log has the details") from None
        else:
            return found
        finally:
            client.left_to_keep += asking.size_kept

    async def _walk(self, asking: _Asking[Record]) -> tuple[tuple[Record, ...] | None, Anomalies]:
        before = self._kept if asking.count == self._count else ()
        by_skip = {kept.skip: kept for kept in before}
        in_hand: deque[tuple[_Kept, Page[Record] | None]] = deque()
        for kept in before:
            in_hand.append(await asking.page(kept.skip, kept))
            if in_hand[-1][0].digest != kept.digest:
                break
        else:
            if before:
                self._keep(asking.client, tuple([kept for kept, _ in in_hand]))
                return None, self._steady
        came: list[_Kept] = []

        async def page(skip: int) -> Page[Record]:
            # Up to the first page that differs the walk asks for what it asked for the last time.
            kept, read = in_hand.popleft() if in_hand else await asking.page(skip, by_skip.get(skip))
            came.append(kept)
            return await self._read(asking.client, kept.size, lambda: kept.body) if read is None else read

        walked = await walk(page, self._limits.trunks_per_property)
        if self.replaced:
            await self.replaced(await self._earlier(asking.client), walked.records)
        self._count, self._steady = asking.count, walked.steady
        self._keep(asking.client, tuple(came[-walked.pages :]) if asking.keeps else ())
        anomalies = walked.anomalies if asking.keeps else walked.anomalies + Counter({Anomaly.NOT_KEPT: 1})
        return walked.records, anomalies

    async def probe(self, client: ApiClient) -> None:
        """Ask for one record, to see whether the list can be had; raises `PollError` where it cannot."""
        try:
            async with client.ask(self.query.at(0, 1)) as answer:
                self._reader.read(answer.body or b"")
        except PollError as error:
            raise self._redacted(error) from None

    def _redacted(self, error: PollError) -> PollError:
        """Give the error as one short line of text, without the token, which a server may quote anywhere."""
        line = " ".join(self.query.credentials.redact(error.detail).split())
        detail = "".join(char if char.isprintable() else "\ufffd" for char in line[:DETAIL_LENGTH])
        return PollError(error.reason, detail, transient=error.transient, retry_after=error.retry_after)

    async def _read(self, client: ApiClient, size: int, body: Callable[[], bytes]) -> Page[Record]:
        longest = self._limits.label_bytes
        if size <= LARGE:
            return self._reader.read(body(), longest)
        # A huge answer with something odd in it takes seconds, which the other properties should not wait for, and
        # much memory, for which other such answers should.
        async with client.reading_large:
            reading = asyncio.ensure_future(asyncio.to_thread(lambda: self._reader.read(body(), longest)))
            try:
                return await asyncio.shield(reading)
            finally:
                # Whoever is cancelled waits too: the thread cannot be, and holds the memory until it has ended.
                await asyncio.gather(reading, return_exceptions=True)


class _Asking(msgspec.Struct, Generic[Record]):
    """Asks for the pages of one walk, `count` records each, and bounds what they may take together.

    `keeps` tells whether there was room for all of them; `size_kept` is what they took of it.
    """

    client: ApiClient
    query: Query
    count: int
    manner: Manner
    read: Callable[[ApiClient, int, Callable[[], bytes]], Awaitable[Page[Record]]]
    seconds: float = 0.0
    size: int = 0
    large: bool = False
    keeps: bool = True
    size_kept: int = 0

    async def page(self, skip: int, before: _Kept | None) -> tuple[_Kept, Page[Record] | None]:
        """Ask for the page at `skip`, which was `before` the last time; give what it holds, None where that stayed."""
        validators = before.validators if before else None
        async with self.client.ask(self.query.at(skip, self.count), validators, self.manner) as answer:
            body = answer.body or b""
            self.seconds += answer.seconds
            self.size += len(body)
            # Of an answer that says that it is unchanged it is told by what it was: the next may come whole again.
            size = before.size if before and answer.body is None else len(body)
            self.large = self.large or size > LARGE
            if self.seconds > LONGEST_WALK:
                raise PollError(Reason.TIMEOUT, f"the walk through the pages took longer than {LONGEST_WALK:g} s")
            if self.size > LARGEST_WALK:
                raise PollError(Reason.TOO_LARGE, f"the pages are larger than {LARGEST_WALK} bytes together")
            if before and answer.body is None:
                return before, None
            digest = hashlib.sha256(body).digest()
            if before and digest == before.digest:
                return before._replace(validators=answer.validators), None
            page = await self.read(self.client, len(body), lambda: body)
            return _Kept(skip, answer.validators, digest, len(body), self._pack(body)), page

    def _pack(self, body: bytes) -> bytes:
        """Compress what is to be kept; give nothing where it finds no room, for a list in part is of no use."""
        packed = _pack(body) if self.keeps else b""
        self.keeps = self.keeps and len(packed) <= min(self.client.left_to_keep, MOST_KEPT_OF_ONE - self.size_kept)
        if not self.keeps:
            return b""
        self.client.left_to_keep -= len(packed)
        self.size_kept += len(packed)
        return packed


def trunks_of(credentials: Credentials, property_sid: str, filters: Filters) -> Listing[Trunk]:
    """Give the trunk list of a property, `GET /v2/Properties/{PropertySid}/SipTrunks`, with all filters set."""
    parameters = {}
    if filters.type is not None:
        parameters["Type"] = _TYPE_CODES[filters.type]
    if filters.active is not None:
        parameters["Active"] = "true" if filters.active else "false"
    if filters.provisioning_state is not None:
        parameters["ProvisioningState"] = _STATE_CODES[filters.provisioning_state]
    path = f"/v2/Properties/{property_sid}/SipTrunks"
    return Listing(TRUNKS, Query(credentials, SIP_TRUNKS, path, parameters))


def properties_of(credentials: Credentials) -> Listing[Project]:
    """Give the property list of an account, `GET /v2/Properties`."""
    return Listing(PROJECTS, Query(credentials, PROPERTIES, "/v2/Properties", {}))
