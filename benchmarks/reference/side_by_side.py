"""Comparison of the reference's training with ours on one dataset in equal time, with the same evaluation."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.reference.reproduction import train_like_reference

from shipseg import files
from shipseg.config import Decision, Recipe
from shipseg.data.prepared import PreparedDataset, open_dataset
from shipseg.errors import ConfigError, TrainingError, TrainingInterrupted
from shipseg.evaluation.evaluate import EvaluateOptions, decision_of, evaluate, write_evaluation
from shipseg.evaluation.labelled import Source, labelled_from_dataset
from shipseg.evaluation.results import Evaluation
from shipseg.evaluation.scores import true_ships, union_mask
from shipseg.inference.predictor import Predictor, load_model
from shipseg.masks.metrics import ProbabilityHistogram
from shipseg.masks.ships import keep_confident
from shipseg.progress import track
from shipseg.recipes import load_recipe
from shipseg.reports.examples import ScoredImage, close_up, overview, to_jpeg
from shipseg.training.history import read_history
from shipseg.training.run import TrainAndTestModel

__all__ = ["PARTS", "SideBySidePlan", "check", "compare"]

PARTS = {
    "original": "the reference",
    "original-refitted": "its network, a fitted threshold",
    "resized-256": "corrected, on the same input",
    "base": "our recipe base",
}
"""Labels of the scored models, by folder name; the last two are recipes of shipseg."""
_OURS = ("resized-256", "base")
_REFITTED = "original-refitted"
_OF_THE_REFERENCE = "model-2-stratified"
_TRIAL_BATCHES = 8
_VALIDATION_SHARE = 0.15
_MOST_EPOCHS = 10
_SCORES = (
    "num_images", "num_images_with_ships", "num_ships", "threshold", "min_peak", "airbus_score",
    "airbus_score_of_predicting_nothing", "pooled_dice", "image_dice", "seed_dice", "ship_precision", "ship_recall",
    "ship_f1", "recall_by_size", "false_alarm_images", "false_alarms_per_1000km2", "intervals",
)  # fmt: skip
_EXAMPLE_PX = 300
_FINE_BINS = 100_000
"""Thresholds in steps of 0.00001: the reference's is 0.0004."""


@dataclass(frozen=True)
class SideBySidePlan:
    """Dataset and training time.

    Raises:
        ConfigError: The time is not above 0.
    """

    dataset: Path
    minutes: float = 10.0
    """Training time of each model, including validation and the choice of the threshold."""
    overrides: Mapping[str, Any] | None = None
    """Values of all recipes, by dotted key."""

    def __post_init__(self) -> None:
        if not self.minutes > 0:
            raise ConfigError(f"--minutes must be above 0, got {self.minutes}")


def check(plan: SideBySidePlan) -> PreparedDataset:
    """Check a plan and return its dataset.

    Raises:
        ConfigError: The dataset has no cached images, or a value of the recipes is wrong.
        DataError: The dataset cannot be read.
    """
    data = open_dataset(plan.dataset)
    if data.canvas is None:
        raise ConfigError(f"dataset {data.root} was prepared at native size: prepare it with --size 256 to compare")
    _recipes(plan)
    return data


def compare(plan: SideBySidePlan, out: Path) -> dict[str, Any]:
    """Train and score the three models, and return the scores of each; what is finished in `out` is kept.

    After a kill, our runs resume exactly; the reference's training starts again.

    Returns:
        dataset, split, minutes; parts: for each of `PARTS` label, minutes, steps, images_seen, scores.

    Raises:
        TrainingError: `out` has a comparison with other settings.
        ConfigError: The dataset has no cached images.
        DataError: The dataset cannot be read, or has nothing to train or to score on.
    """
    data = check(plan)
    _check_settings({"dataset": data.fingerprint, "minutes": plan.minutes, "recipes": _recipes(plan)}, out)
    split = "test" if len(data.rows("test")) else "val"
    source = labelled_from_dataset(data, split)
    parts = {}
    for name, label in PARTS.items():
        result = out / name / "result.json"
        if not result.is_file():
            try:
                done = _train(name, data, plan, out / name)
            except TrainingInterrupted as error:  # its message is for `shipseg train`
                raise TrainingInterrupted(
                    f"stopped while training {label}: run the same command again to resume"
                ) from error
            predictor, options = load_model(out / _folder_of_model(name) / "model"), EvaluateOptions()
            if name == _REFITTED:
                options = EvaluateOptions(threshold=_fitted_threshold(predictor, data))
            evaluation = evaluate(predictor, source, options=options)
            write_evaluation(evaluation, files.ensure_folder(out / name / "scores"))
            _write_images(evaluation, predictor, source, decision_of(predictor.card, options), out / name)
            scores = {key: evaluation.metrics[key] for key in _SCORES}
            files.write_json(result, {"label": label, **done, "scores": scores})
        parts[name] = json.loads(result.read_text(encoding="utf-8"))
    train = load_recipe("base", plan.overrides).train
    return {
        "dataset": data.root.resolve().name,
        "train_images": len(data.rows("train")),
        "split": split,
        "minutes": plan.minutes,
        "precision": train.precision,
        "parts": parts,
    }


def _recipes(plan: SideBySidePlan) -> list[dict[str, Any]]:
    return [load_recipe(name, plan.overrides).model_dump(mode="json") for name in (_OF_THE_REFERENCE, *_OURS)]


def _check_settings(settings: dict[str, Any], out: Path) -> None:
    path = out / "settings.json"
    if not path.is_file():
        files.write_json(path, settings)
    elif json.loads(path.read_text(encoding="utf-8")) != settings:
        raise TrainingError(f"{out} has a comparison with another dataset, time or recipe: choose another folder")


def _train(name: str, data: PreparedDataset, plan: SideBySidePlan, folder: Path) -> dict[str, Any]:
    if name == _REFITTED:
        of_original = json.loads((folder.parent / _folder_of_model(name) / "result.json").read_text(encoding="utf-8"))
        return {key: of_original[key] for key in ("minutes", "steps", "images_seen")}
    if name == "original":
        recipe = load_recipe(_OF_THE_REFERENCE, plan.overrides)
        return train_like_reference(data, recipe, minutes=plan.minutes, folder=folder / "model")
    plan_file = folder / "plan.json"
    if not plan_file.is_file():
        files.write_json(plan_file, _fitted(load_recipe(name, plan.overrides), plan, folder / "trial"))
    fitted = json.loads(plan_file.read_text(encoding="utf-8"))
    recipe = load_recipe(name, {**(plan.overrides or {}), **fitted["overrides"]})
    started_s = time.perf_counter()
    report = TrainAndTestModel(recipe, plan.dataset, folder).train(resume=True)
    minutes = (time.perf_counter() - started_s) / 60
    if report.resumed_at_step is not None:  # add earlier sessions; the time after the last epoch is that of the trial
        minutes = 60 * report.hours + fitted["choosing_s"] / 60
    return {
        "minutes": round(minutes, 3),
        "steps": report.steps,
        "images_seen": report.steps * recipe.train.batch_size,
        "best_epoch": report.best_epoch,
        "epochs": report.epochs,
    }


def _fitted(recipe: Recipe, plan: SideBySidePlan, trial: Path) -> dict[str, Any]:
    """Return the overrides with which a recipe uses the whole time, estimated by a short trial."""
    shutil.rmtree(trial, ignore_errors=True)
    short = {"train.epochs": 2, "sampling.batches_per_epoch": _TRIAL_BATCHES}
    started_s = time.perf_counter()
    tried = load_recipe(recipe.name, {**(plan.overrides or {}), **short})
    TrainAndTestModel(tried, plan.dataset, trial).train()
    wall_s = time.perf_counter() - started_s
    rows = read_history(trial / "history.csv")
    shutil.rmtree(trial, ignore_errors=True)
    last = rows[-1]  # the first epoch is a warm-up
    step_s = recipe.train.batch_size / last.images_per_s
    validation_s = max(last.seconds - _TRIAL_BATCHES * step_s, 1e-3)
    choosing_s = wall_s - sum(row.seconds for row in rows)
    training_s = max(60 * plan.minutes - choosing_s, 0.0)
    epochs = min(max(int(_VALIDATION_SHARE * training_s / validation_s), 1), _MOST_EPOCHS)
    steps = max(int((training_s - epochs * validation_s) / step_s), 2 * epochs)
    return {
        "step_s": round(step_s, 4),
        "validation_s": round(validation_s, 3),
        "choosing_s": round(choosing_s, 3),
        "overrides": {
            "train.epochs": epochs,
            "sampling.batches_per_epoch": steps // epochs,
            "train.schedule.warmup_steps": min(recipe.train.schedule.warmup_steps, steps // 10),
        },
    }


def _folder_of_model(name: str) -> str:
    return "original" if name == _REFITTED else name


def _fitted_threshold(predictor: Predictor, data: PreparedDataset) -> float:
    """Return the threshold with the highest pooled Dice on validation images, with a resolution of 0.00001."""
    histogram = ProbabilityHistogram(_FINE_BINS)
    for labelled in track(labelled_from_dataset(data, "val"), "fitting the threshold"):
        image_hwc = labelled.read()
        shape = (image_hwc.shape[0], image_hwc.shape[1])
        histogram.add(predictor.probability(image_hwc), union_mask(true_ships(labelled.rles, shape), shape))
    step = 1 / _FINE_BINS
    return min(max(histogram.best_threshold("dice")[0], step), 1 - step)


def _write_images(
    evaluation: Evaluation, predictor: Predictor, source: Source, decision: Decision, folder: Path
) -> None:
    """Write an example with no, one and several ships, with truth and prediction: whole and close up."""
    scores = {score.image_id: score for score in evaluation.images}
    kind_of = _examples(source)
    for labelled in source:
        if labelled.image_id not in kind_of or labelled.image_id not in scores:
            continue
        image_hwc = labelled.read()
        shape = (image_hwc.shape[0], image_hwc.shape[1])
        example = ScoredImage(
            scores[labelled.image_id],
            image_hwc,
            union_mask(true_ships(labelled.rles, shape), shape),
            keep_confident(predictor.probability(image_hwc), **decision.rules),
        )
        kind = kind_of[labelled.image_id]
        files.write_bytes(folder / "pictures" / f"{kind}.jpg", to_jpeg(overview(example, side=_EXAMPLE_PX)))
        files.write_bytes(folder / "pictures" / f"{kind}-close.jpg", to_jpeg(close_up(example, side=_EXAMPLE_PX)))


def _examples(source: Source) -> dict[str, str]:
    """Return the kind of each example by ImageId: for no, one and several ships the middle image by name."""
    kinds: dict[str, list[str]] = {"none": [], "one": [], "several": []}
    for labelled in source:
        kinds[("none", "one", "several")[min(len(labelled.rles), 2)]].append(labelled.image_id)
    return {sorted(names)[len(names) // 2]: kind for kind, names in kinds.items() if names}
