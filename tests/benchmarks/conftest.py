"""The programs in benchmarks/ are imported from the repository's root, as `python -m benchmarks.NAME` does."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
