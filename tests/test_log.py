"""A log line is one line, readable by people and machines."""

from __future__ import annotations

import json
import logging
import os
import select
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.log import Format, Formatter, Handler, configure

if TYPE_CHECKING:
    from collections.abc import Iterator


def record(message: str = "it works", **fields: Any) -> logging.LogRecord:  # noqa: ANN401 - whatever is logged
    made = logging.LogRecord("exporter.x", logging.WARNING, "x.py", 1, message, None, None)
    made.created = 1_800_000_000.25
    vars(made).update(fields)
    return made


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """Give the root logger, and put it back as it was."""
    logger = logging.getLogger()
    handlers, level, quiet = logger.handlers[:], logger.level, logging.getLogger("httpx").level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)
    logging.getLogger("httpx").setLevel(quiet)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        (7, "7"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('a"b', '"a\\"b"'),
        ("a\\b", '"a\\\\b"'),
        ("a\nb", '"a\\nb"'),
        ("a\x1b[31m", '"a\\u001b[31m"'),
        ("ä", "ä"),
        ("ä ö", '"ä ö"'),
        ("a\u2028b", '"a\\u2028b"'),
    ],
)
def test_a_value_is_quoted_just_where_logfmt_needs_it(value: object, shown: str) -> None:
    head = 'time=2027-01-15T08:00:00.250+00:00 level=warning logger=exporter.x msg="it works"'

    assert f"{head} sid={shown}" == Formatter("logfmt").format(record(sid=value))


@pytest.mark.parametrize("value", ["plain", "two words", 'a"b\\\n', "ä\u2028\x00", 7, None, ["a"]])
def test_json_holds_the_fields_as_they_are(value: object) -> None:
    assert json.loads(Formatter("json").format(record(sid=value))) == {
        "time": "2027-01-15T08:00:00.250+00:00",
        "level": "warning",
        "logger": "exporter.x",
        "msg": "it works",
        "sid": value,
    }


@pytest.mark.parametrize("style", ["logfmt", "json"])
@given(st.text(), st.text())
def test_whatever_is_logged_is_one_printable_line(style: Format, message: str, value: str) -> None:
    line = Formatter(style).format(record(message, sid=value))

    assert line.isprintable()
    assert len(line.splitlines()) == 1
    assert line.encode()


@pytest.mark.parametrize("style", ["logfmt", "json"])
def test_a_traceback_is_part_of_the_line(style: Format) -> None:
    try:
        int("what went wrong")
    except ValueError:
        line = Formatter(style).format(record(exc_info=sys.exc_info()))

    assert "what went wrong" in line
    assert "Traceback" in line
    assert "\n" not in line


@pytest.mark.parametrize(("level", "shown"), [("info", ["info", "warning"]), ("warning", ["warning"]), ("error", [])])
@pytest.mark.usefixtures("root")
def test_lines_go_to_standard_error_from_the_level_on(
    level: str, shown: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    configure(level, "json")
    logger = logging.getLogger("exporter.y")
    logger.info("%s", "one")
    logger.warning("two", extra={"sid": "S1"})
    out, err = capsys.readouterr()

    assert not out
    assert [json.loads(line)["level"] for line in err.splitlines()] == shown


@pytest.mark.parametrize("level", ["debug", "info"])
def test_the_urls_of_requests_are_not_logged(
    level: str, root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(level, "logfmt")
    logging.getLogger("httpx").info("HTTP Request: GET https://api.test/v2/Properties")

    assert root.level == getattr(logging, level.upper())
    assert not capsys.readouterr().err


def test_a_pipe_that_nobody_reads_holds_nobody_up_and_learns_later_how_much_was_lost() -> None:
    reading, writing = os.pipe()
    handler = Handler(writing)
    handler.setFormatter(Formatter("logfmt"))
    for _ in range(100):
        handler.emit(record("x" * 10_000))
    while _readable(reading):
        os.read(reading, 2**16)
    handler.emit(record("again"))
    lines = os.read(reading, 2**16).decode().split("\n")
    os.close(reading)
    handler.emit(record("nobody is there"))
    os.close(writing)

    assert lines[0] == ""
    assert [line.rpartition("msg=")[2] for line in lines[1:]] == ['"95 log lines were lost"', "again", ""]


PRINTS_MORE_THAN_A_PIPE_TAKES = """
import logging
from exporter import log
log.configure("info", "logfmt")
for _ in range(10_000):
    logging.warning("again")
print(flush=True)
"""


def test_what_was_lost_right_before_the_end_is_told_at_the_end() -> None:
    command = [sys.executable, "-c", PRINTS_MORE_THAN_A_PIPE_TAKES]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()  # nothing of the log is read before all of it is written
        *lines, last = filter(None, process.stderr.read().decode().splitlines())

    whole = sum(line.endswith(" msg=again") for line in lines)
    assert 0 < whole < 10_000
    assert last.endswith(f' msg="{10_000 - whole} log lines were lost"')


def test_the_end_does_not_wait_for_ever_for_who_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.log.LAST_WAIT", 0.01)
    reading, writing = os.pipe()
    handler = Handler(writing)
    for _ in range(100):
        handler.emit(record("x" * 10_000))
    handler.close()
    os.close(reading)
    os.close(writing)


def _readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


def test_what_cannot_be_formatted_does_not_fail_who_logs_it_and_is_one_line_all_the_same(
    capfd: pytest.CaptureFixture[str],
) -> None:
    handler = Handler(sys.stderr.fileno())
    handler.setFormatter(Formatter("json"))
    handler.emit(logging.LogRecord("x", logging.INFO, "x.py", 1, "%d", ("no number",), None))
    line = json.loads(capfd.readouterr().err)

    assert (line["logger"], line["level"]) == ("x", "error")
    assert "no number" in line["msg"]


def test_where_there_is_no_memory_for_a_line_it_is_counted_as_lost(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    handler = Handler(sys.stderr.fileno())
    handler.setFormatter(Formatter("json"))
    with monkeypatch.context() as without:
        without.setattr(Formatter, "format", Mock(side_effect=MemoryError))
        handler.emit(record())
    handler.emit(record())

    assert [json.loads(line)["msg"] for line in capfd.readouterr().err.splitlines()] == [
        "1 log lines were lost",
        "it works",
    ]


STRAYS = """
import threading, warnings
from exporter.log import configure, take_strays
configure("info", "json")
take_strays()
class Stray:
    def __del__(self):
        raise MemoryError
warnings.warn("one")
Stray()
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
raise RuntimeError("nobody catches this")
"""


def test_what_the_interpreter_would_say_itself_is_one_line_each() -> None:
    done = subprocess.run([sys.executable, "-c", STRAYS], capture_output=True, check=False, timeout=60)
    lines = [json.loads(line) for line in done.stderr.splitlines()]

    assert done.returncode == 1
    assert [line["level"] for line in lines] == ["warning", "critical", "critical", "critical"]
    assert "one" in lines[0]["msg"]
    assert [line["traceback"].splitlines()[-1] for line in lines[1:]] == [
        "MemoryError",
        "ZeroDivisionError: division by zero",
        "RuntimeError: nobody catches this",
    ]


@pytest.mark.usefixtures("root")
def test_without_a_standard_error_nothing_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    configure("info", "json")
    logging.getLogger("exporter.y").warning("nobody reads this")
