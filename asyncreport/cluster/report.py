"""What a task tells the client while it runs. Owns nothing: Dask sends the messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from asyncreport.cluster.work import Message, Packed
from asyncreport.engine.activity import Activity
from asyncreport.engine.background import in_background

#: seconds between two messages about the progress
_PERIOD = 1.0


class Report:
    """Sends messages of one task."""

    def __init__(self, task: Packed, log_event: Callable[[str, Any], None]) -> None:
        self._label = task.label
        self._topic = task.topic
        self._log_event = log_event
        #: what was said already: a run that waits for its lock begins again and again
        self._said: set[str] = set()
        self._send(Message(label=self._label))

    def _send(self, message: Message) -> None:
        """Send a message."""
        self._log_event(self._topic, msgspec.to_builtins(message))

    def say(self, line: str) -> None:
        """Send a line for people, once."""
        if line not in self._said:
            self._said.add(line)
            self._send(Message(label=self._label, line=line))

    def wait_for(self, fact: str) -> None:
        """Say what the task waits for; again only if it is something else."""
        line = ""
        if fact not in self._said:
            self._said.add(fact)
            line = f"waiting: {fact}"
        self._send(Message(label=self._label, line=line, waiting=True))

    def end(self) -> None:
        """Say that the task has ended; nothing of it runs any more."""
        self._send(Message(label=self._label, ended=True))

    @asynccontextmanager
    async def watching(self, activity: Activity) -> AsyncIterator[None]:
        """Send the progress of a run while the body runs."""
        try:
            async with in_background(self._send_progress(activity)):
                yield
        finally:
            # The last figures stay on the terminal.
            self._send(_progress(self._label, activity))

    async def _send_progress(self, activity: Activity) -> None:
        """Send the progress until the task is cancelled."""
        while True:
            await asyncio.sleep(_PERIOD)
            self._send(_progress(self._label, activity))


def _progress(label: str, activity: Activity) -> Message:
    """Count what a run has done."""
    progress = activity.progress
    return Message(
        label=label,
        chunks=progress.chunks,
        finished=progress.finished,
        failed=len(progress.gaps),
    )
