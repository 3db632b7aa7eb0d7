"""The two lists that the API gives: a property's trunks and an account's properties."""

from __future__ import annotations

import asyncio
import logging
import traceback
from typing import TYPE_CHECKING, Generic

from exporter.api.client import Answer, ApiClient, Query, Validators
from exporter.api.pagination import Walked, walk
from exporter.api.payload import PROJECTS, TRUNKS, Page, Reader, Record
from exporter.errors import PollError, Reason
from exporter.model import PROVISIONING_STATES, TRUNK_TYPES, Project, Trunk

if TYPE_CHECKING:
    from exporter.api.credentials import Credentials
    from exporter.config import Filters

log = logging.getLogger(__name__)

LONGEST_WALK = 600.0
"""Most seconds of the server's time that one walk may take, retries included."""
LARGEST_WALK = 128 * 2**20
"""Most bytes of all pages of one walk: 100,000 trunks with long names fit."""
DETAIL_LENGTH = 500
"""Most characters that are told of what went wrong."""
LARGE = 2**18
"""Bytes of an answer from which on a thread reads it."""

SIP_TRUNKS = "sip_trunks"
PROPERTIES = "properties"

_TYPE_CODES = {name: str(code) for code, name in TRUNK_TYPES.items()}
_STATE_CODES = {name: str(code) for code, name in PROVISIONING_STATES.items()}


class Listing(Generic[Record]):
    """One list of the API, walked anew at each call; pages that the server says are unchanged are not sent again."""

    def __init__(self, reader: Reader[Record], query: Query) -> None:
        self._reader = reader
        self._query = query
        self._pages: dict[tuple[int, int], tuple[Validators, Page[Record]]] = {}

    async def fetch(self, client: ApiClient, *, suspect: bool = False) -> Walked[Record]:
        """Walk through the list.

        Raises `PollError`, and nothing else, with whatever kept the walk from being complete: one answer that
        nobody thought of must not end the polling.
        """
        try:
            return await self._walk(client, suspect=suspect)
        except PollError as error:
            raise self._redacted(error) from None
        except Exception:  # noqa: BLE001 - it is logged, but not before what it says was redacted
            trace = self._query.credentials.redact(traceback.format_exc())
            log.error("an answer could not be handled: %s", trace, extra={"path": self._query.path})  # noqa: TRY400 - likewise
            raise PollError(Reason.BAD_PAYLOAD, "the answer could not be handled; the log has the details") from None

    async def _walk(self, client: ApiClient, *, suspect: bool) -> Walked[Record]:
        spent, size = 0.0, 0
        used: set[tuple[int, int]] = set()
        # A reload must not change it under the walk: whether pages can overlap depends on it.
        count = client.api.page_size

        async def page(skip: int) -> Page[Record]:
            nonlocal spent, size
            used.add((skip, count))
            answer, fetched = await self._fetch_page(client, skip, count, suspect=suspect)
            spent += answer.seconds
            size += len(answer.body or b"")
            if spent > LONGEST_WALK:
                raise PollError(Reason.TIMEOUT, f"the walk through the pages took longer than {LONGEST_WALK:g} s")
            if size > LARGEST_WALK:
                raise PollError(Reason.TOO_LARGE, f"the pages are larger than {LARGEST_WALK} bytes together")
            return fetched

        try:
            return await walk(page)
        finally:
            # After a failed walk too: pages at ever other places must not pile up.
            self._pages = {key: kept for key, kept in self._pages.items() if key in used}

    async def probe(self, client: ApiClient) -> None:
        """Ask for one record, to see whether the list can be had; raises `PollError` where it cannot."""
        try:
            self._reader.read((await client.ask(self._page_query(0, 1))).body or b"")
        except PollError as error:
            raise self._redacted(error) from None

    def _redacted(self, error: PollError) -> PollError:
        """Give the error as one short line of text, without the token, which a server may quote anywhere."""
        line = " ".join(self._query.credentials.redact(error.detail).split())
        detail = "".join(char if char.isprintable() else "\ufffd" for char in line[:DETAIL_LENGTH])
        return PollError(error.reason, detail, transient=error.transient, retry_after=error.retry_after)

    async def _fetch_page(
        self, client: ApiClient, skip: int, count: int, *, suspect: bool
    ) -> tuple[Answer, Page[Record]]:
        validators, kept = self._pages.get((skip, count), (None, None))
        answer = await client.ask(self._page_query(skip, count), validators, suspect=suspect)
        if answer.body is None and kept is not None:
            return answer, kept
        page = await self._read(answer.body or b"")
        if answer.validators != Validators():
            self._pages[skip, count] = answer.validators, page
        return answer, page

    async def _read(self, body: bytes) -> Page[Record]:
        # A huge answer with something odd in it takes seconds, which the other properties should not wait for.
        return await asyncio.to_thread(self._reader.read, body) if len(body) > LARGE else self._reader.read(body)

    def _page_query(self, skip: int, count: int) -> Query:
        paging = {"Results_Skip": str(skip), "Results_Count": str(count)}
        query = self._query
        return Query(query.credentials, query.endpoint, query.path, {**query.parameters, **paging})


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
