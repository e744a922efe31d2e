"""A split of a prepared dataset as a torch Dataset: images and coverage, cropped and augmented for training."""

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

_NO_THRESHOLD = 2**62  # more ships than any image has
Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


class Item(TypedDict):
    """An image of the dataset with its coverage."""

    image: Tensor
    """uint8 (3, h, w), RGB in 0-255."""
    mask: Tensor
    """float32 (1, h, w), coverage: the share of each pixel that is ship, 0-1."""
    index: int
    """Position in the dataset."""


class AirbusShipDetectionDataset(Dataset[Item]):
    """The images of a split with their coverage.

    `dataset[index]` is the unchanged image: the cached one (mode `resized`) or the whole native one (mode `crops`).
    `dataset[Draw(index, counter)]` is a training sample, cropped and augmented. All its random numbers come from
    (seed, counter), so that it does not depend on the order, the loading processes or interruptions.

    Crops have the native resolution and are read from the original file, or from the cache if its scale is 1. A crop of
    an image with ships contains a pixel of a random ship (all equally likely) with at least the probability
    `ship_crop_share`; the position of other crops is uniform. With `scale_jitter` j, the side of the window is drawn
    from crop_size / (1 + j) to crop_size * (1 + j), uniformly on a logarithmic scale, and the window is resized to
    crop_size. An image smaller than the window is padded with black at the right and bottom.

    The object has no open files and no pixels; each process opens the cache itself.

    Args:
        data: A prepared dataset or its folder.
        split: "train", "val" or "test".
        recipe_input: Size and mode of the network's input.
        augment: Augmentations of a `Draw`; None for none.
        seed: Seed of all random numbers.

    Raises:
        DataError: There is no such dataset, the split has no image, or the original images are needed and missing.
        ConfigError: Unknown split or augmentation, or mode `resized` on a dataset without cached images.
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
        # Arrays and one long text instead of thousands of Python objects, whose reference counts would make every
        # loading process copy their memory.
        self._image_ids = rows["ImageId"].to_numpy(dtype=str)
        texts = ["".join(f"{rle}\n" for rle in rles) for rles in rows["rles"]]
        self._rle_text = "".join(texts)
        self._rle_ends = np.cumsum([0, *map(len, texts)])
        _ = self._augmentations  # raises for an unknown augmentation here, not in a loading process

    def _check(self, data: PreparedDataset, split: str, *, cached: bool) -> None:
        if not len(data.rows(split)):
            raise DataError(f"dataset {data.root} has no image in split {split!r}: prepare it with a larger share")
        if self._input.mode == "resized" and not cached:
            raise ConfigError(
                f"input.mode resized needs cached images, but dataset {data.root} was prepared at native size: set "
                "input.mode to crops, or prepare it with --size 256"
            )
        if not self._from_cache and not self._source.is_dir():
            raise DataError(
                f"input.mode crops reads the original images, but their folder {self._source} (given when dataset "
                f"{data.root} was prepared) is missing: move it back, or prepare the dataset again"
            )

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.ships)

    def __getitem__(self, key: int | Draw) -> Item:
        """Return the unchanged image at an index, or the training sample of a draw.

        Raises:
            IndexError: The index is out of range.
            ImageError: The original image is missing or damaged.
            DataError: Its size has changed since the dataset was prepared.
        """
        if get_worker_info() is not None:
            _one_thread()
        index = range(len(self))[key.index if isinstance(key, Draw) else int(key)]
        image, coverage = self._read(index)
        if isinstance(key, Draw):
            generator = np.random.Generator(np.random.Philox(key=np.array([self._seed, key.counter], np.uint64)))
            if self._input.mode == "crops":
                image, coverage = self._crop(index, image, coverage, generator)
            many_ships = self.ships[index] >= self._threshold
            augment = self._augmentations[int(many_ships)]
            image, coverage = augment(np.array(image), np.array(coverage), int(generator.integers(2**63)))
        # Copies: tensors are writable, the cache must stay unchanged.
        pixels = np.array(image.transpose(2, 0, 1), order="C")
        mask = np.divide(coverage, np.float32(255), dtype=np.float32)[None]
        return Item(image=torch.from_numpy(pixels), mask=torch.from_numpy(np.ascontiguousarray(mask)), index=index)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without what each process opens or builds itself."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_cache", "_augmentations")}

    @functools.cached_property
    def _cache(self) -> Pair:
        return open_array(self._root / IMAGES_FILE), open_array(self._root / COVERAGE_FILE)

    @functools.cached_property
    def _augmentations(self) -> tuple[Augmentation, Augmentation]:
        """The augmentation of images below the threshold, and of those with at least so many ships."""
        config = self._augment or AugmentConfig(names=())
        return build_augmentation(config, num_ships=0), build_augmentation(config, num_ships=self._threshold)

    @property
    def _threshold(self) -> int:
        return (self._augment and self._augment.ships_threshold_for_add_augs) or _NO_THRESHOLD

    def _read(self, index: int) -> Pair:
        """Return image uint8 (h, w, 3) and coverage uint8 (h, w) in 0-255, neither cropped nor augmented."""
        height, width = (int(side) for side in self._shapes[index])
        if self._from_cache:
            images, coverage = self._cache
            row = self._cache_rows[index]
            if self._input.mode == "resized":
                return images[row], coverage[row]  # with the black margin: all images have the size of the canvas
            return images[row, :height, :width], coverage[row, :height, :width]
        path = self._source / self._image_ids[index]
        image = read_image(path)
        if image.shape[:2] != (height, width):
            raise DataError(
                f"{path} is {image.shape[0]} x {image.shape[1]} px but was {height} x {width} px when dataset "
                f"{self._root} was prepared: prepare it again"
            )
        return image, decode_many(self._rles(index), (height, width)).astype(np.uint8) * 255

    def _rles(self, index: int) -> list[str]:
        return self._rle_text[self._rle_ends[index] : self._rle_ends[index + 1]].splitlines()

    def _crop(
        self, index: int, image: NDArray[np.uint8], coverage: NDArray[np.uint8], generator: np.random.Generator
    ) -> Pair:
        """Return a random window of an image, resized to `crop_size`."""
        size = self._input.crop_size
        side = round(size * (1 + self._input.scale_jitter) ** generator.uniform(-1, 1))
        height, width = coverage.shape
        pixel: tuple[int | None, int | None] = (None, None)
        if self.ships[index] and generator.random() < self._input.ship_crop_share:
            pixel = _pixel_of_a_ship(self._rles(index), height, generator)
        row0 = _draw_start(height, side, pixel[0], generator)
        col0 = _draw_start(width, side, pixel[1], generator)
        window = np.s_[row0 : row0 + side, col0 : col0 + side]
        return _pad_and_resize(image[window], side, size), _pad_and_resize(coverage[window], side, size)


@functools.cache
def _one_thread() -> None:
    """Limit OpenCV in a loading process to one thread: there are as many such processes as free cores.

    The argument is 0, not 1: with 0, OpenCV does not use its thread pool, which a forked process inherits without its
    threads and would wait for forever.
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


def _draw_start(extent: int, side: int, pixel: int | None, generator: np.random.Generator) -> int:
    """Return a random start of a window of `side` on an axis of `extent`; the window contains `pixel` if given."""
    last = max(extent - side, 0)
    low, high = (0, last) if pixel is None else (max(pixel - side + 1, 0), min(pixel, last))
    return int(generator.integers(low, high + 1))


def _pad_and_resize(window: NDArray[np.uint8], side: int, size: int) -> NDArray[np.uint8]:
    """Return the window padded with zeros to `side` and resized to `size` (half-pixel convention)."""
    missing = (side - window.shape[0], side - window.shape[1])
    if any(missing):
        window = np.pad(window, [(0, missing[0]), (0, missing[1]), (0, 0)][: window.ndim])
    if side == size:
        return window
    interpolation = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(window), (size, size), interpolation=interpolation).astype(
        np.uint8, copy=False
    )
