"""Look up many names: a hundred in a request, several requests at once, kept as they come.

Owns its tasks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from asyncreport.api.directory import IDS_PER_REQUEST
from asyncreport.core.errors import AuthError, RejectedError, RetriesExhausted
from asyncreport.core.job import batches

#: requests for names that are under way at the same time
AT_ONCE = 16

#: by id; None: the directory does not know the id
Found = dict[str, str | None]
#: looks up at most `IDS_PER_REQUEST` ids; raises AuthError, RejectedError or RetriesExhausted
LookUp = Callable[[Sequence[str]], Awaitable[Found]]
#: writes names to the disk; raises StoreError
Keep = Callable[[Found], None]


class NameBatches:
    """The batches of one look-up: those that wait, and what came of the others."""

    def __init__(self, ids: Sequence[str], look_up: LookUp, keep: Keep) -> None:
        self._waiting = deque(batches(ids, IDS_PER_REQUEST))
        self._look_up = look_up
        self._keep = keep
        self._unsaved: Found = {}
        self._saved = 0
        #: ids that could not be looked up
        self.missing = 0
        #: the first error, if there was one
        self.error: AuthError | RejectedError | RetriesExhausted | None = None

    async def run(self) -> None:
        """Look up all batches; raise StoreError. Also after an error or a stop, what came is kept.

        A batch that is refused costs only its own names.
        """
        try:
            # Alone: it shows whether a client is refused, and that is reported once.
            await self._work(most=1)
            await self._run_workers()
        finally:
            self._save()

    async def _run_workers(self) -> None:
        """Let several workers share the batches; raise the first error of one of them."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(AT_ONCE, len(self._waiting))):
                    group.create_task(self._work())
        except BaseExceptionGroup as errors:
            error = errors.exceptions[0]
            raise error from error.__cause__

    async def _work(self, *, most: int | None = None) -> None:
        """Look up one batch after another until none waits, or until there were `most`."""
        done = 0
        while self._waiting and done != most:
            await self._take(self._waiting.popleft())
            done += 1

    async def _take(self, batch: Sequence[str]) -> None:
        """Look up one batch."""
        try:
            found = await self._look_up(batch)
        except RejectedError as error:
            self._fail(batch, error)
        except (AuthError, RetriesExhausted) as error:
            # The other batches would end in the same way, each after its own attempts.
            self._fail(batch, error)
            while self._waiting:
                self._fail(self._waiting.popleft(), error)
        else:
            self._unsaved.update(found)
            self._save_in_time()

    def _fail(
        self,
        batch: Sequence[str],
        error: AuthError | RejectedError | RetriesExhausted,
    ) -> None:
        """Count the names of a batch as missing; the first error is the one to report."""
        self.missing += len(batch)
        self.error = self.error or error

    def _save_in_time(self) -> None:
        """Write the new names, unless there are few of them next to those that were written.

        The whole file is written each time: after each batch, 100,000 names would take minutes.
        """
        if len(self._unsaved) * AT_ONCE >= self._saved:
            self._save()

    def _save(self) -> None:
        """Write the new names, if there are any."""
        if self._unsaved:
            self._keep(self._unsaved)
            self._saved += len(self._unsaved)
            self._unsaved = {}
