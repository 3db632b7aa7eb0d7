"""Passwords: checked beside the loop, remembered as digests, in bounded number, telling nobody who is a user."""

from __future__ import annotations

import asyncio
import base64
import threading
from typing import TYPE_CHECKING

import bcrypt
import pytest

from exporter.web import users
from exporter.web.users import BusyError, Users

if TYPE_CHECKING:
    from collections.abc import Callable

CHEAP, DEAR = (bcrypt.hashpw(b"hunter2", bcrypt.gensalt(cost)) for cost in (4, 5))
HASHES = {b"alice": CHEAP, b"bob": DEAR}


def header(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


class Checks:
    """What bcrypt is asked, in which thread; it answers when `open` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hashes: list[bytes] = []
        self.threads: set[int] = set()
        self.open = threading.Event()
        self.open.set()
        self._true: Callable[[bytes, bytes], bool] = bcrypt.checkpw
        monkeypatch.setattr(bcrypt, "checkpw", self._check)

    def _check(self, password: bytes, hashed: bytes) -> bool:
        self.hashes.append(hashed)
        self.threads.add(threading.get_ident())
        assert self.open.wait(30)
        return self._true(password, hashed)


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Checks:
    return Checks(monkeypatch)


async def test_a_password_is_checked_once_and_never_in_the_loops_thread(checks: Checks) -> None:
    known = Users()
    for _ in range(3):
        assert await known.admit(HASHES, header("alice", "hunter2"), "a") is True
        assert await known.admit(HASHES, header("alice", "wrong"), "a") is False
    assert checks.hashes == [CHEAP, CHEAP]
    assert len(checks.threads) == 1
    assert threading.get_ident() not in checks.threads


async def test_an_unknown_user_costs_what_a_known_one_does_always_the_same(checks: Checks) -> None:
    known = Users()
    for number in range(20):
        for password in ("hunter2", "wrong"):
            assert await known.admit(HASHES, header(f"nobody{number}", password), "a") is False
    pairs = list(zip(checks.hashes[::2], checks.hashes[1::2], strict=True))
    assert all(first == second for first, second in pairs)
    assert {first for first, _ in pairs} == {CHEAP, DEAR}


async def test_a_new_hash_and_a_user_who_has_gone_are_seen_at_once(checks: Checks) -> None:
    known = Users()
    assert await known.admit(HASHES, header("alice", "hunter2"), "a") is True
    assert await known.admit({b"bob": CHEAP}, header("alice", "hunter2"), "a") is False
    assert (
        await known.admit({b"alice": bcrypt.hashpw(b"x", bcrypt.gensalt(4))}, header("alice", "hunter2"), "a") is False
    )
    assert len(checks.hashes) == 3


async def test_wrong_passwords_do_not_drive_out_what_is_remembered_of_right_ones(
    checks: Checks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "REMEMBERED", 5)
    known = Users()
    assert await known.admit(HASHES, header("alice", "hunter2"), "a") is True
    for number in range(20):
        assert await known.admit(HASHES, header("alice", str(number)), "a") is False
    done = len(checks.hashes)
    assert await known.admit(HASHES, header("alice", "hunter2"), "a") is True
    assert await known.admit(HASHES, header("alice", "19"), "a") is False
    assert len(checks.hashes) == done
    assert sum(map(len, known._known.values())) == 6  # noqa: SLF001 - there is no other way to see it


async def test_those_who_wait_are_bounded_and_one_address_does_not_take_all_places(checks: Checks) -> None:
    known = Users()
    checks.open.clear()
    waiting = [
        asyncio.create_task(known.admit(HASHES, header("alice", f"{address} {number}"), str(address)))
        for address in range(8)
        for number in range(4)
    ]
    await asyncio.sleep(0)
    with pytest.raises(BusyError):
        await known.admit(HASHES, header("alice", "hunter2"), "8")
    checks.open.set()
    assert not any(await asyncio.gather(*waiting))
    assert await known.admit(HASHES, header("alice", "hunter2"), "8") is True
    checks.open.clear()
    waiting = [asyncio.create_task(known.admit(HASHES, header("alice", f"again {each}"), "1")) for each in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(BusyError):
        await known.admit(HASHES, header("alice", "one more"), "1")
    other = asyncio.create_task(known.admit(HASHES, header("bob", "hunter2"), "2"))
    checks.open.set()
    assert await other is True
    await asyncio.gather(*waiting)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
        (None, "", True),
    ],
)
async def test_who_has_a_network_of_ipv6_is_one_client(
    checks: Checks, one: str | None, other: str | None, *, same: bool
) -> None:
    known = Users()
    checks.open.clear()
    waiting = [asyncio.create_task(known.admit(HASHES, header("alice", str(each)), one)) for each in range(4)]
    await asyncio.sleep(0)
    last = asyncio.create_task(known.admit(HASHES, header("alice", "hunter2"), other))
    await asyncio.sleep(0)
    assert last.done() == same
    checks.open.set()
    assert not any(await asyncio.gather(*waiting))
    if same:
        with pytest.raises(BusyError):
            await last
    else:
        assert await last is True
    assert not known._each  # noqa: SLF001 - there is no other way to see that nothing is left


async def test_many_who_come_at_once_with_the_same_password_wait_for_one_check(checks: Checks) -> None:
    known = Users()
    checks.open.clear()
    waiting = [asyncio.create_task(known.admit(HASHES, header("alice", "hunter2"), "a")) for _ in range(50)]
    await asyncio.sleep(0)
    # One who hangs up does not take it from the others.
    waiting.pop(0).cancel()
    await asyncio.sleep(0)
    checks.open.set()
    assert all(await asyncio.gather(*waiting))
    assert len(checks.hashes) == 1


async def test_no_password_is_kept() -> None:
    known = Users()
    password = "".join(chr(number) for number in range(97, 123)) + str(id(known))
    assert await known.admit(HASHES, header("alice", password), "a") is False
    kept = [each for remembered in known._known.values() for each in remembered]  # noqa: SLF001 - as above
    assert [len(each) for each in kept] == [32]
    assert password not in repr(vars(known))


@pytest.mark.parametrize("password", ["p\u00e4ss", "a\0b", "x" * 72, "colon:colon", " "])
async def test_any_password_that_htpasswd_takes_is_right_and_no_other(password: str) -> None:
    hashes = {b"\xc3\xa4": bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).replace(b"$2b$", b"$2y$")}
    known = Users()
    assert await known.admit(hashes, header("\u00e4", password), None) is True
    assert await known.admit(hashes, header("\u00e4", password[:-1]), None) is False


async def test_what_is_beyond_72_bytes_does_not_count_as_with_every_bcrypt() -> None:
    hashes = {b"a": bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4))}
    assert await Users().admit(hashes, header("a", "x" * 100_000), None) is True
