"""Functions that make small test data: an Airbus folder, a dataset, a model."""

from __future__ import annotations

from pathlib import Path

__all__ = ["make_airbus_folder", "make_dataset", "make_model"]


def make_airbus_folder(folder: Path) -> Path:
    """Return a synthetic Airbus folder of 20 images of 128 px, 12 with ships."""
    from shipseg.synth import WorldConfig, write_airbus_folder

    write_airbus_folder(folder, images=20, seed=5, config=WorldConfig(size=128, empty_share=0.4), workers=1)
    return folder


def make_dataset(airbus: Path, folder: Path) -> Path:
    """Return an Airbus folder prepared at 64 px."""
    from shipseg.data.prepare import PrepareOptions, prepare

    prepare(airbus, folder, PrepareOptions(size=64, workers=1))
    return folder


def make_model(folder: Path) -> Path:
    """Return an untrained compact network of few weights, saved with its card."""
    import torch

    from shipseg.config import NetworkConfig
    from shipseg.model.bundle import save_model
    from shipseg.model.card import Card, CardInput
    from shipseg.model.network import build_network

    torch.manual_seed(0)
    config = NetworkConfig(architecture="compact", widths=(8, 8, 8, 8, 8))
    card = Card(name="tiny", network=config, input=CardInput(mode="crops"))
    save_model(folder, build_network(config), card)
    return folder
