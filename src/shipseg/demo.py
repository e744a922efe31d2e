"""The complete workflow on a small synthetic dataset, as `shipseg demo` runs it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shipseg import files
from shipseg.data.prepare import PrepareOptions, prepare
from shipseg.evaluation.evaluate import EvaluateOptions, evaluate
from shipseg.evaluation.labelled import open_source
from shipseg.evaluation.results import Evaluation, write_evaluation
from shipseg.inference.export import export_onnx
from shipseg.inference.images import PredictOptions, predict_images
from shipseg.inference.predictor import Predictor, load_model
from shipseg.reading import list_images
from shipseg.recipes import load_recipe
from shipseg.reports.evaluation_page import write_evaluation_report
from shipseg.synth import WorldConfig, write_airbus_folder
from shipseg.training.run import TrainAndTestModel

__all__ = ["run_demo"]


@dataclass(frozen=True)
class _Plan:
    """Numbers of images, and overrides of the recipe."""

    images: int
    unseen_images: int
    predicted_images: int
    overrides: dict[str, Any]


_SIDE = 384
"""Side of a training image in pixels: a quarter of the area of the challenge's, so four times as many in the time."""

_FULL = _Plan(images=1200, unseen_images=200, predicted_images=24, overrides={})
_QUICK = _Plan(
    images=80,
    unseen_images=16,
    predicted_images=4,
    overrides={"train.epochs": 2, "sampling.batches_per_epoch": 8, "train.batch_size": 8},
)


def run_demo(out: Path, *, quick: bool = False, seed: int = 0) -> dict[str, Any]:
    """Generate images, train on them, evaluate the network on unseen images, and write a report.

    Every stage resumes, so the same call finishes an interrupted demo.

    Args:
        out: Folder to write; the report is `out/report.html`.
        quick: Run every stage within about a minute; the network learns little.
        seed: Seed of the images and of the training.

    Returns:
        The summary that the command prints: scores on unseen images, and the paths of the results.

    Raises:
        StorageError: The folder cannot be written, or the disk is full.
        DataError: The folder has other files.
    """
    plan = _QUICK if quick else _FULL
    airbus, dataset, run, unseen = out / "airbus", out / "dataset", out / "run", out / "unseen"
    write_airbus_folder(airbus, images=plan.images, seed=seed, config=WorldConfig(size=_SIDE, empty_share=0.35))
    # A cache at the native size: crops are read from it, without decoding a file.
    prepare(airbus, dataset, PrepareOptions(size=_SIDE, val_share=0.1))
    recipe = load_recipe("demo", {"train.seed": seed, **plan.overrides})
    training = TrainAndTestModel(recipe, dataset, run).train(resume=True)
    # Another seed: none of these images was used in training or for the choice of the threshold.
    unseen_config = WorldConfig(size=_SIDE, empty_share=0.5)
    write_airbus_folder(unseen, images=plan.unseen_images, seed=seed + 1, config=unseen_config)
    export_onnx(run, out / "ships.onnx")
    predictor = load_model(run)
    evaluation = _score(predictor, unseen, out)
    images = list_images(unseen / "train_v2")[: plan.predicted_images]
    predict_images(images, out / "predictions", predictor, PredictOptions(formats=("csv", "coco")))
    return {"training": f"{training.steps:,} steps in {60 * training.hours:.1f} minutes"} | _summary(evaluation, out)


def _score(predictor: Predictor, unseen: Path, out: Path) -> Evaluation:
    source = open_source(unseen)
    evaluation = evaluate(predictor, source, options=EvaluateOptions())
    write_evaluation(evaluation, files.ensure_folder(out / "evaluation"))
    write_evaluation_report(evaluation, out / "report.html", predictor=predictor, source=source)
    return evaluation


def _summary(evaluation: Evaluation, out: Path) -> dict[str, Any]:
    command = Path(sys.executable).parent / "shipseg"
    return {
        "scores on unseen images": evaluation.summary,
        "report": out / "report.html",
        "model": out / "run" / "model",
        "onnx": out / "ships.onnx",
        "pictures": out / "predictions" / "overlays",
        "try it": f"{command} predict YOUR_IMAGE.jpg --model {out / 'ships.onnx'} --out ships",
    }
