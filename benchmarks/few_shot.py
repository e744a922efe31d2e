"""Scores after fine-tuning on few labelled images, compared with the unchanged model and with random initial weights.

    python -m benchmarks.few_shot AIRBUS_FOLDER WORK [--model MODEL] [--counts 0,10,50,all] [--folds 3] [--seed 0]
        [--SECTION.KEY VALUE of the recipes ...]

For each fold (whole groups of overlapping images), images are sampled from the other folds, stratified by images with
and without ships. A network is fine-tuned from the model on them (recipe fine-tune; `prepare` splits off validation
images; if these are too few to choose a decision rule, the model's is kept). Another network of the same architecture
is trained from random weights for as many steps (400, which is little), with its rule chosen on the validation images.
Both are scored on the fold, and scores are pooled over the folds. WORK keeps the counts of each scored image, so a
killed run resumes; no weights are kept. Networks from random weights use no TTA: for comparable columns, give a MODEL
without TTA.
"""

from __future__ import annotations

import argparse
import csv
import logging
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
from benchmarks.folds import assign_folds, score_images, score_rows, split_at, table, with_groups
from benchmarks.trials import kept_scores, open_work, parse_overrides

from shipseg import progress
from shipseg.config import Recipe
from shipseg.data.labels import find_airbus_folder
from shipseg.data.prepare import PrepareOptions, prepare
from shipseg.errors import ConfigError, ShipsegError
from shipseg.evaluation.labelled import Labelled, labelled_from_airbus_folder
from shipseg.evaluation.scores import ImageScore
from shipseg.evaluation.survey import draw_images
from shipseg.files import ensure_folder, write_json
from shipseg.inference.locate import default_model
from shipseg.inference.predictor import Predictor, load_model
from shipseg.recipes import load_recipe
from shipseg.training.fine_tuning import recipe_from
from shipseg.training.run import TrainAndTestModel

FINE_TUNED: Final = "fine-tuned"
FROM_NOTHING: Final = "from nothing"
FROM_NOTHING_RATE: Final = 2e-3
"""Learning rate of the recipe shipseg-small; that of fine-tuning is a tenth of it."""


def recipe_of(method: str, model: str, overrides: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a method: both have the same network, images and number of steps."""
    fine = recipe_from(load_recipe("fine-tune", overrides), model)
    if method == FINE_TUNED:
        return fine
    rate = {} if "train.lr" in overrides else {"lr": FROM_NOTHING_RATE}
    return fine.model_copy(update={"train": fine.train.model_copy(update={"start_from": None, **rate})})


def write_subset(images: Sequence[Labelled], source: Path, folder: Path) -> None:
    """Write an Airbus folder of these images: links to the files, and their rows."""
    ensure_folder(folder / "images")
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("ImageId", "EncodedPixels"))
        for image in images:
            link = folder / "images" / image.image_id
            if not link.exists():
                link.symlink_to((source / image.image_id).resolve())
            writer.writerows((image.image_id, rle) for rle in image.rles or ("",))


def trained(recipe: Recipe, images: Sequence[Labelled], source: Path, folder: Path, *, seed: int) -> Predictor:
    """Train a network on these images by a recipe, in `folder`, and return it."""
    write_subset(images, source, folder / "images")
    prepare(folder / "images", folder / "dataset", PrepareOptions(size="native", workers=1, seed=seed))
    TrainAndTestModel(recipe, folder / "dataset", folder / "run").train(resume=True)
    return load_model(folder / "run")


class Study:
    """The images, their folds, and the folder of the counts."""

    def __init__(self, folder: Path, work: Path, model: str, overrides: Mapping[str, Any], *, folds: int, seed: int):
        self.source = find_airbus_folder(folder).images
        self.images = with_groups(labelled_from_airbus_folder(folder).images)
        self.fold_of = assign_folds(self.images, folds=folds, seed=seed)
        settings = {"model": model, "folds": folds, "seed": seed, **overrides}
        self.work, self.model, self.overrides, self.seed = open_work(work, settings), model, overrides, seed

    def scores(self, method: str, count: int | None) -> list[ImageScore]:
        """Return the counts of each image, scored by a network trained without its fold; `count` None: on all."""
        return [score for fold in sorted(set(self.fold_of)) for score in self._fold_scores(method, count, fold)]

    def _fold_scores(self, method: str, count: int | None, fold: int) -> list[ImageScore]:
        name = f"{method}-{'all' if count is None else count}-{fold}".replace(" ", "-")

        def train_and_score() -> tuple[ImageScore, ...]:
            inside, outside = split_at(self.images, self.fold_of, fold)
            if count == 0:
                return score_images(load_model(self.model), inside)
            sample = draw_images(outside, at_most=count or len(outside), seed=self.seed + fold)
            recipe = recipe_of(method, self.model, self.overrides)
            return score_images(trained(recipe, sample, self.source, self.work / name, seed=self.seed), inside)

        scores = kept_scores(self.work / f"{name}.json", train_and_score)
        shutil.rmtree(self.work / name, ignore_errors=True)
        return scores


def study_curve(study: Study, counts: Sequence[int | None], *, metres_per_pixel: float) -> dict[str, Any]:
    """Return the scores by method and count."""
    columns = {}
    for count in counts:
        for method in (FINE_TUNED,) if count == 0 else (FINE_TUNED, FROM_NOTHING):
            name = "as it is" if count == 0 else f"{method} on {'all' if count is None else count}"
            columns[name] = score_rows(study.scores(method, count), metres_per_pixel=metres_per_pixel)
    return columns


def _counts(text: str) -> list[int | None]:
    parts = text.split(",")
    if not all(part == "all" or part.isdecimal() for part in parts):
        raise ConfigError(f"--counts must be numbers and `all`, as in 0,10,50,all, got {text!r}")
    return [None if part == "all" else int(part) for part in parts]


def main() -> None:
    """Train, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("airbus", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--counts", default="0,10,50,all")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    given, rest = parser.parse_known_args()
    cv2.setNumThreads(1)
    logging.getLogger("shipseg").setLevel(logging.ERROR)
    try:
        model = given.model or default_model()
        counts, overrides = _counts(given.counts), parse_overrides(rest)
        metres = load_model(model).card.input.metres_per_pixel
        with progress.shown():
            study = Study(given.airbus, given.work, model, overrides, folds=given.folds, seed=given.seed)
            columns = study_curve(study, counts, metres_per_pixel=metres)
        write_json(given.work / "few_shot.json", columns)
    except ShipsegError as error:
        sys.exit(f"few_shot: {error}")
    print(f"{len(study.images)} images, {given.folds} folds, model {model}\n")
    print(table(columns))


if __name__ == "__main__":
    main()
