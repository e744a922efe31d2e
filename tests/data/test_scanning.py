"""Every image is read once; results survive a kill, a changed file is read again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from shipseg.data import scanning
from shipseg.data.cleaning import ImageFacts, examine
from shipseg.data.groups import describe_texture
from shipseg.data.scanning import scan_images
from shipseg.reading import read_image

Textured = Callable[..., NDArray[np.uint8]]


def listed(folder: Path) -> pd.DataFrame:
    paths = sorted((folder / "train_v2").iterdir())
    return pd.DataFrame(
        {
            "ImageId": [path.name for path in paths],
            "num_bytes": [path.stat().st_size for path in paths],
            "mtime_ns": [path.stat().st_mtime_ns for path in paths],
        }
    )


@pytest.fixture
def folder(make_folder: Callable[..., Path], textured: Textured) -> Path:
    """Seventy images, more than one chunk; one of the files is not an image."""
    made = make_folder({f"{number:03}.png": textured(number, 36, 36) for number in range(70)})
    (made / "train_v2" / "003.png").write_bytes(b"not an image")
    return made


def scan(folder: Path, store: Path, workers: int = 1) -> tuple[pd.DataFrame, NDArray[np.int8]]:
    return scan_images(listed(folder), folder=folder / "train_v2", store=store, workers=workers)


@pytest.mark.parametrize("workers", [1, 2])
def test_facts_and_textures_come_in_the_order_of_the_files(folder: Path, tmp_path: Path, workers: int) -> None:
    facts, textures = scan(folder, tmp_path / "store", workers)
    assert facts["ImageId"].tolist() == [f"{number:03}.png" for number in range(70)]
    assert facts["fault"].tolist() == [""] * 3 + ["unsupported"] + [""] * 66
    assert "003.png" in facts["detail"][3]
    assert facts["height"].tolist() == [36] * 3 + [0] + [36] * 66
    assert textures.shape == (70, 9, 32, 32)
    assert not textures[3].any()
    assert np.array_equal(textures[50], describe_texture(read_image(folder / "train_v2" / "050.png")))


def test_a_second_run_reads_only_what_is_new_or_changed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, _ = scan(folder, tmp_path / "store")
    reads: list[str] = []

    def counted(path: Path) -> tuple[ImageFacts, NDArray[np.uint8] | None]:
        reads.append(path.name)
        return examine(path)

    monkeypatch.setattr(scanning, "examine", counted)
    scan(folder, tmp_path / "store")
    assert reads == []
    (folder / "train_v2" / "003.png").write_bytes((folder / "train_v2" / "004.png").read_bytes())
    os.utime(folder / "train_v2" / "010.png", ns=(1, 1))
    (folder / "train_v2" / "020.png").rename(folder / "train_v2" / "999.png")
    after, textures = scan(folder, tmp_path / "store")
    assert sorted(reads) == ["003.png", "010.png", "999.png"]
    assert after["fault"].tolist() == [""] * 70
    assert np.array_equal(textures[3], textures[4])
    assert len(before) == len(after)


def test_damaged_results_are_made_again(folder: Path, tmp_path: Path) -> None:
    before, textures = scan(folder, tmp_path / "store")
    for path in sorted((tmp_path / "store").glob("*.npz")):
        path.write_bytes(path.read_bytes()[:100])
    after, again = scan(folder, tmp_path / "store")
    pd.testing.assert_frame_equal(before, after)
    assert np.array_equal(textures, again)


def test_a_missing_file_is_a_fault_and_no_files_give_empty_tables(folder: Path, tmp_path: Path) -> None:
    wanted = listed(folder)
    (folder / "train_v2" / "005.png").unlink()
    facts, _ = scan_images(wanted, folder=folder / "train_v2", store=tmp_path / "store", workers=1)
    assert facts["fault"][5] == "missing"
    facts, textures = scan_images(wanted[:0], folder=folder / "train_v2", store=tmp_path / "other", workers=1)
    assert (len(facts), textures.shape) == (0, (0, 9, 32, 32))
