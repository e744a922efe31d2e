from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from shipseg.errors import ConfigError, RleError
from shipseg.masks import rle

PIXELS = 100  # of the 10 x 10 image that the malformed texts are for

# Each text with the sentence that it gets.
MALFORMED = {
    "an odd count": ("1 3 10", "it holds 3 numbers, an odd count, expected pairs of start and length"),
    "a lone zero": ("0", "it holds 1 numbers, an odd count, expected pairs of start and length"),
    "a length of zero": ("1 3 10 0", "number 4 (character 8) is the length 0, a run has at least 1 pixel"),
    "a negative length": ("1 -3", "number 2 (character 3) is '-3', expected only digits 0 to 9 between spaces"),
    "a start of zero": ("5 1 0 3", "number 3 (character 5) is the start 0, pixels are counted from 1"),
    "a start beyond": ("101 1", "the run at number 1 (character 1) ends at pixel 101, the image has 100"),
    "an end beyond": ("7 1 98 4", "the run at number 3 (character 5) ends at pixel 101, the image has 100"),
    "two runs with a pixel": (
        "1 3 3 2",
        "the run at number 3 (character 5) covers pixel 3, which an earlier run covers already",
    ),
    "the same run twice": (
        "50 2 1 1 50 2",
        "the run at number 5 (character 10) covers pixel 50, which an earlier run covers already",
    ),
    "a run inside another": (
        "20 9 23 1",
        "the run at number 3 (character 6) covers pixel 23, which an earlier run covers already",
    ),
    "a later run around another": (
        "23 1 20 9",
        "the run at number 3 (character 6) covers pixel 23, which an earlier run covers already",
    ),
    "a run over two others": (
        "9 4 12 5 11 2",
        "the run at number 3 (character 5) covers pixel 12, which an earlier run covers already",
    ),
    "a word": ("1 3 ten 2", "number 3 (character 5) is 'ten', expected only digits 0 to 9 between spaces"),
    "a decimal": ("1 3 10.5 2", "number 3 (character 5) is '10.5', expected only digits 0 to 9 between spaces"),
    "an exponent": ("1e1 2", "number 1 (character 1) is '1e1', expected only digits 0 to 9 between spaces"),
    "a plus sign": ("1 +3", "number 2 (character 3) is '+3', expected only digits 0 to 9 between spaces"),
    "an underscore": ("1_0 2", "number 1 (character 1) is '1_0', expected only digits 0 to 9 between spaces"),
    "a hexadecimal": ("0x1 2", "number 1 (character 1) is '0x1', expected only digits 0 to 9 between spaces"),
    "not a number": ("nan 2", "number 1 (character 1) is 'nan', expected only digits 0 to 9 between spaces"),
    "commas": ("1, 3", "number 1 (character 1) is '1,', expected only digits 0 to 9 between spaces"),
    "a tab": ("1\t3", r"number 1 (character 1) is '1\t3', expected only digits 0 to 9 between spaces"),
    "a line end": ("1 3\n", r"number 2 (character 3) is '3\n', expected only digits 0 to 9 between spaces"),
    "digits of another script": ("1 ٣", "number 2 (character 3) is '٣', expected only digits 0 to 9 between spaces"),
    "a superscript digit": ("1 3²", "number 2 (character 3) is '3²', expected only digits 0 to 9 between spaces"),
    "a wide space": ("1\u00a03", r"number 1 (character 1) is '1\xa03', expected only digits 0 to 9 between spaces"),
    "a null character": ("1 \x003", r"number 2 (character 3) is '\x003', expected only digits 0 to 9 between spaces"),
    "more digits than int64": (
        "1 9223372036854775809",
        "number 2 (character 3) is '9223372036854775809', which has more than 18 digits",
    ),
    "a very long number": (
        "1 1" + "0" * 5000,
        "number 2 (character 3) is '100000000000000000000000'..., which has more than 18 digits",
    ),
    "a sum far beyond": (
        "999999999999999999 999999999999999999",
        "the run at number 1 (character 1) ends at pixel 1999999999999999997, the image has 100",
    ),
}


def masks(longest: int = 24) -> st.SearchStrategy[NDArray[np.bool_]]:
    return hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=longest))


def test_decodes_down_the_columns_first() -> None:
    # Pixels 2 and 3 of column 0, then the run 6-8 from the last pixel of column 1 (rows 2) into column 2.
    expected = [
        [0, 0, 1, 0],
        [1, 0, 1, 0],
        [1, 1, 0, 0],
    ]
    mask_hw = rle.decode("2 2 6 3", (3, 4))
    assert mask_hw.dtype == np.bool_
    assert mask_hw.flags.c_contiguous
    assert mask_hw.astype(int).tolist() == expected
    assert rle.encode(mask_hw) == "2 2 6 3"


def test_the_empty_text_is_the_empty_mask_and_back() -> None:
    assert not rle.decode("", (3, 4)).any()
    assert rle.encode(np.zeros((3, 4), bool)) == ""
    assert rle.area_px("") == 0
    assert rle.find_malformed(["", "   "], 12) == {}


def test_a_full_mask_is_one_run() -> None:
    assert rle.encode(np.ones((3, 4), bool)) == "1 12"
    assert rle.decode("1 12", (3, 4)).all()


def test_runs_in_any_order_and_extra_spaces_mean_the_same_mask() -> None:
    assert rle.find_malformed([" 7  1 2 2 "], 12) == {}
    assert np.array_equal(rle.decode(" 7  1 2 2 ", (3, 4)), rle.decode("2 2 7 1", (3, 4)))
    assert rle.area_px("7 1 2 2") == 3


def test_runs_that_touch_are_two_runs_and_no_overlap() -> None:
    assert rle.encode(rle.decode("2 2 4 1", (3, 4))) == "2 3"


def test_encodes_any_number_that_is_not_zero_as_ship() -> None:
    assert rle.encode(np.array([[0, 255], [0, 1]], np.uint8)) == "3 2"
    assert rle.encode(np.array([[0.0, 0.5]])) == "2 1"


@given(masks())
def test_a_mask_comes_back_from_its_text(mask_hw: NDArray[np.bool_]) -> None:
    text = rle.encode(mask_hw)
    assert np.array_equal(rle.decode(text, mask_hw.shape), mask_hw)
    assert rle.area_px(text) == mask_hw.sum()
    assert rle.find_malformed([text], mask_hw.size) == {}


@given(masks())
def test_the_text_agrees_with_a_plain_loop_over_pixels(mask_hw: NDArray[np.bool_]) -> None:
    runs: list[list[int]] = []
    previous = False
    for number, is_ship in enumerate(mask_hw.T.ravel().tolist(), start=1):
        if is_ship and not previous:
            runs.append([number, 0])
        if is_ship:
            runs[-1][1] += 1
        previous = is_ship
    assert rle.encode(mask_hw) == " ".join(f"{start} {length}" for start, length in runs)


def test_the_memory_order_of_a_mask_does_not_matter() -> None:
    mask_hw = np.arange(35).reshape(5, 7) % 3 == 0
    assert rle.encode(np.asfortranarray(mask_hw)) == rle.encode(mask_hw) == rle.encode(np.flipud(mask_hw)[::-1])


def test_the_union_of_ships_may_overlap_across_texts() -> None:
    union_hw = rle.decode_many(["1 3", "3 2", ""], (3, 2))
    assert union_hw.astype(int).tolist() == [[1, 1], [1, 0], [1, 0]]
    assert not rle.decode_many([], (3, 2)).any()


def test_a_malformed_text_among_several_ships_is_named() -> None:
    with pytest.raises(RleError, match=r"ship 2 of 3: malformed run-length text: it holds 1 numbers"):
        rle.decode_many(["1 3", "5", "1 1"], (3, 2))
    with pytest.raises(
        RleError, match=r"ship 1 of 1: run 1 \(6 2, at number 1 of its text\) does not lie inside the 6"
    ):
        rle.decode_many(["6 2"], (3, 2))


@pytest.mark.parametrize(("text", "sentence"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_text_is_refused_with_its_position(text: str, sentence: str) -> None:
    assert rle.find_malformed([text], PIXELS) == {0: sentence}
    with pytest.raises(RleError):
        rle.decode(text, (10, 10))


@pytest.mark.parametrize("text", [None, float("nan"), 7, b"1 3"])
def test_what_is_no_text_is_refused(text: Any) -> None:
    assert rle.find_malformed(["1 1", text], PIXELS) == {
        1: f"expected a run-length text, got {text!r} ({type(text).__name__})"
    }
    with pytest.raises(RleError, match="expected a run-length text"):
        rle.parse(text)


def test_malformed_texts_are_found_among_sound_ones() -> None:
    bad = [text for text, _ in MALFORMED.values()]
    sound = ["1 3 10 2", "", "90 11", "7 1 2 2"]
    texts = [text for pair in zip(bad, sound * len(bad), strict=False) for text in pair]
    found = rle.find_malformed(texts, PIXELS)
    assert list(found.items()) == [(2 * index, sentence) for index, (_, sentence) in enumerate(MALFORMED.values())]


def test_the_first_fault_of_a_kind_is_named() -> None:
    assert rle.find_malformed(["1 x y 2"], PIXELS)[0].startswith("number 2 (character 3) is 'x'")
    assert rle.find_malformed(["1 1 5 0 0 1"], PIXELS)[0].startswith("number 4 (character 7) is the length 0")


def test_each_text_can_have_an_image_of_its_own_size() -> None:
    found = rle.find_malformed(["5 2", "5 2", "5 2"], np.array([6, 5, 100]))
    assert list(found) == [1]
    assert rle.find_malformed(["5 2000000"]) == {}
    with pytest.raises(ConfigError, match="one per text"):
        rle.find_malformed(["5 2"], np.array([6, 5]))


def test_texts_beyond_one_chunk_are_all_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shipseg.masks.malformed._CHUNK_CHARACTERS", 10)
    texts = ["1 3 10 2", "x", "1 1", "2", "3 3 3 3", "1 1"]
    assert list(rle.find_malformed(texts, PIXELS)) == [1, 3, 4]


@settings(max_examples=300)
@given(st.text("0123456789  -+.e٣", max_size=14))
def test_decode_refuses_exactly_the_texts_that_are_found_malformed(text: str) -> None:
    malformed = bool(rle.find_malformed([text], PIXELS))
    try:
        rle.decode(text, (10, 10))
    except RleError:
        assert malformed
    else:
        assert not malformed


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), max_size=5))
def test_a_list_of_pairs_is_malformed_exactly_when_a_count_of_its_pixels_says_so(pairs: list[tuple[int, int]]) -> None:
    covered = [pixel for start, length in pairs for pixel in range(start, start + length)]
    sound = (
        all(start >= 1 and length >= 1 for start, length in pairs)
        and len(set(covered)) == len(covered)
        and max(covered, default=1) <= 12
    )
    text = " ".join(f"{start} {length}" for start, length in pairs)
    assert (rle.find_malformed([text], 12) == {}) == sound


def test_runs_made_by_hand_are_checked_against_the_image() -> None:
    runs = rle.Runs(np.array([0, 5]), np.array([2, 8]))
    rle.check(runs, (13, 1))
    with pytest.raises(RleError, match=r"run 2 \(6 8, at number 3 of its text\) .* 12 pixels of the image 3 x 4"):
        rle.check(runs, (3, 4))


def test_masks_and_shapes_that_are_no_image_are_refused() -> None:
    with pytest.raises(ConfigError, match="two-dimensional"):
        rle.encode(np.zeros((3, 4, 1), bool))
    with pytest.raises(ConfigError, match="each at least 1"):
        rle.encode(np.zeros((3, 0), bool))
    with pytest.raises(ConfigError, match="each at least 1"):
        rle.decode("1 1", (0, 4))


def test_real_labels_come_back_character_for_character(real_tiles: Path) -> None:
    with (real_tiles / "labels.csv").open(newline="") as file:
        texts = [row["EncodedPixels"] for row in csv.DictReader(file)]
    assert len(texts) > 100
    assert rle.find_malformed(texts, 768 * 768) == {}
    assert [rle.encode(rle.decode(text, (768, 768))) for text in texts] == texts
