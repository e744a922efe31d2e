"""A training run: start, resume, continue, and choose the threshold at the end."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shipseg.config import Decision, PhaseConfig, Recipe, ScheduleConfig, validated
from shipseg.data.prepared import PreparedDataset, open_dataset
from shipseg.errors import TrainingError
from shipseg.evaluation.labelled import labelled_from_dataset
from shipseg.evaluation.operating_points import describe_target
from shipseg.evaluation.thresholds import Choice, choose_decision, in_rectangles
from shipseg.inference.predictor import Predictor, TorchBackend
from shipseg.model.card import Card, read_card
from shipseg.recipes import load_recipe
from shipseg.reports import figures
from shipseg.training import run_folder
from shipseg.training.assembly import Assembly, assemble
from shipseg.training.checkpoint import StoredCheckpoint, read_checkpoint
from shipseg.training.devices import explained_failures, numerics, resolve_device
from shipseg.training.distributed import LostProcessError, Processes, joined
from shipseg.training.fine_tuning import Start, read_start
from shipseg.training.history import COLUMNS, HISTORY_FILE, Scalars, read_history
from shipseg.training.loop import Callbacks, train_to_the_end
from shipseg.training.resume import check_same_run, environment
from shipseg.training.run_folder import build_card
from shipseg.training.signals import StopRequest, listening, note_stage
from shipseg.training.state import RunState

__all__ = ["TrainAndTestModel", "TrainingReport"]

LOG = logging.getLogger(__name__)

CURVES_FILE = "curves.png"
TENSORBOARD_FOLDER = "tensorboard"
_SCALARS_EVERY_STEPS = 10


@dataclass(frozen=True)
class TrainingReport:
    """The result of a run.

    Args:
        run: Folder of the run.
        model: Folder of the best weights with their card.
        epochs: Number of epochs trained, over all sessions.
        steps: Number of steps taken, over all sessions.
        best_epoch: Epoch of the best weights, counted from 1.
        scores: Validation scores of the best weights, at the resolution of training.
        decision: Decision rule chosen on validation at full resolution.
        hours: Hours of training and validation, over all sessions.
        stopped_early: Whether early stopping ended the run.
        resumed_at_step: Step at which this session resumed; None for a new run.
        was_finished: Whether the run was already finished.
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
        """Return the report as plain data, for the summary of a command."""
        return {**asdict(self), "run": str(self.run), "model": str(self.model), "decision": self.decision.model_dump()}


class TrainAndTestModel:
    """Trains a network on a prepared dataset, validates it after every epoch and keeps the best weights.

    The run can be killed at any moment; resumed, it gives bit for bit the result of an uninterrupted run. Under
    torchrun every process calls the same methods, and the first one writes the files.

    Args:
        recipe: The complete configuration.
        dataset: Folder made by `shipseg prepare`.
        run: Folder of the run: recipe.yaml, history.csv, curves.png, tensorboard/, last.ckpt, model/.

    Example:
        >>> trainer = TrainAndTestModel(load_recipe("base"), Path("dataset"), Path("run"))  # doctest: +SKIP
        >>> trainer.train(resume=True).scores["pooled_dice"]  # doctest: +SKIP
    """

    def __init__(self, recipe: Recipe, dataset: Path, run: Path) -> None:
        self.recipe = recipe
        self.dataset = Path(dataset)
        self.run = Path(run)

    @classmethod
    def open(cls, dataset: Path, run: Path) -> TrainAndTestModel:
        """Return an existing run, with its own recipe.

        Raises:
            TrainingError: The folder holds no run.
        """
        recipe_file = Path(run) / run_folder.RECIPE_FILE
        if not recipe_file.is_file():
            raise TrainingError(f"{run} holds no run (it has no {run_folder.RECIPE_FILE}): give the folder of a run")
        return cls(load_recipe(recipe_file), dataset, run)

    def train(self, *, resume: bool = False) -> TrainingReport:
        """Train to the end of the recipe's phases, choose the threshold, and return the report.

        Args:
            resume: Resume from the run's last checkpoint; start if there is none; do nothing if the run is finished. So
                the same command can be used in a restart loop.

        Raises:
            TrainingError: The folder holds a run and `resume` is false; or recipe, dataset or number of processes are
                not those the run was started with; or a process of the run died.
            CheckpointError: The run's checkpoints are damaged.
            NonFiniteLossError: The loss became NaN or infinite.
            TrainingInterrupted: SIGTERM or SIGINT came; a checkpoint was saved.
            StorageError: The disk is full; the last checkpoint is valid.
            DataError: The dataset cannot be read or has no images to train or validate on.
            ConfigError: The recipe contradicts the dataset, the machine or itself.
            ModelError: The network cannot be built.
        """
        return self._train_from_checkpoint(resume=resume, extra=None)

    def continue_training(
        self, *, epochs: int, lr: float | None = None, schedule: ScheduleConfig | None = None, resume: bool = False
    ) -> TrainingReport:
        """Append a phase to the run, finished or interrupted, and train to its end.

        Optimiser state, moving average and best weights are kept. The phase is stored in the checkpoint before its
        first step: after a kill, `train(resume=True)` and `continue_training(..., resume=True)` both resume it.

        Args:
            epochs: Number of epochs.
            lr: Learning rate; None uses the recipe's.
            schedule: Schedule; None uses the recipe's.
            resume: Append nothing if the run's last phase was appended with the same values.

        Raises:
            TrainingError: The folder holds no run; else as for `train`.
        """
        train = self.recipe.train
        requested = {
            "epochs": epochs,
            "lr": train.lr if lr is None else lr,
            "schedule": (schedule or train.schedule).model_dump(),
        }
        phase = validated(PhaseConfig, requested, f"continuation of {self.run}")
        return self._train_from_checkpoint(resume=True, extra=_ExtraPhase(phase, only_once=resume))

    def curves(self) -> Path:
        """Draw the run's history to curves.png and return its path.

        Raises:
            TrainingError: The run has no finished epoch.
        """
        rows = read_history(self.run / HISTORY_FILE)
        if not rows:
            raise TrainingError(f"run {self.run} has no finished epoch to draw: train it for an epoch first")
        columns = {name: [getattr(row, name) for row in rows] for name in COLUMNS}
        figure = figures.training_curves(columns, best_by=self.recipe.train.best_metric)
        figures.save_png(figure, self.run / CURVES_FILE)
        return self.run / CURVES_FILE

    def _train_from_checkpoint(self, *, resume: bool, extra: _ExtraPhase | None) -> TrainingReport:
        """Train from the run's last checkpoint, or from the start, to its end."""
        data = open_dataset(self.dataset)
        device = resolve_device(self.recipe.train.device, local_rank=int(os.environ.get("LOCAL_RANK", "0")))
        with (
            explained_failures(),
            numerics(deterministic=self.recipe.train.deterministic),
            listening() as stop,
            contextlib.ExitStack() as locks,
        ):
            with _stop_before_loss(stop), joined(device) as processes:
                stored = processes.agree(lambda: self._begin(locks, resume=resume))
                state, assembly = self._load(stored, data, processes, extra)
                resumed_at_step, was_finished = state.step if stored else None, state.finished
                if not was_finished:
                    self._train(assembly, state, data, stop, is_new=stored is None or extra is not None)
            # The first process finishes alone; the others are done.
            if processes.is_first and not was_finished:
                with stop.at_once():
                    self._finish(assembly, state, data)
        if processes.is_first and was_finished:
            LOG.info("run %s is finished (%d epochs): nothing to do", self.run, state.epoch)
        return self._report(state, resumed_at_step=resumed_at_step, was_finished=was_finished)

    def _begin(self, locks: contextlib.ExitStack, *, resume: bool) -> StoredCheckpoint | None:
        locks.enter_context(run_folder.locked(self.run))
        return run_folder.begin(self.run, resume=resume)

    def _load(
        self, stored: StoredCheckpoint | None, data: PreparedDataset, processes: Processes, extra: _ExtraPhase | None
    ) -> tuple[RunState, Assembly]:
        """Return the state and the parts of the run, new or from the checkpoint."""
        if stored is None:
            if extra is not None:
                raise TrainingError(f"{self.run} holds no run to continue: train one first, or give another folder")
            start = read_start(self.recipe)
            assembly = assemble(self.recipe, data, processes=processes, initial=start.tensors if start else None)
            return self._new_state(assembly, data, start), assembly
        content = read_checkpoint(stored.data, origin=self.run / stored.name)
        state = RunState.from_json(content["state"])
        check_same_run(state, self.recipe, data, processes=processes, run=self.run)
        assembly = assemble(self.recipe, data, processes=processes)
        assembly.load_state_dict(content)
        # Keys that may change between sessions are taken from the new recipe; all others were checked to be equal.
        state.recipe = self.recipe.model_copy(update={"phases": state.recipe.phases})
        if extra is not None and not (extra.only_once and state.appended and state.phases[-1] == extra.phase):
            state.append(extra.phase)
        return state, assembly

    def _new_state(self, assembly: Assembly, data: PreparedDataset, start: Start | None) -> RunState:
        return RunState(
            recipe=self.recipe,
            phases=self.recipe.resolved_phases(),
            steps_per_epoch=len(assembly.training),
            dataset=data.fingerprint,
            world_size=assembly.processes.world_size,
            environment=environment(assembly.processes.device),
            started_from=start.facts.model_dump(mode="json") if start else {},
            rules_before=start.decision_rule if start else {},
        )

    def _train(
        self, assembly: Assembly, state: RunState, data: PreparedDataset, stop: StopRequest, *, is_new: bool
    ) -> None:
        """Train to the end of the last phase; update the published files first."""
        first = assembly.processes.is_first
        scalars = Scalars(self.run / TENSORBOARD_FOLDER if first else None, step=state.step)
        if is_new:
            # Before the first step, so that there is always a checkpoint, and an appended phase is recorded in it.
            run_folder.save(self.run, assembly, state)
        run_folder.publish(self.run, assembly, state, data)

        def report(values: dict[str, float]) -> None:
            if state.step % _SCALARS_EVERY_STEPS == 0 or state.step_of_epoch == 0:
                scalars.add(values, step=state.step)

        callbacks = Callbacks(
            save=lambda: run_folder.save(self.run, assembly, state),
            publish=lambda: run_folder.publish(self.run, assembly, state, data),
            report=report,
        )
        try:
            train_to_the_end(assembly, state, callbacks=callbacks, stop=stop)
        finally:
            scalars.close()

    def _finish(self, assembly: Assembly, state: RunState, data: PreparedDataset) -> None:
        """Choose the threshold at full resolution, write the model, draw the curves, and mark the run as finished."""
        network = run_folder.best_network(assembly)
        card = build_card(state, data, multiple=network.multiple, choice=Choice(), finished=False)
        backend = TorchBackend(network, device=str(assembly.processes.device))
        note_stage("choosing", step=state.step)
        choice = _choose(Predictor(card, backend), state, data)
        run_folder.save_best_model(self.run, assembly, state, data, choice=choice, finished=True)
        self.curves()
        state.finished = True
        run_folder.save(self.run, assembly, state)

    def _report(self, state: RunState, *, resumed_at_step: int | None, was_finished: bool) -> TrainingReport:
        assert state.best is not None
        model = self.run / run_folder.MODEL_FOLDER
        is_first = os.environ.get("RANK", "0") == "0"
        return TrainingReport(
            run=self.run,
            model=model,
            epochs=state.epoch,
            steps=state.step,
            best_epoch=state.best.epoch,
            scores=asdict(state.best.scores),
            # Only in the first process the card is certain to be written.
            decision=read_card(model).decision if is_first else Decision(),
            hours=round(sum(row.seconds for row in state.history) / 3600, 4),
            stopped_early=state.stopped_early,
            resumed_at_step=resumed_at_step,
            was_finished=was_finished,
        )


def _choose(predictor: Predictor, state: RunState, data: PreparedDataset) -> Choice:
    """Return the decision rule chosen on the validation images, or the original model's if these are too few.

    A rule that was not chosen on images, such as the default, is not kept; its `rectangles` is, unless the recipe sets
    it.
    """
    images, config = labelled_from_dataset(data, "val"), state.recipe.threshold
    original = Card.model_validate(state.rules_before)
    if original.choice.counts.images and len(images) < config.keep_below:
        LOG.warning(
            "%d validation images are too few to choose a decision rule for %r: the one of %s is kept. "
            "Choose another with `shipseg threshold`, or train with  --threshold.keep_below 0",
            len(images),
            describe_target(config),
            original.name,
        )
        return Choice.kept_from(original)
    config = config.model_copy(update={"rectangles": in_rectangles(config, original.decision)})
    name = f"{data.root.resolve().name}, split val"
    return choose_decision(predictor, images, config=config, seed=state.recipe.train.seed, data=name)


@dataclass(frozen=True)
class _ExtraPhase:
    """A phase to append; with `only_once`, not if it was appended before."""

    phase: PhaseConfig
    only_once: bool


@contextlib.contextmanager
def _stop_before_loss(stop: StopRequest) -> Iterator[None]:
    """Report the signal, not a lost connection, if a signal stopped all processes and the others ended first."""
    try:
        yield
    except LostProcessError:
        stop.check()
        raise
