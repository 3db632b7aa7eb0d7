"""Keeps the state file: has what was polled written to it now and then, and puts it back at the start.

What is served never waits for the file. Whatever goes wrong with it is said once, counted, and tried again.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from exporter.history.state import Batch, StateError, StateFile, set_aside
from exporter.polling.schedule import failed
from exporter.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exporter.config import State
    from exporter.history.changes import Change
    from exporter.history.remembered import Remembering
    from exporter.history.state import Lists
    from exporter.polling.poller import Poller
    from exporter.telemetry import Telemetry

log = logging.getLogger(__name__)

P = ParamSpec("P")
Result = TypeVar("Result")

WRITTEN_EVERY = 2.0
"""Seconds between two writes of what has changed: as much is lost at most where the process is killed."""
SEEN_EVERY = 15.0
"""Seconds between two writes where nothing has changed but when it was seen: disks wear."""
TRIED_EVERY = 10.0
"""Seconds between two tries while the file cannot be used."""
START_SECONDS = 2.0
"""Most seconds that a start waits for the file."""
STOP_SECONDS = 3.0
"""Most seconds that a stop does."""


class Keeper:
    """Keeps the state file that `state` names, with what `poller` has; `clock` gives the Unix time.

    Needs a running event loop.
    """

    def __init__(self, state: State, poller: Poller, telemetry: Telemetry, clock: Callable[[], float]) -> None:
        assert state.path  # noqa: S101 - without, nobody needs a keeper
        self._state = state
        self._poller = poller
        self._telemetry = telemetry
        self._clock = clock
        self._path = state.path
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.file: StateFile | None = None
        """What is written to now; None while there is nothing."""
        self._given_up = False
        self._taken = self._late = False
        self._tried, self._stopping = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._again_at = self._written_at = -math.inf
        self._said = ""
        self._noted: dict[Remembering, bool] = {}
        self._gone: set[str] = set()
        self._strangers: dict[str, float] = {}
        """When the lists in the file that nobody here has polled were last seen."""
        self._changes: deque[Change] = deque(maxlen=state.changes)
        telemetry.state_kept(good=False)
        poller.remember(self)
        poller.journal.recorded = self._record

    async def start(self) -> None:
        """Begin; put back what was remembered, unless that takes too long: then it is put back late."""
        # Not an executor's, for which the interpreter waits at its end: the disk may hang.
        Thread(target=_work_off, args=(self._jobs,), name="state", daemon=True).start()
        self._task = asyncio.create_task(self._keep())
        self._task.add_done_callback(failed)
        self._task.add_done_callback(lambda _task: self._jobs.put(None))
        tried = asyncio.create_task(self._tried.wait())
        await asyncio.wait({tried}, timeout=START_SECONDS)
        tried.cancel()
        self._late = not self._taken
        if not self._tried.is_set():
            log.warning("the state file %s is not open after %g s; in memory until it is", self._path, START_SECONDS)

    def configure(self, state: State) -> None:
        """Keep as much, and for as long, as another configuration of the same file says."""
        self._state = state
        self._given_up = False
        self._changes = deque(self._changes, state.changes)

    async def stop(self) -> None:
        """Write what is left, and end."""
        self._poller.remember(None)
        self._poller.journal.recorded = lambda _changes: None
        self._stopping.set()
        if self._task:
            await asyncio.wait({self._task}, timeout=STOP_SECONDS)

    def note(self, whose: Remembering, *, whole: bool) -> None:
        """Have a list written, or, unless `whole`, only when it was seen."""
        self._noted[whose] = whole or self._noted.get(whose, False)
        self._strangers.pop(whose.key, None)

    def forget(self, whose: Remembering) -> None:
        """Have nothing remembered of a list."""
        self._noted.pop(whose, None)
        # What lies in a file that is yet to be opened is another matter.
        if self.file:
            self._gone.add(whose.key)

    def _record(self, changes: Sequence[Change]) -> None:
        self._changes.extend(changes)

    async def _keep(self) -> None:
        await self._open()
        self._tried.set()
        while not await self._stopped(WRITTEN_EVERY):
            if self._time() >= self._again_at:
                if self.file is None and not self._given_up:
                    await self._open()
                await self._write()
        await self._write()
        if self.file:
            await self._in_thread(self.file.close)

    @staticmethod
    def _time() -> float:
        return asyncio.get_running_loop().time()

    async def _stopped(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _show(self) -> None:
        turns = Turns()
        for sid, poller in list(self._poller.properties.items()):
            if self._poller.properties.get(sid) is poller:
                poller.show()
                await turns.give()

    async def _open(self) -> None:
        # A second time where the first file was set aside.
        for _ in range(2):
            file = StateFile(self._path)
            try:
                lists = await self._in_thread(file.open)
                if self._stopping.is_set():
                    # It took so long that nobody waits for it any more.
                    await self._in_thread(file.close)
                    return
                self._take(lists)
                changes = await self._in_thread(file.changes, self._state.changes)
            except StateError as error:
                await self._in_thread(file.close)
                if not await self._set_aside(error):
                    return
            else:
                self._changes = deque(self._poller.journal.restore(changes), self._state.changes)
                self.file = file
                await self._show()
                return

    def _take(self, lists: Lists) -> None:
        """Recall the lists of those who have none; the others' are newer. Another exporter's are left alone.

        Newer ones are not compared with the file's: what was told since would be told again.
        """
        newer = [whose for whose in self._poller.runners() if whose.seen is not None]
        self._poller.recall(lists)
        self._strangers = {key: seen for key, (seen, _) in lists.items()}
        for whose in newer:
            self.note(whose, whole=True)
        if self._late:
            log.info("the state file %s was opened late: it is served where no poll was sooner", self._path)
            self._said = ""
        self._taken, self._late = True, False
        self._well()
        # Changes, of which there may be many, need not be waited for.
        self._tried.set()

    async def _set_aside(self, error: StateError) -> bool:
        """Set the file aside, where that is wanted and can be; else do without."""
        if not error.lasting or self._state.unusable == "ignore":
            self._given_up = error.lasting
            self._do_without(error, "; restart or reload when that is mended" if error.lasting else "")
            return False
        try:
            aside = await self._in_thread(set_aside, self._path, self._clock())
        except StateError as failure:
            self._do_without(error, f"; it cannot be set aside ({failure})")
            return False
        log.warning("the state file %s; it is set aside as %s, and a new one begun", error, aside)
        return True

    async def _write(self) -> None:
        idle = not (self._gone or self._changes or any(self._noted.values()))
        early = self._time() < self._written_at + SEEN_EVERY and not self._stopping.is_set()
        if self.file is None or (idle and (early or not self._noted)):
            return
        batch, noted = self._batch(), self._noted
        self._noted, self._gone = {}, set()
        self._changes = deque(maxlen=self._state.changes)
        try:
            await self._in_thread(self.file.write, batch)
        except StateError as error:
            for whose in self._poller.runners():
                if whose in noted:
                    self.note(whose, whole=noted[whose])
            self._gone |= batch.gone
            self._changes = deque([*batch.changes, *self._changes], self._state.changes)
            self._telemetry.state_write_failures.inc()
            await self._recover(error)
        else:
            self._written_at = self._time()
            self._well()

    def _batch(self) -> Batch:
        """Put together what is to be written: in one go, so that lists and changes go together."""
        oldest = self._clock() - self._state.keep_for
        for key in [key for key, seen in self._strangers.items() if seen < oldest]:
            del self._strangers[key]
            self._gone.add(key)
        batch = Batch(self._state.changes, oldest, self._gone, changes=list(self._changes))
        for whose, whole in self._noted.items():
            known, seen = whose.remembered() if whole else None, whose.seen
            if known:
                batch.lists.append((whose.key, known))
            elif whole:
                # There was no room to keep it; compared with an older one, changes would be told twice.
                batch.gone.add(whose.key)
            if seen is not None:
                batch.seen.append((whose.key, seen))
        return batch

    async def _recover(self, error: StateError) -> None:
        """Go on after a write that failed: with the same file, or where it is gone or damaged, without it."""
        if not (self.file and (error.lasting or error.gone)):
            self._do_without(error)
            return
        file, self.file = self.file, None
        await self._in_thread(file.close)
        if error.gone:
            log.warning("the state file %s", error)
        if error.gone or await self._set_aside(error):
            await self._open()

    def _tell(self, *, good: bool) -> None:
        # After the stop another file may be told of, or none.
        if not self._stopping.is_set():
            self._telemetry.state_kept(good=good)

    def _well(self) -> None:
        self._tell(good=True)
        if self._said:
            log.info("the state file is written again")
        self._said = ""

    def _do_without(self, error: StateError, more: str = "") -> None:
        self._tell(good=False)
        self._again_at = self._time() + TRIED_EVERY
        message = f"{error}{more}"
        if message != self._said:
            log.warning("the state file %s; going on in memory alone", message)
        self._said = message

    async def _in_thread(self, work: Callable[P, Result], *args: P.args, **more: P.kwargs) -> Result:
        """Run all that waits for the disk; raises `StateError` where it fails."""
        done: Future[Result] = Future()

        def job() -> None:
            if done.set_running_or_notify_cancel():
                try:
                    done.set_result(work(*args, **more))
                except BaseException as error:  # noqa: BLE001 - whoever waits is told
                    done.set_exception(error)

        self._jobs.put(job)
        try:
            return await asyncio.wrap_future(done)
        except StateError:
            raise
        except Exception as error:
            raise StateError(self._path, f"cannot be used: {error}") from error


def _work_off(jobs: SimpleQueue[Callable[[], None] | None]) -> None:
    for job in iter(jobs.get, None):
        job()
        # All lists may be in it, and the next may be long in coming.
        del job
