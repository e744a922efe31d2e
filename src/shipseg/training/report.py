"""What a run says at its end."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shipseg.config import Decision

__all__ = ["TrainingReport"]


@dataclass(frozen=True)
class TrainingReport:
    """How a run ended.

    Args:
        run: Its folder.
        model: The folder of its best weights with their card.
        epochs: Epochs trained, over all sittings.
        steps: Steps likewise.
        best_epoch: The epoch whose weights were kept, counted from 1.
        scores: Their scores on validation, at the resolution of training.
        decision: From probabilities to ships, chosen on validation at full resolution.
        hours: Hours of training and validation, over all sittings.
        stopped_early: Whether early stopping ended it.
        resumed_at_step: Where this sitting began; None for a new run.
        was_finished: Whether there was nothing left to do.
    """

    run: Path
    model: Path
    epochs: int
    steps: int
    best_epoch: int
    scores: dict[str, float]
    decision: Decision
    hours: float
    stopped_early: bool
    resumed_at_step: int | None
    was_finished: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the report as texts and numbers, for a command's summary."""
        return {**asdict(self), "run": str(self.run), "model": str(self.model), "decision": self.decision.model_dump()}
