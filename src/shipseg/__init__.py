"""shipseg finds ships in optical satellite images."""

from __future__ import annotations

__version__ = "0.1.0"
