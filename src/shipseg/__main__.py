"""`python -m shipseg` is the command `shipseg`."""

from __future__ import annotations

from shipseg.cli import main

if __name__ == "__main__":
    main()
