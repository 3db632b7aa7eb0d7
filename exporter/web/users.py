"""Basic authentication, RFC 7617: who gave a user's password, learned beside the event loop and remembered."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import ipaddress
import secrets
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import bcrypt

if TYPE_CHECKING:
    from collections.abc import Mapping

REMEMBERED = 100
"""Most answers that are remembered, of those that were right as of those that were wrong."""
WAITING, WAITING_EACH = 32, 4
"""Most passwords that wait to be checked, and most that one client has among them."""
_OF_ONE = 64
"""Bits of an IPv6 address that a single client may have the rest of, RFC 4291, 2.5.4."""
_LONGEST = 72
"""Bytes of a password that bcrypt looks at."""


class BusyError(Exception):
    """More passwords wait to be checked than is good."""


class Users:
    """Tells who is a user; what it remembers of a password is a digest under a key of its own."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        # One at a time, as in the toolkit: it keeps a core busy.
        self._thread = ThreadPoolExecutor(1, "bcrypt")
        # Wrong ones do not drive out the right ones.
        self._known: dict[bool, dict[bytes, None]] = {True: {}, False: {}}
        self._waiting: dict[bytes, asyncio.Task[bool]] = {}
        self._each: Counter[str] = Counter()

    async def admit(self, hashes: Mapping[bytes, bytes], authorization: str, address: str | None) -> bool:
        """Say whether an Authorization header has a name and the password whose hash that name has.

        Neither the answer nor the time it takes tells whether there is a user of that name. Raises `BusyError` where
        too many wait, of all or of those that come from this address, or for IPv6 from its network of 64 bits.
        """
        credentials = _credentials(authorization)
        if credentials is None:
            return False
        name, password = credentials
        is_user = name in hashes
        # Who is none is measured by a hash of one who is, always the same one, for hashes may differ in cost.
        stand_in = sorted(hashes.values())[int.from_bytes(self._digest(name)) % len(hashes)]
        expected = hashes.get(name, stand_in)
        known = self._digest(name, password, expected, bytes([is_user]))
        for right, remembered in self._known.items():
            if known in remembered:
                return right
        checking = self._waiting.get(known)
        if checking is None:
            client = _client(address)
            if len(self._waiting) >= WAITING or self._each[client] >= WAITING_EACH:
                raise BusyError
            self._each[client] += 1
            checking = asyncio.create_task(self._check(known, client, password, expected, is_user=is_user))
            self._waiting[known] = checking
        # Others may wait for the same; who hangs up does not end it for them.
        return await asyncio.shield(checking)

    async def _check(self, known: bytes, client: str, password: bytes, expected: bytes, *, is_user: bool) -> bool:
        try:
            same = await asyncio.get_running_loop().run_in_executor(self._thread, _same, password, expected)
        finally:
            del self._waiting[known]
            self._each -= Counter({client: 1})
        remembered = self._known[right := same and is_user]
        if len(remembered) >= REMEMBERED:
            del remembered[next(iter(remembered))]
        remembered[known] = None
        return right

    def _digest(self, *parts: bytes) -> bytes:
        digest = hashlib.blake2b(key=self._key, digest_size=32)
        for part in parts:
            digest.update(len(part).to_bytes(8) + part)
        return digest.digest()


def _client(address: str | None) -> str:
    try:
        ip = ipaddress.IPv6Address(address or "")
    except ValueError:
        return address or ""
    # Where a socket is for both, IPv4 comes as IPv6.
    return str(ip.ipv4_mapped or ipaddress.IPv6Network((int(ip), _OF_ONE), strict=False))


def _credentials(authorization: str) -> tuple[bytes, bytes] | None:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(token.strip(" "), validate=True).partition(b":")
    except (ValueError, binascii.Error):
        return None
    return (name, password) if colon else None


def _same(password: bytes, expected: bytes) -> bool:
    try:
        return bcrypt.checkpw(password[:_LONGEST], expected)
    except ValueError:
        return False
