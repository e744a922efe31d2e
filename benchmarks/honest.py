"""How good a model is on labelled images that it never saw, with nothing fitted on what it is judged on.

    python -m benchmarks.honest DATA [--model MODEL] [--folds 5] [--seed 0] [--out FILE.json]

Three ways to use the model: as it is; with its threshold and smallest peak chosen on the other folds of DATA; with
the calibration fitted there, too. Folds are of whole groups of overlapping images. Each way is scored on all images,
and without those that show one colour (no-data tiles, which are right for nothing); intervals are 90 % bootstrap
intervals over groups. The model's own weights are the same throughout.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
from benchmarks.folds import Remembering, deal_folds, is_no_data, judge, score_rows, split_at, table, with_groups

from shipseg import progress
from shipseg.config import ThresholdConfig
from shipseg.errors import ShipsegError
from shipseg.evaluation.labelled import Labelled, open_source
from shipseg.evaluation.scores import ImageScore
from shipseg.evaluation.thresholds import retune
from shipseg.files import write_json
from shipseg.inference.predictor import Predictor, load_model

WAYS: Mapping[str, ThresholdConfig | None] = {
    "as it is": None,
    "threshold of other folds": ThresholdConfig(metric="airbus_score"),
    "threshold and calibration of other folds": ThresholdConfig(metric="airbus_score", calibration="isotonic"),
}


def judge_way(
    predictor: Predictor, images: Sequence[Labelled], fold_of: Sequence[int], config: ThresholdConfig | None
) -> list[ImageScore]:
    """Return the counts of each image, judged by rules that were chosen on the other folds."""
    if config is None:
        return list(judge(predictor, images))
    scores: list[ImageScore] = []
    for fold in sorted(set(fold_of)):
        here, elsewhere = split_at(images, fold_of, fold)
        keep = config.calibration == "none"
        card = retune(predictor, elsewhere, config=config, keep_calibration=keep).card
        scores += judge(Predictor(card, predictor.backend), here)
    return scores


def honest_scores(predictor: Predictor, images: Sequence[Labelled], *, folds: int, seed: int) -> dict[str, Any]:
    """Return the scores of each way, on all images and without those of one colour."""
    predictor = Predictor(predictor.card, Remembering(predictor.backend))
    images = with_groups(images)
    fold_of = deal_folds(images, folds=folds, seed=seed)
    empty_handed = {image.image_id for image in images if is_no_data(image)}
    metres = predictor.card.input.metres_per_pixel
    found: dict[str, Any] = {"images": len(images), "no-data images": len(empty_handed), "folds": folds, "ways": {}}
    for way, config in WAYS.items():
        scores = judge_way(predictor, images, fold_of, config)
        rest = [score for score in scores if score.image_id not in empty_handed]
        found["ways"][way] = {
            "all images": score_rows(scores, metres_per_pixel=metres),
            "without no-data images": score_rows(rest, metres_per_pixel=metres),
        }
    return found


def main() -> None:
    """Score, print, keep."""
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
            found = honest_scores(load_model(given.model), source.images, folds=given.folds, seed=given.seed)
        if given.out is not None:
            write_json(given.out, found)
    except ShipsegError as error:
        sys.exit(f"honest: {error}")
    print(f"{found['images']} images, {found['no-data images']} of one colour, {found['folds']} folds")
    for images in ("all images", "without no-data images"):
        print(f"\n{images}\n\n" + table({way: parts[images] for way, parts in found["ways"].items()}))


if __name__ == "__main__":
    main()
