"""Small real things that many tests need: a synthetic Airbus folder, datasets made from it, a model."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before any test imports torch: two pytest workers on two cores, one thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REAL_TILES = Path(__file__).parents[2] / "shared" / "airbus"


@pytest.fixture(scope="session")
def airbus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic Airbus folder of 20 images of 128 px, 12 with ships."""
    from shipseg.synth import WorldConfig, write_airbus_folder

    folder = tmp_path_factory.mktemp("made") / "airbus"
    write_airbus_folder(folder, images=20, seed=5, config=WorldConfig(size=128, empty_share=0.4), workers=1)
    return folder


@pytest.fixture(scope="session")
def dataset_folder(airbus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That folder prepared at 64 px."""
    from shipseg.data.prepare import PrepareOptions, prepare

    folder = tmp_path_factory.mktemp("made") / "dataset"
    prepare(airbus_folder, folder, PrepareOptions(size=64, workers=1))
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained compact network of few weights, saved with its card."""
    import torch

    from shipseg.config import NetworkConfig
    from shipseg.model.bundle import save_model
    from shipseg.model.card import Card, CardInput
    from shipseg.model.network import build_network

    torch.manual_seed(0)
    config = NetworkConfig(architecture="compact", widths=(8, 8, 8, 8, 8))
    card = Card(name="tiny", network=config, input=CardInput(mode="crops"))
    folder = tmp_path_factory.mktemp("made") / "model"
    save_model(folder, build_network(config), card)
    return folder


@pytest.fixture(scope="session")
def real_tiles() -> Path:
    """The real labelled tiles that lie outside the repository, where there are any."""
    folder = REAL_TILES / "dev"
    if not folder.is_dir():
        pytest.skip("the real tiles are not on this machine; they may not be part of the repository")
    return folder
