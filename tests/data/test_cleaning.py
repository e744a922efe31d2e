"""Every image gets at most one reason, the first that applies; nothing is left out without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from shipseg.data.cleaning import (
    REASONS,
    SOLID_SPREAD,
    CleaningRules,
    common_size,
    decide,
    examine,
    is_solid,
    read_drop_list,
)
from shipseg.errors import DataError

GOOD: dict[str, Any] = {
    "ImageId": "good.jpg",
    "Ships": 1,
    "has_row": True,
    "has_file": True,
    "fault": "",
    "height": 768,
    "width": 768,
    "spread": 200,
    "Size_kb": 100.0,
    "malformed": False,
}


def reasons_of(*images: dict[str, Any], **rules: Any) -> list[str]:
    frame = pd.DataFrame([GOOD | {"ImageId": f"{number}.jpg"} | image for number, image in enumerate(images)])
    return list(decide(frame, CleaningRules(**rules)))


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ({}, ""),
        ({"has_file": False, "height": 0}, "no-file"),
        ({"fault": "missing", "height": 0}, "no-file"),
        ({"has_row": False, "height": 0}, "no-row"),
        ({"fault": "unreadable", "height": 0}, "unreadable"),
        ({"fault": "truncated", "height": 0}, "truncated"),
        ({"fault": "unsupported", "height": 0}, "unsupported"),
        ({"width": 769}, "wrong-size"),
        ({"spread": SOLID_SPREAD}, "solid"),
        ({"spread": SOLID_SPREAD + 1}, ""),
        ({"malformed": True}, "malformed-mask"),
        ({"ImageId": "listed.jpg"}, "listed"),
        ({"Size_kb": 52.0}, "small-file"),
        ({"Size_kb": 52.1}, ""),
    ],
)
def test_each_fault_has_its_reason(image: dict[str, Any], reason: str) -> None:
    rules = {"listed": frozenset({"listed.jpg"}), "min_kb": 52}
    assert reasons_of({}, {}, image, **rules) == ["", "", reason]


def test_the_first_reason_in_the_documented_order_counts() -> None:
    faults: list[tuple[str, dict[str, Any]]] = [
        ("no-file", {"has_file": False}),
        ("no-row", {"has_row": False}),
        ("wrong-size", {"width": 5}),
        ("solid", {"spread": 0}),
        ("malformed-mask", {"malformed": True}),
        ("listed", {"ImageId": "listed.jpg"}),
        ("small-file", {"Size_kb": 1.0}),
    ]
    assert [reason for reason, _ in faults] == [reason for reason in REASONS if reason in dict(faults)]
    for number in range(len(faults)):
        image = {name: value for _, fault in faults[number:] for name, value in fault.items()}
        reason = reasons_of({}, {}, image, listed=frozenset({"listed.jpg"}), min_kb=52)[2]
        # solid and wrong-size need pixels, and a file without a row is not read
        assert reason == faults[number][0]


def test_without_rules_listed_and_small_files_are_kept() -> None:
    assert reasons_of({"ImageId": "listed.jpg"}, {"Size_kb": 0.1}) == ["", ""]


def test_any_size_keeps_images_of_another_size() -> None:
    assert reasons_of({}, {}, {"width": 5}, any_size=True) == ["", "", ""]


def test_the_common_size_is_that_of_most_images_and_of_equals_the_largest() -> None:
    assert common_size(np.array([5, 9, 5]), np.array([6, 9, 6])) == (5, 6)
    assert common_size(np.array([5, 9]), np.array([6, 9])) == (9, 9)
    assert common_size(np.array([], int), np.array([], int)) == (0, 0)


@pytest.mark.parametrize(("share", "num_kept"), [(0.0, 0), (0.3, 3), (1.0, 10)])
def test_a_share_of_the_empty_images_is_kept_and_all_ship_images(share: float, num_kept: int) -> None:
    images = [{"Ships": 0}] * 10 + [{"Ships": 2}] * 5
    reasons = reasons_of(*images, keep_empty=share)
    assert reasons.count("empty-undersampled") == 10 - num_kept
    assert reasons[10:] == [""] * 5


def test_the_share_is_of_what_other_rules_leave_and_the_seed_decides_which() -> None:
    images = [{"Ships": 0, "spread": 0}] * 10 + [{"Ships": 0}] * 20
    drawn = {seed: tuple(reasons_of(*images, keep_empty=0.5, seed=seed)) for seed in (1, 2)}
    assert drawn[1] == tuple(reasons_of(*images, keep_empty=0.5, seed=1))
    assert drawn[1] != drawn[2]
    assert drawn[1].count("") == drawn[2].count("") == 10
    assert drawn[1].count("solid") == 10


def test_examine_returns_size_and_spread(tmp_path: Path) -> None:
    written_hwc = np.full((6, 8, 3), 100, np.uint8)
    written_hwc[2, 3] = (130, 90, 100)  # as OpenCV writes it: blue, green, red
    cv2.imwrite(str(tmp_path / "a.png"), written_hwc)
    facts, image_hwc = examine(tmp_path / "a.png")
    assert (facts.height, facts.width, facts.spread, facts.fault) == (6, 8, 30, "")
    assert image_hwc is not None
    assert image_hwc[2, 3].tolist() == [100, 90, 130]


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (128, 0, 0)])
def test_black_white_and_blue_no_data_is_solid_after_compression(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), np.full((64, 64, 3), colour, np.uint8))
    assert is_solid(examine(tmp_path / "a.jpg")[0])


def test_a_bright_ship_of_four_pixels_on_flat_water_is_not_solid(tmp_path: Path) -> None:
    image_hwc = np.full((64, 64, 3), 20, np.uint8)
    image_hwc[30:32, 40:42] = 90
    cv2.imwrite(str(tmp_path / "a.jpg"), image_hwc)
    assert not is_solid(examine(tmp_path / "a.jpg")[0])


def test_examine_returns_the_fault_of_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF")
    facts, image_hwc = examine(tmp_path / "a.jpg")
    assert (facts.fault, facts.height, image_hwc) == ("truncated", 0, None)
    assert "a.jpg" in facts.detail


@pytest.mark.parametrize(
    "text",
    [
        "a.jpg\nb.jpg\n",
        "ImageId\na.jpg\nb.jpg",
        "ImageId,why\na.jpg,clouds\nb.jpg,dark\n",
        '# list\n\n a.jpg \n"b.jpg"\n',
    ],
)
def test_a_drop_list_is_one_id_a_line_in_text_or_csv(tmp_path: Path, text: str) -> None:
    (tmp_path / "list.txt").write_text(text)
    assert read_drop_list(tmp_path / "list.txt") == {"a.jpg", "b.jpg"}


@pytest.mark.parametrize(
    ("content", "sentence"), [(b"", "no ImageId"), (b"ImageId\n", "no ImageId"), (b"\xff\xfe\x00", "UTF-8")]
)
def test_an_empty_drop_list_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        read_drop_list(tmp_path / "list.txt")
    with pytest.raises(DataError, match=r"nowhere\.txt"):
        read_drop_list(tmp_path / "nowhere.txt")
