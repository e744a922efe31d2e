"""What a dataset will take is said and refused before anything is read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from shipseg.data.cleaning import CleaningRules
from shipseg.data.room import ensure_room
from shipseg.errors import StorageError

Textured = Callable[..., NDArray[np.uint8]]
TEXTURES = 2 * 9 * 1024  # bytes of scratch for each image that is read


class Usage(NamedTuple):
    """As shutil.disk_usage returns it."""

    total: float
    used: float
    free: float


@pytest.fixture
def wanted() -> pd.DataFrame:
    """Ten images of 100 kB, the last four with ships; the first lies on the disk."""
    names = [f"{number}.png" for number in range(10)]
    return pd.DataFrame({"ImageId": names, "Ships": [0] * 6 + [1] * 4, "Size_kb": [100.0] * 10})


@pytest.mark.parametrize(
    ("rules", "num_images"),
    [
        (CleaningRules(), 10),
        (CleaningRules(keep_empty=0.5), 7),
        (CleaningRules(listed=frozenset({"0.png", "9.png"})), 8),
        (CleaningRules(min_kb=100), 1),
    ],
)
def test_a_byte_less_than_needed_is_refused_and_just_enough_is_not(
    wanted: pd.DataFrame,
    rules: CleaningRules,
    num_images: int,
    make_folder: Callable[..., Path],
    textured: Textured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = make_folder({"0.png": textured(0, 60, 120)})
    work = folder / ".prepare"
    work.mkdir()
    needed = num_images * 30 * 60 * 4 + 10 * TEXTURES
    for free, enough in ((needed * 1.05 - 1, False), (needed * 1.05 + 1, True)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: Usage(0, 0, free))
        if enough:
            ensure_room(wanted, rules, 60, folder=folder / "train_v2", work=work)
        else:
            with pytest.raises(StorageError, match=f"cache of {num_images} images at 30 x 60 px"):
                ensure_room(wanted, rules, 60, folder=folder / "train_v2", work=work)


def test_what_an_interrupted_run_reserved_counts_as_there(
    wanted: pd.DataFrame, make_folder: Callable[..., Path], textured: Textured, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder({"0.png": textured(0, 60, 60)})
    work = folder / ".prepare"
    work.mkdir()
    (work / "images.npy").write_bytes(bytes(1_000_000))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 0))
    ensure_room(wanted, CleaningRules(), 60, folder=folder / "train_v2", work=work)


def test_a_native_dataset_needs_scratch_only(
    wanted: pd.DataFrame, make_folder: Callable[..., Path], textured: Textured, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder({"0.png": textured(0)})
    work = folder / ".prepare"
    work.mkdir()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 10 * TEXTURES * 1.05 + 1))
    ensure_room(wanted, CleaningRules(), "native", folder=folder / "train_v2", work=work)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 10 * TEXTURES))
    with pytest.raises(StorageError, match="work of reading 10 images"):
        ensure_room(wanted, CleaningRules(), "native", folder=folder / "train_v2", work=work)
