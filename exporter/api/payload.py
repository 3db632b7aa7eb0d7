"""The one reader of the API's answers: bytes in, records and what was odd about them out.

An answer that is as documented is decoded in one step straight into typed records. Anything else takes the patient
way: field by field, dropping only what cannot be read and saying so, because one odd field of one trunk must not
cost the other trunks their metrics.
"""

from __future__ import annotations

import json
import re
from typing import Any, Generic, TypeVar

import msgspec

from exporter.errors import Anomaly, PollError, Reason
from exporter.model import UNREADABLE, Count, Project, Trunk

Record = TypeVar("Record", bound=Trunk | Project)
Item = TypeVar("Item")

MAX_PAGE = 10_000
"""Most records of one page: ten times what can be asked for."""
MAX_VALUES = 25 * MAX_PAGE
"""Most values of one answer: what takes two bytes to send may take seventy to hold."""
LABEL_BYTES = 1024
"""Most bytes of one text in UTF-8, where nothing else is configured."""
MOST_LABEL_BYTES = 65_536
"""The most that can be configured."""
_CUT = "…"
_BACKSLASH = ord("\\")
# Those of a pair were one character after the JSON was read.
_SURROGATE = re.compile("[\ud800-\udfff]")


class Page(msgspec.Struct, Generic[Record], frozen=True):
    """One page of a list; `total` is the server's TotalCount where it gave one."""

    records: tuple[Record, ...]
    total: int | None
    anomalies: tuple[Anomaly, ...] = ()


class _Envelope(msgspec.Struct):
    total: Count | None = msgspec.field(name="TotalCount", default=None)
    status: object = msgspec.field(name="ResponseStatus", default=None)


class _TrunkList(_Envelope, kw_only=True):
    items: list[Trunk] = msgspec.field(name="SipTrunks")


class _ProjectList(_Envelope, kw_only=True):
    items: list[Project] = msgspec.field(name="Projects")


class Reader(Generic[Record]):
    """Reads pages of one kind of record, given as a bare array or as an object holding it under `list_key`."""

    def __init__(self, record: type[Record], list_key: str, envelope: type[_TrunkList | _ProjectList]) -> None:
        self._record = record
        self._texts = [field.name for field in msgspec.structs.fields(record) if field.type == str | None]
        self._list_key = list_key
        self._decode = msgspec.json.Decoder(list[record] | envelope).decode  # type: ignore[valid-type]  # made at run time

    def read(self, body: bytes, longest: int = LABEL_BYTES) -> Page[Record]:
        """Turn the body of one answer into a page, texts of more than `longest` bytes in UTF-8 cut.

        Raises `PollError`: too_large for more than `MAX_PAGE` records or `MAX_VALUES` values in all, and for a trunk's
        Sid that is too long, for what is cut identifies nothing; bad_payload for what is not JSON, is neither of the
        two shapes, or holds a record without a Sid: such a list cannot be known to be whole.
        """
        # Every value is the first of its list or object, or has a comma before it.
        if len(body) > MAX_VALUES and sum(map(body.count, (b"[", b"{", b","))) > MAX_VALUES:
            raise PollError(Reason.TOO_LARGE, f"the answer may hold more than {MAX_VALUES} values")
        page = self._read(body)
        # What stands for invalid bytes is longer than they were.
        doubtful = Anomaly.INVALID_TEXT in page.anomalies or _may_hold_text_of_more_than(longest, body)
        return self._cut(page, longest) if doubtful else page

    def _cut(self, page: Page[Record], longest: int) -> Page[Record]:
        anomalies = list(page.anomalies)
        return Page(
            tuple([self._cut_texts(each, longest, anomalies) for each in page.records]), page.total, tuple(anomalies)
        )

    def _cut_texts(self, record: Record, longest: int, anomalies: list[Anomaly]) -> Record:
        # A property's Sid has its own check, which costs the other properties nothing.
        if isinstance(record, Trunk) and len(record.sid.encode()) > longest:
            raise PollError(Reason.TOO_LARGE, f"a trunk's Sid is longer than {longest} bytes")
        texts = {name: text for name in self._texts if (text := getattr(record, name)) and len(text.encode()) > longest}
        if not texts:
            return record
        anomalies += [Anomaly.LABEL_TOO_LONG] * len(texts)
        return msgspec.structs.replace(record, **{name: cut(text, longest) for name, text in texts.items()})

    def _read(self, body: bytes) -> Page[Record]:
        try:
            answer = self._decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return self._read_patiently(body)
        if isinstance(answer, list):
            return Page(_bounded(answer), None)
        _refuse_error(answer.status)
        return Page(_bounded(answer.items), answer.total)

    def _read_patiently(self, body: bytes) -> Page[Record]:
        anomalies: list[Anomaly] = []
        answer = _loads(body, anomalies)
        total = None
        if isinstance(answer, dict):
            _refuse_error(answer.get("ResponseStatus"))
            if not isinstance(answer.get(self._list_key), list):
                raise PollError(Reason.BAD_PAYLOAD, f"the answer has no list {self._list_key}")
            total = _read_total(answer.get("TotalCount"), anomalies)
            answer = answer[self._list_key]
        elif not isinstance(answer, list):
            raise PollError(Reason.BAD_PAYLOAD, f"expected a list or an object, not {_kind(answer)}")
        records = tuple(self._read_record(item, index, anomalies) for index, item in enumerate(_bounded(answer)))
        return Page(records, total, tuple(anomalies))

    def _read_record(self, item: object, index: int, anomalies: list[Anomaly]) -> Record:
        if not isinstance(item, dict):
            raise PollError(Reason.BAD_PAYLOAD, f"record {index} of {self._list_key} is {_kind(item)}, not an object")
        values: dict[str, Any] = {}
        for field in msgspec.structs.fields(self._record):
            value = _tidy(item.get(field.encode_name), anomalies)
            if field.name == "sid" and self._record is Trunk and "\ufffd" in str(value):
                # Two trunks that cannot be told apart would be one.
                detail = f"record {index} of {self._list_key} has a {field.encode_name} that is no text"
                raise PollError(Reason.BAD_PAYLOAD, detail)
            try:
                values[field.name] = msgspec.convert(value, field.type)
            except msgspec.ValidationError:
                if field.name == "sid":
                    detail = f"record {index} of {self._list_key} has no {field.encode_name}"
                    raise PollError(Reason.BAD_PAYLOAD, detail) from None
                values[field.name] = _instead(field.name, value, anomalies)
        return self._record(**values)


def _may_hold_text_of_more_than(longest: int, body: bytes) -> bool:
    """Tell whether a text of so many bytes may be in JSON: no text is shorter there than in UTF-8.

    A text ends at a quotation mark, so a walk from mark to mark in steps as long as may be costs next to nothing.
    """
    at = 0
    while len(body) - at > longest:
        mark = body.rfind(b'"', at, at + longest + 1)
        # One that comes after a backslash may be part of the text.
        while mark > at and body[mark - 1] == _BACKSLASH:
            mark = body.rfind(b'"', at, mark)
        if mark < 0:
            return True
        at = mark + 1
    return False


def _bounded(items: list[Item]) -> tuple[Item, ...]:
    if len(items) > MAX_PAGE:
        raise PollError(Reason.TOO_LARGE, f"a page holds {len(items)} records, and more than {MAX_PAGE} are not read")
    return tuple(items)


def _instead(field: str, value: object, anomalies: list[Anomaly]) -> int | None:
    """Give what stands for a value that does not fit its field, and count it."""
    code = field in ("type", "provisioning_state") and isinstance(value, int) and not isinstance(value, bool)
    anomalies.append(Anomaly.UNDOCUMENTED_CODE if code else Anomaly.WRONG_TYPE)
    return UNREADABLE if code or field == "end_date" else None


def _loads(body: bytes, anomalies: list[Anomaly]) -> Any:  # noqa: ANN401 - JSON of any shape
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = body.decode("utf-8-sig", errors="replace")
        anomalies.append(Anomaly.INVALID_TEXT)
    try:
        # A number too long for an int and the constants that JSON does not have become objects that fit no field.
        return json.loads(text, parse_int=_parse_int, parse_constant=lambda _name: object())
    except RecursionError:
        raise PollError(Reason.BAD_PAYLOAD, "the answer is nested too deeply") from None
    except ValueError as error:
        raise PollError(Reason.BAD_PAYLOAD, f"the answer is not JSON: {error}") from None


def cut(text: str, longest: int) -> str:
    """Give a text of at most `longest` bytes in UTF-8, cut between characters and marked where it was longer."""
    whole = text.encode()
    if len(whole) <= longest:
        return text
    return whole[: longest - len(_CUT.encode())].decode(errors="ignore") + _CUT


def _parse_int(digits: str) -> int | float:
    return int(digits) if len(digits) < 20 else float(digits)  # noqa: PLR2004 - 19 digits hold every 64-bit number


def _read_total(value: object, anomalies: list[Anomaly]) -> int | None:
    try:
        return msgspec.convert(_tidy(value, anomalies), Count | None)
    except msgspec.ValidationError:
        anomalies.append(Anomaly.WRONG_TYPE)
        return None


def _tidy(value: object, anomalies: list[Anomaly]) -> object:
    """Make what cannot be UTF-8 visible as U+FFFD, and count it; write 30.0 as the integer that JSON says it is."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, str) or value.isprintable():
        return value
    clean, surrogates = _SURROGATE.subn("\ufffd", value)
    if surrogates:
        anomalies.append(Anomaly.INVALID_TEXT)
    return clean


def _refuse_error(status: object) -> None:
    """Refuse an answer that calls itself an error, whatever its HTTP status and whatever else it holds."""
    if message := error_message({"ResponseStatus": status}):
        raise PollError(Reason.BAD_PAYLOAD, f"instead of a list came an error: {message}")


def _kind(value: object) -> str:
    return "null" if value is None else f"a {type(value).__name__}"


def error_message(answer: object) -> str | None:
    """Read an error body `{"ResponseStatus": {"ErrorCode": …, "Message": …}}`; None where it is something else."""
    status = answer.get("ResponseStatus") if isinstance(answer, dict) else None
    if not isinstance(status, dict):
        return None
    values = (status.get("ErrorCode"), status.get("Message"))
    # Lists in lists can be too deep to be written where they were not too deep to be read.
    return ": ".join(str(value) for value in values if value and isinstance(value, str | int | float)) or None


TRUNKS = Reader(Trunk, "SipTrunks", _TrunkList)
PROJECTS = Reader(Project, "Projects", _ProjectList)
