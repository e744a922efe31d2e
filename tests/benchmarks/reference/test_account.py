"""The code blocks of docs/reference.md print the output in their comments."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[3] / "docs" / "reference.md"


def expected_output(block: str) -> list[str]:
    """Return the expected output of a block: comments after print calls, and lines that are comments."""
    found = []
    for line in block.splitlines():
        if line.startswith("# "):
            found.append(line[2:])
        elif line.startswith("print("):
            found += re.findall(r"  # (.*)$", line)
    return found


def test_every_code_block_prints_the_output_in_its_comments() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 9
    names: dict[str, Any] = {}
    for block in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, str(PAGE), "exec"), names)
        assert expected_output(block)
        assert printed.getvalue().splitlines() == expected_output(block)
