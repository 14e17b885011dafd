"""What the tasks of a cluster are doing, for the display of the client. Owns nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from asyncreport.cluster.work import Message
from asyncreport.core.text import counted
from asyncreport.terminal.progress_lines import Line
from asyncreport.terminal.stderr import say


@dataclass(slots=True)
class Board:
    """The tasks of one command, as their messages describe them."""

    #: of the command
    name: str
    #: connections
    total: int
    #: what the client waits for before the first task; empty once there is one
    phase: str = "starting the cluster"
    done: int = 0
    #: the last message of each task that runs, by its label
    running: dict[str, Message] = field(default_factory=dict)
    #: set at each end of a task
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    #: the last message of each task that has ended
    _ended: list[Message] = field(default_factory=list)

    def take(self, event: tuple[float, Any]) -> None:
        """Take a message of a task, and print its line."""
        message = msgspec.convert(event[1], Message)
        if message.line:
            say(f"{message.label}: {message.line}")
        if message.ended:
            self._end(message.label)
        else:
            self.phase = ""
            self.running[message.label] = self._latest(message)

    def _latest(self, message: Message) -> Message:
        """Give the newest counts of a task: a line for people has none."""
        if message.line and not message.waiting:
            return self.running.get(message.label, message)
        return message

    def _end(self, label: str) -> None:
        """Note that a task does not run any more."""
        last = self.running.pop(label, None)
        if last is not None:
            self._ended.append(last)
        self._changed.set()

    def finish(self, label: str) -> None:
        """Note the result of a task, also if its last message was lost with its worker."""
        self.done += 1
        self._end(label)

    async def until_idle(self) -> None:
        """Return when no task runs."""
        while self.running:
            self._changed.clear()
            await self._changed.wait()

    def follow(self, now: float) -> None:
        """Note nothing: the messages of the tasks say all."""

    def lines(self, _: float) -> list[Line]:
        """Describe what the cluster is doing in one line."""
        share = self.done / max(self.total, 1)
        return [Line(self.name, tuple(self._figures()), share, self._facts())]

    def last_lines(self, now: float) -> list[Line]:
        """Describe what it has done."""
        return self.lines(now)

    def _figures(self) -> Iterator[str]:
        """Write the figures, most important first."""
        yield f"{self.done:,}/{counted(self.total, 'connection')}"
        if self.phase:
            yield self.phase
        else:
            yield from self._task_figures()

    def _task_figures(self) -> Iterator[str]:
        """Write what the tasks do, and what they have done."""
        yield from _if_any(len(self.running), "running")
        yield from _if_any(self._waiting, "waiting")
        chunks = self._chunks
        yield f"{chunks.finished:,}/{counted(chunks.total, 'chunk')}"
        yield from _if_any(chunks.failed, "failed")

    def _facts(self) -> dict[str, object]:
        """Give the same for a log collector."""
        chunks = self._chunks
        return {
            "connections": self.total,
            "connections_done": self.done,
            "connections_running": len(self.running),
            "connections_waiting": self._waiting,
            "chunks": chunks.total,
            "chunks_done": chunks.finished,
            "chunks_failed": chunks.failed,
        }

    @property
    def _waiting(self) -> int:
        """Count the tasks that wait for another process."""
        return sum(message.waiting for message in self.running.values())

    @property
    def _chunks(self) -> _Chunks:
        """Add up the chunks of all tasks, also of those that have ended."""
        messages = [*self._ended, *self.running.values()]
        return _Chunks(
            total=sum(message.chunks for message in messages),
            finished=sum(message.finished for message in messages),
            failed=sum(message.failed for message in messages),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chunks:
    """How many chunks there are, and what became of them."""

    total: int
    finished: int
    failed: int


def _if_any(number: int, word: str) -> Iterator[str]:
    """Write a number, unless it is zero."""
    if number:
        yield f"{number:,} {word}"
