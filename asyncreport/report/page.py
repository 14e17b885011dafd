"""Make one self-contained HTML file out of the data of a report. Reads files of packages only."""

from __future__ import annotations

import html
import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from hashlib import sha256
from importlib.resources import files

import msgspec

from asyncreport.formats import PLOTLY
from asyncreport.report.facts import Facts
from asyncreport.report.model import PageData

#: scripts of this package, in the order in which they run
_SCRIPTS = ("words.js", "tables.js", "charts.js", "page.js")

#: nothing may be fetched, and no script may run but these; Plotly sets styles of elements, and
#: draws a heat map as a data image
_POLICY = (
    "default-src 'none'; script-src {}; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)


def render(data: PageData) -> bytes:
    """Write the page of a report; the package plotly must be installed."""
    parts = _parts(data, [_plotly(), *map(_file, _SCRIPTS)])
    # In one pass: a name that looks like a placeholder stays as it is.
    page = re.sub(r"@([a-z]+)@", lambda found: parts[found[1]], _file("page.html"))
    return page.encode()


def _parts(data: PageData, scripts: Sequence[str]) -> dict[str, str]:
    """Give what takes the place of each placeholder."""
    return {
        "policy": _POLICY.format(" ".join(map(_source, scripts))),
        "title": html.escape(data.title),
        "heading": html.escape(data.team or data.job),
        "style": _file("page.css"),
        "data": embedded(msgspec.json.encode(data)),
        "scripts": _tags(scripts),
    }


def digest(facts: Facts) -> str:
    """Digest all that the page shows, except its foot: when it was made, and by which run."""
    made_of = [PLOTLY.version, *_own_files(), *facts.shown]
    return sha256(msgspec.json.encode(made_of)).hexdigest()


def _own_files() -> Iterator[str]:
    """Read the files that a page is made of: two versions may have one number."""
    return map(_file, ("page.html", "page.css", *_SCRIPTS))


def embedded(data: bytes) -> str:
    """Escape JSON for a script element: no name can end the element or begin a comment."""
    return data.decode().replace("<", "\\u003c")


def _file(name: str) -> str:
    """Read a file of this package."""
    return files("asyncreport.report").joinpath(name).read_text("utf-8")


def _plotly() -> str:
    """Read the script of the chart library."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def _source(script: str) -> str:
    """Write the source of a script for the policy: its hash."""
    digest = b64encode(sha256(script.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _tags(scripts: Sequence[str]) -> str:
    """Write the elements of scripts."""
    return "\n".join(f"<script>{script}</script>" for script in scripts)
