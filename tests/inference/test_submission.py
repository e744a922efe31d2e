"""A submission is looked through before it is handed in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shipseg.errors import DataError
from shipseg.inference.formats import PictureShips, write_submission
from shipseg.inference.submission import SubmissionSummary, check_submission
from shipseg.masks.ships import ships_from_mask

SHAPE = (4, 5)


def written(folder: Path, name: str, *rows: str) -> Path:
    path = folder / name
    path.write_text("\n".join(["ImageId,EncodedPixels", *rows]) + "\n")
    return path


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return written(tmp_path, "sample.csv", "b.jpg,1 2", "a.jpg,1 2")


def test_a_sound_submission_is_counted(tmp_path: Path, sample: Path) -> None:
    submission = written(tmp_path, "submission.csv", "a.jpg,1 2 5 2", "a.jpg,9 1", "b.jpg,")
    assert check_submission(submission, sample=sample, shape=SHAPE) == SubmissionSummary(
        num_images=2, num_empty=1, num_ships=2
    )


def test_what_predict_writes_is_sound(tmp_path: Path, sample: Path) -> None:
    mask_hw = np.zeros(SHAPE, bool)
    mask_hw[1:3, 0] = mask_hw[0, 2:4] = True
    pictures = [PictureShips("a.jpg", SHAPE, ()), PictureShips("b.jpg", SHAPE, ships_from_mask(mask_hw))]
    write_submission(tmp_path / "submission.csv", pictures)
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
def test_what_the_challenge_would_refuse_is_said(rows: list[str], sentence: str, tmp_path: Path, sample: Path) -> None:
    with pytest.raises(DataError, match=sentence):
        check_submission(written(tmp_path, "submission.csv", *rows), sample=sample, shape=SHAPE)


def test_a_file_of_another_kind_is_refused(tmp_path: Path, sample: Path) -> None:
    (tmp_path / "ships.csv").write_text("image,ship\na.jpg,1\n")
    with pytest.raises(DataError, match=r"the columns of .*ships\.csv must be ImageId,EncodedPixels, got image,ship"):
        check_submission(tmp_path / "ships.csv", sample=sample)
    with pytest.raises(DataError, match=r"missing\.csv cannot be read"):
        check_submission(tmp_path / "missing.csv", sample=sample)
