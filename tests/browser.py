"""A page in a real browser, and all that it did there. Owns the browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")

#: runs before the page: what its policy refuses is not always in the console
_LISTEN = """
window.violations = [];
document.addEventListener("securitypolicyviolation",
  (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


@contextmanager
def chromium() -> Iterator[Any]:
    """Start Chromium; skip the test without it, or without Playwright."""
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: the extra test-all")
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with api.sync_playwright() as driver:
        # Its own sandbox needs a user other than root.
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Opened:
    """An open page."""

    page: Any
    #: messages of the console, uncaught errors, dialogs
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        """List all that should not have happened."""
        violations = self.page.evaluate("window.violations")
        more = [url for url in self.requests[1:] if not url.startswith("data:")]
        return [*self.messages, *violations, *more]

    def data(self) -> dict[str, Any]:
        """Read what the page is made from."""
        found = self.page.evaluate("JSON.parse(document.getElementById('data').textContent)")
        assert isinstance(found, dict)
        return found

    def open_table(self, section: str) -> None:
        """Open the table under the chart of a section, a selector."""
        self.page.click(f"{section} summary")
        self.page.wait_for_selector(f"{section} details table")

    def table(self, section: str) -> list[dict[str, str | float]]:
        """Read the last table of a section: numbers as they were before they were written."""
        rows = self.page.evaluate(_TABLE, f"#{section} table")
        assert isinstance(rows, list)
        return rows

    def accessibility(self) -> list[str]:
        """List what axe-core finds wrong."""
        self.page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8"))
        found = self.page.evaluate("axe.run()")
        return [
            f"{rule['id']}: {node['html'][:200]}"
            for rule in found["violations"]
            for node in rule["nodes"]
        ]


_TABLE = """
(selector) => {
  const table = [...document.querySelectorAll(selector)].at(-1);
  const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const read = (cell) => {
    const number = cell.querySelector("data");
    return number ? Number(number.value) : cell.firstChild.textContent;
  };
  return [...table.tBodies[0].rows].map((row) =>
    Object.fromEntries([...row.cells].map((cell, place) => [names[place], read(cell)])));
}
"""


@contextmanager
def opened(
    browser: Any, path: Path, *, width: int = 1400, scheme: str = "light"
) -> Iterator[Opened]:
    """Open a file, and wait until its charts are drawn."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, locale="en-GB"
    )
    context.add_init_script(_LISTEN)
    found = Opened(context.new_page())
    found.page.on("console", lambda message: found.messages.append(message.text))
    found.page.on("pageerror", lambda error: found.messages.append(str(error)))
    found.page.on("request", lambda request: found.requests.append(request.url))
    found.page.on("dialog", lambda dialog: found.messages.append(f"dialog {dialog.message}"))
    found.page.goto(path.absolute().as_uri())
    found.page.wait_for_selector("html[data-drawn]")
    try:
        yield found
    finally:
        context.close()
