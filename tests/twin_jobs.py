"""The same job twice: with its files on disk, and in a bucket."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncreport.commands.report_page import page_maker
from asyncreport.config import load_job
from asyncreport.core.job import Job
from asyncreport.export.run import run_job
from asyncreport.export.run_context import Choices
from asyncreport.export.summary import Summary
from asyncreport.store.objects.bucket import Bucket
from tests.exporting import NOW, restate
from tests.manifests import sealed
from tests.object_servers import Storage

#: stands in a job for the folder or the bucket
ROOT = "ROOT"

#: files with another form in a bucket, and those that say how long something took
_OTHER = ("manifest.jsonl", "outputs.json", "owners.json", "summary.json")


@dataclass
class Twins:
    """A job, and where it runs twice."""

    folder: Path
    storage: Storage
    bucket: Bucket
    job: dict[str, Any]
    #: called before each work
    before: Callable[[], None] = lambda: None

    def path(self, root: str) -> Path:
        """Write the job file of one of the two."""
        text = json.dumps(self.job).replace(ROOT, root)
        path = self.folder / f"{hashlib.sha256(root.encode()).hexdigest()[:8]}.yaml"
        path.write_text(text)
        return path

    @property
    def roots(self) -> tuple[str, str]:
        return str(self.folder / "disk"), f"s3://{self.bucket.name}"

    def jobs(self, *overrides: str, now: int = NOW) -> list[Job]:
        """Load both jobs."""
        return [
            load_job(self.path(root), environ=self.storage.environ, overrides=overrides, now=now)
            for root in self.roots
        ]

    def each(self, work: Callable[[Job], Awaitable[Any]], *overrides: str, now: int = NOW) -> None:
        """Do the same with both, and compare all files."""
        for job in self.jobs(*overrides, now=now):
            self.before()
            asyncio.run(_awaited(work(job)))
        self.compare()

    def run(self, *overrides: str, now: int = NOW, **choices: Any) -> list[Summary]:
        """Run both, and compare all files."""
        made: list[Summary] = []

        async def work(job: Job) -> None:
            page = page_maker("asyncreport run")
            made.append(await run_job(job, now=now, choices=Choices(**choices), make_page=page))

        self.each(work, *overrides, now=now)
        return made

    def objects(self) -> dict[str, bytes]:
        """Read all objects."""
        found = {}
        for each in self.bucket.list_all(""):
            content = self.bucket.read(each.key)
            assert content is not None
            found[each.key] = content.data
        return found

    def compare(self) -> None:
        """Compare the files and what is in the state folders."""
        disk, root = self.roots
        objects = self.objects()
        on_disk = {
            path.relative_to(disk).as_posix(): path.read_bytes()
            for path in Path(disk).rglob("*")
            if path.is_file() and not path.name.endswith(("lock.json", "lock"))
        }
        for name, data in on_disk.items():
            if not name.endswith(_OTHER):
                key = name
                if "/part-" in name:
                    sha = hashlib.sha256(data).hexdigest()[:16]
                    key = name.replace(".jsonl", f"-{sha}.jsonl")
                assert objects[key].replace(root.encode(), disk.encode()) == data, name
        keys = {re.sub(r"(part-\d+)-[0-9a-f]{16}", r"\1", key) for key in objects}
        extra = keys - set(on_disk)
        assert all(
            "/manifest/" in key or key.endswith(("lease.json", "uploads.json")) for key in extra
        ), extra

    def restate(self, state: str, start: str) -> None:
        """Change a value in the parts that begin at an instant, in both."""
        disk, _ = self.roots
        restate(Path(disk) / state, start)
        for key, data in self.objects().items():
            if key.startswith(f"{state}/manifest/"):
                head, *lines = data.splitlines(keepends=True)
                changed = b"".join(self._restated(state, start, line) for line in lines)
                self.bucket.write(key, head + changed)

    def _restated(self, state: str, start: str, line: bytes) -> bytes:
        content = json.loads(line)
        if not content.get("interval", "").startswith(start):
            return line
        name = f"part-{content['part']:08}"
        new = (Path(self.roots[0]) / state / f"{name}.jsonl").read_bytes()
        sha = hashlib.sha256(new).hexdigest()
        self.bucket.delete([f"{state}/{name}-{content['sha256'][:16]}.jsonl"])
        self.bucket.write(f"{state}/{name}-{sha[:16]}.jsonl", new)
        return sealed({**content, "sha256": sha})


async def _awaited(work: Awaitable[Any]) -> None:
    await work
