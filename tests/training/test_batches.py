from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import get_worker_info

from shipseg.config import Recipe
from shipseg.data.dataset import AirbusShipDetectionDataset
from shipseg.data.prepared import PreparedDataset, open_dataset
from shipseg.errors import ConfigError, DataError, TrainingError
from shipseg.training.batches import Batch, TrainingBatches, ValidationBatches
from shipseg.training.distributed import Processes

RecipeMaker = Callable[..., Recipe]


def process(rank: int = 0, world_size: int = 1) -> Processes:
    return Processes(rank=rank, world_size=world_size, device=torch.device("cpu"))


@pytest.fixture(scope="session")
def data(dataset_folder: Path) -> PreparedDataset:
    return open_dataset(dataset_folder)


def batches_after(step: int, data: PreparedDataset, recipe: Recipe, processes: Processes) -> list[Batch]:
    return list(TrainingBatches(data, recipe, processes=processes, pin_memory=False).after(step))


def equal(one: Batch, other: Batch) -> bool:
    return (
        one.image_ids == other.image_ids
        and torch.equal(one.images_n3hw, other.images_n3hw)
        and torch.equal(one.targets_n1hw, other.targets_n1hw)
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_the_remaining_batches_of_an_epoch_are_its_last_ones(
    workers: int, data: PreparedDataset, tiny: RecipeMaker
) -> None:
    whole = batches_after(3, data, tiny(), process())  # the second epoch
    rest = batches_after(5, data, tiny(train={"workers": workers}), process())
    assert (len(whole), len(rest)) == (3, 1)
    assert equal(whole[2], rest[0])
    assert not equal(whole[1], rest[0])


@pytest.mark.timeout(60)
def test_loading_processes_do_not_wait_for_opencv_threads_of_their_parent(
    data: PreparedDataset, tiny: RecipeMaker
) -> None:
    augment = {"names": ("elastic-transform",)}  # OpenCV runs it in several threads
    own = batches_after(0, data, tiny(augment=augment), process())
    by_workers = batches_after(0, data, tiny(augment=augment, train={"workers": 2}), process())
    assert [equal(one, other) for one, other in zip(own, by_workers, strict=True)] == [True] * 3


def test_the_global_batch_is_the_same_whatever_the_number_of_processes(
    data: PreparedDataset, tiny: RecipeMaker
) -> None:
    alone = batches_after(0, data, tiny(), process())[0]
    shared = [batches_after(0, data, tiny(), process(rank, 2))[0] for rank in (0, 1)]
    assert [len(part) for part in shared] == [2, 2]
    assert sorted(alone.image_ids) == sorted(shared[0].image_ids + shared[1].image_ids)
    pixels = [image.numpy().tobytes() for part in shared for image in part.images_n3hw]
    assert sorted(pixels) == sorted(image.numpy().tobytes() for image in alone.images_n3hw)


def test_validation_uses_every_image_once_whatever_the_number_of_processes(
    data: PreparedDataset, tiny: RecipeMaker
) -> None:
    all_ids = sorted(data.rows("val")["ImageId"])
    for world_size in (1, 2, 3):
        recipe = tiny(train={"batch_size": 3})
        parts = [
            ValidationBatches(data, recipe, processes=process(rank, world_size), pin_memory=False)
            for rank in range(world_size)
        ]
        assert sorted(name for part in parts for batch in part for name in batch.image_ids) == all_ids


def test_native_images_are_validated_whole_one_by_one(native_folder: Path, tiny: RecipeMaker) -> None:
    recipe = tiny(input={"mode": "crops"})
    batches = list(ValidationBatches(open_dataset(native_folder), recipe, processes=process(), pin_memory=False))
    assert {tuple(batch.images_n3hw.shape) for batch in batches} == {(1, 3, 128, 128)}


def test_a_batch_that_cannot_be_divided_among_the_processes_is_refused(
    data: PreparedDataset, tiny: RecipeMaker
) -> None:
    with pytest.raises(ConfigError, match=r"train\.batch_size 4 cannot be divided among 3 processes"):
        TrainingBatches(data, tiny(), processes=process(0, 3), pin_memory=False)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_cannot_be_read_is_one_sentence_from_any_process(
    workers: int, airbus_folder: Path, tiny: RecipeMaker, tmp_path: Path
) -> None:
    from shipseg.data.prepare import PrepareOptions, prepare

    source = Path(shutil.copytree(airbus_folder, tmp_path / "airbus"))
    prepare(source, tmp_path / "native", PrepareOptions(size="native", workers=1))
    native = open_dataset(tmp_path / "native")
    for image in native.source_images.glob("*.jpg"):
        image.unlink()
    recipe = tiny(input={"mode": "crops"}, train={"workers": workers})
    with pytest.raises(DataError, match=r"\.jpg") as caught:
        batches_after(0, native, recipe, process())
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_a_loading_process_that_dies_is_one_sentence(
    data: PreparedDataset, tiny: RecipeMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = AirbusShipDetectionDataset.__getitem__

    def die(self: AirbusShipDetectionDataset, key: Any) -> Any:
        if get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, key)

    monkeypatch.setattr(AirbusShipDetectionDataset, "__getitem__", die)
    with pytest.raises(TrainingError, match=r"a data-loading process died or hangs \(.*lower train\.workers") as caught:
        batches_after(0, data, tiny(train={"workers": 1}), process())
    assert "\n" not in str(caught.value)
