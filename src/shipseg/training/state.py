"""The state of a run as plain data; with the tensors, it is all that a resume needs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from shipseg.config import PhaseConfig, Recipe, TrainConfig
from shipseg.training.history import EpochRow
from shipseg.training.schedules import Moment, Plateau, learning_rate

__all__ = ["Best", "RunState", "Scores"]


@dataclass(frozen=True)
class Scores:
    """Scores of a network on the whole validation split.

    Args:
        loss: Mean loss of the batches, weighted by their numbers of images.
        pooled_dice: Dice over all pixels of the split, at `threshold`.
        pooled_iou: IoU over all pixels, at the threshold that maximises it.
        pooled_dice_at_half: Dice over all pixels at threshold 0.5.
        pooled_iou_at_half: IoU over all pixels at threshold 0.5.
        image_dice: Mean Dice of the images with ships, at threshold 0.5; 0 if there are none.
        threshold: The threshold with the highest pooled Dice.
    """

    loss: float
    pooled_dice: float
    pooled_iou: float
    pooled_dice_at_half: float
    pooled_iou_at_half: float
    image_dice: float
    threshold: float


@dataclass(frozen=True)
class Best:
    """The best validation so far; its weights are stored with the tensors."""

    epoch: int
    """Counted from 1."""
    step: int
    """Steps taken by then."""
    scores: Scores


@dataclass
class RunState:
    """A run's position and running sums; equal in every process.

    Args:
        recipe: The recipe that the run was started with.
        phases: Phases of the run: the recipe's, and those that were appended.
        steps_per_epoch: Number of steps of an epoch; fixed by recipe and dataset.
        dataset: Fingerprint of the dataset.
        world_size: Number of processes.
        environment: Versions, threads and device, which must be equal for a bit-for-bit equal result.
    """

    recipe: Recipe
    phases: tuple[PhaseConfig, ...]
    steps_per_epoch: int
    dataset: str
    world_size: int
    environment: dict[str, str]
    started_from: dict[str, Any] = field(default_factory=dict)
    """Name, weights file, data and date of the model that the run started from; empty for random weights."""
    rules_before: dict[str, Any] = field(default_factory=dict)
    """The fields of that model's card that make up its decision rule; empty for random weights."""
    appended: int = 0
    """Number of appended phases."""
    step: int = 0
    """Steps taken; determines the sampler and every random number."""
    loss_sum: float = 0.0
    """Sum of the losses of this epoch's steps so far."""
    train_seconds: float = 0.0
    """Seconds of training in this epoch so far; differs between equal runs."""
    history: list[EpochRow] = field(default_factory=list)
    """One row for each finished epoch."""
    best: Best | None = None
    plateau: Plateau = field(default_factory=Plateau)
    waited: int = 0
    """Validations since the best one."""
    stopped_early: bool = False
    finished: bool = False
    """Whether the model with its threshold is written."""

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.history)

    @property
    def step_of_epoch(self) -> int:
        """Steps taken in the current epoch."""
        return self.step - self.epoch * self.steps_per_epoch

    @property
    def num_epochs(self) -> int:
        """Number of epochs of all phases."""
        return sum(phase.epochs for phase in self.phases)

    @property
    def is_trained(self) -> bool:
        """Whether no step is left to take."""
        return self.stopped_early or self.epoch >= self.num_epochs

    @property
    def phase_number(self) -> int:
        """Index of the current phase."""
        return self._phase_and_epoch()[0]

    @property
    def phase(self) -> PhaseConfig:
        """The current phase, with every value filled in."""
        return self.phases[self.phase_number]

    def _phase_and_epoch(self) -> tuple[int, int]:
        """Return the index of the current phase and the number of its finished epochs."""
        epoch = self.epoch
        for number, phase in enumerate(self.phases):
            if epoch < phase.epochs:
                return number, epoch
            epoch -= phase.epochs
        raise AssertionError("the run is trained: there is no current phase")

    def learning_rate(self) -> float:
        """Return the learning rate of the next step."""
        number, epoch = self._phase_and_epoch()
        phase = self.phases[number]
        moment = Moment(
            step=epoch * self.steps_per_epoch + self.step_of_epoch,
            num_steps=phase.epochs * self.steps_per_epoch,
            steps_per_epoch=self.steps_per_epoch,
            falls=self.plateau.falls,
        )
        return learning_rate(phase, moment)

    def close_epoch(self, scores: Scores, *, lr: float, seconds: float) -> bool:
        """Update history, best, plateau and early stopping with the scores of a validation.

        Args:
            scores: Scores of the validation after this epoch.
            lr: Learning rate of the epoch's last step.
            seconds: Duration of the epoch, validation included.

        Returns:
            Whether these weights are the best so far.
        """
        train = self.recipe.train
        phase_number, schedule = self.phase_number, self.phase.schedule
        value = _higher_is_better(scores, train)
        is_best = self.best is None or value > _higher_is_better(self.best.scores, train)
        self.history.append(
            EpochRow(
                epoch=self.epoch + 1,
                phase=phase_number + 1,
                step=self.step,
                lr=lr,
                train_loss=self.loss_sum / self.steps_per_epoch,
                val_loss=scores.loss,
                val_pooled_dice=scores.pooled_dice,
                val_pooled_iou=scores.pooled_iou,
                val_image_dice=scores.image_dice,
                best=int(is_best),
                seconds=round(seconds, 3),
                images_per_s=round(train.batch_size * self.steps_per_epoch / max(self.train_seconds, 1e-9), 2),
            )
        )
        self.loss_sum, self.train_seconds = 0.0, 0.0
        if is_best:
            self.best = Best(epoch=self.epoch, step=self.step, scores=scores)
        self.waited = 0 if is_best else self.waited + 1
        self.stopped_early = train.early_stopping_epochs is not None and self.waited >= train.early_stopping_epochs
        assert schedule is not None
        self.plateau = self.plateau.after(value, schedule)
        if not self.is_trained and self.phase_number != phase_number:
            self.plateau = Plateau()
        return is_best

    def append(self, phase: PhaseConfig) -> None:
        """Append a phase; a run that stopped early skips the epochs it did not start and continues with this phase."""
        if self.stopped_early:
            self.phases = _phases_of(self.phases, self.epoch)
        if self.is_trained:
            self.plateau = Plateau()
        self.phases = (*self.phases, phase)
        self.appended += 1
        self.waited, self.stopped_early, self.finished = 0, False, False

    def current_recipe(self) -> Recipe:
        """Return the recipe with the current phases."""
        return self.recipe.model_copy(update={"phases": self.phases})

    def to_json(self) -> str:
        """Return the state as JSON; every float is restored exactly."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["recipe"] = self.recipe.model_dump(mode="json")
        values["phases"] = [phase.model_dump(mode="json") for phase in self.phases]
        values["history"] = [asdict(row) for row in self.history]
        values["best"] = None if self.best is None else asdict(self.best)
        values["plateau"] = asdict(self.plateau)
        return json.dumps(values, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> RunState:
        """Return the state that `to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        best = values["best"]
        values["recipe"] = Recipe.model_validate(values["recipe"])
        values["phases"] = tuple(PhaseConfig.model_validate(phase) for phase in values["phases"])
        values["history"] = [EpochRow(**row) for row in values["history"]]
        values["best"] = None if best is None else Best(**{**best, "scores": Scores(**best["scores"])})
        values["plateau"] = Plateau(**values["plateau"])
        return cls(**values)


def _higher_is_better(scores: Scores, train: TrainConfig) -> float:
    value: float = getattr(scores, train.best_metric)
    return -value if train.best_metric == "loss" else value


def _phases_of(phases: tuple[PhaseConfig, ...], epochs: int) -> tuple[PhaseConfig, ...]:
    """Return the phases cut to the first `epochs` epochs."""
    kept = []
    for phase in phases:
        if epochs <= 0:
            break
        kept.append(phase.model_copy(update={"epochs": min(epochs, phase.epochs)}))
        epochs -= phase.epochs
    return tuple(kept)
