from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from shipseg.errors import ConfigError, DataError
from shipseg.evaluation.labelled import Labelled, Source
from shipseg.inference.predictor import Predictor
from shipseg.masks import rle
from shipseg.model.card import Card, CardGate, CardInput, parse_card
from shipseg.scenes.gate import Gate, GateOptions, choose_gate, contrast

GATE = CardGate(
    reduction=4,
    threshold=10.0,
    wished_loss=0.005,
    lost_recall=0.0,
    lost_recall_at_most=0.03,
    num_ships=100,
    skipped_share=0.4,
    num_empty_tiles=50,
    tile_px=768,
    time_share=0.01,
    measured_on="tiles",
)


class Nothing:
    """A network that detects nothing."""

    pixels_per_batch = 1 << 16

    def run(self, images_n3hw: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.zeros((len(images_n3hw), 1, *images_n3hw.shape[2:]), np.float32)


def sea(side: int = 128, *, ship: int = 0) -> NDArray[np.uint8]:
    """Return an image of grey 50 with a ship of 16 x 4 px that is brighter by `ship`."""
    image = np.full((side, side, 3), 50, np.uint8)
    image[60:64, 40:56] += ship
    return image


def labelled(name: str, *, ship: int) -> Labelled:
    mask = np.zeros((128, 128), bool)
    mask[60:64, 40:56] = True
    return Labelled(name, lambda: sea(ship=ship), (rle.encode(mask),) if ship else ())


def all_valid(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.ones(image.shape[:2], bool)


def test_flat_sea_has_no_contrast_and_a_ship_has_contrast_at_its_pixels() -> None:
    assert not contrast(sea(), all_valid(sea()), reduction=4).any()
    contrast_hw = contrast(sea(ship=80), all_valid(sea()), reduction=4)
    assert contrast_hw.shape == (32, 32)
    # 4 of the 15 x 15 pixels around the ship are brighter: their mean is 80 * 4 / 225 higher.
    assert contrast_hw.max() == pytest.approx(80 - 80 * 4 / 225, abs=0.01)
    assert np.argwhere(contrast_hw > 60).tolist() == [[15, 10], [15, 11], [15, 12], [15, 13]]


def test_a_difference_in_one_channel_is_contrast() -> None:
    image = sea()
    image[60:64, 40:56, 2] = 10
    assert contrast(image, all_valid(image), reduction=4).max() == pytest.approx(40 - 40 * 4 / 225, abs=0.01)


def test_the_edge_of_the_data_has_no_contrast() -> None:
    image, valid = sea(), all_valid(sea())
    valid[:, 70:] = False
    image[:, 70:] = 255  # values without data
    assert contrast(image, valid, reduction=4).max() < 0.1


def test_a_ship_outside_the_valid_pixels_does_not_count() -> None:
    valid = all_valid(sea())
    valid[50:70, 30:70] = False
    gate = Gate(4, 10)
    assert not gate.skips(sea(ship=80), all_valid(sea()))
    assert gate.skips(sea(ship=80), valid)
    assert gate.skips(sea(ship=80), np.zeros((128, 128), bool))


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (3, 2), (129, 127)])
def test_images_of_any_size_are_accepted(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 7, np.uint8)
    assert Gate(4, 1).skips(image, all_valid(image))


def test_a_tile_is_skipped_below_the_threshold_only() -> None:
    highest = float(contrast(sea(ship=40), all_valid(sea()), reduction=4).max())
    assert not Gate(4, highest).skips(sea(ship=40), all_valid(sea()))
    assert Gate(4, float(np.nextafter(np.float32(highest), np.float32(99)))).skips(sea(ship=40), all_valid(sea()))


def test_the_gate_of_a_card_is_optional_and_round_trips_through_json() -> None:
    assert Gate.of_card(Card()) is None
    card = Card(gate=GATE)
    assert Gate.of_card(card) == Gate(4, 10.0)
    assert parse_card(json.dumps(card.model_dump(mode="json")), "here") == card
    old = {name: value for name, value in Card().model_dump(mode="json").items() if name != "gate"}
    assert parse_card(json.dumps(old), "here").gate is None


def source(strengths: list[int], *, empty: int = 4) -> Source:
    ships = [labelled(f"ship{place}", ship=strength) for place, strength in enumerate(strengths)]
    return Source("here", tuple(ships + [labelled(f"empty{place}", ship=0) for place in range(empty)]))


def predictor(scale: float = 1.0) -> Predictor:
    return Predictor(Card(input=CardInput(tile=128, overlap=32, scale=scale)), Nothing())


def test_the_threshold_is_the_highest_that_loses_no_more_than_requested() -> None:
    strengths = [5, 9, *range(40, 138)]  # 100 ships
    chosen = choose_gate(predictor(), source(strengths), GateOptions(loss=0.02))
    assert chosen.threshold == pytest.approx(40 - 40 * 4 / 225, abs=0.01)
    assert (chosen.lost_recall, chosen.num_ships, chosen.skipped_share) == (0.02, 100, 1.0)
    # Clopper and Pearson for 2 of 100, one-sided 95 %.
    assert chosen.lost_recall_at_most == pytest.approx(0.0616, abs=1e-4)
    none_lost = choose_gate(predictor(), source(strengths), GateOptions(loss=0.0))
    assert none_lost.threshold == pytest.approx(5 - 5 * 4 / 225, abs=0.01)
    assert none_lost.lost_recall == 0
    assert none_lost.lost_recall_at_most == pytest.approx(1 - 0.05 ** (1 / 100), abs=1e-6)


def test_the_gate_is_chosen_at_the_resolution_of_the_network() -> None:
    chosen = choose_gate(predictor(0.5), source([40, 60]), GateOptions(loss=0.0, reduction=2))
    assert chosen.tile_px == 64
    assert chosen.threshold == pytest.approx(40 - 40 * 4 / 31**2, abs=0.2)


def test_a_gate_needs_ships_and_images_without_ships() -> None:
    with pytest.raises(DataError, match="no gate can be chosen on here: it has no readable ship"):
        choose_gate(predictor(), source([]))
    with pytest.raises(DataError, match="no readable image without ships"):
        choose_gate(predictor(), source([40], empty=0))


@pytest.mark.parametrize("values", [{"loss": -0.1}, {"loss": 0.6}, {"reduction": 0}, {"max_images": 0}, {"seed": -1}])
def test_values_out_of_range_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=str(next(iter(values)))):
        GateOptions(**values)  # type: ignore[arg-type]


def test_an_unreadable_image_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> NDArray[np.uint8]:
        raise DataError("it is broken")

    images = (*source([40]).images, Labelled("broken", broken, ()))
    assert choose_gate(predictor(), Source("here", images)).num_empty_tiles == 4
    assert "broken is left out: it is broken" in caplog.text
