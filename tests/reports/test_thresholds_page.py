"""The report of a threshold choice: the target, the evidence for the choice, and other operating points."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shipseg.config import ThresholdConfig
from shipseg.evaluation.labelled import Source
from shipseg.evaluation.thresholds import retune
from shipseg.inference.predictor import Predictor
from shipseg.model.card import Card, CardInput
from shipseg.reports.thresholds_page import write_threshold_report


class Bright:
    """Runs a network that takes bright pixels for ships."""

    pixels_per_batch = 1024 * 1024

    def run(self, images_n3hw: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(images_n3hw.mean(axis=1, keepdims=True) / np.float32(255))


def page(source: Source, path: Path, **target: object) -> str:
    predictor = Predictor(Card(name="bright & <b>bold</b>", input=CardInput(mode="crops")), Bright())
    config = ThresholdConfig.model_validate(target)
    retuned = retune(predictor, source, config=config, keep_calibration=False)
    return write_threshold_report(retuned, path / "report.html").read_text(encoding="utf-8")


def words(text: str) -> str:
    without = re.sub(r"<(style|svg).*?</\1>", " ", text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", without))


@pytest.fixture(scope="module")
def calibrated(synthetic_source: Source, tmp_path_factory: pytest.TempPathFactory) -> str:
    return page(synthetic_source, tmp_path_factory.mktemp("page"), metric="airbus_score", calibration="temperature")


def test_the_page_is_self_contained_and_escapes_texts(calibrated: str) -> None:
    assert re.findall(r"https?://|@import|<script|url\((?!#)|src=", calibrated) == []
    assert "bright &amp; &lt;b&gt;bold&lt;/b&gt;" in calibrated
    assert "nan" not in words(calibrated).lower().split()
    assert "None" not in words(calibrated)


def test_the_page_has_the_usual_targets(calibrated: str) -> None:
    text = words(calibrated)
    assert "Requested: best Airbus score." in text
    for target in ("best ship F1", "ship precision of at least 0.95", "a false alarm in at most 1 % of the images"):
        assert target in text
    assert re.search(r"\d of 8 upper bound \d+ %", text)  # eight of the twenty images hold no ship
    assert "The probabilities are calibrated (temperature" in text


def test_a_target_that_cannot_be_met_is_marked(small_source: Source, tmp_path: Path) -> None:
    # One of three detections is right, and all are equally bright.
    text = page(small_source, tmp_path, precision=0.9)
    assert '<p class="note">Ship precision of at least 0.9 cannot be met on these images: the best is 0.333' in text
    assert "Not calibrated: these are the network's own probabilities." in words(text).replace("&#39;", "'")


def test_without_empty_images_the_page_has_no_false_alarm_rate(small_source: Source, tmp_path: Path) -> None:
    ships = Source("ships", tuple(image for image in small_source if image.image_id in ("half.png", "two.png")))
    text = words(page(ships, tmp_path, metric="ship_f1"))
    assert "a false alarm in at most" not in text
    assert "upper bound" not in text
