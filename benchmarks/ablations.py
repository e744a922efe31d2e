"""Effect of each part of the synthetic generator on real images: the same training without one part.

    python -m benchmarks.ablations AIRBUS_FOLDER WORK [--only NAME ...] [--images 1500] [--seeds 0,1]
        [--SECTION.KEY VALUE of the recipe shipseg-small ...]

For each part and seed, a network is trained from random weights on synthetic images without that part. Its decision
rule is chosen on synthetic images of the same kind (of 384 px, so it is looser than suits tiles of 768 px, equally for
all). It is scored on AIRBUS_FOLDER. WORK keeps the counts of each scored image, so a killed run resumes; no weights are
kept.
"""

from __future__ import annotations

import argparse
import logging
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from benchmarks.folds import score_images, score_rows, table, with_groups
from benchmarks.trials import kept_scores, open_work, parse_overrides
from benchmarks.world_pictures import OPEN_SEA, Forced, forced
from numpy.typing import NDArray

from shipseg import progress
from shipseg.data.prepare import PrepareOptions, prepare
from shipseg.errors import ConfigError, ShipsegError
from shipseg.evaluation.labelled import Labelled, labelled_from_airbus_folder
from shipseg.evaluation.scores import ImageScore
from shipseg.files import write_json
from shipseg.inference.predictor import load_model
from shipseg.recipes import load_recipe
from shipseg.synth import world
from shipseg.synth.distributions import NATIVE_METRES_PER_PIXEL
from shipseg.synth.folder import WORLD_VERSION, write_airbus_folder
from shipseg.synth.paint import clutter, fleet, sea, sensor, ships, wakes, weather
from shipseg.synth.view import WorldConfig
from shipseg.training.run import TrainAndTestModel

WHOLE = "nothing"


def _nothing(*_args: object, **_options: object) -> None:
    """Paint nothing."""


def _ideal(_rng: object, _camera: sensor.Sensor, rgb_hwc: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the image of a sensor without blur, noise, halo and first JPEG."""
    return np.clip(np.rint(rgb_hwc), 0, 255).astype(np.uint8)


def _touching(
    owner_hw: NDArray[np.int32], coverage_hw: NDArray[np.uint8]
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    return owner_hw, coverage_hw


def _no(module: Any, *names: str) -> Forced:
    return tuple((module, f"{name}_SHARE", 0.0) for name in names)


WITHOUT: Mapping[str, Forced] = {
    WHOLE: (),
    "bright seas as rough as real ones": _no(sea, "GLITTER_ROUGH"),
    "glint, sparkle, streaks, slicks, shallows": _no(
        sea, "GLINT", "SPARKLE", "DARK_GLITTER", "STREAK", "SLICK", "SHALLOWS"
    ),
    "whitecaps and clutter": (
        *_no(sea, "WHITECAP"),
        *_no(clutter, "BUOYS", "CAGES", "ROCKS", "SPECKS", "PLATFORMS"),
    ),
    "wakes": ((fleet, "paint_wake", _nothing), (fleet, "paint_comet", _nothing), (world, "ORPHAN_WAKE_SHARE", 0.0)),
    "comets and even plumes": (*_no(fleet, "COMET"), *_no(wakes, "SMOOTH")),
    "coasts, harbours, jetties, towns": (*OPEN_SEA, *_no(world, "JETTY")),
    "clouds and haze": _no(weather, "CLOUD", "HAZE"),
    "the camera": ((world, "expose", _ideal),),
    "labels as tight as the annotators'": ((ships, "LABEL_MARGIN_PX", (1.0, 1.0, 1.0)),),
    "gaps between labels": ((world, "split_touching", _touching),),
    "small craft that stand out": ((ships, "SEEN_ABOVE_NOISE", 0.0), (ships, "SEEN_ABOVE_WAVES", 0.0)),
}
"""Changed constants and functions of the generator in each trial, by the name of what is missing."""


def trial(
    without: str,
    folder: Path,
    test_images: tuple[Labelled, ...],
    *,
    images: int,
    seed: int,
    overrides: Mapping[str, Any],
) -> list[ImageScore]:
    """Return the counts of each scored image, for a network trained on images without one part."""

    def train_and_score() -> tuple[ImageScore, ...]:
        with forced(WITHOUT[without]):  # in this process alone, so one worker makes the images
            write_airbus_folder(
                folder / "synth", images=images, seed=9000 + seed, config=WorldConfig(size=384), workers=1
            )
        prepare(folder / "synth", folder / "dataset", PrepareOptions(size="native", seed=seed))
        recipe = load_recipe("shipseg-small", {**overrides, "train.seed": seed})
        TrainAndTestModel(recipe, folder / "dataset", folder / "run").train(resume=True)
        return score_images(load_model(folder / "run"), test_images)

    scores = kept_scores(folder.with_suffix(".json"), train_and_score)
    shutil.rmtree(folder, ignore_errors=True)
    return scores


def main() -> None:
    """Train, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("airbus", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--only", nargs="*", default=list(WITHOUT))
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--seeds", default="0,1")
    given, rest = parser.parse_known_args()
    cv2.setNumThreads(1)
    logging.getLogger("shipseg").setLevel(logging.ERROR)
    try:
        if unknown := [name for name in given.only if name not in WITHOUT]:
            raise ConfigError(f"--only must be among {', '.join(map(repr, WITHOUT))}, got {unknown[0]!r}")
        overrides, test_images = parse_overrides(rest), with_groups(labelled_from_airbus_folder(given.airbus).images)
        counts: dict[str, Any] = {}
        work = open_work(given.work, {"world": WORLD_VERSION, "images": given.images, **overrides})
        with progress.shown():
            for seed in map(int, given.seeds.split(",")):
                for without in given.only:
                    folder = work / f"{re.sub(r'[^a-z]+', '-', without)}-{seed}"
                    counts.setdefault(without, []).extend(
                        trial(without, folder, test_images, images=given.images, seed=seed, overrides=overrides)
                    )
        rows = {name: score_rows(scores, metres_per_pixel=NATIVE_METRES_PER_PIXEL) for name, scores in counts.items()}
        write_json(work / "ablations.json", rows)
    except ShipsegError as error:
        sys.exit(f"ablations: {error}")
    print(f"{len(test_images)} images, each scored by {len(given.seeds.split(','))} networks; images without\n")
    print(table(rows))


if __name__ == "__main__":
    main()
