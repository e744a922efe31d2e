"""No image is scored by what was fitted on it: folds are whole groups, and every image is scored once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from benchmarks.few_shot import FINE_TUNED, FROM_NOTHING, Study, recipe_of, study_curve
from benchmarks.folds import CachingBackend, assign_folds, is_no_data
from benchmarks.honest import honest_scores
from benchmarks.trials import parse_overrides
from numpy.typing import NDArray

from shipseg.errors import ConfigError
from shipseg.evaluation.labelled import Labelled, labelled_from_airbus_folder
from shipseg.inference.predictor import load_model

SHORT = {"input.crop_size": 64, "sampling.batches_per_epoch": 2, "train.epochs": 1, "train.batch_size": 2}


def labelled(number: int, *, ships: int = 0, group: str | None = None, shade: int = 0) -> Labelled:
    image = np.full((8, 8, 3), shade, np.uint8)
    return Labelled(f"{number}.jpg", lambda: image, ("1 2",) * ships, (8, 8), group)


def test_groups_stay_together_and_kinds_are_balanced() -> None:
    images = [labelled(k, ships=k % 2, group=f"g{k // 4}" if k < 8 else None) for k in range(40)]
    folds = assign_folds(images, folds=4, seed=1)
    for first in (0, 4):
        assert len(set(folds[first : first + 4])) == 1
    with_ships = np.bincount([fold for fold, image in zip(folds, images, strict=True) if image.rles], minlength=4)
    assert with_ships.max() - with_ships.min() <= 4
    assert np.bincount(folds).min() >= 6
    assert folds == assign_folds(images, folds=4, seed=1)


def test_one_colour_is_no_data() -> None:
    assert is_no_data(labelled(0, shade=7))
    noisy = np.random.default_rng(0).integers(0, 60, (8, 8, 3), np.uint8)
    assert not is_no_data(Labelled("a.jpg", lambda: noisy, ()))


def test_the_same_images_are_computed_once() -> None:
    class Counting:
        pixels_per_batch = 64
        calls = 0

        def run(self, images_n3hw: NDArray[np.float32]) -> NDArray[np.float32]:
            self.calls += 1
            return images_n3hw[:, :1] / np.float32(255)

    counting = Counting()
    backend = CachingBackend(counting)
    image = np.ones((1, 3, 4, 4), np.float32)
    assert np.array_equal(backend.run(image), backend.run(image.copy()))
    backend.run(image + 1)
    assert counting.calls == 2


def test_honest_scores_count_every_image_once_with_each_method(airbus_folder: Path, model_folder: Path) -> None:
    images = labelled_from_airbus_folder(airbus_folder).images
    found = honest_scores(load_model(model_folder, device="cpu"), images, folds=2, seed=0)
    assert (found["images"], found["folds"]) == (20, 2)
    assert list(found["ways"]) == ["as it is", "threshold of other folds", "threshold and calibration of other folds"]
    for parts in found["ways"].values():
        rows = parts["all images"]
        assert rows["airbus_score_of_predicting_nothing"]["value"] == pytest.approx(0.4)  # 8 of 20 are empty
        assert 0 <= rows["airbus_score"]["value"] <= 1
        assert parts["without no-data images"].keys() == rows.keys()


def test_the_two_methods_differ_only_in_initial_weights_and_learning_rate(model_folder: Path) -> None:
    fine, nothing = (recipe_of(method, str(model_folder), SHORT) for method in (FINE_TUNED, FROM_NOTHING))
    assert fine.network == nothing.network
    assert (fine.train.start_from, nothing.train.start_from) == (str(model_folder), None)
    assert nothing.train.lr > fine.train.lr
    equal = {"start_from", "lr"}
    assert fine.train.model_dump(exclude=equal) == nothing.train.model_dump(exclude=equal)


def test_the_few_shot_curve_is_complete_resumes_and_keeps_no_weights(
    airbus_folder: Path, model_folder: Path, tmp_path: Path
) -> None:
    model = str(shutil.copytree(model_folder, tmp_path / "model"))
    study = Study(airbus_folder, tmp_path / "work", model, SHORT, folds=2, seed=0)
    found = study_curve(study, [0, 10], metres_per_pixel=1.5)
    assert list(found) == ["as it is", "fine-tuned on 10", "from nothing on 10"]
    assert all(rows["airbus_score"]["value"] is not None for rows in found.values())
    kept = sorted(path.name for path in (tmp_path / "work").iterdir())
    assert kept == [
        *(f"{name}-{fold}.json" for name in ("fine-tuned-0", "fine-tuned-10", "from-nothing-10") for fold in (0, 1)),
        "settings.json",
    ]
    ids = [row["image_id"] for fold in (0, 1) for row in json.loads((tmp_path / "work" / kept[fold]).read_text())]
    assert len(ids) == len(set(ids)) == 20
    shutil.rmtree(model)
    again = Study(airbus_folder, tmp_path / "work", model, SHORT, folds=2, seed=0)
    assert study_curve(again, [0, 10], metres_per_pixel=1.5) == found
    with pytest.raises(ConfigError, match=r"holds trials with seed 0, not 1: choose another folder"):
        Study(airbus_folder, tmp_path / "work", model, SHORT, folds=2, seed=1)


def test_wrong_counts_are_reported_in_one_sentence() -> None:
    from benchmarks.few_shot import _counts

    assert _counts("0,10,all") == [0, 10, None]
    with pytest.raises(ConfigError, match="--counts must be numbers and `all`"):
        _counts("0,ten")
    with pytest.raises(ConfigError, match="recipe values are given as"):
        parse_overrides(["--train.lr"])
