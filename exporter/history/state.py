"""The file in which the last good data and the changes outlive the process: SQLite, used from one thread at a time.

In WAL mode what is committed survives whatever becomes of the process; a machine that loses its power may lose the
last commits, and no more. The exclusive lock is held as long as the file is open: no other exporter can use it.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import zlib
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from exporter.history.changes import LATEST, Change
from exporter.history.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Iterator

APPLICATION_ID = 0x53495054
"""By which the file is told from other applications' (PRAGMA application_id): SIPT."""
VERSION = 1
"""Of the schema (PRAGMA user_version) and of what the blobs hold; a new kind of change is a new version, too."""

MIGRATIONS = (
    """
    CREATE TABLE lists (
        id INTEGER PRIMARY KEY, list TEXT NOT NULL UNIQUE, data BLOB NOT NULL, checksum INTEGER NOT NULL
    );
    CREATE TABLE seen (id INTEGER PRIMARY KEY, seen REAL NOT NULL);
    CREATE TABLE changes (
        id INTEGER PRIMARY KEY, seen REAL NOT NULL, property_sid TEXT NOT NULL, trunk_sid TEXT NOT NULL, trunk TEXT,
        kind TEXT NOT NULL, field TEXT NOT NULL, old, new, modified INTEGER
    );
    """,
)
"""What makes each version from the one before."""

_HEADER = 100
_MAGIC = b"SQLite format 3\0"
BUSY_SECONDS = 1.0
"""How long another process may hold the file before it counts as in use."""
CHECKED_WHOLE = 2**25
"""Bytes up to which a file is checked whole when it is opened; of a larger one, what is read is."""
LARGEST_LOG = 2**24
"""Bytes to which the write-ahead log is cut back."""
FORGOTTEN_AT_ONCE = 1000
MOST_SET_ASIDE = 5
"""Most files that lie set aside: a disk that spoils every file must not be filled by them."""

_FIELDS = ("seen", "property_sid", "trunk_sid", "trunk", "kind", "field", "old", "new", "modified")
_DAMAGED = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_FORMAT,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
}
_NOT_WRITTEN = "cannot be written: let the exporter's user write to it and to its directory"
_WHY = {
    sqlite3.SQLITE_READONLY: _NOT_WRITTEN,
    sqlite3.SQLITE_CANTOPEN: _NOT_WRITTEN,
    sqlite3.SQLITE_BUSY: "is in use by another process: give each exporter a file of its own",
    sqlite3.SQLITE_FULL: "cannot be written, the disk is full: make room",
}


class StateError(Exception):
    """The state file cannot be used; says which, why, and the mend.

    `lasting` tells that it is an exporter's, but of no use, and can be set aside; `gone`, that it is there no more.
    """

    def __init__(self, path: Path, why: str, *, lasting: bool = False, gone: bool = False) -> None:
        super().__init__(f"{path} {why}")
        self.lasting = lasting
        self.gone = gone


Lists = dict[str, tuple[float, Remembered]]
"""By list when it was last seen, as Unix time, and what is remembered of it."""


class Batch(msgspec.Struct):
    """What is written in one transaction, after the lists `gone` were deleted.

    At most the newest `most` of the changes, and none from before the Unix time `oldest`, are kept.
    """

    most: int
    oldest: float
    gone: set[str] = msgspec.field(default_factory=set)
    lists: list[tuple[str, Remembered]] = msgspec.field(default_factory=list)
    seen: list[tuple[str, float]] = msgspec.field(default_factory=list)
    changes: list[Change] = msgspec.field(default_factory=list)


class StateFile:
    """A state file at `path`, which is made where there is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    def open(self) -> Lists:
        """Open it and read its lists; raises `StateError`, and then it is closed."""
        # Where a link leads: SQLite has its files beside the real one.
        self.path = Path(os.path.realpath(self.path))
        look(self.path, create=True)
        try:
            with _told(self.path):
                return self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> Lists:
        # It holds customers' names. A file of somebody else's may have been put there by whoever runs the machine.
        with suppress(PermissionError):
            self.path.chmod(0o600)
        self._identity = _identity(self.path)
        connection = self.connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        # Nothing in the file may run anything.
        connection.execute("PRAGMA trusted_schema = OFF")
        # The first read or write takes the lock.
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise _newer(self.path, version)
        for migration in MIGRATIONS[version:]:
            for statement in filter(str.strip, migration.split(";")):
                connection.execute(statement)
        if version < VERSION:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        # Not before the file has its header: whose it is must be told without SQLite, which would write to it.
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {LARGEST_LOG}")
        if self.path.stat().st_size <= CHECKED_WHOLE:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise _damaged(self.path, found)
        return dict(self._lists(connection))

    def _lists(self, connection: sqlite3.Connection) -> Iterator[tuple[str, tuple[float, Remembered]]]:
        decode = msgspec.msgpack.Decoder(Remembered).decode
        for key, seen, data, checksum in connection.execute(
            "SELECT list, seen, data, checksum FROM lists JOIN seen USING (id)"
        ):
            # In a damaged file a column may hold anything.
            as_written = isinstance(key, str) and isinstance(seen, float) and isinstance(data, bytes)
            if not as_written or _checksum(key, data) != checksum:
                raise _damaged(self.path, "a checksum is wrong")
            # It has no checksum.
            if not 0 <= seen <= LATEST:
                raise _damaged(self.path, "a time is none")
            yield key, (seen, decode(data))

    def changes(self, most: int) -> list[Change]:
        """Read the newest `most` changes, the oldest first; raises `StateError`."""
        query = f"SELECT {', '.join(_FIELDS)} FROM changes ORDER BY id DESC LIMIT ?"  # noqa: S608 - no input
        with _told(self.path):
            rows = self.connection.execute(query, (most,)).fetchall() if self.connection else []
            return msgspec.convert([dict(zip(_FIELDS, row, strict=True)) for row in reversed(rows)], list[Change])

    def write(self, batch: Batch) -> None:
        """Write all of a batch, or nothing; raises `StateError`."""
        with _told(self.path):
            connection = self.connection
            # Written to a file without a name, all would seem well.
            if connection is None or _identity(self.path) != self._identity:
                raise StateError(self.path, "was removed or replaced: it is begun anew", gone=True)
            connection.execute("BEGIN IMMEDIATE")
            try:
                self._write(connection, batch)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @staticmethod
    def _write(connection: sqlite3.Connection, batch: Batch) -> None:
        gone = [(key,) for key in batch.gone]
        connection.executemany("DELETE FROM seen WHERE id = (SELECT id FROM lists WHERE list = ?)", gone)
        connection.executemany("DELETE FROM lists WHERE list = ?", gone)
        encoded = ((key, msgspec.msgpack.encode(each)) for key, each in batch.lists)
        connection.executemany(
            "INSERT INTO lists (list, data, checksum) VALUES (?, ?, ?)"
            " ON CONFLICT (list) DO UPDATE SET data = excluded.data, checksum = excluded.checksum",
            ((key, data, _checksum(key, data)) for key, data in encoded),
        )
        # A table of its own: to write a time must not mean to write a list again.
        connection.executemany(
            "INSERT OR REPLACE INTO seen SELECT id, ? FROM lists WHERE list = ?",
            ((seen, key) for key, seen in batch.seen),
        )
        connection.executemany(
            f"INSERT INTO changes ({', '.join(_FIELDS)}) VALUES ({', '.join('?' * len(_FIELDS))})",  # noqa: S608 - no input
            map(msgspec.structs.astuple, batch.changes),
        )
        connection.execute(
            "DELETE FROM changes WHERE id IN (SELECT id FROM (SELECT id, seen FROM changes ORDER BY id LIMIT ?)"
            " WHERE seen < ? OR id <= (SELECT max(id) FROM changes) - ?)",
            (len(batch.changes) + FORGOTTEN_AT_ONCE, batch.oldest, batch.most),
        )

    def close(self) -> None:
        """Close it; what cannot be written any more stays in the write-ahead log."""
        connection, self.connection = self.connection, None
        if connection:
            with suppress(sqlite3.Error):
                connection.close()


def look(path: Path, *, create: bool = False) -> None:
    """See whether a file is one that could be used, leaving it as it is; raises `StateError` where it is not.

    With `create` it is made where there is none, else it is enough that it could be.
    """
    flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise StateError(path, "cannot be made: its directory does not exist, make it") from None
        if create or not os.access(path.parent, os.W_OK | os.X_OK):
            raise StateError(path, "cannot be made: let the exporter's user write to its directory") from None
        return
    except IsADirectoryError:
        raise StateError(path, "is a directory: name a file in it") from None
    except PermissionError:
        raise StateError(path, "cannot be opened: let the exporter's user read and write it") from None
    except OSError as error:
        why = f"cannot be opened ({error.strerror}): let the exporter's user read and write it"
        raise StateError(path, why) from None
    with closing(os.fdopen(descriptor, "rb", 0)) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise StateError(path, "is not a regular file: name another")
        header = file.read(_HEADER)
    if header:
        _check_header(path, header)


def _check_header(path: Path, header: bytes) -> None:
    """See whose a file is: https://www.sqlite.org/fileformat2.html#the_database_header."""
    if len(header) < _HEADER or not header.startswith(_MAGIC):
        raise StateError(path, "is no state file: name another")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise StateError(path, "is another application's database: name another file")
    if (version := int.from_bytes(header[60:64], "big")) > VERSION:
        raise _newer(path, version)


def _newer(path: Path, version: int) -> StateError:
    return StateError(
        path, f"was written by a newer exporter (schema {version}, not {VERSION}): run that one", lasting=True
    )


def _damaged(path: Path, found: object) -> StateError:
    return StateError(path, f"is damaged ({found})", lasting=True)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong with a file into `StateError`."""
    try:
        yield
    except sqlite3.Error as error:
        # Text that is none has no code.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        if code in _DAMAGED:
            raise _damaged(path, error) from error
        raise StateError(path, _WHY.get(code, f"cannot be read or written ({error})")) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        # What SQLite says of a damaged file may quote it.
        raise _damaged(path, error) from error
    except OSError as error:
        raise StateError(path, f"cannot be read or written ({error.strerror})") from error


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        known = path.stat()
    except FileNotFoundError:
        return None
    return known.st_dev, known.st_ino


def _checksum(key: str, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(key.encode()))


def set_aside(path: Path, now: float) -> Path:
    """Rename a file, and what SQLite has beside it, at the Unix time `now`; give its new name.

    Raises `OSError` where that cannot be, or where too many lie there already.
    """
    path = Path(os.path.realpath(path))
    begin = f"{path.name}.unusable-"
    if sum(each.name.startswith(begin) and each.suffix[-1:] == "Z" for each in path.parent.iterdir()) >= MOST_SET_ASIDE:
        raise OSError(f"{MOST_SET_ASIDE} files are set aside already: look at them and remove them")
    while (aside := path.with_name(f"{begin}{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}")).exists():
        now += 1
    path.rename(aside)
    for beside in ("-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + beside).rename(aside.with_name(aside.name + beside))
    return aside
