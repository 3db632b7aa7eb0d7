"""The state file: what is written is read again, whatever is done to it raises one error, and nobody else is hurt."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from exporter.api.client import ApiClient, Validators
from exporter.api.listing import LARGEST_WALK, Saved, _Kept, _pack, trunks_of
from exporter.config import Api, Filters, Limits
from exporter.errors import Anomaly
from exporter.history import state
from exporter.history.changes import Change, Kind
from exporter.history.remembered import Remembered
from exporter.history.state import StateError, StateFile
from exporter.telemetry import Telemetry
from tests.api.fake_api import CREDENTIALS
from tests.history.state_builders import Contents, batch, change, opened, remembered

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TIMES = st.floats(0, 2**33)
VALUES = st.none() | TEXTS | st.integers(0, 2**53)
CHANGES = st.builds(
    Change,
    seen=TIMES,
    property_sid=TEXTS,
    trunk_sid=TEXTS,
    trunk=st.none() | TEXTS,
    kind=st.sampled_from(Kind),
    field=TEXTS,
    old=VALUES,
    new=VALUES,
    modified=st.none() | st.integers(0, 2**40),
)
PAGES = st.builds(
    _Kept,
    st.integers(0, 2**31),
    st.builds(Validators, st.none() | TEXTS, st.none() | TEXTS),
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**27),
    st.binary(max_size=99),
)
LISTS = st.builds(
    Remembered,
    listing=st.builds(
        Saved,
        limits=st.builds(Limits, st.integers(1, 99), st.integers(1, 99), st.integers(64, 99)),
        count=st.integers(0, 1000),
        kept=st.lists(PAGES, max_size=3).map(tuple),
        steady=st.dictionaries(st.sampled_from(Anomaly), st.integers(1, 9)),
    ),
    compared=TIMES,
    since=st.lists(st.integers(-(2**40), 2**40), max_size=9).map(tuple),
    lacking=st.dictionaries(TEXTS, st.dictionaries(TEXTS, VALUES, max_size=3), max_size=3),
)


@settings(max_examples=25)
@given(st.dictionaries(TEXTS, st.tuples(TIMES, LISTS), max_size=3), st.lists(CHANGES, max_size=5))
def test_what_is_written_is_read_again(lists: dict[str, tuple[float, Remembered]], changes: list[Change]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "state.db"
        with opened(path) as (file, contents):
            assert contents == Contents({}, [])
            known = [(key, each) for key, (_, each) in lists.items()]
            file.write(batch(*changes, lists=known, seen=[(key, seen) for key, (seen, _) in lists.items()]))
        with opened(path) as (_, contents):
            assert contents == Contents(lists, changes)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Contents]:
    """The bytes of a good file, and what it holds."""
    path = tmp_path_factory.mktemp("good") / "state.db"
    with opened(path) as (file, _):
        lists = [(f"list {number}", remembered(number % 5 + 1)) for number in range(20)]
        file.write(batch(*map(change, range(300)), lists=lists, seen=[(key, 5.0) for key, _ in lists]))
    with opened(path) as (_, contents):
        assert len(contents.lists) == 20
        assert len(contents.changes) == 300
    return path.read_bytes(), contents


@example(place=0.0626, junk=b"\x80" * 40)
@given(st.floats(0, 1), st.none() | st.binary(min_size=1, max_size=600))
def test_a_file_cut_short_or_overwritten_anywhere_is_refused_or_tells_of_lists_what_was_written(
    good: tuple[bytes, Contents], place: float, junk: bytes | None
) -> None:
    content, contents = good
    at = int(place * len(content))
    spoilt = content[:at] + (junk + content[at + len(junk) :] if junk else b"")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "state.db"
        path.write_bytes(spoilt)
        file, refused, found = StateFile(path), None, contents
        try:
            found = Contents(file.open(), file.changes(1000))
        except StateError as error:
            refused = error
        file.close()
        # Where its header is unreadable, nobody knows that it was an exporter's.
        assert refused is None or (str(path) in str(refused) and (refused.lasting or at < 100))
        for key, (_, known) in found.lists.items():
            assert known == contents.lists[key][1]


@pytest.mark.parametrize("table", ["seen", "changes"])
@pytest.mark.parametrize("time", [2.4e163, float("inf"), -1.0])
def test_a_time_that_is_none_is_damage(table: str, time: float, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with opened(path) as (file, _):
        file.write(batch(change(1), lists=[("list", remembered())], seen=[("list", 5.0)]))
        assert file.connection
        file.connection.execute(f"UPDATE {table} SET seen = ?", (time,))  # noqa: S608 - the test's own
    with pytest.raises(StateError, match="is damaged") as caught, opened(path):
        pass
    assert caught.value.lasting


@pytest.mark.parametrize("content", [b"", None])
def test_an_empty_file_or_none_is_begun_for_the_exporters_user_alone(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o644)
    with opened(path) as (file, contents):
        assert contents == Contents({}, [])
        file.write(batch(change(1)))
        modes = {each.name: each.stat().st_mode & 0o777 for each in tmp_path.iterdir()}
        assert modes == {"state.db": 0o600, "state.db-wal": 0o600}
    assert [each.name for each in tmp_path.iterdir()] == ["state.db"]


def test_two_cannot_use_one_file_and_the_second_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with opened(path) as (file, _):
        with pytest.raises(StateError, match="is in use by another process") as caught:
            StateFile(link).open()
        assert not caught.value.lasting
        file.write(batch(change(1)))
    with opened(link) as (_, contents):
        assert contents.changes == [change(1)]


def test_a_file_of_an_older_exporter_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.db"
    with opened(path) as (file, _):
        file.write(batch(change(1)))
    monkeypatch.setattr(state, "VERSION", 2)
    monkeypatch.setattr(state, "MIGRATIONS", (*state.MIGRATIONS, "UPDATE changes SET trunk = 'migrated';"))
    for _ in range(2):
        with opened(path) as (_, contents):
            assert [each.trunk for each in contents.changes] == ["migrated"]
    monkeypatch.setattr(state, "VERSION", 1)
    with pytest.raises(StateError, match=r"was written by a newer exporter \(schema 2, not 1\): run that one"):
        StateFile(path).open()


def test_no_more_changes_are_kept_than_asked_for_and_none_for_longer(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with opened(path) as (file, _):
        file.write(batch(*(change(number, float(number)) for number in range(500)), most=100))
        file.write(batch(*(change(number, float(number)) for number in range(500, 600)), most=150, oldest=480))
    with opened(path) as (_, contents):
        assert [each.new for each in contents.changes] == list(range(480, 600))
    with opened(path) as (file, _):
        assert [each.new for each in file.changes(2)] == [598, 599]
        file.write(batch(change(600), most=50))
        assert [each.new for each in file.changes(1000)] == list(range(551, 601))


def test_what_is_set_aside_within_a_second_has_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    for content in (b"1", b"2", b"3"):
        path.write_bytes(content)
        state.set_aside(path, 1e9)
    assert sorted(each.read_bytes() for each in tmp_path.iterdir()) == [b"1", b"2", b"3"]


def test_another_applications_database_is_not_even_touched(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE anothers (text)")
    database.commit()
    before = {each.name: (each.read_bytes(), each.stat().st_mode) for each in tmp_path.iterdir()}
    assert len(before) == 3
    with pytest.raises(StateError, match="is another application's database: name another file"):
        StateFile(path).open()
    assert {each.name: (each.read_bytes(), each.stat().st_mode) for each in tmp_path.iterdir()} == before
    database.close()


@pytest.mark.parametrize("size", [-1, 0, 10, LARGEST_WALK, LARGEST_WALK + 1])
async def test_a_page_made_to_become_any_size_becomes_no_larger_than_a_walk_brings(size: int) -> None:
    page = _Kept(0, Validators(), b"", size, _pack(bytes(10**6)))
    listing = trunks_of(CREDENTIALS, "S1", Filters())
    client = ApiClient(Api(), Telemetry(CollectorRegistry()))
    listing.restore(client, Saved(Limits(), 50, (page,), {}))
    await client.aclose()
    assert (listing.saved() is not None) == (0 < size <= LARGEST_WALK)
    assert size <= 0 or len(page.body) == min(size, 10**6)


def test_a_device_or_pipe_is_no_file_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(StateError, match="is not a regular file: name another"):
            StateFile(path).open()


WRITER = """
import sys
from pathlib import Path
from exporter.history.state import StateFile
from exporter.telemetry import Telemetry
from tests.api.fake_api import CREDENTIALS
from tests.history.state_builders import Contents, batch, change, remembered
file = StateFile(Path(sys.argv[1]))
file.open()
number = len(file.changes(10**6))
while True:
    lists = [("list", remembered(number % 7 + 1))]
    file.write(batch(change(number), most=10**6, lists=lists, seen=[("list", float(number))]))
    print(number, flush=True)
    number += 1
"""


async def test_killed_at_any_moment_it_opens_and_nothing_committed_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    chance = random.Random(1)  # noqa: S311 - reproducible
    known = 0
    for _ in range(10):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", WRITER, str(path)), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout
        async with asyncio.timeout(30):
            await process.stdout.readline()
            await asyncio.sleep(chance.uniform(0, 0.1))
        process.kill()
        printed, _ = await process.communicate()
        with opened(path) as (_, contents):
            numbers = [each.new for each in contents.changes]
            assert numbers == list(range(len(numbers)))
            told = [int(line) for line in printed.split(b"\n")[:-1]]
            assert len(numbers) > max([*told, known])
            known = len(numbers) - 1
            # The list of the same transaction.
            assert contents.lists == {"list": (known, remembered(known % 7 + 1))}
