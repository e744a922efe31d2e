"""A finished model's rules chosen anew, from counts to files."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shipseg.config import ThresholdConfig
from shipseg.errors import DataError
from shipseg.evaluation.labelled import Labelled
from shipseg.evaluation.retune import USUAL_WISHES, Retuned, retune, write_retuned
from shipseg.inference.predictor import Predictor
from shipseg.model.calibration import Calibration
from shipseg.model.card import Card, CardInput

MakeImage = Callable[..., Labelled]
HALVED = Calibration(method="isotonic", knots=((0, 0), (1, 0.5)))


class Red:
    """Runs a network that takes red for ship."""

    pixels_per_batch = 1024

    def run(self, images_n3hw: NDArray[np.float32]) -> NDArray[np.float32]:
        return images_n3hw[:, :1] / np.float32(255)


def red(calibration: Calibration | None = None) -> Predictor:
    return Predictor(Card(name="red", input=CardInput(mode="crops"), calibration=calibration), Red())


@pytest.fixture
def images(labelled: MakeImage) -> list[Labelled]:
    """Six images with a ship seen at 0.8 in a rim of 0.4, four without, one of which shows 0.6."""
    ships = [labelled(f"s{k}", truth=[(3, 3, 7, 7)], seen={(2, 2, 8, 8): 102, (3, 3, 7, 7): 204}) for k in range(6)]
    return [*ships, *(labelled(f"e{k}", seen={(0, 0, 3, 3): 153} if k == 0 else None) for k in range(4))]


def made(images: list[Labelled], **wish: object) -> Retuned:
    keep = "calibration" not in wish
    return retune(red(), images, config=ThresholdConfig.model_validate(wish), keep_calibration=keep, data="tiles")


def test_the_card_says_on_what_and_for_what_it_was_chosen(images: list[Labelled]) -> None:
    card = made(images, false_alarm_images=0.1).card
    assert card.decision.metric == "a false alarm in at most 10 % of the images without ships"
    assert 0.6 < max(card.decision.threshold, card.decision.min_peak) <= 0.8
    assert card.choice["data"] == "tiles"
    assert card.choice["counts"]["images_without_ships"] == 4
    assert card.calibration is None


def test_the_models_own_calibration_stays_unless_another_is_asked_for(images: list[Labelled]) -> None:
    config = ThresholdConfig(metric="ship_f1")
    kept = retune(red(HALVED), images, config=config)
    plain = retune(red(), images, config=config)
    assert kept.card.calibration == HALVED
    assert kept.card.decision.threshold == pytest.approx(plain.card.decision.threshold / 2)
    assert kept.card.network_threshold == pytest.approx(plain.card.decision.threshold)
    gone = retune(red(HALVED), images, config=config, keep_calibration=False)
    assert gone.card.calibration is None
    assert gone.card.decision == plain.card.decision
    assert set(kept.reliability) == {"network", "calibrated"}
    assert set(gone.reliability) == {"network"}


def test_the_usual_wishes_are_answered_as_far_as_there_is_something_to_count(images: list[Labelled]) -> None:
    assert [point.config for point in made(images, metric="ship_f1").usual] == list(USUAL_WISHES)
    only_ships = made(images[:6], metric="ship_f1").usual
    assert [point.config for point in only_ships] == [w for w in USUAL_WISHES if w.false_alarm_images is None]


def test_files_hold_curves_by_group_in_calibrated_probability_and_every_point(
    images: list[Labelled], tmp_path: Path
) -> None:
    retuned = made(images, metric="ship_f1", calibration="isotonic")
    write_retuned(retuned, tmp_path)
    with (tmp_path / "curves.csv").open(newline="") as lines:
        table = list(csv.DictReader(lines))
    assert {row["images"] for row in table} == {"all", "none", "single"}
    calibration = retuned.card.calibration
    assert calibration is not None
    for row in table[::7]:
        own = np.array([float(row["network_threshold"])], np.float32)
        assert float(row["threshold"]) == pytest.approx(calibration.apply(own)[0], rel=1e-4)
    facts = json.loads((tmp_path / "thresholds.json").read_text())
    assert facts["decision"]["threshold"] == retuned.card.decision.threshold
    assert facts["calibration"]["method"] == "isotonic"
    assert [point["wish"] for point in facts["operating_points"]][:2] == ["best Airbus score", "best ship F1"]


def test_images_without_a_ship_are_refused(images: list[Labelled]) -> None:
    with pytest.raises(DataError, match="none of its readable images holds a ship"):
        made(images[6:], metric="ship_f1")
