"""docs/reference.md: its code prints what it says."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[3] / "docs" / "reference.md"


def promised(block: str) -> list[str]:
    """Return what a block says that it prints: the comments behind prints, and lines that are comments."""
    found = []
    for line in block.splitlines():
        if line.startswith("# "):
            found.append(line[2:])
        elif line.startswith("print("):
            found += re.findall(r"  # (.*)$", line)
    return found


def test_every_block_of_the_account_prints_what_stands_behind_it() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 9
    names: dict[str, Any] = {}
    for block in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, str(PAGE), "exec"), names)
        assert promised(block)
        assert printed.getvalue().splitlines() == promised(block)
