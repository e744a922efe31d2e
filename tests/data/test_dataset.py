"""The dataset: content of an item, position of crops, and random numbers that depend only on (seed, counter)."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from shipseg.config import AugmentConfig, InputConfig
from shipseg.data.dataset import AirbusShipDetectionDataset, Draw, Item
from shipseg.data.prepare import PrepareOptions, prepare
from shipseg.data.prepared import open_dataset
from shipseg.data.sampling import ShipStratifiedSampler
from shipseg.errors import ConfigError, DataError, ImageError, ShipsegError
from shipseg.masks.rle import encode

HEIGHT, WIDTH = 96, 128
CROPS = InputConfig(mode="crops", crop_size=32)
RESIZED = InputConfig(mode="resized")
ALL_AUGMENTATIONS = AugmentConfig(
    names=("d4", "shift-scale-rotate", "color-jitter", "gauss-noise"),
    additional=("elastic-transform", "cutout"),
    ships_threshold_for_add_augs=2,
)
Prepared = Callable[[int | str], Path]


def ship_masks(number: int) -> list[NDArray[np.bool_]]:
    """Return the ships of image `number`: none, one or two rectangles."""
    masks = []
    for which in range(number % 3):
        mask = np.zeros((HEIGHT, WIDTH), bool)
        row, col = (7 * number + 40 * which) % 80, (13 * number + 60 * which) % 110
        mask[row : row + 5, col : col + 12] = True
        masks.append(mask)
    return masks


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Return a function that prepares 18 noisy images of 96 x 128 px at a size."""
    folder = tmp_path_factory.mktemp("made")
    generator = np.random.default_rng(0)
    lines = ["ImageId,EncodedPixels"]
    (folder / "airbus" / "images").mkdir(parents=True)
    for number in range(18):
        name = f"{number:02d}.jpg"
        coarse = generator.integers(20, 120, (12, 16, 3), dtype=np.uint8)
        image = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        masks = ship_masks(number)
        for mask in masks:
            image[mask] = 230
        cv2.imwrite(str(folder / "airbus" / "images" / name), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
        lines += [f"{name},{encode(mask)}" for mask in masks] or [f"{name},"]
    (folder / "airbus" / "labels.csv").write_text("\n".join(lines) + "\n")

    def made(size: int | str) -> Path:
        out = folder / f"dataset-{size}"
        if not out.exists():
            prepare(folder / "airbus", out, PrepareOptions(size=size, val_share=0.3, workers=1))  # type: ignore[arg-type]
        return out

    return made


def number_of(dataset: AirbusShipDetectionDataset, index: int) -> int:
    """Return which of the 18 images an item is."""
    return int(str(dataset._image_ids[index]).removesuffix(".jpg"))


def truth(number: int) -> NDArray[np.bool_]:
    """Return the union of an image's ships."""
    union = np.zeros((HEIGHT, WIDTH), bool)
    for mask in ship_masks(number):
        union |= mask
    return union


def place_of(crop: Item, whole: Item) -> tuple[int, int]:
    """Return row and column of the window of the whole image that a crop shows."""
    arrays = [np.ascontiguousarray(item["image"].permute(1, 2, 0).numpy()) for item in (whole, crop)]
    (col, row) = cv2.minMaxLoc(cv2.matchTemplate(arrays[0], arrays[1], cv2.TM_SQDIFF))[2]
    assert torch.equal(whole["image"][:, row : row + 32, col : col + 32], crop["image"])
    return row, col


def same(one: Item, other: Item) -> bool:
    """Return whether two items agree in every bit."""
    return torch.equal(one["image"], other["image"]) and torch.equal(one["mask"], other["mask"])


# --- whole images --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "recipe_input", "shape"),
    [(64, RESIZED, (48, 64)), (64, CROPS, (96, 128)), ("native", CROPS, (96, 128)), (128, CROPS, (96, 128))],
)
def test_an_index_gives_the_whole_image_and_its_coverage(
    prepared: Prepared, size: int | str, recipe_input: InputConfig, shape: tuple[int, int]
) -> None:
    dataset = AirbusShipDetectionDataset(prepared(size), "train", recipe_input=recipe_input)
    for index in range(len(dataset)):
        item = dataset[index]
        assert item["index"] == index
        assert (item["image"].shape, item["image"].dtype) == ((3, *shape), torch.uint8)
        assert (item["mask"].shape, item["mask"].dtype) == ((1, *shape), torch.float32)
        mask = truth(number_of(dataset, index)).astype(np.float32)
        expected = cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_AREA)
        np.testing.assert_allclose(item["mask"][0].numpy(), expected, atol=0.5 / 255 + 1e-6)
        if mask.any():
            inside = item["image"][:, item["mask"][0] == 1]
            assert inside.float().mean() > 190, "the bright pixels of the image are those of the mask"


@pytest.mark.parametrize("split", ["train", "val"])
def test_an_item_stands_where_the_index_of_the_dataset_has_it(prepared: Prepared, split: str) -> None:
    data = open_dataset(prepared(64))
    dataset = AirbusShipDetectionDataset(data, split, recipe_input=CROPS)
    rows = data.rows(split)
    assert len(dataset) == len(rows)
    assert dataset.ships.tolist() == rows["Ships"].tolist()
    for index, row in enumerate(rows.itertuples()):
        assert np.array_equal(dataset[index]["image"].permute(1, 2, 0).numpy(), data.read_image(row))


def test_an_index_beyond_the_end_is_refused(prepared: Prepared) -> None:
    dataset = AirbusShipDetectionDataset(prepared(64), "val", recipe_input=RESIZED)
    assert same(dataset[-1], dataset[len(dataset) - 1])
    with pytest.raises(IndexError):
        dataset[len(dataset)]
    with pytest.raises(IndexError):
        dataset[Draw(len(dataset), 0)]


def test_an_item_can_be_written_to_without_harm_to_the_cache(prepared: Prepared) -> None:
    dataset = AirbusShipDetectionDataset(prepared(64), "train", recipe_input=RESIZED)
    before = dataset[0]["image"].clone()
    dataset[0]["image"].zero_()
    dataset[Draw(0, 0)]["image"].zero_()
    assert torch.equal(dataset[0]["image"], before)


# --- crops ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [64, "native", 128])
def test_a_crop_is_a_window_of_the_native_image(prepared: Prepared, size: int | str) -> None:
    dataset = AirbusShipDetectionDataset(prepared(size), "train", recipe_input=CROPS)
    for counter in range(40):
        index = counter % len(dataset)
        crop, whole = dataset[Draw(index, counter)], dataset[index]
        assert crop["image"].shape == (3, 32, 32)
        row, col = place_of(crop, whole)
        assert torch.equal(whole["mask"][:, row : row + 32, col : col + 32], crop["mask"])


def test_a_cache_at_the_original_size_holds_what_the_files_hold(prepared: Prepared) -> None:
    cached = AirbusShipDetectionDataset(prepared(128), "train", recipe_input=CROPS, augment=ALL_AUGMENTATIONS)
    native = AirbusShipDetectionDataset(prepared("native"), "train", recipe_input=CROPS, augment=ALL_AUGMENTATIONS)
    assert cached._from_cache
    assert not native._from_cache
    assert all(same(cached[Draw(index, 9)], native[Draw(index, 9)]) for index in range(len(cached)))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_share_of_crops_placed_on_a_ship_is_as_stated(prepared: Prepared, share: float) -> None:
    recipe_input = InputConfig(mode="crops", crop_size=32, ship_crop_share=share)
    dataset = AirbusShipDetectionDataset(prepared(128), "train", recipe_input=recipe_input)
    index = int(np.flatnonzero(dataset.ships == 1)[0])
    whole = truth(number_of(dataset, index))
    windows = np.lib.stride_tricks.sliding_window_view(whole, (32, 32)).any(axis=(2, 3))
    expected = share + (1 - share) * windows.mean()
    held = np.mean([bool(dataset[Draw(index, counter)]["mask"].any()) for counter in range(600)])
    assert held == pytest.approx(expected, abs=0.08)


def test_every_ship_of_an_image_gets_its_crops(prepared: Prepared) -> None:
    recipe_input = InputConfig(mode="crops", crop_size=32, ship_crop_share=1.0)
    dataset = AirbusShipDetectionDataset(prepared(128), "train", recipe_input=recipe_input)
    index = int(np.flatnonzero(dataset.ships == 2)[0])
    masks = ship_masks(number_of(dataset, index))
    rows = [np.nonzero(mask)[0].mean() for mask in masks]
    assert abs(rows[0] - rows[1]) > 35, "a crop cannot hold both centres"
    seen = torch.zeros(2)
    for counter in range(200):
        row, col = place_of(dataset[Draw(index, counter)], dataset[index])
        seen += torch.tensor([bool(mask[row : row + 32, col : col + 32].any()) for mask in masks])
    assert seen.sum() >= 200
    assert (seen >= 65).all()


def test_a_crop_larger_than_the_image_is_black_around_it(prepared: Prepared) -> None:
    recipe_input = InputConfig(mode="crops", crop_size=160)
    dataset = AirbusShipDetectionDataset(prepared("native"), "train", recipe_input=recipe_input)
    for index in range(3):
        crop, whole = dataset[Draw(index, 0)], dataset[index]
        assert crop["image"].shape == (3, 160, 160)
        assert torch.equal(crop["image"][:, :HEIGHT, :WIDTH], whole["image"])
        assert torch.equal(crop["mask"][:, :HEIGHT, :WIDTH], whole["mask"])
        for name in ("image", "mask"):
            assert not crop[name][:, HEIGHT:].any()
            assert not crop[name][:, :, WIDTH:].any()


def test_scale_jitter_changes_the_size_of_ships_evenly_both_ways(prepared: Prepared) -> None:
    recipe_input = InputConfig(mode="crops", crop_size=96, ship_crop_share=1.0, scale_jitter=0.5)
    dataset = AirbusShipDetectionDataset(prepared(128), "train", recipe_input=recipe_input)
    index = int(np.flatnonzero(dataset.ships == 1)[0])
    crops = [dataset[Draw(index, counter)] for counter in range(150)]
    assert {tuple(crop["image"].shape) for crop in crops} == {(3, 96, 96)}
    # A whole ship has 60 px; windows of 64 to 144 px resized to 96 show it between 60 / 2.25 and 60 * 2.25.
    areas = np.array([float(crop["mask"].sum()) for crop in crops])
    assert areas.max() == pytest.approx(60 * 2.25, rel=0.12)
    assert 24 < np.percentile(areas, 10) < 40
    assert np.median(areas) == pytest.approx(60, rel=0.25)
    for crop in crops[:20]:
        bright = crop["image"].float().mean(dim=0) > 175
        assert (bright & (crop["mask"][0] > 0)).sum() >= 0.9 * bright.sum(), "image and coverage stay together"


# --- randomness ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "recipe_input"), [(64, RESIZED), ("native", CROPS)])
def test_a_draw_depends_on_seed_and_counter_alone(
    prepared: Prepared, size: int | str, recipe_input: InputConfig
) -> None:
    def made(seed: int) -> AirbusShipDetectionDataset:
        return AirbusShipDetectionDataset(
            prepared(size), "train", recipe_input=recipe_input, augment=ALL_AUGMENTATIONS, seed=seed
        )

    first, second, other = made(1), made(1), made(2)
    draws = [Draw(index % len(first), counter) for counter, index in enumerate(range(24))]
    forwards = [first[draw] for draw in draws]
    np.random.seed(99)  # noqa: NPY002  (the global generators must not matter)
    torch.manual_seed(99)
    backwards = [second[draw] for draw in reversed(draws)][::-1]
    assert all(same(one, two) for one, two in zip(forwards, backwards, strict=True))
    assert sum(same(item, other[draw]) for item, draw in zip(forwards, draws, strict=True)) < 3
    assert sum(same(first[Draw(0, counter)], first[Draw(0, counter + 1)]) for counter in range(20)) < 3


@pytest.mark.parametrize(("size", "recipe_input"), [(64, RESIZED), (64, CROPS)])
def test_loading_processes_change_nothing(prepared: Prepared, size: int, recipe_input: InputConfig) -> None:
    dataset = AirbusShipDetectionDataset(
        prepared(size), "train", recipe_input=recipe_input, augment=ALL_AUGMENTATIONS, seed=4
    )
    assert "_cache" not in dataset.__dict__, "opened by whoever reads"

    def batches(workers: int) -> list[dict[str, torch.Tensor]]:
        sampler = ShipStratifiedSampler(dataset.ships, batch_size=4, zero_ships_ratio=0.5, batches_per_epoch=5, seed=4)
        return list(DataLoader(dataset, batch_sampler=sampler, num_workers=workers))

    alone, with_two = batches(0), batches(2)
    assert len(alone) == 5
    for one, two in zip(alone, with_two, strict=True):
        assert one["image"].shape[0] == 4
        assert one["index"].dtype == torch.int64
        assert all(torch.equal(one[name], two[name]) for name in ("image", "mask", "index"))


def test_the_additional_augmentations_are_for_images_with_many_ships(prepared: Prepared) -> None:
    augment = AugmentConfig(names=(), probability=1.0, additional=("horizontal-flip",), ships_threshold_for_add_augs=2)
    dataset = AirbusShipDetectionDataset(prepared(64), "train", recipe_input=RESIZED, augment=augment)
    for index in range(len(dataset)):
        plain, drawn = dataset[index], dataset[Draw(index, 3)]
        dims = [2] if dataset.ships[index] >= 2 else []
        assert torch.equal(drawn["image"], plain["image"].flip(dims))
        assert torch.equal(drawn["mask"], plain["mask"].flip(dims))


def test_a_copy_for_another_process_has_no_pixels(prepared: Prepared) -> None:
    dataset = AirbusShipDetectionDataset(prepared(128), "train", recipe_input=CROPS, augment=ALL_AUGMENTATIONS)
    expected = dataset[Draw(0, 0)]
    sent = pickle.dumps(dataset)
    assert len(sent) < 20_000, "one image alone has 36,864 bytes"
    assert same(pickle.loads(sent)[Draw(0, 0)], expected)


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "split", "recipe_input", "kind", "words"),
    [
        (64, "trian", RESIZED, ConfigError, "unknown split 'trian', did you mean 'train'"),
        (64, "test", RESIZED, DataError, "has no image in split 'test'"),
        ("native", "train", RESIZED, ConfigError, "was prepared at native size: set input.mode to crops, or prepare"),
    ],
)
def test_a_dataset_that_cannot_be_used_is_refused(
    prepared: Prepared, size: int | str, split: str, recipe_input: InputConfig, kind: type[ShipsegError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        AirbusShipDetectionDataset(prepared(size), split, recipe_input=recipe_input)


def test_an_unknown_augmentation_is_refused_at_once(prepared: Prepared) -> None:
    with pytest.raises(ConfigError, match="unknown augmentation 'd5'"):
        AirbusShipDetectionDataset(prepared(64), "train", recipe_input=RESIZED, augment=AugmentConfig(names=("d5",)))


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no dataset folder"):
        AirbusShipDetectionDataset(tmp_path / "nowhere", "train", recipe_input=RESIZED)


@pytest.fixture
def movable(prepared: Prepared, tmp_path: Path) -> Path:
    """Return a native dataset of its own, beside its images."""
    source = open_dataset(prepared("native")).source_images.parent
    shutil.copytree(source, tmp_path / "airbus")
    prepare(tmp_path / "airbus", tmp_path / "dataset", PrepareOptions(size="native", val_share=0.3, workers=1))
    return tmp_path / "dataset"


def test_a_missing_folder_of_images_is_refused_at_once(movable: Path) -> None:
    (movable.parent / "airbus").rename(movable.parent / "elsewhere")
    with pytest.raises(DataError, match="input.mode crops reads the original images, but .* is missing: move it back"):
        AirbusShipDetectionDataset(movable, "train", recipe_input=CROPS)


def test_a_single_missing_image_is_named(movable: Path) -> None:
    dataset = AirbusShipDetectionDataset(movable, "train", recipe_input=CROPS)
    (open_dataset(movable).source_images / str(dataset._image_ids[0])).unlink()
    with pytest.raises(ImageError, match=str(dataset._image_ids[0])):
        dataset[0]


def test_an_image_that_changed_its_size_is_named(movable: Path) -> None:
    dataset = AirbusShipDetectionDataset(movable, "train", recipe_input=CROPS)
    path = open_dataset(movable).source_images / str(dataset._image_ids[0])
    cv2.imwrite(str(path), np.full((40, 50, 3), 90, np.uint8))
    with pytest.raises(DataError, match="is 40 x 50 px but was 96 x 128 px when dataset .* was prepared"):
        dataset[Draw(0, 0)]
