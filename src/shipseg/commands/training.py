"""`train`, `continue` and `recipes`: train networks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from shipseg.commands.summary import show
from shipseg.errors import ConfigError

if TYPE_CHECKING:
    from shipseg.training.run import TrainingReport

__all__ = ["continue_", "recipe_pairs", "recipes", "train"]


def train(
    dataset: Path,
    run: Path,
    /,
    *,
    recipe: str = "base",
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    resume: bool = False,
    overrides: Annotated[list[str] | None, Parameter(name="--set")] = None,
    json: bool = False,
) -> int:
    """Train a network on a prepared dataset.

    A run can be killed at any moment; --resume continues it with bit-for-bit the same result.

    Args:
        dataset: Dataset made by `shipseg prepare`.
        run: Output folder: recipe.yaml, history.csv, curves.png, tensorboard/, last.ckpt, model/.
        recipe: Name of a recipe (see `shipseg recipes`) or YAML file.
        from_: Model to fine-tune, with its network: run, model folder, ONNX file or name of a bundled model; as in
            --recipe fine-tune --from shipseg-small.
        overrides: Override a recipe value: SECTION.KEY=VALUE, also written --SECTION.KEY VALUE, as in --train.lr 3e-4.
            `shipseg recipes base` prints all keys.
        resume: Resume from the last checkpoint, or start if there is none; safe in a restart loop.
        json: Print the summary as JSON.
    """
    from shipseg import progress
    from shipseg.recipes import load_recipe
    from shipseg.training.fine_tuning import recipe_from
    from shipseg.training.run import TrainAndTestModel

    if run.resolve() == dataset.resolve():
        raise ConfigError(f"the run cannot be written into the dataset {dataset}: choose another folder")
    loaded = load_recipe(recipe, recipe_pairs(overrides or []))
    if from_ is not None:
        loaded = recipe_from(loaded, from_)
    with progress.shown(enabled=_is_first_process()):
        report = TrainAndTestModel(loaded, dataset, run).train(resume=resume)
    if _is_first_process():
        show(f"Trained in {run}", report.as_dict() if json else _report_rows(report), as_json=json)
    return 0


def continue_(
    dataset: Path,
    run: Path,
    /,
    *,
    epochs: int,
    lr: float | None = None,
    resume: bool = False,
    json: bool = False,
) -> int:
    """Train a run for more epochs, with its optimiser state and best weights.

    Args:
        dataset: Dataset of the run.
        run: Folder of the run.
        epochs: Number of epochs to add.
        lr: Learning rate of these epochs. Default: the recipe's.
        resume: Resume a continuation that was killed.
        json: Print the summary as JSON.
    """
    from shipseg import progress
    from shipseg.training.run import TrainAndTestModel

    with progress.shown(enabled=_is_first_process()):
        report = TrainAndTestModel.open(dataset, run).continue_training(epochs=epochs, lr=lr, resume=resume)
    if _is_first_process():
        show(f"Trained in {run}", report.as_dict() if json else _report_rows(report), as_json=json)
    return 0


def recipes(name: str | None = None, /, *, json: bool = False) -> int:
    """List the recipes, or print one in full.

    Args:
        name: Name of a recipe or YAML file, to print with every value as YAML.
        json: Print the list or the recipe as JSON.
    """
    from shipseg.recipes import dump_recipe, load_recipe, recipe_names

    if name is not None:
        loaded = load_recipe(name)
        if json:
            show(f"Recipe {name}", loaded.model_dump(mode="json"), as_json=True)
        else:
            sys.stdout.write(dump_recipe(loaded))
        return 0
    show("Recipes", {known: load_recipe(known).description for known in recipe_names()}, as_json=json)
    return 0


def _report_rows(report: TrainingReport) -> dict[str, Any]:
    """Return the rows of the summary."""
    state = "already finished" if report.was_finished else "finished"
    decision = report.decision
    return {
        "run": state + (" by early stopping" if report.stopped_early else ""),
        "trained": f"{report.epochs} epochs, {report.steps:,} steps, {60 * report.hours:.1f} minutes",
        "best epoch": report.best_epoch,
        "validation": f"pooled Dice {report.scores['pooled_dice']:.3f}, image Dice {report.scores['image_dice']:.3f}",
        "threshold": f"{decision.threshold:.3f}, peak threshold {decision.min_peak:.2f}, chosen for {decision.metric}",
        "model": report.model,
        "next": f"shipseg evaluate DATASET SCORES --model {report.run}",
    }


def recipe_pairs(overrides: list[str]) -> dict[str, Any]:
    """Return the values of overrides given as SECTION.KEY=VALUE, by key.

    Raises:
        ConfigError: One has no value.
    """
    pairs = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--{key} needs a value, as in --train.lr 3e-4")
        pairs[key] = value
    return pairs


def _is_first_process() -> bool:
    """Return whether this process prints: under torchrun, the first one does."""
    import os

    return os.environ.get("RANK", "0") == "0"
