"""What a trial comes to, as it stands in its result.json."""

from __future__ import annotations

from typing import Any

from shipseg.data.prepared import PreparedDataset
from shipseg.studies.spec import METRICS
from shipseg.studies.trials import Trial

__all__ = ["SCORE_COLUMNS", "SIZES", "empty_share", "failure", "scored_split"]

SIZES = ("<100", "100-1000", ">=1000")
"""Areas of ships in pixels that recall is given by; as in `shipseg.evaluation.scores.SIZE_BINS`."""
SCORE_COLUMNS = (*METRICS, *(f"recall {size}" for size in SIZES))
"""Scores that a result holds."""


def failure(trial: Trial, reason: str) -> dict[str, Any]:
    """Return the result of a trial that failed."""
    return {"variant": trial.variant, "seed": trial.seed, "failed": " ".join(reason.split())}


def scored_split(data: PreparedDataset) -> str:
    """Return the split that trials are scored on: test where there is one, else val."""
    return "val" if data.rows("test").empty else "test"


def empty_share(data: PreparedDataset) -> float:
    """Return the share of the images without a ship in that split."""
    return float((data.rows(scored_split(data))["Ships"] == 0).mean())
