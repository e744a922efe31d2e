"""Airbus folders made from a few lines of numpy, for tests of the preparation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray


def _textured(seed: int, height: int = 96, width: int = 96) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(0, 1, (height, width, 3)).astype(np.float32)
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 1.0) * 120 + 90, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def textured() -> Callable[..., NDArray[np.uint8]]:
    """Return a function of seed, height = 96 and width = 96 that makes an image (H, W, 3) of smooth noise."""
    return _textured


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes an Airbus folder from images by name and rows (ImageId, EncodedPixels)."""

    def make(
        images: Mapping[str, NDArray[np.uint8]], rows: Sequence[tuple[str, str]] | None = None, name: str = "airbus"
    ) -> Path:
        folder = tmp_path / name
        (folder / "train_v2").mkdir(parents=True)
        for image_id, image_hwc in images.items():
            assert cv2.imwrite(str(folder / "train_v2" / image_id), image_hwc[..., ::-1])
        lines = [f"{image_id},{text}" for image_id, text in rows or [(image_id, "") for image_id in images]]
        (folder / "labels.csv").write_text("\n".join(["ImageId,EncodedPixels", *lines]) + "\n")
        return folder

    return make
