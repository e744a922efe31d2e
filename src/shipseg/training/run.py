"""A training run from its recipe to its model: started, stopped, resumed, continued."""

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
from shipseg.training.run_folder import card_of
from shipseg.training.signals import StopRequest, listening, note_stage
from shipseg.training.state import RunState

__all__ = ["TrainAndTestModel", "TrainingReport"]


# What a run says at its end.


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


LOG = logging.getLogger(__name__)

CURVES_FILE = "curves.png"
TENSORBOARD_FOLDER = "tensorboard"
_SCALARS_EVERY_STEPS = 10


class TrainAndTestModel:
    """Trains a network on a prepared dataset, validates it after every epoch and keeps the best weights.

    The run can be killed at any moment; resumed, it becomes bit for bit the run that was never killed. Under torchrun
    every process calls the same methods; the first one writes.

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
        """Return a run that was begun before, with its own recipe.

        Raises:
            TrainingError: There is no run in the folder.
        """
        recipe_file = Path(run) / run_folder.RECIPE_FILE
        if not recipe_file.is_file():
            raise TrainingError(f"{run} holds no run (it has no {run_folder.RECIPE_FILE}): give the folder of a run")
        return cls(load_recipe(recipe_file), dataset, run)

    def train(self, *, resume: bool = False) -> TrainingReport:
        """Train to the end of the recipe's phases, choose the threshold, and return how it went.

        Args:
            resume: Go on from the run's last checkpoint; where there is none, start; where the run is finished, do
                nothing. So the same command can stand in a restart loop.

        Raises:
            TrainingError: The folder holds a run and `resume` is false; or recipe, dataset or number of processes are
                not those the run was started with; or a process of the run died.
            CheckpointError: The run's checkpoints are damaged.
            NonFiniteLossError: The loss became NaN or infinite.
            TrainingInterrupted: SIGTERM or SIGINT came; a checkpoint was written.
            StorageError: The disk is full; the last checkpoint is whole.
            DataError: The dataset cannot be read or has no images to train or validate on.
            ConfigError: The recipe contradicts the dataset, the machine or itself.
            ModelError: The network cannot be built.
        """
        return self._train_from_checkpoint(resume=resume, added=None)

    def continue_training(
        self, *, epochs: int, lr: float | None = None, schedule: ScheduleConfig | None = None, resume: bool = False
    ) -> TrainingReport:
        """Append a phase to the run, finished or interrupted, and train to its end.

        The optimiser's memory, the average and the best weights carry on. The phase is noted in the checkpoint before
        its first step: after a kill, `train(resume=True)` and `continue_training(..., resume=True)` both go on with it.

        Args:
            epochs: Length of the phase.
            lr: Its learning rate; None takes the recipe's.
            schedule: Its schedule; None takes the recipe's.
            resume: Append nothing where the run's last phase was appended with these very values before.

        Raises:
            TrainingError: There is no run in the folder; else as for `train`.
        """
        train = self.recipe.train
        requested = {
            "epochs": epochs,
            "lr": train.lr if lr is None else lr,
            "schedule": (schedule or train.schedule).model_dump(),
        }
        phase = validated(PhaseConfig, requested, f"continuation of {self.run}")
        return self._train_from_checkpoint(resume=True, added=_ExtraPhase(phase, only_once=resume))

    def curves(self) -> Path:
        """Draw the run's history as curves.png and return its path.

        Raises:
            TrainingError: The run has not finished an epoch.
        """
        rows = read_history(self.run / HISTORY_FILE)
        if not rows:
            raise TrainingError(f"run {self.run} has not finished an epoch: there is nothing to draw yet")
        columns = {name: [getattr(row, name) for row in rows] for name in COLUMNS}
        figure = figures.training_curves(columns, best_by=self.recipe.train.best_metric)
        figures.save_png(figure, self.run / CURVES_FILE)
        return self.run / CURVES_FILE

    def _train_from_checkpoint(self, *, resume: bool, added: _ExtraPhase | None) -> TrainingReport:
        """Train from wherever the run stands to its end, in one sitting."""
        data = open_dataset(self.dataset)
        device = resolve_device(self.recipe.train.device, local_rank=int(os.environ.get("LOCAL_RANK", "0")))
        with (
            explained_failures(),
            numerics(deterministic=self.recipe.train.deterministic),
            listening() as stop,
            contextlib.ExitStack() as held,
        ):
            with _stop_before_loss(stop), joined(device) as processes:
                stored = processes.agree(lambda: self._begin(held, resume=resume))
                state, assembly = self._assembled(stored, data, processes, added)
                resumed_at_step, was_finished = state.step if stored else None, state.finished
                if not was_finished:
                    self._train(assembly, state, data, stop, is_new=stored is None or added is not None)
            # The first process goes on alone: the others have nothing to wait for.
            if processes.is_first and not was_finished:
                with stop.at_once():
                    self._finish(assembly, state, data)
        if processes.is_first and was_finished:
            LOG.info("run %s is finished (%d epochs): there is nothing left to do", self.run, state.epoch)
        return self._report(state, resumed_at_step=resumed_at_step, was_finished=was_finished)

    def _begin(self, held: contextlib.ExitStack, *, resume: bool) -> StoredCheckpoint | None:
        held.enter_context(run_folder.locked(self.run))
        return run_folder.begin(self.run, resume=resume)

    def _assembled(
        self, stored: StoredCheckpoint | None, data: PreparedDataset, processes: Processes, added: _ExtraPhase | None
    ) -> tuple[RunState, Assembly]:
        """Return where the run stands, and its parts in the same place."""
        if stored is None:
            if added is not None:
                raise TrainingError(f"{self.run} holds no run to continue: train one first, or give another folder")
            start = read_start(self.recipe)
            assembly = assemble(self.recipe, data, processes=processes, initial=start.tensors if start else None)
            return self._new_state(assembly, data, start), assembly
        content = read_checkpoint(stored.data, origin=self.run / stored.name)
        state = RunState.from_json(content["state"])
        check_same_run(state, self.recipe, data, processes=processes, run=self.run)
        assembly = assemble(self.recipe, data, processes=processes)
        assembly.restore(content)
        # What may change between sittings is taken from today's recipe; all else was just found equal.
        state.recipe = self.recipe.model_copy(update={"phases": state.recipe.phases})
        if added is not None and not (added.only_once and state.appended and state.phases[-1] == added.phase):
            state.append(added.phase)
        return state, assembly

    def _new_state(self, assembly: Assembly, data: PreparedDataset, start: Start | None) -> RunState:
        return RunState(
            recipe=self.recipe,
            phases=self.recipe.resolved_phases(),
            steps_per_epoch=len(assembly.training),
            dataset=data.fingerprint,
            world_size=assembly.processes.world_size,
            environment=environment(assembly.processes.device),
            started_from=start.facts if start else {},
            rules_before=start.rules if start else {},
        )

    def _train(
        self, assembly: Assembly, state: RunState, data: PreparedDataset, stop: StopRequest, *, is_new: bool
    ) -> None:
        """Train to the end of the last phase; whatever people read is brought up to date first."""
        first = assembly.processes.is_first
        scalars = Scalars(self.run / TENSORBOARD_FOLDER if first else None, step=state.step)
        if is_new:
            # Before the first step, so that there is always something to go on from, and an appended phase is known.
            run_folder.save(self.run, assembly, state)
        run_folder.publish(self.run, assembly, state, data)

        def report(values: dict[str, float]) -> None:
            if state.step % _SCALARS_EVERY_STEPS == 0 or state.step_of_epoch == 0:
                scalars.add(values, step=state.step)

        desk = Callbacks(
            save=lambda: run_folder.save(self.run, assembly, state),
            publish=lambda: run_folder.publish(self.run, assembly, state, data),
            report=report,
        )
        try:
            train_to_the_end(assembly, state, desk=desk, stop=stop)
        finally:
            scalars.close()

    def _finish(self, assembly: Assembly, state: RunState, data: PreparedDataset) -> None:
        """Choose the threshold at full resolution, write the model, draw the curves, and close the run."""
        network = run_folder.best_network(assembly)
        card = card_of(state, data, multiple=network.multiple, choice=Choice(), finished=False)
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
            # Only the first process knows when the card is written.
            decision=read_card(model).decision if is_first else Decision(),
            hours=round(sum(row.seconds for row in state.history) / 3600, 4),
            stopped_early=state.stopped_early,
            resumed_at_step=resumed_at_step,
            was_finished=was_finished,
        )


def _choose(predictor: Predictor, state: RunState, data: PreparedDataset) -> Choice:
    """Return the rules that the validation images ask for, or those of the model before where they are too few.

    Rules that nobody chose, such as the default, are not kept; whether ships are rectangles is, unless the recipe says.
    """
    images, config = labelled_from_dataset(data, "val"), state.recipe.threshold
    before = Card.model_validate(state.rules_before)
    if before.choice.get("counts") and len(images) < config.keep_below:
        LOG.warning(
            "%d validation images are too few to choose rules for %r on: those of %s are kept. "
            "`shipseg threshold` chooses others, and so does a training with  --threshold.keep_below 0",
            len(images),
            describe_target(config),
            before.name,
        )
        return Choice.kept_from(before)
    config = config.model_copy(update={"rectangles": in_rectangles(config, before.decision)})
    name = f"{data.root.resolve().name}, split val"
    return choose_decision(predictor, images, config=config, seed=state.recipe.train.seed, data=name)


@dataclass(frozen=True)
class _ExtraPhase:
    """A phase to append, perhaps only where it was not appended before."""

    phase: PhaseConfig
    only_once: bool


@contextlib.contextmanager
def _stop_before_loss(stop: StopRequest) -> Iterator[None]:
    """Say that a signal stopped the run where one stopped all processes and this one noticed the others' end first."""
    try:
        yield
    except LostProcessError:
        stop.check()
        raise
