"""Scores of a model on labelled images, with thresholds and calibration fitted on other folds.

    python -m benchmarks.honest DATA [--model MODEL] [--folds 5] [--seed 0] [--out FILE.json]

Three methods: the model as it is; with threshold and peak threshold chosen on the other folds of DATA; and with the
calibration fitted there, too. Folds are whole groups of overlapping images. Each method is scored on all images, and
without those of one colour (no-data tiles, correct without a network). Intervals are 90 % bootstrap intervals over
groups. The model's weights do not change.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
from benchmarks.folds import (
    CachingBackend,
    assign_folds,
    is_no_data,
    score_images,
    score_rows,
    split_at,
    table,
    with_groups,
)

from shipseg import progress
from shipseg.config import ThresholdConfig
from shipseg.errors import ShipsegError
from shipseg.evaluation.labelled import Labelled, open_source
from shipseg.evaluation.scores import ImageScore
from shipseg.evaluation.thresholds import retune
from shipseg.files import write_json
from shipseg.inference.predictor import Predictor, load_model

METHODS: Mapping[str, ThresholdConfig | None] = {
    "as it is": None,
    "threshold of other folds": ThresholdConfig(metric="airbus_score"),
    "threshold and calibration of other folds": ThresholdConfig(metric="airbus_score", calibration="isotonic"),
}


def score_method(
    predictor: Predictor, images: Sequence[Labelled], fold_of: Sequence[int], config: ThresholdConfig | None
) -> list[ImageScore]:
    """Return the counts of each image, with a decision rule chosen on the other folds."""
    if config is None:
        return list(score_images(predictor, images))
    scores: list[ImageScore] = []
    for fold in sorted(set(fold_of)):
        inside, outside = split_at(images, fold_of, fold)
        keep = config.calibration == "none"
        card = retune(predictor, outside, config=config, keep_calibration=keep).card
        scores += score_images(Predictor(card, predictor.backend), inside)
    return scores


def honest_scores(predictor: Predictor, images: Sequence[Labelled], *, folds: int, seed: int) -> dict[str, Any]:
    """Return the scores of each method, on all images and without those of one colour."""
    predictor = Predictor(predictor.card, CachingBackend(predictor.backend))
    images = with_groups(images)
    fold_of = assign_folds(images, folds=folds, seed=seed)
    no_data = {image.image_id for image in images if is_no_data(image)}
    metres = predictor.card.input.metres_per_pixel
    report: dict[str, Any] = {"images": len(images), "no-data images": len(no_data), "folds": folds, "ways": {}}
    for method, config in METHODS.items():
        scores = score_method(predictor, images, fold_of, config)
        rest = [score for score in scores if score.image_id not in no_data]
        report["ways"][method] = {
            "all images": score_rows(scores, metres_per_pixel=metres),
            "without no-data images": score_rows(rest, metres_per_pixel=metres),
        }
    return report


def main() -> None:
    """Score, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    logging.getLogger("shipseg").setLevel(logging.ERROR)
    try:
        with progress.shown():
            source = open_source(given.data)
            report = honest_scores(load_model(given.model), source.images, folds=given.folds, seed=given.seed)
        if given.out is not None:
            write_json(given.out, report)
    except ShipsegError as error:
        sys.exit(f"honest: {error}")
    print(f"{report['images']} images, {report['no-data images']} of one colour, {report['folds']} folds")
    for images in ("all images", "without no-data images"):
        print(f"\n{images}\n\n" + table({method: parts[images] for method, parts in report["ways"].items()}))


if __name__ == "__main__":
    main()
