"""A copy of a model has the same weights and another card."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from shipseg.config import Decision
from shipseg.errors import ConfigError
from shipseg.inference.copying import copy_model
from shipseg.inference.export import ExportReport
from shipseg.inference.predictor import load_model
from shipseg.model.calibration import Calibration
from shipseg.model.card import Card, read_card

BENT = Calibration(method="isotonic", knots=((0, 0), (0.5, 0.2), (1, 0.9)))


@pytest.fixture
def card(model_folder: Path) -> Card:
    changed = {"decision": Decision(threshold=0.2, min_peak=0.3, metric="ship_f1"), "calibration": BENT}
    return read_card(model_folder).model_copy(update=changed)


@pytest.mark.parametrize("form", ["folder", "onnx"])
def test_the_copy_predicts_calibrated_whatever_runs_it(
    form: str, model_folder: Path, exported: ExportReport, card: Card, tmp_path: Path
) -> None:
    source = model_folder if form == "folder" else exported.path
    copy = copy_model(source, tmp_path / "out", card)
    assert copy == tmp_path / "out" / ("model" if form == "folder" else "model.onnx")
    assert read_card(copy) == card
    image_hwc = np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype(np.uint8)
    before, after = load_model(source), load_model(copy)
    np.testing.assert_allclose(after.probability(image_hwc), BENT.apply(before.probability(image_hwc)), atol=1e-6)
    np.testing.assert_allclose(after.uncalibrated().probability(image_hwc), before.probability(image_hwc), atol=1e-6)


def test_the_same_ships_come_out_at_the_threshold_that_corresponds(
    model_folder: Path, card: Card, tmp_path: Path
) -> None:
    image_hwc = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    before, after = load_model(model_folder), load_model(copy_model(model_folder, tmp_path, card))
    probability_hw = after.probability(image_hwc)
    threshold = float(np.quantile(probability_hw, 0.8))
    own = BENT.before(threshold)
    np.testing.assert_array_equal(
        probability_hw >= np.float32(threshold), before.probability(image_hwc) >= np.float32(own)
    )
    assert 0.1 < (probability_hw >= np.float32(threshold)).mean() < 0.9, "all or nothing would prove nothing"


def test_other_programs_get_the_threshold_in_the_networks_own_probability(
    exported: ExportReport, card: Card, tmp_path: Path
) -> None:
    copy = copy_model(exported.path, tmp_path, card)
    entries = {entry.key: entry.value for entry in onnx.load(copy).metadata_props}
    assert json.loads(entries["seg_thresh"]) == pytest.approx(0.5)  # BENT makes 0.2 of it


def test_an_onnx_file_beside_the_weights_gets_the_new_card_too(
    model_folder: Path, exported: ExportReport, card: Card, tmp_path: Path
) -> None:
    source = copy_model(model_folder, tmp_path / "source", read_card(model_folder))
    (source / "model.onnx").write_bytes(exported.path.read_bytes())
    copy = copy_model(source, tmp_path / "out", card)
    assert load_model(copy, backend="onnx").card == load_model(copy, backend="torch").card == card


def test_a_model_is_not_written_over_itself(
    exported: ExportReport, model_folder: Path, card: Card, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    copy_model(model_folder, run, card)
    for source in (run, run / "model"):
        with pytest.raises(ConfigError, match="would be written over the model"):
            copy_model(source, run, card)
    (tmp_path / "model.onnx").write_bytes(exported.path.read_bytes())
    with pytest.raises(ConfigError, match="would be written over the model"):
        copy_model(tmp_path / "model.onnx", tmp_path, card)
