"""`python -m asyncreport`: the command line."""

from __future__ import annotations

from asyncreport.cli import main

if __name__ == "__main__":
    main()
