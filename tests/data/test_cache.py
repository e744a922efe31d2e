"""The pixel cache: image and coverage are averaged over the same areas; an interrupted run resumes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shipseg.data import cache
from shipseg.data.cache import cache_layout, resize_coverage, resize_image, write_pixels
from shipseg.errors import DataError

Textured = Callable[..., NDArray[np.uint8]]


def test_a_third_of_the_size_is_the_mean_of_three_by_three_pixels() -> None:
    image_hwc = np.random.default_rng(0).integers(0, 256, (9, 6, 3), dtype=np.uint8)
    means = image_hwc.reshape(3, 3, 2, 3, 3).mean(axis=(1, 3))
    assert np.abs(resize_image(image_hwc, 1 / 3) - means).max() <= 0.5


@given(
    rows=st.integers(0, 11),
    columns=st.integers(0, 11),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    k=st.just(3),
)
def test_coverage_is_the_share_of_the_area_and_no_ship_pixel_is_lost(
    rows: int, columns: int, height: int, width: int, k: int
) -> None:
    mask_hw = np.zeros((24, 24), bool)
    mask_hw[rows : rows + height, columns : columns + width] = True
    coverage_hw = resize_coverage(mask_hw, 1 / k)
    assert coverage_hw.shape == (8, 8)
    assert coverage_hw.sum() / 255 * k * k == pytest.approx(mask_hw.sum(), abs=0.02 * mask_hw.sum() + 0.3)


@pytest.mark.parametrize(("scale", "size"), [(1 / 3, 768), (0.4, 770), (0.37, 501)])
def test_image_and_mask_stay_on_each_other(scale: float, size: int) -> None:
    mask_hw = np.zeros((size, size), bool)
    mask_hw[size // 3 : size // 3 + 50, size // 2 : size // 2 + 17] = True
    image_hwc = np.repeat(mask_hw[..., None], 3, axis=2).astype(np.uint8) * 255
    assert np.array_equal(resize_image(image_hwc, scale)[..., 0], resize_coverage(mask_hw, scale))


def test_the_size_itself_changes_nothing_and_enlarging_keeps_the_centre() -> None:
    image_hwc = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert resize_image(image_hwc, 1.0) is image_hwc
    dot = np.zeros((5, 5, 3), np.uint8)
    dot[2, 2] = 200
    large = resize_image(dot, 4.0)[..., 0].astype(float)
    assert large.shape == (20, 20)
    assert (large * np.arange(20)).sum() / large.sum() == pytest.approx(9.5)


@pytest.mark.parametrize(
    ("heights", "widths", "size", "scale", "canvas"),
    [
        ([768], [768], 256, 1 / 3, (256, 256)),
        ([300], [600], 200, 1 / 3, (100, 200)),
        ([300, 500], [600, 100], 60, 0.1, (50, 60)),
        ([1000], [1], 16, 0.016, (16, 1)),
    ],
)
def test_one_scale_for_all_and_a_canvas_that_holds_each(
    heights: list[int], widths: list[int], size: int, scale: float, canvas: tuple[int, int]
) -> None:
    layout = cache_layout(np.array(heights), np.array(widths), size=size)
    assert layout.scale == pytest.approx(scale)
    assert layout.canvas == canvas
    assert layout.num_bytes == len(heights) * canvas[0] * canvas[1] * 4


def kept(folder: Path, rles: dict[str, tuple[str, ...]], shapes: dict[str, tuple[int, int]]) -> pd.DataFrame:
    paths = [folder / "train_v2" / name for name in shapes]
    return pd.DataFrame(
        {
            "ImageId": list(shapes),
            "num_bytes": [path.stat().st_size for path in paths],
            "mtime_ns": [path.stat().st_mtime_ns for path in paths],
            "height": [shape[0] for shape in shapes.values()],
            "width": [shape[1] for shape in shapes.values()],
            "rles": [rles.get(name, ()) for name in shapes],
        }
    )


def test_smaller_images_lie_in_the_corner_of_the_canvas(
    make_folder: Callable[..., Path], textured: Textured, tmp_path: Path
) -> None:
    originals = {"a.png": textured(1, 60, 90), "b.png": textured(2, 30, 60)}
    folder = make_folder(originals)
    table = kept(folder, {"b.png": ("1 30",)}, {"a.png": (60, 90), "b.png": (30, 60)})
    layout = cache_layout(table["height"].to_numpy(), table["width"].to_numpy(), size=30)
    (tmp_path / "work").mkdir()
    write_pixels(table, layout=layout, source=folder / "train_v2", work=tmp_path / "work", workers=1)
    images, coverage = np.load(tmp_path / "work" / "images.npy"), np.load(tmp_path / "work" / "coverage.npy")
    assert images.shape == (2, 20, 30, 3)
    assert np.array_equal(images[0], resize_image(originals["a.png"], 1 / 3))
    assert np.array_equal(images[1, :10, :20], resize_image(originals["b.png"], 1 / 3))
    assert not images[1, 10:].any()
    assert not images[1, :, 20:].any()
    assert coverage[1, :10, 0].tolist() == [85] * 10  # the left of three columns is ship: 255 / 3
    assert coverage.sum() == 850


def test_only_what_is_not_done_is_read_again(
    make_folder: Callable[..., Path], textured: Textured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    originals = {f"{number:03}.png": textured(number, 24, 24) for number in range(70)}
    folder = make_folder(originals)
    table = kept(folder, {}, dict.fromkeys(originals, (24, 24)))
    layout = cache_layout(table["height"].to_numpy(), table["width"].to_numpy(), size=16)
    work = tmp_path / "work"
    work.mkdir()
    reads: list[str] = []

    def counted(path: Path) -> NDArray[np.uint8]:
        reads.append(path.name)
        if len(reads) == 40:
            raise KeyboardInterrupt
        return originals[path.name]

    monkeypatch.setattr(cache, "read_image", counted)
    with pytest.raises(KeyboardInterrupt):
        write_pixels(table, layout=layout, source=folder / "train_v2", work=work, workers=1)
    reads.clear()
    reads.extend([""] * 100)
    write_pixels(table, layout=layout, source=folder / "train_v2", work=work, workers=1)
    assert reads[100:] == sorted(originals)[32:]  # the first 32 make a finished chunk
    images = np.load(work / "images.npy")
    assert all(
        np.array_equal(images[i], resize_image(original, 16 / 24)) for i, original in enumerate(originals.values())
    )


def test_another_mask_restarts_the_cache(make_folder: Callable[..., Path], textured: Textured, tmp_path: Path) -> None:
    folder = make_folder({"a.png": textured(0, 24, 24)})
    layout = cache_layout(np.array([24]), np.array([24]), size=24)
    work = tmp_path / "work"
    work.mkdir()
    for rles, ship_px in (((), 0), (("1 5",), 5), (("1 5", "100 7"), 12)):
        table = kept(folder, {"a.png": rles}, {"a.png": (24, 24)})
        write_pixels(table, layout=layout, source=folder / "train_v2", work=work, workers=1)
        assert np.load(work / "coverage.npy").sum() == 255 * ship_px


def test_an_image_that_changed_after_the_scan_is_refused(
    make_folder: Callable[..., Path], textured: Textured, tmp_path: Path
) -> None:
    folder = make_folder({"a.png": textured(0, 24, 24)})
    table = kept(folder, {}, {"a.png": (24, 25)})
    with pytest.raises(DataError, match=r"a\.png changed while"):
        write_pixels(
            table,
            layout=cache_layout(np.array([24]), np.array([25]), size=24),
            source=folder / "train_v2",
            work=tmp_path,
            workers=1,
        )
