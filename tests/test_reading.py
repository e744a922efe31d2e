"""Every format of image files becomes an RGB array, and every damaged file an error."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from shipseg.errors import DataError, ImageError
from shipseg.reading import IMAGE_SUFFIXES, list_images, read_image


def gradient() -> NDArray[np.uint8]:
    """Return a smooth RGB image (20, 30, 3) whose channels differ."""
    rows, columns = np.mgrid[0:20, 0:30]
    return np.stack([rows * 5, columns * 4, 200 - rows * 3], axis=2).astype(np.uint8)


def saved(path: Path, image_hwc: NDArray[np.generic] | None = None, *, mode: str | None = None, **options: Any) -> Path:
    image = Image.fromarray(gradient() if image_hwc is None else image_hwc)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def damaged(path: Path, *, at: float, patch: bytes) -> Path:
    data = bytearray(path.read_bytes())
    start = int(len(data) * at)
    data[start : start + len(patch)] = patch
    path.write_bytes(bytes(data))
    return path


def cut(path: Path, *, to: float, end: bytes = b"") -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * to)] + end)
    return path


def reason_of(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp"])
def test_lossless_formats_give_the_exact_pixels(tmp_path: Path, name: str) -> None:
    image_hwc = read_image(saved(tmp_path / name))
    assert image_hwc.dtype == np.uint8
    assert np.array_equal(image_hwc, gradient())


@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
def test_lossy_formats_give_nearly_the_pixels_in_rgb_order(tmp_path: Path, name: str) -> None:
    image_hwc = read_image(saved(tmp_path / name, quality=95))
    assert np.abs(image_hwc.astype(int) - gradient()).mean() < 3


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    grey = gradient()[..., 0]
    image_hwc = read_image(saved(tmp_path / "a.png", grey))
    assert image_hwc.shape == (20, 30, 3)
    assert all(np.array_equal(image_hwc[..., channel], grey) for channel in range(3))


@pytest.mark.parametrize(("name", "alpha"), [("a.png", 7), ("a.png", 255), ("a.tif", 255)])
def test_transparency_is_dropped(tmp_path: Path, name: str, alpha: int) -> None:
    rgba = np.dstack([gradient(), np.full((20, 30), alpha, np.uint8)])
    assert np.array_equal(read_image(saved(tmp_path / name, rgba)), gradient())


def test_transparent_pixels_of_a_tiff_are_black(tmp_path: Path) -> None:
    rgba = np.dstack([gradient(), np.zeros((20, 30), np.uint8)])
    assert not read_image(saved(tmp_path / "a.tif", rgba)).any()


@pytest.mark.parametrize("name", ["a.tif", "a.jpg"])
def test_cmyk_is_converted(tmp_path: Path, name: str) -> None:
    image_hwc = read_image(saved(tmp_path / name, mode="CMYK"))
    assert np.abs(image_hwc.astype(int) - gradient()).mean() < 3


@pytest.mark.parametrize(
    ("largest", "expected"),
    [(255, 255), (300, 75), (1023, 255), (1024, 64), (4095, 255), (16383, 255), (16384, 64), (65535, 255)],
)
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_values_are_scaled_by_the_depth_that_holds_the_largest(
    tmp_path: Path, name: str, largest: int, expected: int
) -> None:
    # 300 needs 10 bits: 300 / 1023 * 255 = 74.8; 1024 needs 12: 63.8; 16384 needs 16: 63.8
    values = np.zeros((4, 5), np.uint16)
    values[1, 2] = largest
    image_hwc = read_image(saved(tmp_path / name, values))
    assert image_hwc[1, 2].tolist() == [expected] * 3
    assert image_hwc[0, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_exif_rotation_is_applied(tmp_path: Path, name: str) -> None:
    rotated = Image.Exif()
    rotated[0x0112] = 6  # to be displayed rotated clockwise by 90 degrees
    image_hwc = read_image(saved(tmp_path / name, exif=rotated))
    assert image_hwc.shape == (30, 20, 3)
    assert np.abs(image_hwc.astype(int) - np.rot90(gradient(), -1)).mean() < 4


def test_the_format_is_recognised_by_content_not_by_name(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png")
    assert np.array_equal(read_image(path.rename(tmp_path / "b.jpg")), gradient())


@pytest.mark.parametrize("to", [0.02, 0.2, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_cut_jpeg_is_truncated(tmp_path: Path, to: float, progressive: bool) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert reason_of(cut(saved(tmp_path / "a.jpg", noise, progressive=progressive), to=to)) == "truncated"


def test_a_cut_jpeg_with_an_end_marker_appended_is_truncated(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert reason_of(cut(saved(tmp_path / "a.jpg", noise), to=0.6, end=b"\xff\xd9")) == "truncated"


def test_a_cut_jpeg_padded_with_zeros_is_truncated(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert reason_of(cut(saved(tmp_path / "a.jpg", noise), to=0.5, end=bytes(5000))) == "truncated"


def test_the_end_marker_of_a_thumbnail_is_not_taken_for_that_of_the_jpeg(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    thumbnail = saved(tmp_path / "thumbnail.jpg", gradient()).read_bytes()
    path = saved(tmp_path / "a.jpg", noise)
    data = path.read_bytes()
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    path.write_bytes(data[:2] + segment + data[2:])
    assert read_image(path).shape == (64, 64, 3)
    assert reason_of(cut(path, to=0.8)) == "truncated"


def test_bytes_after_the_end_of_a_jpeg_are_ignored(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes() + b"\0\0trailer")
    assert read_image(path).shape == (20, 30, 3)


def test_a_jpeg_damaged_in_the_middle_is_unreadable(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = damaged(saved(tmp_path / "a.jpg", noise), at=0.5, patch=bytes(range(1, 200)))
    assert reason_of(path) in {"unreadable", "truncated"}


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp", "a.webp"])
@pytest.mark.parametrize("to", [0.3, 0.7])
def test_cut_files_of_other_formats_are_truncated_or_unreadable(tmp_path: Path, name: str, to: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert reason_of(cut(saved(tmp_path / name, noise), to=to)) in {"truncated", "unreadable"}


def test_a_png_with_a_flipped_bit_is_unreadable(tmp_path: Path) -> None:
    assert reason_of(damaged(saved(tmp_path / "a.png"), at=0.6, patch=b"\x5a\xa5")) == "unreadable"


def test_a_compressed_tiff_damaged_in_the_middle_is_unreadable(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = damaged(saved(tmp_path / "a.tif", noise, compression="tiff_lzw"), at=0.3, patch=b"\xff" * 60)
    assert reason_of(path) in {"unreadable", "truncated"}


def test_an_empty_file_is_truncated(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    assert reason_of(tmp_path / "a.jpg") == "truncated"


@pytest.mark.parametrize("content", [b"hello world, I am not an image", b"GIF89a" + bytes(50)])
def test_a_file_of_another_format_is_unsupported(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    assert reason_of(tmp_path / "a.jpg") == "unsupported"


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.int32])
def test_a_tiff_of_another_dtype_is_unsupported_and_the_message_names_it(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "a.tif"
    cv2.imwrite(str(path), np.zeros((4, 5), dtype))
    with pytest.raises(ImageError, match=np.dtype(dtype).name) as caught:
        read_image(path)
    assert caught.value.reason == "unsupported"


@pytest.mark.parametrize("place", ["nowhere.jpg", "file.jpg/nowhere.jpg", "."])
def test_a_path_that_is_no_file_is_missing(tmp_path: Path, place: str) -> None:
    (tmp_path / "file.jpg").touch()
    assert reason_of(tmp_path / place) == "missing"


def test_decoders_write_nothing_to_standard_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for number, (name, to) in enumerate(
        [("a.jpg", 0.6), ("b.png", 0.5), ("c.tif", 0.5), ("d.bmp", 0.5), ("e.webp", 0.5)]
    ):
        reason_of(cut(saved(tmp_path / f"{number}{name}", noise), to=to, end=b"\xff\xd9"))
    assert capfd.readouterr().err == ""


def test_what_other_threads_write_to_standard_error_is_not_lost(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, stop = saved(tmp_path / "a.jpg"), threading.Event()
    lines = 0

    def talk() -> None:
        nonlocal lines
        while not stop.is_set():
            os.write(2, b"still here\n")
            lines += 1

    talker = threading.Thread(target=talk)
    talker.start()
    for _ in range(200):
        read_image(path)
    stop.set()
    talker.join()
    assert capfd.readouterr().err.count("still here") == lines


def test_images_are_listed_by_suffix_in_order_without_hidden_files_and_subfolders(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.tiff", ".hidden.jpg", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.tiff", "b.JPG"]
    assert all(suffix == suffix.lower() for suffix in IMAGE_SUFFIXES)


def test_a_missing_folder_cannot_be_listed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        list_images(tmp_path / "nowhere")


def test_a_link_to_itself_is_left_out_of_the_list(tmp_path: Path) -> None:
    saved(tmp_path / "a.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    assert list_images(tmp_path) == [tmp_path / "a.png"]
