"""A small Airbus folder whose facts are known by hand."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from shipseg.exploration.explore import ExploreOptions, explore
from shipseg.exploration.results import Exploration
from shipseg.masks.rle import encode

SIDE = 96


def rectangle(row: int, col: int, height: int, width: int) -> str:
    """Return the run-length text of a rectangle in an image of 96 px."""
    mask_hw = np.zeros((SIDE, SIDE), bool)
    mask_hw[row : row + height, col : col + width] = True
    return encode(mask_hw)


def noise(seed: int) -> NDArray[np.uint8]:
    """Return an image (96, 96, 3) of smooth noise."""
    values = np.random.default_rng(seed).normal(0, 1, (SIDE, SIDE, 3)).astype(np.float32)
    return np.clip(cv2.GaussianBlur(values, (0, 0), 1.0) * 120 + 90, 0, 255).astype(np.uint8)


ROWS = (
    ("a.png", rectangle(10, 20, 4, 12)),  # 48 px, alone, heading across
    ("b.png", rectangle(0, 40, 20, 5)),  # 100 px, at the upper border, heading up
    ("b.png", rectangle(30, 30, 6, 6)),  # 36 px; the next one touches it at a corner
    ("b.png", rectangle(36, 36, 6, 6)),
    ("c.png", ""),
    ("d.png", ""),  # the same file as c.png
    ("e.png", ""),  # one colour
    ("f.png", rectangle(50, 50, 40, 30)),  # 1200 px, its file is cut short
)


@pytest.fixture(scope="session")
def known_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six images of 96 px and five ships; see ROWS."""
    folder = tmp_path_factory.mktemp("exploration") / "known"
    (folder / "images").mkdir(parents=True)
    for seed, name in enumerate("abcf"):
        assert cv2.imwrite(str(folder / "images" / f"{name}.png"), noise(seed))
    assert cv2.imwrite(str(folder / "images" / "e.png"), np.full((SIDE, SIDE, 3), 200, np.uint8))
    (folder / "images" / "d.png").write_bytes((folder / "images" / "c.png").read_bytes())
    whole = (folder / "images" / "f.png").read_bytes()
    (folder / "images" / "f.png").write_bytes(whole[: len(whole) // 2])
    lines = [f"{image_id},{text}" for image_id, text in ROWS]
    (folder / "labels.csv").write_text("\n".join(["ImageId,EncodedPixels", *lines]) + "\n")
    return folder


@pytest.fixture(scope="session")
def known(known_folder: Path) -> Exploration:
    """That folder explored."""
    return explore(known_folder, ExploreOptions(workers=1))


@pytest.fixture(scope="session")
def labels_alone(known_folder: Path) -> Exploration:
    """Its label table explored, without the images."""
    return explore(known_folder / "labels.csv", ExploreOptions(labels_size=SIDE))
