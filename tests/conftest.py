"""Shared fixtures: a synthetic Airbus folder, a dataset made from it, a model."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))
import made

if TYPE_CHECKING:
    from shipseg.inference.export import ExportReport

# Before any test imports torch: two pytest workers on two cores, one thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples for the same code, without a deadline, so that tests do not fail at random.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, print_blob=True)
settings.load_profile("steady")

REAL_TILES = Path(__file__).parents[2] / "shared" / "airbus"


@pytest.fixture(scope="session")
def airbus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic Airbus folder of 20 images of 128 px, 12 with ships."""
    return made.make_airbus_folder(tmp_path_factory.mktemp("made") / "airbus")


@pytest.fixture(scope="session")
def dataset_folder(airbus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That folder prepared at 64 px."""
    return made.make_dataset(airbus_folder, tmp_path_factory.mktemp("made") / "dataset")


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained compact network of few weights, saved with its card."""
    return made.make_model(tmp_path_factory.mktemp("made") / "model")


@pytest.fixture(scope="session")
def exported(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    """That model as an ONNX file, and how it compares."""
    from shipseg.inference.export import export_onnx

    return export_onnx(model_folder, tmp_path_factory.mktemp("exported") / "tiny.onnx")


@pytest.fixture(scope="session")
def real_tiles() -> Path:
    """The real labelled tiles that lie outside the repository, if available."""
    folder = REAL_TILES / "dev"
    if not folder.is_dir():
        pytest.skip("the real tiles are not available; they must not be part of the repository")
    return folder
