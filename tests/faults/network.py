"""Faults of the network and of the API, each played once from start to end."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.simulator.faults import FAULTS
from tests.faults.drill import Drill, drill
from tests.faults.proxy import OF_CONNECTIONS, Trouble
from tests.programs import program

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.promises import Recovery

POLLS = 5
"""Polls of those that are well while another is ill."""
CONNECT, TIMEOUT = {"connect"}, {"timeout"}
REASONS_OF_TROUBLE = {
    Trouble.REFUSED: CONNECT,
    Trouble.UNHEARD: TIMEOUT,
    Trouble.RESET_ACCEPTED: CONNECT,
    Trouble.RESET_IN_REQUEST: CONNECT,
    Trouble.RESET_AFTER_REQUEST: CONNECT,
    Trouble.RESET_AFTER_HEAD: CONNECT,
    Trouble.RESET_IN_BODY: CONNECT,
    Trouble.CLOSED_IN_BODY: CONNECT,
    Trouble.HOLE: TIMEOUT,
    Trouble.SLOW_BODY: TIMEOUT,
}
REASONS_OF_FAULT = {
    "400": {"bad_request"},
    "403": {"forbidden"},
    "404": {"not_found"},
    "429": {"rate_limited"},
    "500": {"server_error"},
    "500-html": {"server_error"},
    "502": {"server_error"},
    "503": {"server_error"},
    "hang": TIMEOUT,
    "disconnect": CONNECT,
    "garbage": {"bad_payload"},
    "neither": {"bad_payload"},
    "flood": {"too_large", "timeout"},
    "half": CONNECT,
}
# Credentials that are rejected are tried again at a falling rate, and not within one interval.
assert REASONS_OF_FAULT.keys() == {*FAULTS} - {"401"}


@dataclass
class Case:
    """A fault: of the proxy or the simulator, of all properties or of one alone, which the others must not notice."""

    name: str
    fault: Trouble | str
    reasons: set[str]
    alone: bool = False
    retry_after: str = "1"

    async def play(self, folder: Path) -> Recovery:
        """Bring the fault about, wait until data are gone, and end it; give how all got well again."""
        async with drill(folder, retry_after=self.retry_after) as it:
            try:
                return await self._play(it)
            except AssertionError as error:
                raise AssertionError(f"{self.name}: {error}") from error

    async def _play(self, it: Drill) -> Recovery:
        await it.well()
        ill, *others = it.sids
        sids = (ill,) if self.alone else it.sids
        before = {sid: known.polls for sid, known in it.watch.known.items()}
        await self._begin(it, sids)
        await it.watch.until(lambda: it.watch.down(*sids), "down")
        await it.watch.until(lambda: it.watch.bare(*sids), "bare")
        it.watch.check_reasons(sids, self.reasons)
        if self.alone:
            known = it.watch.known
            await it.watch.until(lambda: all(known[sid].polls - before[sid] >= POLLS for sid in others), "polled")
            for sid in others:
                assert it.watch.reasons(sid) == {}, sid
                # Had they to wait for each request that hangs, they would be polled but twice as often as the ill one:
                # its polls fail with their second.
                polls = known[sid].polls - before[sid]
                assert self.reasons != TIMEOUT or polls > 3 * known[ill].failures, f"{sid}: {known}"
        await self._end(it, sids)
        return await it.recovered(*sids)

    async def _begin(self, it: Drill, sids: tuple[str, ...]) -> None:
        if isinstance(self.fault, Trouble):
            await it.proxy.make(self.fault, sids[0] if self.alone else "")
            return
        for sid in sids:
            it.simulator.fail(sid, self.fault)  # type: ignore[arg-type]  # one of FAULTS

    async def _end(self, it: Drill, sids: tuple[str, ...]) -> None:
        if isinstance(self.fault, Trouble):
            await it.proxy.make(None)
            return
        for sid in sids:
            it.simulator.heal(sid)


def cases(*, quick: bool) -> list[Case]:
    """Every fault, of one property where it can be; `quick` leaves out what the poller's own tests answer with."""
    troubles = [
        Case(trouble.name.lower().replace("_", " "), trouble, reasons, alone=trouble not in OF_CONNECTIONS)
        for trouble, reasons in REASONS_OF_TROUBLE.items()
        if trouble is not Trouble.RESET_IN_REQUEST
    ]
    everybody = [
        Case("reset in request", Trouble.RESET_IN_REQUEST, CONNECT),
        Case("storm of 503", "503", {"server_error"}),
        Case("storm of 429 without Retry-After", "429", {"rate_limited"}, retry_after=""),
    ]
    answers = [
        Case("black hole for all", Trouble.HOLE, TIMEOUT),
        Case("storm of 500", "500", {"server_error"}),
        Case("storm of 503 without Retry-After", "503", {"server_error"}, retry_after=""),
        Case("storm of 429", "429", {"rate_limited"}),
        *(Case(f"answer {fault}", fault, reasons, alone=True) for fault, reasons in REASONS_OF_FAULT.items()),
    ]
    return troubles + everybody + ([] if quick else answers)


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for `localhost` that signs itself, valid for a day; give its file and that of its key."""
    chain, key = folder / "certificate.pem", folder / "key.pem"
    words = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost")
    names = ("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    files = ("-keyout", str(key), "-out", str(chain))
    subprocess.run([program("openssl"), *words, *names, *files], check=True, capture_output=True, timeout=60)
    return chain, key
