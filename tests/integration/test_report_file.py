"""The report that a run writes, `output.report`: when, where, and what happens if it fails.

Most of these tests make a page of their own: the chart library is an extra.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import pytest

import asyncreport
from asyncreport import formats
from asyncreport.commands.report_page import page_maker
from asyncreport.commands.status import status_lines
from asyncreport.config import load_job
from asyncreport.core.errors import ConfigError, Interrupted, StoreError
from asyncreport.core.timeline import parse_iso
from asyncreport.export.erase import erase_user, find_user
from asyncreport.export.report_file import Page
from asyncreport.export.run import run_job
from asyncreport.export.run_context import Choices
from asyncreport.export.snapshot import Snapshot
from asyncreport.export.status import FileStatus, read_status
from asyncreport.export.summary import Summary
from asyncreport.export.verify import verify_job
from asyncreport.store.parts import PartReader
from tests.emulator_process import Handle, emulator_process
from tests.exporting import FAIL_SOON, NOW, call, rows, run_here, write_job

RANGE = {"start": "2024-01-30", "end": "2024-02-02", "granularity": "PT1H", "chunk": "P1D"}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=4, seed=3, requests_per_minute=0, tokens_per_minute=0) as handle:
        yield handle


@pytest.fixture(autouse=True)
def _chart_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the chart library for installed: most pages of this file do not use it."""
    monkeypatch.setattr(formats.Library, "is_installed", True)


def write(folder: Path, emulator: Handle, *, report: bool = True, **sections: Any) -> Path:
    output = {"path": str(folder / "out.jsonl")}
    if report:
        output["report"] = str(folder / "pages" / "out.html")
    return write_job(folder, emulator, **{"range": RANGE, "output": output, **sections})


@dataclass
class Pages:
    """Makes pages as a run asks for them, and counts them."""

    content: bytes = b"<!doctype html>1"
    digest: str = "1"
    error: Exception | None = None
    #: the files that existed, each time
    made: list[bool] = field(default_factory=list)

    def __call__(self, snapshot: Snapshot) -> Page:
        if self.error is not None:
            raise self.error
        self.output = Path(snapshot.job.output.paths[0])
        return Page(self.digest, self._render)

    def _render(self, _reader: PartReader, _: Event) -> bytes:
        self.made.append(self.output.exists())
        return self.content


def run(path: Path, pages: Pages, *, now: int = NOW, **choices: bool) -> Summary:
    job = load_job(path, environ={}, now=now)
    return asyncio.run(run_job(job, now=now, choices=Choices(**choices), make_page=pages))


def stored(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (folder / ".asyncreport" / "job" / "summary.json").read_text()
    )
    return found


def report_status(path: Path) -> FileStatus:
    return read_status(load_job(path, environ={}, now=NOW), now=NOW).files[-1]


def test_the_report_follows_the_output_files(emulator: Handle, tmp_path: Path) -> None:
    """A job that gets the key fetches nothing again, and its files are not touched."""
    run_here(write(tmp_path, emulator, report=False))
    before = (tmp_path / "out.jsonl").stat()
    path = write(tmp_path, emulator)
    pages = Pages()
    summary = run(path, pages, now=NOW + 1)
    assert summary.requests == summary.chunks_fetched == 0
    assert (tmp_path / "out.jsonl").stat() == before
    page = tmp_path / "pages" / "out.html"
    assert page.read_bytes() == pages.content
    assert pages.made == [True]
    expected = {"path": str(page), "written": True, "reason": None}
    assert stored(tmp_path)["report"] == expected
    lines = list(summary.lines(10))
    assert lines[0] == "job: nothing to fetch, 3 parts reused"
    assert f"  {page}" in lines


def test_a_report_is_made_again_only_if_it_would_differ(emulator: Handle, tmp_path: Path) -> None:
    path, pages = write(tmp_path, emulator), Pages()
    page = tmp_path / "pages" / "out.html"
    run(path, pages)
    summary = run(path, pages, now=NOW + 1)
    assert summary.report is not None
    assert (summary.report.written, summary.report.reason) == (False, None)
    assert next(summary.lines(10)) == "job: nothing to do, 3 parts reused"
    assert len(pages.made) == 1
    page.write_bytes(b"edited")
    run(path, pages)
    page.unlink()
    run(path, pages)
    assert page.read_bytes() == pages.content
    assert len(pages.made) == 3
    pages.digest, pages.content = "2", b"<!doctype html>2"
    run(path, pages)
    assert page.read_bytes() == pages.content


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (StoreError("the disk is full"), "the disk is full"),
        (ZeroDivisionError("division"), "internal error, ZeroDivisionError: division"),
    ],
)
def test_a_failed_report_does_not_spoil_an_export(
    emulator: Handle, tmp_path: Path, error: Exception, reason: str
) -> None:
    path = write(tmp_path, emulator)
    run(path, Pages())
    page = tmp_path / "pages" / "out.html"
    old = page.read_bytes()
    (tmp_path / "out.jsonl").unlink()
    summary = run(path, Pages(error=error))
    assert (summary.exit_code, summary.complete) == (0, True)
    assert (tmp_path / "out.jsonl").exists()
    assert page.read_bytes() == old
    warning = f"{page} was not written: {reason}; the output files are not affected"
    assert stored(tmp_path)["warnings"] == [warning]
    assert stored(tmp_path)["report"] == {"path": str(page), "written": False, "reason": reason}
    assert f"  {page} (not written)" in list(summary.lines(10))


def test_a_run_with_gaps_leaves_the_report_as_its_output_files(
    emulator: Handle, tmp_path: Path
) -> None:
    path = write(tmp_path, emulator, limits={**FAIL_SOON, "concurrency": 1})
    emulator.faults(
        [{"match": {"path": "analytics", "body": "2024-01-31T"}, "do": {"status": 503}}]
    )
    try:
        pages = Pages()
        summary = run(path, pages)
        assert not summary.complete
        assert pages.made == []
        assert stored(tmp_path)["report"]["written"] is False
        assert summary.warnings == []
        summary = run(path, pages, allow_partial=True)
    finally:
        emulator.faults([])
    assert summary.partial
    assert pages.made == [True]
    assert report_status(path).partial


def test_a_stopped_run_keeps_its_export(emulator: Handle, tmp_path: Path) -> None:
    """The summary was saved before the report was begun."""
    path = write(tmp_path, emulator)
    job = load_job(path, environ={}, now=NOW)

    async def stop() -> None:
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def render(_: PartReader, stopped: Event) -> bytes:
            loop.call_soon_threadsafe(begun.set)
            assert stopped.wait(60)
            raise Interrupted

        task = asyncio.create_task(run_job(job, now=NOW, make_page=lambda _: Page("1", render)))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(stop())
    assert stored(tmp_path)["complete"] is True
    assert stored(tmp_path)["report"] is None
    assert list((tmp_path / "pages").iterdir()) == [tmp_path / "pages" / ".asyncreport"]
    assert run(path, Pages()).report is not None


def test_two_jobs_do_not_write_one_report(emulator: Handle, tmp_path: Path) -> None:
    run(write(tmp_path, emulator), Pages())
    page = tmp_path / "pages" / "out.html"
    (tmp_path / "other").mkdir()
    output = {"path": str(tmp_path / "other" / "out.jsonl"), "report": str(page)}
    other = write(tmp_path / "other", emulator, name="other", output=output)
    with pytest.raises(ConfigError, match=r"out\.html is an output file of the job 'job'"):
        run(other, Pages())
    # Once the first job does not write it any more, another one may.
    said: list[str] = []
    job = load_job(write(tmp_path, emulator, report=False), environ={}, now=NOW)
    asyncio.run(run_job(job, now=NOW, say=said.append))
    assert said == [
        f"{page}: an earlier run wrote it; this job does not write it any more and leaves it "
        "unchanged"
    ]
    assert run(write(tmp_path / "other", emulator, name="other", output=output), Pages()).report


def test_status_and_verify_know_the_report(emulator: Handle, tmp_path: Path) -> None:
    path, pages = write(tmp_path, emulator), Pages()
    page = tmp_path / "pages" / "out.html"
    run_here(write(tmp_path, emulator, report=False))
    write(tmp_path, emulator)
    assert report_status(path).state == "not_written"
    run(path, pages)
    found = report_status(path)
    assert (found.path, found.state, found.records) == (str(page), "current", None)
    status = read_status(load_job(path, environ={}, now=NOW), now=NOW)
    (line,) = [line for line in status_lines(status, most=10) if line.startswith(str(page))]
    assert line == f"{page}: 16 bytes, written {found.written}"
    assert verified(path, page) == ["OK"]
    page.write_bytes(b"edited")
    assert report_status(path).state == "changed"
    assert verified(path, page) == ["WARN"]
    page.unlink()
    assert report_status(path).state == "deleted"
    assert verified(path, page) == ["WARN"]


def verified(path: Path, page: Path) -> list[str]:
    """Give the levels of what `verify` says about a file; the export itself is right."""
    found = asyncio.run(verify_job(load_job(path, environ={}, now=NOW), now=NOW))
    assert found.exit_code == 0
    return [each.level for each in found.findings if each.text.startswith(str(page))]


def test_a_missing_chart_library_is_named_before_any_request(
    emulator: Handle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats.Library, "is_installed", False)
    seen = len(emulator.log())
    with pytest.raises(
        ConfigError,
        match=r"output\.report: a report needs plotly: .* -m pip install 'asyncreport\[rep",
    ):
        run(write(tmp_path, emulator), Pages())
    assert len(emulator.log()) == seen


def test_a_folder_in_the_place_of_the_report_is_found_before_any_request(
    emulator: Handle, tmp_path: Path
) -> None:
    (tmp_path / "pages" / "out.html").mkdir(parents=True)
    seen = len(emulator.log())
    with pytest.raises(StoreError, match="is a folder or a device"):
        run(write(tmp_path, emulator), Pages())
    assert len(emulator.log()) == seen


def test_the_digest_changes_with_what_the_page_shows(emulator: Handle, tmp_path: Path) -> None:
    """Not with the time: a range that is settled is not made again every night."""
    path = write(tmp_path, emulator)
    run(path, Pages())

    def digest(*overrides: str, now: int = NOW) -> str:
        job = load_job(path, environ={}, overrides=overrides, now=now)
        return page_maker("asyncreport run")(Snapshot.read(job, now=now)).digest

    same = digest()
    assert digest(now=NOW + 86_400_000) == same
    assert digest("range.end=2024-02-01") != same
    assert digest("teams[0].name=everybody") != same
    run(write(tmp_path, emulator, filter={"media_types": ["voice"]}), Pages())
    assert digest() != same


def test_a_range_that_goes_on_has_another_page_after_each_run(
    emulator: Handle, tmp_path: Path
) -> None:
    """It says until when there is data, and from when on numbers may still change."""
    path, pages = write(tmp_path, emulator), Pages()
    digests = set()
    for hour in (1, 2):
        now = parse_iso("2024-01-31T10:00Z") + hour * 3_600_000
        run(path, pages, now=now)
        job = load_job(path, environ={}, now=now)
        digests.add(page_maker("asyncreport run")(Snapshot.read(job, now=now)).digest)
    assert len(digests) == 2


def test_an_erasure_deletes_a_report_that_names_the_person(
    emulator: Handle, tmp_path: Path
) -> None:
    """The next run makes it again; a page without the person stays."""
    path = write(tmp_path, emulator)
    page = tmp_path / "pages" / "out.html"
    run(path, Pages())
    user = rows(tmp_path / "out.jsonl")[0]["user_id"]
    job = load_job(path, environ={}, now=NOW)
    assert find_user(job, user, now=NOW).report is None
    named = Pages(content=f'{{"id":"{user}"}}'.encode(), digest="2")
    run(path, named)
    assert find_user(job, user, now=NOW).report == page
    assert page.exists()
    erased = asyncio.run(erase_user(job, user, now=NOW))
    assert (erased.report, erased.left) == (page, [])
    assert not page.exists()
    run(path, Pages(digest="3"))
    assert page.exists()


@pytest.mark.extra
def test_each_way_to_run_a_job_writes_the_page_of_the_command(
    emulator: Handle, tmp_path: Path
) -> None:
    """The page is the one that `report` makes; only its foot differs."""
    path = write(tmp_path, emulator)
    page = tmp_path / "pages" / "out.html"
    ended = call("run", path.name, cwd=tmp_path)
    assert ended.code == 0, ended.err
    by_run = data_of(page)
    page.unlink()
    summary = asyncreport.run(path)
    assert summary.report is not None
    assert summary.report.written
    by_python = data_of(page)
    call("report", path.name, "-o", "own.html", cwd=tmp_path)
    by_command = data_of(tmp_path / "own.html")
    assert [each.pop("origin")["command"] for each in (by_run, by_python, by_command)] == [
        "asyncreport run",
        "asyncreport.run",
        "asyncreport report job.yaml",
    ]
    assert by_run == by_python == by_command
    other = write(tmp_path, emulator, name="other", output={"path": str(tmp_path / "b.jsonl")})
    other = other.rename(tmp_path / "other.yaml")
    page.unlink()
    ended = call("run", write(tmp_path, emulator).name, other.name, cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert data_of(page)["scopes"] == by_run["scopes"]


@pytest.mark.extra
def test_the_shipped_job_writes_its_page(tmp_path: Path) -> None:
    """A week of it: each of its teams exists."""
    job = Path(__file__).parents[2] / "configs" / "report.yaml"
    ended = call("run", str(job), "--set", "range.end=2023-01-08", cwd=tmp_path)
    assert ended.code == 0, ended.err
    data = data_of(tmp_path / "exports" / "report.html")
    assert [scope["team"] for scope in data["scopes"]] == [None, "billing", "care", "sales"]
    assert all(scope["total"]["handled"] for scope in data["scopes"])


def data_of(page: Path) -> dict[str, Any]:
    text = page.read_text().partition('id="data"')[2].partition(">")[2]
    found: dict[str, Any] = json.JSONDecoder().raw_decode(text.lstrip())[0]
    return found
