"""What a run is doing at this moment, for whoever listens: the resume trial aims its kills by it."""

from __future__ import annotations

import logging
from typing import Literal

__all__ = ["STAGES", "Stage", "note_stage"]

Stage = Literal["training", "validating", "checkpoint", "model", "choosing", "on"]
"""`checkpoint` and `model` last until `on`, when the file or folder is whole."""

STAGES = logging.getLogger("shipseg.training.stages")
"""Gets a DEBUG record `STAGE STEP` at the start of each stage; silent unless its level is set."""
STAGES.setLevel(logging.INFO)


def note_stage(stage: Stage, *, step: int) -> None:
    """Say that a stage begins, `step` steps after the start of the run."""
    STAGES.debug("%s %d", stage, step)
