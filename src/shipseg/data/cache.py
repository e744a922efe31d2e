"""Writing the pixel cache: images and masks resized in parallel; a killed run loses about a second of work.

All images of a dataset have one scale, so that a metre has the same number of pixels in each. Image and coverage are
averaged over the same areas (half-pixel centres): pixel (r, c) of the cache covers the square from (r, c) / scale to
(r + 1, c + 1) / scale of the image. Images smaller than the canvas are placed in its top left corner, the rest is 0.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg import files, progress
from shipseg.data.prepared import COVERAGE_FILE, IMAGES_FILE, reserve_array, write_rows
from shipseg.errors import DataError
from shipseg.extras import needing
from shipseg.masks.rle import decode_many
from shipseg.processes import run_tasks
from shipseg.reading import read_image

with needing("train"):
    import pandas as pd

__all__ = ["CacheLayout", "cache_layout", "resize_coverage", "resize_image", "write_pixels"]

_CHUNK = 32  # images per entry of the list of finished chunks
_DONE_FILE = "done.bytes"
_PLAN_FILE = "pixels.json"


@dataclass(frozen=True)
class CacheLayout:
    """Size of a pixel cache.

    Args:
        num_images: Cached images.
        scale: Cached pixels per image pixel.
        canvas: Height and width of a cached image.
    """

    num_images: int
    scale: float
    canvas: tuple[int, int]

    @property
    def num_bytes(self) -> int:
        """Bytes of images and coverage together, without headers."""
        return self.num_images * self.canvas[0] * self.canvas[1] * 4


def cache_layout(heights: NDArray[np.int64], widths: NDArray[np.int64], *, size: int) -> CacheLayout:
    """Return the layout of a cache in which the longest side of all images has `size` pixels.

    Args:
        heights: (n,) height of each image in pixels.
        widths: (n,) width of each image in pixels.
        size: Pixels of the longest side in the cache.
    """
    scale = size / int(max(heights.max(), widths.max()))
    return CacheLayout(len(heights), scale, (_scaled(int(heights.max()), scale), _scaled(int(widths.max()), scale)))


def _scaled(length: int, scale: float) -> int:
    return max(1, round(length * scale))


def resize_image(image_hwc: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Return a uint8 image (H, W) or (H, W, C) at another scale: each pixel is the mean of the area it covers."""
    height, width = image_hwc.shape[:2]
    size = (_scaled(width, scale), _scaled(height, scale))
    if size == (width, height):
        return image_hwc
    # There is no area to average when enlarging; OpenCV's bilinear interpolation uses half-pixel centres, too.
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image_hwc, size, interpolation=interpolation), np.uint8)


def resize_coverage(mask_hw: NDArray[np.bool_], scale: float) -> NDArray[np.uint8]:
    """Return the coverage of a mask (H, W) at another scale: uint8, 255 where all of a pixel is ship."""
    return resize_image(mask_hw.astype(np.uint8) * 255, scale)


@dataclass(frozen=True)
class _PixelTask:
    chunk: int
    first: int
    paths: tuple[Path, ...]
    shapes: tuple[tuple[int, int], ...]
    rles: tuple[tuple[str, ...], ...]
    layout: CacheLayout
    folder: Path


def write_pixels(kept: pd.DataFrame, *, layout: CacheLayout, source: Path, work: Path, workers: int) -> None:
    """Write images.npy and coverage.npy of the kept images, in their order, into the folder `work`.

    Resumes an interrupted run if images, masks and layout are unchanged.

    Args:
        kept: One row per image: ImageId, num_bytes, mtime_ns, height, width, rles.
        layout: See `cache_layout`.
        source: Folder of the images.
        work: Folder for the result and the list of finished chunks.
        workers: Number of processes.

    Raises:
        StorageError: The disk is full.
        DataError: An image has changed since it was scanned.
    """
    num_chunks = -(-layout.num_images // _CHUNK)
    done = _resume(kept, layout, work, num_chunks)
    todo = np.flatnonzero(~done)
    chunks = run_tasks(_write_chunk, _tasks(kept, todo, layout, source, work), workers=workers)
    num_done = sum(_chunk_length(int(chunk), layout) for chunk in np.flatnonzero(done))
    descriptor = os.open(work / _DONE_FILE, os.O_WRONLY)
    try:
        images = _record_done(chunks, descriptor, layout, work)
        for _ in progress.track(images, "caching images", total=layout.num_images, done=num_done):
            pass
    finally:
        os.close(descriptor)


def _chunk_length(chunk: int, layout: CacheLayout) -> int:
    return min(_CHUNK, layout.num_images - chunk * _CHUNK)


def _record_done(chunks: Iterator[int], descriptor: int, layout: CacheLayout, work: Path) -> Iterator[None]:
    """Record each written chunk in the list of finished ones; yield once for each of its images."""
    for chunk in chunks:
        with files.storage_errors(work / _DONE_FILE):
            os.pwrite(descriptor, b"\x01", chunk)
        for _ in range(_chunk_length(chunk, layout)):
            yield None


def _resume(kept: pd.DataFrame, layout: CacheLayout, work: Path, num_chunks: int) -> NDArray[np.bool_]:
    """Return which chunks are finished; replace the files if they belong to other images, masks or another layout."""
    plan = {"plan": _identity(kept, layout)}
    plan_path, done_path = work / _PLAN_FILE, work / _DONE_FILE
    if plan_path.is_file() and json.loads(plan_path.read_text(encoding="utf-8")) == plan:
        done = np.frombuffer(done_path.read_bytes(), np.uint8).astype(bool)
        # A run killed while it moved the finished files to the dataset folder leaves some of them there.
        places = (work, work.parent) if done.all() else (work,)
        if all(any((place / name).is_file() for place in places) for name in (IMAGES_FILE, COVERAGE_FILE)):
            return done
    for name in (_PLAN_FILE, _DONE_FILE, IMAGES_FILE, COVERAGE_FILE):
        (work / name).unlink(missing_ok=True)
    reserve_array(work / IMAGES_FILE, shape=(layout.num_images, *layout.canvas, 3), dtype=np.uint8)
    reserve_array(work / COVERAGE_FILE, shape=(layout.num_images, *layout.canvas), dtype=np.uint8)
    files.write_bytes(done_path, bytes(num_chunks))
    files.write_json(plan_path, plan)  # last: it marks the others as complete
    return np.zeros(num_chunks, bool)


def _identity(kept: pd.DataFrame, layout: CacheLayout) -> str:
    digest = hashlib.sha256(repr((layout, _CHUNK)).encode())
    for column in ("ImageId", "num_bytes", "mtime_ns", "height", "width", "rles"):
        digest.update(repr(kept[column].tolist()).encode())
    return digest.hexdigest()


def _tasks(
    kept: pd.DataFrame, todo: NDArray[np.int64], layout: CacheLayout, source: Path, work: Path
) -> Iterator[_PixelTask]:
    for chunk in todo.tolist():
        part = kept.iloc[chunk * _CHUNK : (chunk + 1) * _CHUNK]
        yield _PixelTask(
            chunk,
            chunk * _CHUNK,
            tuple(source / name for name in part["ImageId"]),
            tuple(zip(part["height"].tolist(), part["width"].tolist(), strict=True)),
            tuple(part["rles"]),
            layout,
            work,
        )


def _write_chunk(task: _PixelTask) -> int:
    images = np.zeros((len(task.paths), *task.layout.canvas, 3), np.uint8)
    coverage = np.zeros((len(task.paths), *task.layout.canvas), np.uint8)
    for number, (path, shape, rles) in enumerate(zip(task.paths, task.shapes, task.rles, strict=True)):
        image_hwc = read_image(path)
        if image_hwc.shape[:2] != shape:
            raise DataError(f"{path} changed while the dataset was being prepared: run the command again")
        small = resize_image(image_hwc, task.layout.scale)
        height, width = small.shape[:2]
        images[number, :height, :width] = small
        if rles:
            coverage[number, :height, :width] = resize_coverage(decode_many(rles, shape), task.layout.scale)
    write_rows(task.folder / IMAGES_FILE, task.first, images)
    write_rows(task.folder / COVERAGE_FILE, task.first, coverage)
    return task.chunk
