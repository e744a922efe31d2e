"""A recipe that trains in a second, and a run made with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shipseg.config import Recipe
from shipseg.training.run import TrainAndTestModel

RecipeMaker = Callable[..., Recipe]


@pytest.fixture(scope="session")
def tiny() -> RecipeMaker:
    """Make a recipe of 2 epochs of 3 steps; sections are given as dicts, e.g. `tiny(train={"lr": 0.1})`."""

    def make(**sections: dict[str, Any]) -> Recipe:
        values: dict[str, dict[str, Any]] = {
            "network": {"architecture": "compact", "widths": (8, 8, 8, 8, 8)},
            "input": {"crop_size": 64},
            "sampling": {"batches_per_epoch": 3, "zero_ships_ratio": 0.4},
            "augment": {"names": ("d4", "color-jitter", "gauss-noise")},
            "train": {"epochs": 2, "batch_size": 4, "lr": 3e-3, "checkpoint_every_steps": 2, "ema_decay": 0.9},
        }
        merged = {name: {**values.get(name, {}), **sections.get(name, {})} for name in values | sections}
        return Recipe.model_validate({"name": "tiny", **merged})

    return make


@pytest.fixture(scope="session")
def finished_run(dataset_folder: Path, tiny: RecipeMaker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run of `tiny()`; not to be changed."""
    run = tmp_path_factory.mktemp("runs") / "uninterrupted"
    TrainAndTestModel(tiny(), dataset_folder, run).train()
    return run


@pytest.fixture(scope="session")
def native_folder(airbus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic folder prepared at native size: crops are cut from its JPEGs."""
    from shipseg.data.prepare import PrepareOptions, prepare

    folder = tmp_path_factory.mktemp("made") / "native"
    prepare(airbus_folder, folder, PrepareOptions(size="native", workers=1))
    return folder
