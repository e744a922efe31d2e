"""A split of a prepared dataset as torch likes it: images and coverage, in training with randomness that is counted."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, TypedDict

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.config import AugmentConfig, InputConfig
from shipseg.data.augment import Augmentation, build_augmentation
from shipseg.data.prepared import COVERAGE_FILE, IMAGES_FILE, PreparedDataset, open_array, open_dataset
from shipseg.data.sampling import Draw
from shipseg.errors import ConfigError, DataError
from shipseg.extras import needing
from shipseg.masks.rle import decode_many, parse
from shipseg.reading import read_image

with needing("train"):
    import torch
    from torch import Tensor
    from torch.utils.data import Dataset, get_worker_info

__all__ = ["AirbusShipDetectionDataset", "Draw", "Item"]

_NEVER = 2**62  # more ships than any image has
Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


class Item(TypedDict):
    """What the dataset gives for an index or a draw."""

    image: Tensor
    """uint8 (3, h, w), RGB in 0-255."""
    mask: Tensor
    """float32 (1, h, w), coverage: the share of each pixel that is ship."""
    index: int
    """Position in the dataset."""


class AirbusShipDetectionDataset(Dataset[Item]):
    """The images of a split with their coverage.

    `dataset[index]` is the image as it is: the cached one (mode `resized`) or the whole native one (mode `crops`).
    `dataset[Draw(index, counter)]` is what training sees, cropped and augmented; all its randomness comes from
    (seed, counter), so that order, loading processes and interruptions change nothing.

    Crops have the image's own resolution and are cut from the original file (from the cache, where that has the
    original size). A crop of an image with ships holds a pixel of one of them, each ship equally likely, with at
    least the probability `ship_crop_share`; the other crops lie anywhere. With `scale_jitter` j, the window's side is
    drawn from crop_size / (1 + j) to crop_size * (1 + j), evenly on a logarithmic scale, and resized. What a small
    image lacks of a window is black, at the right and bottom.

    The object holds no open file and no pixels; each process opens the cache for itself.

    Args:
        data: A prepared dataset or its folder.
        split: "train", "val" or "test".
        recipe_input: What the network is shown.
        augment: Random changes of a `Draw`; None: none.
        seed: Of all randomness.

    Raises:
        DataError: No such dataset, no image in the split, or the original images are gone and needed.
        ConfigError: No such split or augmentation, or mode `resized` on a dataset without cached images.
    """

    def __init__(
        self,
        data: PreparedDataset | Path,
        split: str,
        *,
        recipe_input: InputConfig,
        augment: AugmentConfig | None = None,
        seed: int = 0,
    ) -> None:
        data = data if isinstance(data, PreparedDataset) else open_dataset(Path(data))
        self._root, self._input, self._augment, self._seed = data.root, recipe_input, augment, seed
        cached = data.images is not None
        self._from_cache = cached and (recipe_input.mode == "resized" or data.scale == 1.0)
        self._source = data.source_images
        self._check(data, split, cached=cached)
        rows = data.rows(split)
        self.ships: NDArray[np.int64] = rows["Ships"].to_numpy(np.int64)
        """(n,) number of ships of each item."""
        self._cache_rows = rows["row"].to_numpy(np.int64)
        self._shapes = rows[["height", "width"]].to_numpy(np.int64)
        # Arrays and one long text rather than thousands of Python objects: counting references to objects would copy
        # their memory into every loading process.
        self._image_ids = rows["ImageId"].to_numpy(dtype=str)
        texts = ["".join(f"{rle}\n" for rle in rles) for rles in rows["rles"]]
        self._rle_text = "".join(texts)
        self._rle_ends = np.cumsum([0, *map(len, texts)])
        _ = self._changes  # an unknown augmentation is refused here, not in a loading process

    def _check(self, data: PreparedDataset, split: str, *, cached: bool) -> None:
        if not len(data.rows(split)):
            raise DataError(f"dataset {data.root} has no image in its split {split!r}: prepare it with a larger share")
        if self._input.mode == "resized" and not cached:
            raise ConfigError(
                f"input.mode resized needs cached images, and dataset {data.root} was prepared at native size: set "
                "input.mode to crops, or prepare it with --size 256"
            )
        if not self._from_cache and not self._source.is_dir():
            raise DataError(
                f"input.mode crops reads the original images, and {self._source} (where dataset {data.root} found "
                "them) is gone: move them back, or prepare the dataset again"
            )

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.ships)

    def __getitem__(self, key: int | Draw) -> Item:
        """Return the image at an index, or what a draw makes of it.

        Raises:
            IndexError: Beyond the end.
            ImageError: The original image is missing or damaged.
            DataError: It has another size than when the dataset was prepared.
        """
        if get_worker_info() is not None:
            _one_thread()
        index = range(len(self))[key.index if isinstance(key, Draw) else int(key)]
        image, coverage = self._plain(index)
        if isinstance(key, Draw):
            generator = np.random.Generator(np.random.Philox(key=np.array([self._seed, key.counter], np.uint64)))
            if self._input.mode == "crops":
                image, coverage = self._crop(index, image, coverage, generator)
            crowded = self.ships[index] >= self._threshold
            change = self._changes[int(crowded)]
            image, coverage = change(np.array(image), np.array(coverage), int(generator.integers(2**63)))
        # Copies: what lies in the cache is not to be written to, and a tensor could.
        pixels = np.array(image.transpose(2, 0, 1), order="C")
        mask = np.divide(coverage, np.float32(255), dtype=np.float32)[None]
        return Item(image=torch.from_numpy(pixels), mask=torch.from_numpy(np.ascontiguousarray(mask)), index=index)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what another process opens or builds for itself."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_cache", "_changes")}

    @functools.cached_property
    def _cache(self) -> Pair:
        return open_array(self._root / IMAGES_FILE), open_array(self._root / COVERAGE_FILE)

    @functools.cached_property
    def _changes(self) -> tuple[Augmentation, Augmentation]:
        """The augmentation of most images, and of those with many ships."""
        config = self._augment or AugmentConfig(names=())
        return build_augmentation(config, num_ships=0), build_augmentation(config, num_ships=self._threshold)

    @property
    def _threshold(self) -> int:
        return (self._augment and self._augment.ships_threshold_for_add_augs) or _NEVER

    def _plain(self, index: int) -> Pair:
        """Return image uint8 (h, w, 3) and coverage uint8 (h, w) in 0-255, before any randomness."""
        height, width = (int(side) for side in self._shapes[index])
        if self._from_cache:
            images, coverage = self._cache
            row = self._cache_rows[index]
            if self._input.mode == "resized":
                return images[row], coverage[row]  # with the black margin that makes all images one size
            return images[row, :height, :width], coverage[row, :height, :width]
        path = self._source / self._image_ids[index]
        image = read_image(path)
        if image.shape[:2] != (height, width):
            raise DataError(
                f"{path} is {image.shape[0]} x {image.shape[1]} px and was {height} x {width} px when dataset "
                f"{self._root} was prepared: prepare it again"
            )
        return image, decode_many(self._rles(index), (height, width)).astype(np.uint8) * 255

    def _rles(self, index: int) -> list[str]:
        return self._rle_text[self._rle_ends[index] : self._rle_ends[index + 1]].splitlines()

    def _crop(
        self, index: int, image: NDArray[np.uint8], coverage: NDArray[np.uint8], generator: np.random.Generator
    ) -> Pair:
        """Return a window of `crop_size`."""
        size = self._input.crop_size
        side = round(size * (1 + self._input.scale_jitter) ** generator.uniform(-1, 1))
        height, width = coverage.shape
        pixel: tuple[int | None, int | None] = (None, None)
        if self.ships[index] and generator.random() < self._input.ship_crop_share:
            pixel = _pixel_of_a_ship(self._rles(index), height, generator)
        row0 = _first(height, side, pixel[0], generator)
        col0 = _first(width, side, pixel[1], generator)
        place = np.s_[row0 : row0 + side, col0 : col0 + side]
        return _fitted(image[place], side, size), _fitted(coverage[place], side, size)


@functools.cache
def _one_thread() -> None:
    """Keep OpenCV in a loading process to one thread: there are as many such processes as cores are free.

    With 0, not 1: OpenCV then leaves its pool of threads alone, which a forked process has inherited without its
    threads and would wait for without end.
    """
    cv2.setNumThreads(0)


def _pixel_of_a_ship(rles: list[str], height: int, generator: np.random.Generator) -> tuple[int, int]:
    """Return row and column of a random pixel of a random ship."""
    runs = parse(rles[generator.integers(len(rles))])
    ends = np.cumsum(runs.lengths)
    chosen = generator.integers(ends[-1])
    run = np.searchsorted(ends, chosen, side="right")
    position = int(runs.starts[run] + chosen - (ends[run] - runs.lengths[run]))
    return position % height, position // height


def _first(extent: int, side: int, pixel: int | None, generator: np.random.Generator) -> int:
    """Return where a window of `side` begins on an axis of `extent`, so that it holds `pixel` where one is given."""
    last = max(extent - side, 0)
    low, high = (0, last) if pixel is None else (max(pixel - side + 1, 0), min(pixel, last))
    return int(generator.integers(low, high + 1))


def _fitted(window: NDArray[np.uint8], side: int, size: int) -> NDArray[np.uint8]:
    """Return the window filled up with zeros to `side` and resized to `size`, pixel edges staying where they are."""
    missing = (side - window.shape[0], side - window.shape[1])
    if any(missing):
        window = np.pad(window, [(0, missing[0]), (0, missing[1]), (0, 0)][: window.ndim])
    if side == size:
        return window
    how = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(window), (size, size), interpolation=how).astype(np.uint8, copy=False)
