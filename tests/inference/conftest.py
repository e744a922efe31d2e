"""Small models, as torch folders and ONNX files."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipseg.inference.export import ExportReport, export_onnx


@pytest.fixture(scope="session")
def exported(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    """The tiny model as an ONNX file, and how it compares."""
    return export_onnx(model_folder, tmp_path_factory.mktemp("exported") / "tiny.onnx")
