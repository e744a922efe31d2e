"""From an image to probability and ships, with networks that are simple enough to know the answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shipseg.cli import run as shipseg
from shipseg.config import Decision
from shipseg.errors import ConfigError, ImageError, ModelError
from shipseg.inference.predictor import Predictor, load_model, mean_over_tta_views
from shipseg.model.card import Card, CardInput, TtaViews, read_card


class RedBackend:
    """A network that takes red for ship: probability = red / 255. It notes what it is given."""

    def __init__(self, *, pixels_per_batch: int = 64 * 64) -> None:
        self.pixels_per_batch = pixels_per_batch
        self.shapes: list[tuple[int, ...]] = []

    def run(self, images_n3hw: NDArray[np.float32]) -> NDArray[np.float32]:
        assert images_n3hw.dtype == np.float32
        assert images_n3hw.shape[1] == 3
        self.shapes.append(images_n3hw.shape)
        return images_n3hw[:, :1] / np.float32(255)


def red_predictor(*, scale: float = 1.0, tile: int = 64, overlap: int = 16, **decision: Any) -> Predictor:
    card = Card(input=CardInput(scale=scale, tile=tile, overlap=overlap), decision=Decision(**decision))
    return Predictor(card, RedBackend())


def noise(height: int, width: int, *, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(max_examples=40)
@given(st.integers(1, 200), st.integers(1, 200), st.sampled_from([32, 64, 96, 1024]), st.sampled_from([0, 7, 16]))
def test_at_scale_1_tiling_gives_back_exactly_what_the_network_says(
    height: int, width: int, tile: int, overlap: int
) -> None:
    image_hwc = noise(height, width)
    prob_hw = red_predictor(tile=tile, overlap=overlap).probability(image_hwc)
    assert prob_hw.shape == (height, width)
    assert prob_hw.dtype == np.float32
    np.testing.assert_allclose(prob_hw, image_hwc[:, :, 0] / 255, atol=1e-6)


@settings(max_examples=40)
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from([1 / 3, 0.5, 0.7, 1.0, 2.0]),
    st.sampled_from([32, 64, 1024]),
    st.integers(0, 255),
)
def test_a_constant_image_has_a_constant_probability_at_any_size_and_scale(
    height: int, width: int, scale: float, tile: int, red: int
) -> None:
    image_hwc = np.full((height, width, 3), red, np.uint8)
    prob_hw = red_predictor(scale=scale, tile=tile).probability(image_hwc)
    assert prob_hw.shape == (height, width)
    np.testing.assert_allclose(prob_hw, red / 255, atol=1e-6)


def centroid(prob_hw: NDArray[np.float32]) -> tuple[float, float]:
    """Return the centre of gravity as (row, column) in pixel edges."""
    total = float(prob_hw.sum(dtype=np.float64))
    rows = (np.arange(prob_hw.shape[0]) + 0.5) @ prob_hw.astype(np.float64).sum(axis=1)
    columns = (np.arange(prob_hw.shape[1]) + 0.5) @ prob_hw.astype(np.float64).sum(axis=0)
    return float(rows) / total, float(columns) / total


@pytest.mark.parametrize("scale", [1 / 3, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("corner", [(30, 60), (31, 61), (32, 62), (117, 83)])
@pytest.mark.parametrize("tile", [32, 1024])
def test_nothing_is_shifted_by_scaling_and_tiling(scale: float, corner: tuple[int, int], tile: int) -> None:
    """A rectangle's centre of gravity stays where it is, to a hundredth of a pixel, wherever it lies in a coarser grid.

    Its sides are multiples of 2 and 3: what a partly covered coarse pixel does at one side, that at the other undoes.
    """
    image_hwc = np.zeros((192, 240, 3), np.uint8)
    row, column = corner
    image_hwc[row : row + 12, column : column + 24, 0] = 255
    prob_hw = red_predictor(scale=scale, tile=tile, overlap=8).probability(image_hwc)
    found_row, found_column = centroid(prob_hw)
    assert found_row == pytest.approx(row + 6, abs=0.01)
    assert found_column == pytest.approx(column + 12, abs=0.01)


def test_sizes_that_the_scale_does_not_divide_are_not_shifted_either() -> None:
    rows, columns = np.mgrid[0:100, 0:131] + 0.5
    image_hwc = np.zeros((100, 131, 3), np.uint8)
    image_hwc[:, :, 0] = np.rint(255 * np.exp(-((rows - 41) ** 2 + (columns - 77) ** 2) / (2 * 6**2)))
    prob_hw = red_predictor(scale=1 / 3, tile=1024).probability(image_hwc)
    assert prob_hw.shape == (100, 131)
    assert centroid(prob_hw) == pytest.approx((41, 77), abs=0.01)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 200), (200, 1), (2, 3), (31, 33), (64, 64), (65, 64)])
def test_images_of_any_size_give_a_probability_of_the_same_size(height: int, width: int) -> None:
    image_hwc = noise(height, width)
    for scale in (1 / 3, 1.0, 1.5):
        assert red_predictor(scale=scale).probability(image_hwc).shape == (height, width)


def test_the_network_sees_multiples_of_32_and_no_more_pixels_at_once_than_it_wants() -> None:
    backend = RedBackend(pixels_per_batch=3 * 64 * 64)
    predictor = Predictor(Card(input=CardInput(tile=64, overlap=16)), backend)
    predictor.probability(noise(150, 250))
    # Rows start at 0, 48, 86; columns at 0, 48, 96, 144, 186: 15 tiles of 64 x 64 in batches of 3.
    assert backend.shapes == [(3, 3, 64, 64)] * 5
    backend.shapes.clear()
    predictor.probability(noise(70, 40))
    assert backend.shapes == [(2, 3, 64, 64)]
    backend.shapes.clear()
    predictor.probability(noise(33, 64))
    assert backend.shapes == [(1, 3, 64, 64)]


def test_an_image_smaller_than_a_tile_is_predicted_as_without_tiles() -> None:
    """A network with a large receptive field (a blur of 15 px) makes seams visible; in one tile there are none."""

    class Blur(RedBackend):
        def run(self, images_n3hw: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.stack([cv2.blur(image[0], (15, 15))[None] / 255 for image in images_n3hw]).astype(np.float32)

    image_hwc = noise(96, 128)
    small, large = (Predictor(Card(input=CardInput(tile=tile, overlap=16)), Blur()) for tile in (128, 1024))
    expected_hw = cv2.blur(image_hwc[:, :, 0].astype(np.float32), (15, 15)) / 255
    np.testing.assert_array_equal(small.probability(image_hwc), large.probability(image_hwc))
    np.testing.assert_allclose(small.probability(image_hwc), expected_hw, atol=1e-6)


def test_blending_hides_the_seams_of_a_network_that_is_wrong_at_its_edges() -> None:
    """A network that sees nothing within 8 px of a tile's edges finds everything but what is at the whole image's."""

    class BlindAtEdges(RedBackend):
        def run(self, images_n3hw: NDArray[np.float32]) -> NDArray[np.float32]:
            prob_n1hw = np.zeros_like(images_n3hw[:, :1])
            prob_n1hw[:, :, 8:-8, 8:-8] = images_n3hw[:, :1, 8:-8, 8:-8] / 255
            return prob_n1hw

    predictor = Predictor(Card(input=CardInput(tile=64, overlap=32)), BlindAtEdges())
    prob_hw = predictor.probability(np.full((160, 160, 3), 255, np.uint8))
    # A pixel 8 px or more from the edge of one tile has at least half a say there: its blind neighbour cannot win.
    assert prob_hw[8:-8, 8:-8].min() > 0.5


def test_a_prediction_holds_the_ships_of_the_probability_and_their_mask() -> None:
    image_hwc = np.zeros((60, 80, 3), np.uint8)
    image_hwc[10:14, 20:40, 0] = 255  # 80 px
    image_hwc[30:33, 50:55, 0] = 204  # 15 px of probability 0.8
    image_hwc[50, 70, 0] = 255  # 1 px
    prediction = red_predictor(threshold=0.5).predict(image_hwc)
    assert [ship.area_px for ship in prediction.ships] == [80, 15, 1]
    assert [round(ship.confidence, 3) for ship in prediction.ships] == [1.0, 0.8, 1.0]
    assert prediction.threshold == 0.5
    np.testing.assert_array_equal(prediction.mask, image_hwc[:, :, 0] > 0)
    np.testing.assert_allclose(prediction.probability, image_hwc[:, :, 0] / 255, atol=1e-6)


def test_the_decision_rule_of_the_card_decides_which_ships_are_kept() -> None:
    image_hwc = np.zeros((60, 80, 3), np.uint8)
    image_hwc[10:14, 20:40, 0] = 255
    image_hwc[30:33, 50:55, 0] = 204
    image_hwc[50, 70, 0] = 255
    areas = {
        "peak": [ship.area_px for ship in red_predictor(min_peak=0.9).predict(image_hwc).ships],
        "area": [ship.area_px for ship in red_predictor(min_area_px=2).predict(image_hwc).ships],
        "threshold": [ship.area_px for ship in red_predictor(threshold=0.85).predict(image_hwc).ships],
    }
    assert areas == {"peak": [80, 1], "area": [80, 15], "threshold": [80, 1]}
    prediction = red_predictor(min_area_px=2).predict(image_hwc)
    assert prediction.mask.sum() == 95


def test_a_threshold_that_is_given_wins_over_the_card() -> None:
    image_hwc = np.full((8, 8, 3), 153, np.uint8)  # probability 0.6
    predictor = red_predictor(threshold=0.5)
    assert len(predictor.predict(image_hwc).ships) == 1
    raised = predictor.predict(image_hwc, threshold=0.7)
    assert (len(raised.ships), raised.threshold, int(raised.mask.sum())) == (0, 0.7, 0)


def test_a_prediction_from_a_file_is_that_of_its_pixels(tmp_path: Path) -> None:
    image_hwc = noise(40, 50)
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), image_hwc[:, :, ::-1])
    predictor = red_predictor()
    for given_path in (path, str(path)):
        np.testing.assert_array_equal(
            predictor.predict(given_path).probability, predictor.predict(image_hwc).probability
        )


def test_a_grey_image_stands_for_three_equal_channels() -> None:
    grey_hw = noise(40, 50)[:, :, 0]
    np.testing.assert_allclose(red_predictor().probability(grey_hw), grey_hw / 255, atol=1e-6)


def test_arrays_that_are_not_contiguous_are_read_correctly() -> None:
    image_hwc = noise(40, 50)
    turned_hwc = np.rot90(image_hwc)[:, ::-1]
    np.testing.assert_allclose(red_predictor().probability(turned_hwc), turned_hwc[:, :, 0] / 255, atol=1e-6)


def test_the_image_is_left_as_it_was() -> None:
    image_hwc = noise(100, 100)
    before = image_hwc.copy()
    red_predictor().predict(image_hwc)
    np.testing.assert_array_equal(image_hwc, before)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((8, 8, 3), np.float32), "float32"),
        (np.zeros((8, 8, 3), np.uint16), "uint16"),
        (np.zeros((8, 8, 3), bool), "bool"),
        (np.zeros((8, 8, 4), np.uint8), r"\(8, 8, 4\)"),
        (np.zeros((3, 8, 8), np.uint8), r"\(3, 8, 8\)"),
        (np.zeros((1, 8, 8, 3), np.uint8), r"\(1, 8, 8, 3\)"),
        (np.zeros((0, 8, 3), np.uint8), "no pixels"),
        (np.zeros(8, np.uint8), r"\(8,\)"),
        ([[1, 2, 3]], "list"),
        (None, "NoneType"),
    ],
)
def test_invalid_images_are_refused_with_what_is_required(image: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=rf"{words}.*uint8 array of shape \(height, width, 3\)"):
        red_predictor().predict(image)


@pytest.mark.parametrize("threshold", [0, -0.1, 1.01, float("nan")])
def test_an_impossible_threshold_is_refused(threshold: float) -> None:
    with pytest.raises(ConfigError, match="threshold must be above 0 and at most 1"):
        red_predictor().predict(noise(8, 8), threshold=threshold)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="nowhere.jpg"):
        red_predictor().predict(tmp_path / "nowhere.jpg")


def test_nan_probabilities_are_an_error() -> None:
    class Broken(RedBackend):
        def run(self, images_n3hw: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.full_like(images_n3hw[:, :1], np.nan)

    with pytest.raises(ModelError, match="'frigate' gave NaN"):
        Predictor(Card(name="frigate"), Broken()).predict(noise(8, 8))


@pytest.mark.parametrize(
    ("settings_of_card", "words"),
    [({"tile": 64, "overlap": 33}, "overlap must be at most half"), ({"tile": 72, "overlap": 8}, "multiple of")],
)
def test_a_card_that_contradicts_itself_is_refused(settings_of_card: dict[str, int], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        Predictor(Card(input=CardInput(**settings_of_card)), RedBackend())


def test_touching_ships_are_split_when_the_card_says_so() -> None:
    image_hwc = np.zeros((60, 90, 3), np.uint8)
    image_hwc[20:30, 10:70, 0] = image_hwc[31:41, 10:60, 0] = 250
    image_hwc[30, 10:60, 0] = 150  # a valley that is still above the threshold
    whole, parting = red_predictor(threshold=0.5), red_predictor(threshold=0.5, separate=True)
    assert [len(model.predict(image_hwc).ships) for model in (whole, parting)] == [1, 2]
    assert len(whole.with_decision(separate=True).predict(image_hwc).ships) == 2
    assert len(parting.with_decision(separate=False).predict(image_hwc).ships) == 1
    np.testing.assert_array_equal(parting.predict(image_hwc).mask, whole.predict(image_hwc).mask)


def test_ships_become_rectangles_when_the_card_says_so() -> None:
    image_hwc = np.zeros((60, 90, 3), np.uint8)
    image_hwc[20:32, 10:70, 0] = 250
    image_hwc[20:23, 60:70] = image_hwc[29:32, 60:70] = 0  # a bow
    outlines, boxes = red_predictor(threshold=0.5), red_predictor(threshold=0.5, rectangles=True)
    assert outlines.predict(image_hwc).ships[0].area_px == 50 * 12 + 10 * 6
    for model in (boxes, outlines.with_decision(rectangles=True)):
        (ship,) = model.predict(image_hwc).ships
        assert ship.mask.all()
        np.testing.assert_array_equal(model.predict(image_hwc).mask, ship.full_mask((60, 90)))
    assert boxes.with_decision(rectangles=False).predict(image_hwc).ships[0].area_px == 50 * 12 + 10 * 6


Array = NDArray[np.float32]


def _red(images_n3hw: Array) -> Array:
    return np.clip(images_n3hw[:, :1] / 255, 0.01, 0.99).astype(np.float32)


def _red_more_to_the_right(images_n3hw: Array) -> Array:
    columns = np.linspace(-1, 1, images_n3hw.shape[3], dtype=np.float32)
    odds = np.log(_red(images_n3hw)) - np.log1p(-_red(images_n3hw)) + columns
    return np.asarray(1 / (1 + np.exp(-odds)), np.float32)


@pytest.mark.parametrize("views", [1, 2, 4, 8])
def test_tta_does_not_change_an_equivariant_network(views: int) -> None:
    images = np.random.default_rng(1).uniform(0, 255, (2, 3, 8, 12)).astype(np.float32)
    np.testing.assert_allclose(mean_over_tta_views(_red, images, views=views), _red(images), atol=1e-6)


@pytest.mark.parametrize("views", [2, 4, 8])
def test_a_bias_to_one_side_cancels_out(views: int) -> None:
    images = np.random.default_rng(1).uniform(0, 255, (2, 3, 12, 12)).astype(np.float32)
    leaning = mean_over_tta_views(_red_more_to_the_right, images, views=1)
    assert np.abs(leaning - _red(images)).max() > 0.1
    np.testing.assert_allclose(
        mean_over_tta_views(_red_more_to_the_right, images, views=views), _red(images), atol=1e-5
    )


def test_the_eight_tta_views_differ() -> None:
    views: list[bytes] = []

    def note(images_n3hw: Array) -> Array:
        views.append(images_n3hw.tobytes())
        return _red(images_n3hw)

    mean_over_tta_views(note, np.arange(3 * 16, dtype=np.float32).reshape(1, 3, 4, 4), views=8)
    assert len(set(views)) == 8


@pytest.mark.parametrize("views", [1, 4])
def test_a_model_keeps_the_number_its_threshold_was_chosen_for(
    views: TtaViews, model_folder: Path, airbus_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tuned"
    assert shipseg(["threshold", str(model_folder), str(airbus_folder), "--out", str(out), "--views", str(views)]) == 0
    card = read_card(out / "model")
    assert card.input.views == views
    assert ("mean over 4 TTA views" in (out / "model" / "README.md").read_text()) == (views == 4)
    image = np.random.default_rng(2).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    model, once = load_model(out / "model"), load_model(model_folder).without_calibration()
    same = np.allclose(model.without_calibration().probability(image), once.probability(image), atol=1e-6)
    assert same == (views == 1)
    np.testing.assert_array_equal(model.with_tta(1).without_calibration().probability(image), once.probability(image))
