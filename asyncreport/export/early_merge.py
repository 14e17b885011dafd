"""Write the first months of the output files while later months are still fetched.

A run that waits for the server's limit has time to spare; what it merges then need not be merged
after the last response. Owns the task that does it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from threading import Event

from asyncreport.core.errors import StoreError
from asyncreport.core.job import Chunk, Part
from asyncreport.core.plan import Plan, plan
from asyncreport.core.timeline import Interval
from asyncreport.engine.background import in_background
from asyncreport.export.names import RecordIds
from asyncreport.export.run_context import RunContext
from asyncreport.export.targets import targets, wanted_names
from asyncreport.store.disk_errors import free_bytes, oserror_as_store_error
from asyncreport.store.drafts import Drafts
from asyncreport.store.parts import PartReader
from asyncreport.store.target import Target
from asyncreport.store.threads import run_in_thread
from asyncreport.store.written_outputs import Outputs, merged_groups

#: records in complete months that are worth it: their merge takes some 0.1 s
LEAST_RECORDS = 100_000

#: bytes that must be free for each byte of parts that is merged: the parts of the other months must
#: still fit, and a run whose parts are all saved loses nothing if the output files do not fit
_FREE = 20

#: bytes of the indexes of a month: beside a pull, those of 10,000 users took 44 MB of memory
_MOST_INDEXES = 8 << 20


@dataclass(slots=True)
class EarlyMerge:
    """What writes drafts beside a pull."""

    context: RunContext
    plans: Mapping[str, Plan]
    drafts: Drafts
    #: the job's range in each month, in order of time
    _months: dict[str, Interval] = field(init=False)
    #: current parts by the connection's name and by month, in the order of their numbers
    _parts: dict[str, defaultdict[str, list[Part]]] = field(init=False)
    #: the last month of which the pull has saved a part
    _latest: str = ""
    #: the pull has saved records of an interval that no part covered: the output files will change
    _grown: bool = False
    #: set when a part was saved
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    #: held while drafts are written
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        """Note the parts that exist."""
        job = self.context.job
        self._months = {
            slot.month: Interval(
                max(slot.interval.start, job.interval.start),
                min(slot.interval.end, job.interval.end),
            )
            for slot in job.query.grid.slots(job.interval)
        }
        self._parts = {name: defaultdict(list) for name in self.plans}
        for name, parts in self.context.all_parts().items():
            for part in parts:
                self._parts[name][part.month].append(part)

    def saved(self, chunk: Chunk, part: Part) -> None:
        """Take in a part that the pull saved for a chunk."""
        month = self._parts[part.connection][part.month]
        if chunk.replaces:
            month[:] = [each for each in month if each.number not in chunk.replaces]
        month.append(part)
        self._latest = max(self._latest, part.month)
        self._grown = self._grown or (part.count > 0 and not chunk.replaces)
        self._changed.set()

    @asynccontextmanager
    async def beside(self) -> AsyncIterator[None]:
        """Write drafts until the block ends; what is being written then is finished."""
        async with in_background(self._run()) as task:
            yield
            # The merge would have to write it too. Nothing else is waited for: the merge looks up
            # the same names.
            async with self._writing:
                pass
        if not task.cancelled():
            # Only errors of the disk are left to the merge.
            task.result()

    async def _run(self) -> None:
        """Write one month after the other as soon as it is complete."""
        if wanted_names(self.context.job) or self.context.choices.refresh_names:
            # These names are known only after the pull.
            return
        ready: list[str] = []
        # The merge meets the same error, and reports it.
        with suppress(StoreError), self.context.files.reader() as reader:
            for month in self._months:
                await self._completed(month)
                ready.append(month)
                if self._count(ready) < LEAST_RECORDS:
                    continue
                if not self._has_room(ready) or not await self._names_are_known(ready, reader):
                    return
                await self._write(ready, reader)
                ready.clear()

    async def _completed(self, month: str) -> None:
        """Wait until nothing of a month is left to fetch."""
        while not self._is_complete(month):
            self._changed.clear()
            await self._changed.wait()

    def _is_complete(self, month: str) -> bool:
        """Tell whether the files will change, and nothing of a month is left to fetch."""
        # Chunks are fetched in order of time: as long as none of a later month is saved, this month
        # has more of them.
        return self._grown and self._latest > month and not self._left(month)

    def _left(self, month: str) -> list[Chunk]:
        """List what is left to fetch of a month."""
        found: list[Chunk] = []
        for name, earlier in self.plans.items():
            demand = replace(earlier.demand, interval=self._months[month])
            found += plan(demand, self._parts[name][month], self.context.freshness).chunks
        return found

    def _of(self, months: Sequence[str]) -> dict[str, list[Part]]:
        """List the parts of months, by the connection's name."""
        return {
            name: list(chain.from_iterable(by_month[month] for month in months))
            for name, by_month in self._parts.items()
        }

    def _count(self, months: Sequence[str]) -> int:
        """Count the records of months."""
        return sum(part.count for parts in self._of(months).values() for part in parts)

    def _has_room(self, months: Sequence[str]) -> bool:
        """Tell whether there is enough memory and space on the disk; raise StoreError."""
        for month in months:
            parts = chain.from_iterable(self._of([month]).values())
            if sum(part.size - part.index_at for part in parts) > _MOST_INDEXES:
                return False
        size = sum(part.size for parts in self._of(months).values() for part in parts)
        folder = self.context.job.parts_folder
        with oserror_as_store_error(folder, "read"):
            return free_bytes(folder) >= _FREE * size

    async def _names_are_known(self, months: Sequence[str], reader: PartReader) -> bool:
        """Look up the names of users and queues in months; False if some are still unknown."""
        for name, parts in self._of(months).items():
            ids = await run_in_thread(partial(self._ids, parts, reader))
            connection = self.context.job.connection(name)
            if not await self.context.names.look_up_early(connection, ids):
                return False
        return True

    def _ids(self, parts: Sequence[Part], reader: PartReader, _: Event) -> RecordIds:
        """Give what parts name by ids; raise StoreError."""
        return RecordIds.of(self.context.job, parts, reader)

    async def _write(self, months: Sequence[str], reader: PartReader) -> None:
        """Write months into the drafts."""
        async with self._writing:
            found = self._outdated()
            for month in months:
                of_month = [target for target in found if self.drafts.may_add(target, month)]
                # Not in the writing thread: what is fetched meanwhile must be saved at once.
                # This reads parts, which do not change, and writes files that nobody else knows.
                write = partial(self.drafts.add_month, of_month, month, reader)
                await run_in_thread(write)

    def _outdated(self) -> list[Target]:
        """List the files of records to merge: those that are not up to date."""
        outputs = Outputs(self.context.state.folder)
        all_parts = self._of([*self._months])
        found = targets(self.context.job, all_parts, self.context.names.tables)
        outdated = [
            target
            for target in found
            if target.form.rollup is None
            and (target.path in self.drafts or not outputs.is_current(target))
        ]
        return [group[0] for group in merged_groups(outdated)]
