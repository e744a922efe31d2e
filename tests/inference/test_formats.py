"""Ships as tables: what the columns say, what other programs read back."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from shipseg.errors import ConfigError, DataError
from shipseg.inference.formats import (
    ImageShips,
    SubmissionSummary,
    check_submission,
    ship_runs,
    write_coco,
    write_ships_csv,
    write_submission,
)
from shipseg.masks.rle import decode, decode_many, encode, runs_of_mask
from shipseg.masks.ships import find_ships, ships_from_mask


def image_ships(name: str, mask_hw: NDArray[np.bool_]) -> ImageShips:
    return ImageShips(name, mask_hw.shape, ships_from_mask(mask_hw))


def two_ships() -> NDArray[np.bool_]:
    mask_hw = np.zeros((30, 40), bool)
    mask_hw[10:14, 5:25] = True
    mask_hw[20:26, 30:32] = True
    return mask_hw


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_csv_holds_one_row_per_ship_measured_in_pixel_edges(tmp_path: Path) -> None:
    prob_hw = np.where(two_ships(), 0.75, 0.0).astype(np.float32)
    images = [
        ImageShips("a.jpg", (30, 40), find_ships(prob_hw, threshold=0.5)),
        image_ships("empty.jpg", np.zeros((5, 5), bool)),
    ]
    write_ships_csv(tmp_path / "ships.csv", images)
    long, upright = read_rows(tmp_path / "ships.csv")
    assert (long["image"], long["ship"], long["area_px"], long["confidence"]) == ("a.jpg", "1", "80", "0.7500")
    assert [long[f"box_{side}"] for side in ("x", "y", "width", "height")] == ["5", "10", "20", "4"]
    assert (long["center_x"], long["center_y"]) == ("15.00", "12.00")
    assert (long["length_px"], long["width_px"], long["heading_deg"]) == ("20.00", "4.00", "90.00")
    corners = {(long[f"corner{number}_x"], long[f"corner{number}_y"]) for number in (1, 2, 3, 4)}
    assert corners == {("5.00", "10.00"), ("25.00", "10.00"), ("25.00", "14.00"), ("5.00", "14.00")}
    assert (upright["ship"], upright["length_px"], upright["heading_deg"]) == ("2", "6.00", "0.00")


def test_a_table_without_ships_has_its_columns_all_the_same(tmp_path: Path) -> None:
    write_ships_csv(tmp_path / "ships.csv", [])
    assert (tmp_path / "ships.csv").read_text().startswith("image,ship,area_px,confidence,box_x")
    assert read_rows(tmp_path / "ships.csv") == []


def test_names_with_commas_quotes_and_unicode_letters_round_trip(tmp_path: Path) -> None:
    name = 'Hafen, "Süd" 港.jpg'
    write_ships_csv(tmp_path / "ships.csv", [image_ships(name, two_ships())])
    assert {row["image"] for row in read_rows(tmp_path / "ships.csv")} == {name}


@settings(max_examples=200)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_the_runs_of_a_ship_s_crop_are_those_of_its_full_mask(mask_hw: NDArray[np.bool_]) -> None:
    for ship in ships_from_mask(mask_hw):
        runs, expected = ship_runs(ship, mask_hw.shape), runs_of_mask(ship.full_mask(mask_hw.shape))
        np.testing.assert_array_equal(runs.starts, expected.starts)
        np.testing.assert_array_equal(runs.lengths, expected.lengths)


@settings(max_examples=60)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 16), st.integers(1, 16))))
def test_a_submission_decodes_to_the_mask_ship_by_ship_without_overlap(
    tmp_path_factory: pytest.TempPathFactory, mask_hw: NDArray[np.bool_]
) -> None:
    path = tmp_path_factory.mktemp("submission") / "submission.csv"
    write_submission(path, [image_ships("a.jpg", mask_hw)])
    texts = [row["EncodedPixels"] for row in read_rows(path)]
    ships = ships_from_mask(mask_hw)
    assert len(texts) == max(1, len(ships))
    np.testing.assert_array_equal(decode_many(texts, mask_hw.shape), mask_hw)
    assert sum(int(decode(text, mask_hw.shape).sum()) for text in texts) == int(mask_hw.sum())
    assert texts == ([encode(ship.full_mask(mask_hw.shape)) for ship in ships] or [""])


def test_a_submission_is_what_the_challenge_asks_for(tmp_path: Path) -> None:
    mask_hw = np.zeros((4, 4), bool)
    mask_hw[1:3, 0] = True  # pixels 2, 3
    mask_hw[3, 2:4] = True  # pixels 12, 16
    write_submission(tmp_path / "s.csv", [image_ships("b.jpg", mask_hw), image_ships("a.jpg", np.zeros((4, 4), bool))])
    expected = "ImageId,EncodedPixels\nb.jpg,2 2\nb.jpg,12 1 16 1\na.jpg,\n"
    assert (tmp_path / "s.csv").read_text() == expected


def test_a_submission_with_one_id_for_two_images_is_refused(tmp_path: Path) -> None:
    images = [image_ships(name, two_ships()) for name in ("a.jpg", "b.jpg", "a.jpg")]
    with pytest.raises(ConfigError, match=r"a\.jpg is the name of several images \(1 such names in all\)"):
        write_submission(tmp_path / "s.csv", images)
    assert not (tmp_path / "s.csv").exists()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools under numpy 2
def test_pycocotools_reads_the_coco_file_and_finds_the_same_masks(tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    touching_the_end = np.zeros((6, 5), bool)
    touching_the_end[2:, 3:] = True
    full = np.ones((3, 2), bool)
    masks = {"a.jpg": two_ships(), "empty.jpg": np.zeros((7, 9), bool), "end.jpg": touching_the_end, "full.jpg": full}
    write_coco(tmp_path / "ships.json", [image_ships(name, mask_hw) for name, mask_hw in masks.items()])
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "ships.json"))
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == ["ship"]
    assert len(coco.getAnnIds()) == 4
    for image in coco.loadImgs(coco.getImgIds()):
        mask_hw = masks[image["file_name"]]
        assert (image["height"], image["width"]) == mask_hw.shape
        found = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        union = np.zeros(mask_hw.shape, bool)
        for annotation, ship in zip(found, ships_from_mask(mask_hw), strict=True):
            one = coco.annToMask(annotation).astype(bool)
            np.testing.assert_array_equal(one, ship.full_mask(mask_hw.shape))
            assert annotation["area"] == one.sum()
            assert annotation["bbox"] == list(ship.bbox_xywh)
            assert (annotation["score"], annotation["iscrowd"]) == (1.0, 0)
            union |= one
        np.testing.assert_array_equal(union, mask_hw)


def test_ids_of_coco_images_and_annotations_are_unique_and_refer_to_each_other(tmp_path: Path) -> None:
    write_coco(tmp_path / "c.json", [image_ships(name, two_ships()) for name in ("a.jpg", "b.jpg")])
    value = json.loads((tmp_path / "c.json").read_text())
    assert [image["id"] for image in value["images"]] == [1, 2]
    assert [annotation["id"] for annotation in value["annotations"]] == [1, 2, 3, 4]
    assert [annotation["image_id"] for annotation in value["annotations"]] == [1, 1, 2, 2]


SHAPE = (4, 5)


def written(folder: Path, name: str, *rows: str) -> Path:
    path = folder / name
    path.write_text("\n".join(["ImageId,EncodedPixels", *rows]) + "\n")
    return path


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return written(tmp_path, "sample.csv", "b.jpg,1 2", "a.jpg,1 2")


def test_a_valid_submission_is_counted(tmp_path: Path, sample: Path) -> None:
    submission = written(tmp_path, "submission.csv", "a.jpg,1 2 5 2", "a.jpg,9 1", "b.jpg,")
    assert check_submission(submission, sample=sample, shape=SHAPE) == SubmissionSummary(
        num_images=2, num_empty=1, num_ships=2
    )


def test_what_predict_writes_is_valid(tmp_path: Path, sample: Path) -> None:
    mask_hw = np.zeros(SHAPE, bool)
    mask_hw[1:3, 0] = mask_hw[0, 2:4] = True
    images = [ImageShips("a.jpg", SHAPE, ()), ImageShips("b.jpg", SHAPE, ships_from_mask(mask_hw))]
    write_submission(tmp_path / "submission.csv", images)
    summary = check_submission(tmp_path / "submission.csv", sample=sample, shape=SHAPE)
    assert summary == SubmissionSummary(num_images=2, num_empty=1, num_ships=2)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (["a.jpg,"], r"1 of the 2 images of .*sample\.csv are not in .*submission\.csv \(first: b\.jpg\)"),
        (["a.jpg,", "b.jpg,", "c.jpg,"], r"1 image\(s\) in .* are not in .* \(first: c\.jpg\)"),
        (["a.jpg,", "a.jpg,1 2", "b.jpg,"], "a.jpg has an empty row beside 1 other"),
        (["a.jpg,1 2", "a.jpg,2 3", "b.jpg,"], r"masks of a\.jpg in .* share 1 pixel"),
        (["a.jpg,1 2 3", "b.jpg,"], r"a mask of a\.jpg in .* is malformed"),
        (["a.jpg,20 2", "b.jpg,"], r"a mask of a\.jpg in .* is malformed"),
        (["a.jpg,1 2,9", "b.jpg,"], r"line 2 of .* has 3 values, expected 2"),
    ],
)
def test_what_the_challenge_would_refuse_is_an_error(
    rows: list[str], sentence: str, tmp_path: Path, sample: Path
) -> None:
    with pytest.raises(DataError, match=sentence):
        check_submission(written(tmp_path, "submission.csv", *rows), sample=sample, shape=SHAPE)


def test_a_file_of_another_kind_is_refused(tmp_path: Path, sample: Path) -> None:
    (tmp_path / "ships.csv").write_text("image,ship\na.jpg,1\n")
    with pytest.raises(DataError, match=r"the columns of .*ships\.csv must be ImageId,EncodedPixels, got image,ship"):
        check_submission(tmp_path / "ships.csv", sample=sample)
    with pytest.raises(DataError, match=r"missing\.csv cannot be read"):
        check_submission(tmp_path / "missing.csv", sample=sample)
