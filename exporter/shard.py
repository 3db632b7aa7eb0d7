"""Which of several exporters polls a property: rendezvous hashing, so that one more takes its share and moves no other.

Every shard I of N has a weight for each property: the 8 bytes of BLAKE2b (RFC 7693, no key, digest of 8 bytes) of the
text `I/Sid`, read as a number, most significant byte first. The property is that shard's whose weight is the highest;
between equal weights the higher I decides. A shell tells them too: `printf %s 2/S1234 | b2sum -l 64`.

Source: Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", IEEE/ACM Transactions on Networking
6(1), 1998.
"""

from __future__ import annotations

import re
from hashlib import blake2b

import msgspec

MOST_SHARDS = 1000


class Shard(msgspec.Struct, frozen=True):
    """One share of all properties: that of `ordinal`, counted from 0, of `shards`."""

    ordinal: int = 0
    shards: int = 1

    def __str__(self) -> str:
        return f"{self.ordinal}/{self.shards}"

    def owns(self, sid: str) -> bool:
        """Tell whether the property with this Sid is this shard's."""
        if self.shards == 1:
            return True
        mine = _weight(self.ordinal, sid)
        # Most of what is another's is so by one of the first that are looked at.
        return all(_weight(other, sid) <= mine for other in range(self.shards))


WHOLE = Shard()
"""The share of an exporter that has all properties to itself."""


def _weight(ordinal: int, sid: str) -> tuple[bytes, int]:
    return blake2b(f"{ordinal}/{sid}".encode(), digest_size=8).digest(), ordinal


def parse(text: str, pod: str) -> Shard:
    """Read `I/N`, or `auto/N` where `pod`, the name of a StatefulSet's pod, ends in `-I`.

    Raises `ValueError` that says what is wrong.
    """
    found = re.fullmatch(r"(auto|[0-9]{1,4})/([0-9]{1,4})", text)
    if not found:
        raise ValueError(f"expected I/N like 0/3, or auto/3 in a StatefulSet, not {text!r}")
    which, shards = found[1], int(found[2])
    if not 1 <= shards <= MOST_SHARDS:
        raise ValueError(f"expected 1 to {MOST_SHARDS} shards, not {shards}")
    if which == "auto":
        name = re.fullmatch(r".*-([0-9]{1,9})", pod)
        if not name:
            raise ValueError(f"auto/{shards} needs a pod's name that ends in -0, -1, …; {pod!r} does not: give I/N")
        which, named = name[1], f" of the pod {pod!r}"
    else:
        named = ""
    if int(which) >= shards:
        raise ValueError(f"shards count from 0: of {shards} the last is {shards - 1}/{shards}, not {int(which)}{named}")
    return Shard(int(which), shards)
