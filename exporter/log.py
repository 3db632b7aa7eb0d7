"""Log lines for people and machines alike: logfmt or JSON, one event a line, on standard error."""

from __future__ import annotations

import json
import logging
import os
import select
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from types import TracebackType

log = logging.getLogger(__name__)

Format = Literal["logfmt", "json"]

LAST_WAIT = 1.0
"""Most seconds that the end of the process waits to tell how many lines were lost."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Formatter(logging.Formatter):
    """Renders a record's time, level, logger, message and `extra` fields; what breaks a line is escaped."""

    def __init__(self, style: Format) -> None:
        super().__init__()
        self._json = style == "json"

    def format(self, record: logging.LogRecord) -> str:
        """Give the record as one line."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        if self._json:
            return json.dumps(fields, default=str)
        return " ".join(f"{name}={_logfmt(str(value))}" for name, value in fields.items())


def _logfmt(value: str) -> str:
    if value and value.isprintable() and not set(value) & set(' "=\\'):
        return value
    return json.dumps(value, ensure_ascii=not value.isprintable())


class Handler(logging.Handler):
    """Writes to a file descriptor what it takes at once, and counts what is lost: polls and scrapes wait for no log.

    A pipe that nobody reads, a full disk, a reader that is gone: the first line that is taken again tells how many
    were not, at the latest at the end of the process.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._writable = select.poll()
        self._writable.register(descriptor, select.POLLOUT)
        self._lost = 0
        self._cut = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record's line, or that it has none: who logs must not fail for it."""
        try:
            try:
                line = self.format(record)
            except Exception as error:  # noqa: BLE001 - what is logged can be anything
                line = self.format(_unfit(record, error))
            self._tell_of_lost()
            if not self._write(line):
                self._lost += 1
        except Exception:  # noqa: BLE001 - as all of logging's handlers do
            # Most likely there is no memory.
            self._lost += 1

    def close(self) -> None:
        """Tell what was lost last; logging does this at the end of the process."""
        if self._lost:
            self._writable.poll(LAST_WAIT * 1000)
            self._tell_of_lost()
        super().close()

    def _tell_of_lost(self) -> None:
        if self._lost and self._write(self.format(_told_of(self._lost))):
            self._lost = 0

    def _write(self, line: str) -> bool:
        # What comes behind a line that was cut must not go on in it.
        left = whole = f"{self._cut * chr(10)}{line}\n".encode(errors="backslashreplace")
        with suppress(OSError):
            # poll(7), pipe(7): what is said to be writable takes so much without a wait.
            while left and self._writable.poll(0):
                left = left[os.write(self._descriptor, left[: select.PIPE_BUF]) :]
        self._cut = bool(left) and (self._cut or left != whole)
        return not left


def _told_of(lost: int) -> logging.LogRecord:
    return logging.LogRecord(__name__, logging.WARNING, __file__, 0, "%d log lines were lost", (lost,), None)


def _unfit(record: logging.LogRecord, error: Exception) -> logging.LogRecord:
    said = "cannot be formatted, %s: %r with %r", (error, record.msg, record.args)
    return logging.LogRecord(record.name, logging.ERROR, record.pathname, record.lineno, *said, None)


def take_strays() -> None:
    """Log what the interpreter would write to standard error itself: warnings, and what nobody caught."""

    def cry(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        log.critical("nobody caught what was raised", exc_info=(kind, error or kind(), trace))

    logging.captureWarnings(capture=True)
    sys.excepthook = cry
    threading.excepthook = lambda raised: cry(raised.exc_type, raised.exc_value, raised.exc_traceback)
    sys.unraisablehook = lambda raised: cry(raised.exc_type, raised.exc_value, raised.exc_traceback)


def configure(level: str, style: Format) -> None:
    """Send all records of at least `level` to standard error, where it is open."""
    handler: logging.Handler
    try:
        handler = Handler(sys.stderr.fileno()) if sys.stderr else logging.NullHandler()
    except OSError:
        # A stand-in that is no file.
        handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter(style))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # At INFO it logs every request with its whole URL.
    logging.getLogger("httpx").setLevel(logging.WARNING)
