"""The web configuration in force: what is seen of a change, when, and what is said of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from exporter.config.web import RateLimit
from exporter.web.guard import Bucket
from exporter.web.watched import TRY_AGAIN, Watched
from tests.web.authority import Authority

if TYPE_CHECKING:
    from pathlib import Path

TLS = "tls_server_config: {{cert_file: {0}.crt, key_file: {0}.key}}\n"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_file_that_comes_after_the_configuration_that_names_it_is_found_without_another_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority, clock = Authority(tmp_path), Clock()
    authority.issue("first")
    path = tmp_path / "web.yml"
    path.write_text(TLS.format("first"))
    told: list[bool] = []
    watched = Watched(path, told.append, clock)
    first = watched.current()
    path.write_text(TLS.format("second"))
    assert watched.current() is watched.current() is first
    authority.issue("second")
    assert watched.current() is first
    clock.now = TRY_AGAIN / 2
    assert watched.current() is first
    clock.now = TRY_AGAIN
    second = watched.current()
    assert second is not first
    assert watched.current() is second
    assert told == [False, True]
    # And of the new file, too, every change is seen.
    authority.issue("second")
    assert watched.current() is not second
    assert [record.levelname for record in caplog.records if record.levelno > logging.INFO] == ["ERROR"]


async def test_a_configuration_that_stays_bad_is_complained_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, path = Clock(), tmp_path / "web.yml"
    path.write_text("rate_limit: {}")
    told: list[bool] = []
    watched = Watched(path, told.append, clock)
    path.unlink()
    for clock.now in range(0, 100, 3):
        watched.current()
    assert told == [False] * 17
    assert [record.levelname for record in caplog.records if record.levelno > logging.INFO] == ["ERROR"]
    assert f"the old one stays: {path}:1:1: cannot be read: No such file" in caplog.text


def test_a_bucket_gives_its_burst_at_once_and_then_one_each_interval() -> None:
    clock = Clock()
    limit = RateLimit(2.0, 3)
    bucket = Bucket(limit, clock)
    assert [bucket.wait(limit) for _ in range(4)] == [0, 0, 0, 2.0]
    clock.now = 1.0
    assert bucket.wait(limit) == 1.0
    clock.now = 2.0
    assert [bucket.wait(limit) for _ in range(2)] == [0, 2.0]
    clock.now = 1000.0
    assert [bucket.wait(limit) > 0 for _ in range(5)] == [False, False, False, True, True]


@pytest.mark.parametrize("limit", [RateLimit(), RateLimit(0.0, 5), RateLimit(0.0, 0)])
def test_a_bucket_without_an_interval_has_no_limit(limit: RateLimit) -> None:
    bucket = Bucket(limit, Clock())
    assert not any(bucket.wait(limit) for _ in range(100))


def test_a_burst_of_none_refuses_all_and_a_new_limit_counts_at_once() -> None:
    clock = Clock()
    bucket = Bucket(RateLimit(1.0, 0), clock)
    assert all(bucket.wait(RateLimit(1.0, 0)) for clock.now in range(10))
    assert not bucket.wait(RateLimit(1.0, 1))
