"""What each ingredient of the world is worth on real images: the same training on worlds that lack one of them.

    python -m benchmarks.ablations AIRBUS_FOLDER WORK [--only NAME ...] [--images 1500] [--seeds 0,1]
        [--SECTION.KEY VALUE of the recipe shipseg-small ...]

For each ingredient and seed a folder of synthetic images is made in which it is missing, a network is trained on it
from nothing, its rules chosen on synthetic images of the same world (of 384 px, so looser than right for tiles of 768
px, alike for all), and it is judged on AIRBUS_FOLDER. WORK keeps the counts of each judged image, so a killed call goes
on where it stopped; no weights are kept.
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
from benchmarks.folds import judge, score_rows, table, with_groups
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
    """A camera without blur, noise, halo and first JPEG."""
    return np.clip(np.rint(rgb_hwc), 0, 255).astype(np.uint8)


def _touching(
    owner_hw: NDArray[np.int32], coverage_hw: NDArray[np.uint8]
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    return owner_hw, coverage_hw


def _without(module: Any, *names: str) -> Forced:
    return tuple((module, f"{name}_SHARE", 0.0) for name in names)


LACKING: Mapping[str, Forced] = {
    WHOLE: (),
    "bright seas as rough as real ones": _without(sea, "GLITTER_ROUGH"),
    "glint, sparkle, streaks, slicks, shallows": _without(
        sea, "GLINT", "SPARKLE", "DARK_GLITTER", "STREAK", "SLICK", "SHALLOWS"
    ),
    "whitecaps and clutter": (
        *_without(sea, "WHITECAP"),
        *_without(clutter, "BUOYS", "CAGES", "ROCKS", "SPECKS", "PLATFORMS"),
    ),
    "wakes": ((fleet, "paint_wake", _nothing), (fleet, "paint_comet", _nothing), (world, "ORPHAN_WAKE_SHARE", 0.0)),
    "comets and even plumes": (*_without(fleet, "COMET"), *_without(wakes, "SMOOTH")),
    "coasts, harbours, jetties, towns": (*OPEN_SEA, *_without(world, "JETTY")),
    "clouds and haze": _without(weather, "CLOUD", "HAZE"),
    "the camera": ((world, "expose", _ideal),),
    "labels as tight as the annotators'": ((ships, "LABEL_MARGIN_PX", (1.0, 1.0, 1.0)),),
    "gaps between labels": ((world, "split_touching", _touching),),
    "small craft that stand out": ((ships, "SEEN_ABOVE_NOISE", 0.0), (ships, "SEEN_ABOVE_WAVES", 0.0)),
}
"""What is taken from the world in each trial, by name."""


def trial(
    lacking: str, place: Path, judged: tuple[Labelled, ...], *, images: int, seed: int, overrides: Mapping[str, Any]
) -> list[ImageScore]:
    """Return the counts of each judged image, for a network that was trained on the world that lacks something."""

    def judge_trained() -> tuple[ImageScore, ...]:
        with forced(LACKING[lacking]):  # in this process alone, so the pictures are made by one worker
            write_airbus_folder(
                place / "synth", images=images, seed=9000 + seed, config=WorldConfig(size=384), workers=1
            )
        prepare(place / "synth", place / "dataset", PrepareOptions(size="native", seed=seed))
        recipe = load_recipe("shipseg-small", {**overrides, "train.seed": seed})
        TrainAndTestModel(recipe, place / "dataset", place / "run").train(resume=True)
        return judge(load_model(place / "run"), judged)

    scores = kept_scores(place.with_suffix(".json"), judge_trained)
    shutil.rmtree(place, ignore_errors=True)
    return scores


def main() -> None:
    """Train, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("airbus", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--only", nargs="*", default=list(LACKING))
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--seeds", default="0,1")
    given, rest = parser.parse_known_args()
    cv2.setNumThreads(1)
    logging.getLogger("shipseg").setLevel(logging.ERROR)
    try:
        if unknown := [name for name in given.only if name not in LACKING]:
            raise ConfigError(f"--only must be among {', '.join(map(repr, LACKING))}, got {unknown[0]!r}")
        overrides, judged = parse_overrides(rest), with_groups(labelled_from_airbus_folder(given.airbus).images)
        found: dict[str, Any] = {}
        work = open_work(given.work, {"world": WORLD_VERSION, "images": given.images, **overrides})
        with progress.shown():
            for seed in map(int, given.seeds.split(",")):
                for lacking in given.only:
                    place = work / f"{re.sub(r'[^a-z]+', '-', lacking)}-{seed}"
                    found.setdefault(lacking, []).extend(
                        trial(lacking, place, judged, images=given.images, seed=seed, overrides=overrides)
                    )
        rows = {name: score_rows(scores, metres_per_pixel=NATIVE_METRES_PER_PIXEL) for name, scores in found.items()}
        write_json(work / "ablations.json", rows)
    except ShipsegError as error:
        sys.exit(f"ablations: {error}")
    print(f"{len(judged)} images, each judged by {len(given.seeds.split(','))} networks; the world lacks\n")
    print(table(rows))


if __name__ == "__main__":
    main()
