"""The clients that pull the load: asyncreport and its peers, each a command that writes JSONL.

Owns the folders that it gets.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.bench.load import START, Load, Server
from tests.exporting import connection, write_job

OURS = "asyncreport"
#: with chunks as long as it likes, so that its queries differ from those of the others
OURS_ALONE = f"{OURS}, its own chunk length"
PEERS = Path(__file__).parent / "peers"
#: requests a minute if the server has no limit
UNLIMITED = 30_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """One pull to make."""

    load: Load
    server: Server
    #: all files go there
    folder: Path
    days: int
    per_minute: int = UNLIMITED


@dataclass(frozen=True, slots=True)
class Side:
    """One client in a comparison."""

    name: str
    #: write the files that it needs into the pull's folder and return the command
    command: Callable[[Pull], list[str]]
    #: list the output files that exist
    output: Callable[[Path], list[Path]]
    #: sends the same queries as the others
    on_grid: bool = True
    #: the same client as another one, with other settings
    variant: bool = False


def sides(python: Path | None) -> list[Side]:
    """List the clients; `python` is the interpreter of the peers, None leaves them out."""
    ours = [
        Side(OURS, lambda pull: _ours(pull, {"chunk": "P1D"}), _one),
        Side(
            OURS_ALONE,
            lambda pull: _ours(pull, {}),
            _one,
            on_grid=False,
            variant=True,
        ),
    ]
    if python is None:
        return ours
    return [
        *ours,
        Side("aiohttp script", _peer(python, "gather"), _one),
        Side("requests loop", _peer(python, "loop"), _one),
        Side("vendor's SDK, 16 threads", _peer(python, "sdk", "default"), _one, variant=True),
        Side("vendor's SDK, 16 connections", _peer(python, "sdk", "wide"), _one, variant=True),
        Side("vendor's SDK, 16 connections, raw", _peer(python, "sdk", "raw"), _one),
        Side("dlt", _peer(python, "pipeline"), _many),
    ]


def environ(home: Path) -> dict[str, str]:
    """Return an environment that leads neither to the network nor to a user's home."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "HOME": str(home),
        "NO_PROXY": "*",
        "NO_COLOR": "1",
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }


def _ours(pull: Pull, chunk: dict[str, str]) -> list[str]:
    end = START + timedelta(days=pull.days)
    path = write_job(
        pull.folder,
        pull.server,
        connections={"default": connection(pull.server, requests_per_minute=pull.per_minute)},
        range={"start": START.isoformat(), "end": end.isoformat(), "granularity": "PT30M", **chunk},
        teams=[{"name": "all", "users": pull.load.users}],
    )
    return [sys.executable, "-m", "asyncreport", "run", str(path)]


def _peer(python: Path, script: str, option: str = "") -> Callable[[Pull], list[str]]:
    def command(pull: Pull) -> list[str]:
        asked: dict[str, Any] = pull.load.asked(
            pull.server,
            per_minute=pull.per_minute,
            option=option,
            out=str(pull.folder / "out.jsonl"),
        )
        path = pull.folder / "settings.json"
        path.write_text(json.dumps({**asked, "days": pull.days}))
        return [str(python.absolute()), str(PEERS / f"{script}.py"), str(path)]

    return command


def _one(folder: Path) -> list[Path]:
    return [path for path in [folder / "out.jsonl"] if path.is_file()]


def _many(folder: Path) -> list[Path]:
    return sorted((folder / "out.jsonl" / "aht" / "aht").glob("*.jsonl"))
