"""The decision rule chosen on images for which the best one is known."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from shipseg.config import Decision, ThresholdConfig
from shipseg.errors import ConfigError, DataError, ImageError
from shipseg.evaluation.evaluate import GivesProbability
from shipseg.evaluation.labelled import Labelled
from shipseg.evaluation.thresholds import USUAL_TARGETS, Choice, Retuned, choose_decision, retune, write_retuned
from shipseg.inference.predictor import Predictor
from shipseg.masks.ships import find_ships
from shipseg.model.calibration import Calibration
from shipseg.model.card import Card, CardInput, parse_card
from shipseg.recipes import load_recipe

Model = Callable[..., GivesProbability]
MakeImage = Callable[..., Labelled]


def blob(labelled: MakeImage, name: str = "ship") -> Labelled:
    """Return a ship of 4 x 4 px with probability 0.8 and a rim of 0.4, all inside 10 x 10."""
    return labelled(name, truth=[(3, 3, 7, 7)], seen={(2, 2, 8, 8): 102, (3, 3, 7, 7): 204})


def test_pixel_metrics_take_the_middle_of_the_best_thresholds(red_model: Model, labelled: MakeImage) -> None:
    # Above 0.4 and up to 0.8 the mask is exactly the ship: thresholds 0.45 ... 0.80, their middle 0.60 or 0.65.
    for metric in ("pooled_dice", "pooled_iou"):
        config = ThresholdConfig.model_validate({"metric": metric})
        choice = choose_decision(red_model(), [blob(labelled)], config=config)
        decision, curve = choice.decision, choice.curve
        assert decision.threshold in (0.60, 0.65)
        assert decision.min_peak == 0.0
        assert decision.metric == metric
        at = curve["threshold"].index(0.4)
        assert curve["pooled_dice"][at] == pytest.approx(2 * 16 / (36 + 16))
        assert curve["pooled_dice"][at + 1] == 1.0


def test_curves_have_columns_of_one_length_that_a_card_can_hold(red_model: Model, labelled: MakeImage) -> None:
    for metric in ("pooled_dice", "airbus_score"):
        config = ThresholdConfig.model_validate({"metric": metric})
        choice = choose_decision(red_model(), [blob(labelled), labelled("empty")], config=config, data="tiles")
        assert len({len(column) for column in choice.curve.values()}) == 1
        card = parse_card(choice.on(Card()).model_dump_json(), "here")
        assert card.threshold_curve == choice.curve
        assert (card.choice.data, card.choice.counts.images_without_ships) == ("tiles", 1)


def test_airbus_score_chooses_a_peak_that_drops_false_alarms(red_model: Model, labelled: MakeImage) -> None:
    # The ship has 0.96 in the middle and 0.6 around; a false alarm in an empty image reaches 0.76 everywhere.
    # To keep the ship whole the threshold must be at most 0.6; only the peak can then drop the false alarm.
    ship = labelled("ship", truth=[(2, 2, 8, 8)], seen={(2, 2, 8, 8): 153, (4, 4, 6, 6): 245})
    alarm = labelled("alarm", seen={(0, 0, 3, 3): 194})
    choice = choose_decision(red_model(), [ship, alarm], config=ThresholdConfig(metric="airbus_score"))
    decision, curve = choice.decision, choice.curve
    assert decision.threshold <= 0.6
    assert decision.min_peak in (0.8, 0.9, 0.95)
    assert decision.metric == "airbus_score"
    best = max(curve["airbus_score"])
    assert best == 1.0
    assert curve["min_peak"][curve["airbus_score"].index(best)] >= 0.8


def test_ship_f1_is_chosen_jointly_too(red_model: Model, labelled: MakeImage) -> None:
    ship = labelled("ship", truth=[(2, 2, 8, 8)], seen={(2, 2, 8, 8): 153, (4, 4, 6, 6): 245, (0, 0, 1, 1): 194})
    choice = choose_decision(red_model(), [ship], config=ThresholdConfig(metric="ship_f1"))
    decision, curve = choice.decision, choice.curve
    assert (decision.metric, decision.threshold <= 0.6, decision.min_peak >= 0.8) == ("ship_f1", True, True)
    assert max(curve["ship_f1"]) == 1.0


def test_where_no_choice_makes_a_difference_the_threshold_is_one_half(red_model: Model, labelled: MakeImage) -> None:
    unseen = labelled("unseen", truth=[(0, 0, 2, 2)])
    certain = labelled("certain", truth=[(0, 0, 2, 2)], seen={(0, 0, 2, 2): 255})
    for metric in ("pooled_dice", "airbus_score"):
        for image in (unseen, certain):
            config = ThresholdConfig.model_validate({"metric": metric})
            decision = choose_decision(red_model(), [image], config=config).decision
            assert decision == Decision(threshold=0.5, metric=metric)


@pytest.mark.parametrize("metric", ["pooled_dice", "pooled_iou", "airbus_score", "ship_f1"])
def test_without_a_ship_the_default_is_kept_with_a_warning(
    red_model: Model, labelled: MakeImage, caplog: pytest.LogCaptureFixture, metric: str
) -> None:
    config = ThresholdConfig.model_validate({"metric": metric})
    for images in ([], [labelled("empty", seen={(0, 0, 2, 2): 200})]):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert choose_decision(red_model(), images, config=config) == Choice()
        assert "hold no ship" in caplog.text
        assert "default threshold of 0.5 is kept" in caplog.text


def test_an_unreadable_image_is_skipped(
    red_model: Model, labelled: MakeImage, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> NDArray[np.uint8]:
        raise ImageError("gone.jpg does not exist", reason="missing")

    images = [blob(labelled), Labelled("gone", fail, ())]
    assert choose_decision(red_model(), images, config=ThresholdConfig()).decision.threshold in (0.6, 0.65)
    assert "gone.jpg does not exist" in caplog.text


def test_no_more_than_max_images_are_read(red_model: Model, labelled: MakeImage) -> None:
    read_ids = []

    def watched(image: Labelled) -> Labelled:
        def read() -> NDArray[np.uint8]:
            read_ids.append(image.image_id)
            return image.read()

        return Labelled(image.image_id, read, image.rles)

    images = [watched(blob(labelled, f"{k}")) for k in range(10)]
    choose_decision(red_model(), images, config=ThresholdConfig(max_images=4))
    assert len(set(read_ids)) == 4


def test_a_target_is_met_with_the_highest_recall(red_model: Model, labelled: MakeImage) -> None:
    # Two ships of probability 0.6 and 0.9; in an empty image 0.7. Both ships need a false alarm: precision 2 of 3.
    images = [
        labelled("faint", truth=[(0, 0, 4, 4)], seen={(0, 0, 4, 4): 153}),
        labelled("sure", truth=[(0, 0, 4, 4)], seen={(0, 0, 4, 4): 230}),
        labelled("alarm", seen={(0, 0, 3, 3): 178}),
        labelled("sea"),
    ]
    for target, low, high, recall in (
        ({"precision": 0.6}, 0.0, 0.6, 1.0),
        ({"precision": 0.9}, 0.7, 0.91, 0.5),
        ({"pixel_precision": 0.9}, 0.7, 0.91, 0.5),
        ({"false_alarm_images": 0.5}, 0.0, 0.6, 1.0),
        ({"false_alarm_images": 0.2}, 0.7, 0.91, 0.5),
        ({"false_alarms_per_1000km2": 100.0}, 0.7, 0.91, 0.5),  # one in 4 km2 is 250
        ({"false_alarms_per_1000km2": 250.0}, 0.0, 0.6, 1.0),
    ):
        choice = choose_decision(red_model(), images, config=ThresholdConfig.model_validate(target))
        needed = max(choice.decision.threshold, choice.decision.min_peak)
        assert low < needed <= high, target
        assert choice.facts.scores["ship_recall"] == recall, target
        assert choice.facts.reached is True


def test_a_target_that_cannot_be_met_gives_the_nearest_point_and_the_card_says_so(
    red_model: Model, labelled: MakeImage, caplog: pytest.LogCaptureFixture
) -> None:
    # One ship and two false alarms of the same probability: precision is a third at every threshold that keeps them.
    images = [
        labelled("ship", truth=[(0, 0, 4, 4)], seen={(0, 0, 4, 4): 204}),
        labelled("alarms", seen={(0, 0, 3, 3): 204, (6, 6, 8, 8): 204}),
    ]
    choice = choose_decision(red_model(), images, config=ThresholdConfig(precision=0.9))
    assert choice.decision.metric == "ship precision of at least 0.9, not reached: 0.333"
    assert choice.decision.threshold <= 0.8
    assert (
        "ship precision of at least 0.9 cannot be met on these images: the best is 0.333, with a ship recall of 1"
        in (caplog.text)
    )


def test_a_target_without_images_to_count_on_is_replaced_by_the_metric(
    red_model: Model, labelled: MakeImage, caplog: pytest.LogCaptureFixture
) -> None:
    choice = choose_decision(red_model(), [blob(labelled)], config=ThresholdConfig(false_alarm_images=0.02))
    assert choice.decision.metric == "pooled_dice"
    assert "none of the labelled images is without ships" in caplog.text


@dataclass(frozen=True)
class Distorted:
    """A model whose probabilities are those of another, distorted without a change of order."""

    model: GivesProbability
    change: Callable[[NDArray[np.float64]], NDArray[np.float64]]

    @property
    def card(self) -> Card:
        return self.model.card

    def probability(self, image_hwc: NDArray[np.uint8], /) -> NDArray[np.float32]:
        return self.change(self.model.probability(image_hwc).astype(np.float64)).astype(np.float32)


@pytest.mark.parametrize("metric", ["airbus_score", "pooled_dice"])
@pytest.mark.parametrize(
    "change",
    [
        lambda p: p * 1e-3,  # all below 0.001
        lambda p: 1 - (1 - p) * 1e-3,  # all above 0.999
        lambda p: 1 / (1 + np.exp(-p)),  # the sigmoid a second time: 0.5 to 0.73
        lambda p: p**8,
    ],
)
def test_squeezed_probabilities_give_the_same_ships(
    red_model: Model, labelled: MakeImage, metric: str, change: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> None:
    # Sea at 0.1, a rim at 0.4, ships at 0.8 and 0.75; in an empty image 0.5 everywhere.
    images = [
        labelled("one", truth=[(3, 3, 7, 7)], seen={(0, 0, 10, 10): 26, (2, 2, 8, 8): 102, (3, 3, 7, 7): 204}),
        labelled("two", truth=[(3, 3, 7, 7)], seen={(0, 0, 10, 10): 26, (2, 2, 8, 8): 102, (3, 3, 7, 7): 191}),
        labelled("alarm", seen={(0, 0, 10, 10): 26, (3, 3, 7, 7): 128}),
    ]
    config = ThresholdConfig.model_validate({"metric": metric})
    choice = choose_decision(Distorted(red_model(), change), images, config=config)
    assert choice.facts.scores[metric] == 1.0
    low, high = change(np.array([0.51, 0.75]))
    assert low < max(choice.decision.threshold, choice.decision.min_peak) <= high
    assert choice.decision.threshold <= high


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_the_same_ships_come_out_of_calibrated_probabilities(
    red_model: Model, labelled: MakeImage, method: Literal["temperature", "isotonic"]
) -> None:
    rng = np.random.default_rng(0)
    images = []
    for number in range(12):
        seen = {(r, c, r + 1, c + 1): int(rng.integers(0, 200)) for r in range(10) for c in range(10)}
        seen |= {(3, 3, 7, 7): int(rng.integers(120, 255))} if number % 3 else {}
        images.append(labelled(f"{number}", truth=[(3, 3, 7, 7)] if number % 3 else [], seen=seen))
    plain = choose_decision(red_model(), images, config=ThresholdConfig(metric="ship_f1"))
    made = choose_decision(red_model(), images, config=ThresholdConfig(metric="ship_f1", calibration=method))
    assert plain.calibration is None
    assert made.calibration is not None
    assert made.calibration.method == method
    assert made.decision != plain.decision
    for image in images:
        probability_hw = red_model().probability(image.read())
        calibrated_hw = made.calibration.apply(probability_hw)
        found = [
            [(ship.mask_box, ship.area_px) for ship in find_ships(hw, threshold=rule.threshold, min_peak=rule.min_peak)]
            for hw, rule in ((probability_hw, plain.decision), (calibrated_hw, made.decision))
        ]
        assert found[0] == found[1]


def test_two_targets_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="precision and false_alarm_images are two targets: give one"):
        load_recipe("base", {"threshold.precision": "0.9", "threshold.false_alarm_images": "0.02"})
    with pytest.raises(ConfigError, match="precision must be at most 1, got 90"):
        load_recipe("base", {"threshold.precision": "90"})


HALVED = Calibration(method="isotonic", knots=((0, 0), (1, 0.5)))


class Red:
    """A network whose probability is the red channel."""

    pixels_per_batch = 1024

    def run(self, images_n3hw: NDArray[np.float32]) -> NDArray[np.float32]:
        return images_n3hw[:, :1] / np.float32(255)


def red(calibration: Calibration | None = None) -> Predictor:
    return Predictor(Card(name="red", input=CardInput(mode="crops"), calibration=calibration), Red())


@pytest.fixture
def images(labelled: MakeImage) -> list[Labelled]:
    """Six images with a ship of probability 0.8 in a rim of 0.4, four without, one of which has 0.6."""
    ships = [labelled(f"s{k}", truth=[(3, 3, 7, 7)], seen={(2, 2, 8, 8): 102, (3, 3, 7, 7): 204}) for k in range(6)]
    return [*ships, *(labelled(f"e{k}", seen={(0, 0, 3, 3): 153} if k == 0 else None) for k in range(4))]


def made(images: list[Labelled], **target: object) -> Retuned:
    keep = "calibration" not in target
    return retune(red(), images, config=ThresholdConfig.model_validate(target), keep_calibration=keep, data="tiles")


def test_the_card_says_on_what_and_for_what_it_was_chosen(images: list[Labelled]) -> None:
    card = made(images, false_alarm_images=0.1).card
    assert card.decision.metric == "a false alarm in at most 10 % of the images without ships"
    assert 0.6 < max(card.decision.threshold, card.decision.min_peak) <= 0.8
    assert card.choice.data == "tiles"
    assert card.choice.counts.images_without_ships == 4
    assert card.calibration is None


def test_the_models_own_calibration_is_kept_by_default(images: list[Labelled]) -> None:
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


def test_usual_targets_without_images_to_count_on_are_left_out(images: list[Labelled]) -> None:
    assert [point.config for point in made(images, metric="ship_f1").usual] == list(USUAL_TARGETS)
    only_ships = made(images[:6], metric="ship_f1").usual
    assert [point.config for point in only_ships] == [each for each in USUAL_TARGETS if each.false_alarm_images is None]


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
