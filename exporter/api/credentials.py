"""An account's credentials: read from their source, watched for change, and kept out of everything people read."""

from __future__ import annotations

import json
import logging
from base64 import b64encode
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.config import TokenSource

log = logging.getLogger(__name__)

Fingerprint = tuple[int, ...] | None


def fingerprint(path: Path | None) -> Fingerprint:
    """Give what another content of a file is known by; None where there is no file."""
    try:
        status = path.stat() if path else None
    except OSError:
        return None
    # The change time too: a file may become readable without being written.
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino) if status else None


class Credentials:
    """The AccountSid and Token that authenticate requests by HTTP Basic, as the vendor's client libraries do.

    Raises `OSError` or `ValueError` where the source cannot be read at the start.
    """

    def __init__(self, account_sid: str, source: TokenSource) -> None:
        self.account_sid = account_sid
        self.source = source
        self._seen = self._fingerprint()
        self._token = source.read()
        self.version = object()
        """Another one for every token, so that a poll can tell whether it was made with the latest."""

    @property
    def authorization(self) -> str:
        """The value of the header `Authorization`."""
        return "Basic " + b64encode(f"{self.account_sid}:{self._token}".encode()).decode()

    def refresh(self) -> bool:
        """Read the token again if its file has changed; give whether there is a new one.

        A file that cannot be read leaves the token as it was: secrets are often replaced in two steps.
        """
        fingerprint = self._fingerprint()
        if fingerprint == self._seen:
            return False
        self._seen = fingerprint
        try:
            token = self.source.read()
        except (OSError, ValueError) as error:
            log.warning("token not read again, the old one stays: %s", error, extra={"account_sid": self.account_sid})
            return False
        if token == self._token:
            return False
        self._token = token
        self.version = object()
        return True

    def redact(self, text: str) -> str:
        """Blank the token in a text that came from outside: plain, quoted, or as the header carries it."""
        quoted = (repr(self._token)[1:-1], repr(self._token.encode())[2:-1], json.dumps(self._token)[1:-1])
        for form in sorted({self._token, *quoted, self.authorization.split()[1]}, key=len, reverse=True):
            text = text.replace(form, "<secret>")
        return text

    def _fingerprint(self) -> Fingerprint:
        return fingerprint(self.source.file)
