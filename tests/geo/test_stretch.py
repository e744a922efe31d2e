from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shipseg.errors import ConfigError
from shipseg.geo.stretch import RequestedStretch, Stretch, choose_stretch, parse_stretch

U16 = np.dtype("uint16")


def stretch_of(values: NDArray[np.generic], requested: str | None = None) -> Stretch:
    return choose_stretch(None if requested is None else parse_stretch(requested), values.dtype, lambda: values)


def unused_sample() -> NDArray[np.generic]:
    raise AssertionError("the scene's values are not needed")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0,3000", RequestedStretch(0, 3000, percent=False)),
        (" -25.5, 3 ", RequestedStretch(-25.5, 3, percent=False)),
        ("none", RequestedStretch(0, 255, percent=False)),
        ("percent:2,98", RequestedStretch(2, 98, percent=True)),
    ],
)
def test_stretches_are_parsed(text: str, expected: RequestedStretch) -> None:
    assert parse_stretch(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be parsed"),
        ("3000", "cannot be parsed"),
        ("0,nan", "cannot be parsed"),
        ("0,1,2", "cannot be parsed"),
        ("gamma:0,1", "cannot be parsed"),
        ("minmax", "cannot be parsed"),
        ("3000,0", "must be below the high"),
        ("5,5", "must be below the high"),
        ("percent:2,101", "percentiles must be from 0 to 100"),
    ],
)
def test_other_texts_are_refused_with_examples(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        parse_stretch(text)
    assert "such as 0,3000" in str(error.value)


def test_8_bits_and_given_values_need_no_sample() -> None:
    assert choose_stretch(None, np.dtype("uint8"), unused_sample).is_identity
    chosen = choose_stretch(parse_stretch("0,3000"), U16, unused_sample)
    assert (chosen.low, chosen.high, chosen.origin) == (0, 3000, "as requested")
    assert choose_stretch(parse_stretch("none"), U16, unused_sample).is_identity


def test_the_ends_become_0_and_255_and_values_beyond_are_clipped() -> None:
    values = np.array([0, 100, 600, 1099, 1100, 65535], U16)
    assert Stretch(100, 1100, "").apply(values).tolist() == [0, 0, 128, 255, 255, 255]  # 127.5 is rounded to even


def test_values_far_beyond_the_ends_are_clipped_without_a_warning() -> None:
    values = np.array([-1.7e308, 0.5, 1.7e308])
    assert Stretch(0, 1, "").apply(values).tolist() == [0, 128, 255]


def test_undeclared_fill_values_give_a_finite_stretch() -> None:
    values = np.array([-1.7e308] * 60 + [1.7e308] * 60)
    for requested in (None, parse_stretch("percent:1,99")):
        chosen = choose_stretch(requested, values.dtype, lambda: values)
        assert np.isfinite(255 / (chosen.high - chosen.low))


@pytest.mark.parametrize("text", ["1e-320,2e-320", "-1e308,1e308"])
def test_a_span_that_float32_cannot_represent_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"values must be at most 1e\+30 and at least 1e-30 apart"):
        parse_stretch(text)


def test_nan_becomes_black() -> None:
    assert Stretch(0, 1, "").apply(np.array([np.nan, np.inf, -np.inf, 0.5], "float32")).tolist() == [0, 255, 0, 128]


@given(st.integers(-30000, 30000), st.integers(1, 30000), st.sampled_from(["int16", "int32", "float32", "float64"]))
def test_a_stretch_is_monotonic(low: int, span: int, dtype: str) -> None:
    values = np.arange(-32000, 32000, 37).astype(dtype)
    stretched = Stretch(low, low + span, "").apply(values).astype(int)
    assert (np.diff(stretched) >= 0).all()
    assert stretched[values <= low].max(initial=0) == 0
    assert stretched[values >= low + span].min(initial=255) == 255


def test_large_integers_keep_their_differences() -> None:
    values = np.array([4_000_000_000, 4_000_000_001, 4_000_000_002], "uint32")
    assert Stretch(4_000_000_000, 4_000_000_002, "").apply(values).tolist() == [0, 128, 255]


def test_empty_sea_stays_dark_and_smooth() -> None:
    sea = np.random.default_rng(0).normal(300, 10, 100_000).astype(U16)
    stretched = stretch_of(sea).apply(sea)
    assert 48 < stretched.mean() < 60
    assert stretched.std() < 4  # between its own 2nd and 98th percentile it would be 60


def test_bright_clouds_do_not_black_out_the_sea() -> None:
    scene = np.concatenate([np.full(60_000, 300, U16), np.full(40_000, 9000, U16)])
    assert 30 < stretch_of(scene).apply(np.array([300], U16))[0] < 40


def test_water_is_mapped_to_at_least_an_eighth_beside_bright_land() -> None:
    scene = np.concatenate([np.full(6000, 300, U16), np.linspace(300, 2300, 4000).astype(U16)])
    chosen = stretch_of(scene)
    assert chosen.low == 150  # half of the darkest
    assert chosen.high == 150 + 8 * 150  # water at an eighth of the range; the 98th percentile is 2200


def test_water_is_mapped_to_a_fifth_if_there_is_little_else() -> None:
    chosen = stretch_of(np.concatenate([np.full(9900, 300, U16), np.full(100, 600, U16)]))
    assert (chosen.low, chosen.high) == (150, 150 + 5 * 150)


def test_the_range_ends_at_the_98th_percentile_within_these_limits() -> None:
    chosen = stretch_of(np.concatenate([np.full(6000, 300, U16), np.full(4000, 1100, U16)]))
    assert (chosen.low, chosen.high) == (150, 1100)


def test_a_range_of_negative_values_begins_at_the_2nd_percentile() -> None:
    decibels = np.linspace(-30, 10, 10_001)
    assert stretch_of(decibels).low == pytest.approx(-29.2, abs=0.01)


def test_integers_up_to_255_stay_unchanged() -> None:
    chosen = stretch_of(np.array([0, 255], U16))
    assert chosen.is_identity
    assert "uint16 with no value above 255" in str(chosen)


def test_percentiles_are_taken_from_the_scene() -> None:
    chosen = stretch_of(np.arange(1001, dtype=U16), "percent:2,98")
    assert (chosen.low, chosen.high) == (20, 980)
    assert str(chosen) == "values 20 to 980 are stretched to 0-255 (percentiles 2 and 98 of the scene, as requested)"


@pytest.mark.parametrize("requested", [None, "percent:2,98"])
@pytest.mark.parametrize("values", [np.zeros(9, U16), np.full(9, 700, U16), np.array([], U16), np.zeros(9, "float32")])
def test_scenes_of_one_value_or_none_get_a_stretch(values: NDArray[np.generic], requested: str | None) -> None:
    chosen = stretch_of(values, requested)
    assert chosen.low < chosen.high
    assert chosen.apply(values).dtype == np.uint8
