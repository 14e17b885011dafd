"""The table of `query`, and the total under it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from asyncreport.config.zones import load_zone
from asyncreport.terminal.table import interval, print_names, read, table, total


def record(**fields: Any) -> dict[str, Any]:
    return {
        "team": "users",
        "user_id": "u-1",
        "user_name": "Anna",
        "interval_start": "2024-01-01T10:00:00.000Z",
        "interval_end": "2024-01-01T11:00:00.000Z",
        "handled_count": 3,
        "total_talk_time_sec": 90.0,
        "total_handle_time_sec": 100.0,
        "avg_handle_time_sec": 33.33,
        **fields,
    }


def lines(*records: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in records)


def drawn(
    *records: dict[str, Any], zone: str = "UTC", teams: bool = False, routing: bool = False
) -> list[str]:
    """Draw a table; give its rows, the heading first, with `|` between the cells."""
    console = Console(file=io.StringIO(), width=200)
    console.print(table(read(lines(*records)), zone=load_zone(zone), teams=teams, routing=routing))
    assert isinstance(console.file, io.StringIO)
    rows = [line.strip("┃│ ") for line in console.file.getvalue().splitlines() if line[0] in "┃│"]
    return ["|".join(cell.strip() for cell in row.replace("┃", "│").split("│")) for row in rows]


def test_a_row_is_user_interval_handled_and_aht() -> None:
    assert drawn(record(handled_count=1200, avg_handle_time_sec=1033.5)) == [
        "user|interval (UTC)|handled|AHT (s)",
        "Anna|2024-01-01 10:00 – 11:00|1,200|1,033.50",
    ]


def test_team_and_occupancy_are_optional_columns() -> None:
    assert drawn(record(occupancy=0.81234), teams=True, routing=True) == [
        "team|user|interval (UTC)|handled|AHT (s)|occupancy",
        "users|Anna|2024-01-01 10:00 – 11:00|3|33.33|81.23%",
    ]


def test_a_missing_value_is_a_dash_and_a_missing_name_is_the_id() -> None:
    odd = record(user_name=None, handled_count=0, avg_handle_time_sec=None, occupancy=None)
    nobody = record(user_id=None, user_name=None, occupancy=0.0)
    assert drawn(odd, nobody, routing=True)[1:] == [
        "u-1|2024-01-01 10:00 – 11:00|0|–|–",
        "no user|2024-01-01 10:00 – 11:00|3|33.33|0.00%",
    ]


def test_a_name_is_shown_as_it_is_and_cannot_move_the_cursor() -> None:
    assert drawn(record(user_name="[red]An\x1b[2Jna[/red]"))[1].startswith("[red]An [2Jna[/red]|")


@pytest.mark.parametrize(
    ("start", "end", "zone", "text"),
    [
        (
            "2024-07-01T09:00:00.000Z",
            "2024-07-01T09:30:00.000Z",
            "Europe/Dublin",
            "2024-07-01 10:00 – 10:30",
        ),
        (
            "2024-07-01T22:30:00.000Z",
            "2024-07-01T23:00:00.000Z",
            "Europe/Dublin",
            "2024-07-01 23:30 – 2024-07-02 00:00",
        ),
        (
            "2024-06-30T23:00:00.000Z",
            "2024-07-01T23:00:00.000Z",
            "Europe/Dublin",
            "2024-07-01 – 2024-07-02",
        ),
        ("2024-01-01T00:00:00.000Z", "2024-02-01T00:00:00.000Z", "UTC", "2024-01-01 – 2024-02-01"),
    ],
)
def test_an_interval_is_in_local_time(start: str, end: str, zone: str, text: str) -> None:
    assert interval(start, end, load_zone(zone)) == text


def test_the_total_aht_is_the_ratio_of_sums() -> None:
    rows = read(
        lines(
            record(),
            record(
                user_id="u-2",
                handled_count=1,
                total_handle_time_sec=300.5,
                avg_handle_time_sec=300.5,
            ),
        )
    )
    assert total(rows, routing=False) == "2 users, 4 handled, AHT 100.13 s"


def test_a_user_in_two_teams_counts_once() -> None:
    rows = read(
        lines(record(), record(team="other"), record(interval_start="2024-01-01T11:00:00.000Z"))
    )
    assert total(rows, routing=False) == "1 user, 6 handled, AHT 33.33 s"


def test_the_total_of_nothing_handled_has_no_aht() -> None:
    row = record(user_id=None, handled_count=0, total_handle_time_sec=0.0, avg_handle_time_sec=None)
    assert total(read(lines(row)), routing=True) == "0 users, 0 handled, AHT – s, occupancy –"


def test_the_total_occupancy_is_the_ratio_of_sums() -> None:
    one = record(interacting_sec=60.0, communicating_sec=0.0, idle_sec=60.0)
    other = record(user_id="u-2", interacting_sec=30.0, communicating_sec=30.0, idle_sec=120.0)
    unknown = record(user_id="u-3", interacting_sec=None, communicating_sec=None, idle_sec=None)
    assert total(read(lines(one, other, unknown)), routing=True).endswith(", occupancy 30.00%")


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_an_id_of_a_list_stays_in_one_piece(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    user = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
    address = "a.very.long.address@a.long.name.of.a.company.example"
    row = {"name": "[b]Ada[/b]", "id": user, "email": address, "members": 5, "division": None}
    print_names([row])
    text = capsys.readouterr().out
    assert user in text
    assert "None" not in text
    assert max(map(len, text.splitlines())) <= columns


def test_nothing_of_a_list_is_cut_off_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    print_names([{"id": "0123456789" * 4}])
    assert "".join(capsys.readouterr().out.split()) == "id" + "0123456789" * 4
