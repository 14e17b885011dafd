"""Make the environment of the peers: `python -m tests.bench.peers`, from pip's package index.

Owns `.venv-peers`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
FOLDER = ROOT / ".venv-peers"


def main() -> None:
    """Make or complete the environment, and list its packages."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers", description=__doc__)
    parser.add_argument(
        "--python", type=Path, help="use this interpreter's environment instead of .venv-peers"
    )
    python = parser.parse_args().python
    if python is None:
        python = FOLDER / "bin" / "python"
        if not python.exists():
            venv.create(FOLDER, with_pip=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "install", "--quiet", "--requirement", str(HERE / "requirements.txt")], check=True
    )
    subprocess.run([*pip, "list"], check=True)
    sys.stdout.write(f"\nthe peers' interpreter: {python}\n")


if __name__ == "__main__":
    main()
