"""Log lines for people and machines alike: logfmt or JSON, one event a line, on standard error."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

Format = Literal["logfmt", "json"]

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


def configure(level: str, style: Format) -> None:
    """Send all records of at least `level` to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter(style))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # At INFO it logs every request with its whole URL.
    logging.getLogger("httpx").setLevel(logging.WARNING)
