"""A calibration changes probabilities but not their order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shipseg.config import validated
from shipseg.errors import ConfigError
from shipseg.model.calibration import MAX_KNOTS, Calibration

COOL = Calibration(method="temperature", temperature=0.5)
BENT = Calibration(method="isotonic", knots=((0, 0), (0.5, 0.2), (0.9, 0.25), (1, 0.95)))


def floats(values: list[float]) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def test_a_temperature_divides_logits() -> None:
    # Odds of 1 to 3 squared are 1 to 9.
    assert COOL.apply(floats([0, 0.25, 0.5, 1])).tolist() == pytest.approx([0, 0.1, 0.5, 1])


def test_knots_are_joined_by_lines() -> None:
    assert BENT.apply(floats([0, 0.25, 0.5, 0.7, 1])).tolist() == pytest.approx([0, 0.1, 0.2, 0.225, 0.95])


def test_shape_and_type_stay() -> None:
    for calibration in (COOL, BENT):
        calibrated = calibration.apply(np.full((3, 5), 0.3, np.float32))
        assert calibrated.shape == (3, 5)
        assert calibrated.dtype == np.dtype(np.float32)


def random_knots(seed: int) -> Calibration:
    rng = np.random.default_rng(seed)
    inner = np.sort(rng.random((2, int(rng.integers(0, MAX_KNOTS - 1))))) ** 4
    x, y = np.unique(inner[0]), np.unique(inner[1])
    inside = list(zip(x.tolist(), y.tolist(), strict=True)) if len(x) == len(y) else []
    return Calibration(method="isotonic", knots=((0.0, 0.0), *inside, (1.0, 1.0)))


calibrations = st.one_of(
    st.floats(0.05, 20).map(lambda value: Calibration(method="temperature", temperature=value)),
    st.integers(0, 2**32 - 1).map(random_knots),
)


@settings(max_examples=50)
@given(calibrations, st.integers(0, 2**32 - 1))
def test_a_calibration_keeps_the_order_and_the_range_0_to_1(calibration: Calibration, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Neighbouring float32 are where rounding could swap two.
    some = rng.random(200).astype(np.float32) ** 6
    values = np.sort(np.concatenate([some, np.nextafter(some, np.float32(2)), 1 - some, floats([0, 1])]))
    calibrated = calibration.apply(values)
    assert (np.diff(calibrated) >= 0).all()
    assert calibrated.min() >= 0
    assert calibrated.max() <= 1


@settings(max_examples=50)
@given(calibrations, st.floats(1e-6, 1 - 1e-6), st.integers(0, 2**32 - 1))
def test_a_threshold_has_an_uncalibrated_one_that_selects_the_same_pixels(
    calibration: Calibration, threshold: float, seed: int
) -> None:
    own = np.float32(calibration.before(threshold))
    rng = np.random.default_rng(seed)
    near = [own, np.nextafter(own, np.float32(0)), np.nextafter(own, np.float32(1))]
    values = np.concatenate([rng.random(500).astype(np.float32), np.array(near, np.float32)])
    assert ((calibration.apply(values) >= np.float32(threshold)) == (values >= own)).all()


def test_a_threshold_that_nothing_reaches_is_1() -> None:
    assert BENT.before(0.99) == 1.0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"method": "isotonic", "knots": [[0, 0], [0.5, 0.5], [0.5, 0.6], [1, 1]]}, "rise strictly"),
        ({"method": "isotonic", "knots": [[0, 0.5], [1, 0.5]]}, "rise strictly"),
        ({"method": "isotonic", "knots": [[0.1, 0], [1, 1]]}, "from network's probability 0 to 1"),
        ({"method": "isotonic"}, "from network's probability 0 to 1"),
        ({"method": "isotonic", "knots": [[0, 0], [1, 1.5]]}, "at most 1, got 1.5"),
        ({"method": "temperature", "knots": [[0, 0], [1, 1]]}, "knots belong to the method isotonic"),
        ({"method": "temperature", "temperature": 0}, "greater than 0"),
        ({"method": "platt"}, "'temperature' or 'isotonic'"),
    ],
)
def test_what_is_no_calibration_is_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validated(Calibration, values, "a card")
    assert words in str(caught.value)
