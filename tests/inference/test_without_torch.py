"""Predicting with an ONNX file needs the core dependencies alone, and no network: through the real command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from shipseg.inference.export import ExportReport
from shipseg.inference.locate import bundled_models
from shipseg.model.card import read_card
from shipseg.synth import WorldConfig, make_image

# What the extra `train` brings. Importing any of it fails as it does where it is not installed.
EXTRA = [
    "torch",
    "torchvision",
    "segmentation_models_pytorch",
    "timm",
    "albumentations",
    "pandas",
    "pyarrow",
    "sklearn",
    "pycocotools",
    "PIL",
    "matplotlib",
    "jinja2",
    "tensorboard",
    "safetensors",
    "onnx",
    "onnxscript",
    "rasterio",
]

COMMAND = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRA!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
import os, pathlib, socket
def refuse(*_):
    raise OSError("no network here")
socket.socket.connect = refuse
from shipseg.cli import run
from shipseg.inference import locate
if os.environ.get("MODELS"):
    locate.bundled_folder = lambda: pathlib.Path(os.environ["MODELS"])
status = run(sys.argv[1:])
assert not [name for name in {EXTRA!r} if name in sys.modules]
sys.exit(status)
"""


def shipseg(*arguments: str | Path, models: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command without the extra; `models` stands for the folder of the models that come with shipseg."""
    command = [sys.executable, "-W", "error", "-c", COMMAND, *map(str, arguments)]
    environment = os.environ | ({} if models is None else {"MODELS": str(models)})
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of three images; one of them is broken."""
    folder = tmp_path / "images"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for name in ("a.jpg", "b.png"):
        cv2.imwrite(str(folder / name), generator.integers(0, 256, (90, 130, 3), dtype=np.uint8))
    (folder / "c.tif").write_bytes(b"not an image")
    return folder


def test_predict_writes_everything_without_the_extra(tmp_path: Path, images: Path, exported: ExportReport) -> None:
    out = tmp_path / "out"
    done = shipseg(
        "predict", images, "--model", exported.path, "--out", out, "--format", "coco",
        "--submission", tmp_path / "s.csv", "--threshold", "0.001", "--json",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr  # for the broken image
    summary = json.loads(done.stdout)
    assert (summary["pictures"], summary["failed"], list(summary["failures"])) == (3, 1, ["c.tif"])
    files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    masks, overlays = {"masks/a.png", "masks/b.png"}, {"overlays/a.jpg", "overlays/b.jpg"}
    assert files == masks | overlays | {"ships.csv", "ships.coco.json", "failed.csv"}
    assert (tmp_path / "s.csv").read_text().startswith("ImageId,EncodedPixels\n")
    assert json.loads((out / "ships.coco.json").read_text())["annotations"], "the low threshold finds something"


def test_predict_succeeds_when_every_image_can_be_read(tmp_path: Path, images: Path, exported: ExportReport) -> None:
    done = shipseg("predict", images / "a.jpg", images / "b.png", "--model", exported.path, "--out", tmp_path / "o")
    assert done.returncode == 0, done.stderr
    assert "Ships in 2 images" in done.stdout


def test_the_model_that_comes_with_shipseg_is_taken_unless_another_is_named(
    tmp_path: Path, images: Path, exported: ExportReport
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(exported.path, models / "shipseg-small.onnx")
    done = shipseg("predict", images / "a.jpg", "--out", tmp_path / "out", models=models)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "ships.csv").is_file()
    listed = json.loads(shipseg("models", tmp_path / "out", "--json", models=models).stdout)
    assert list(listed) == ["shipseg-small (comes with shipseg, the default)"]
    page = shipseg("models", "shipseg-small", models=models).stdout
    assert page.startswith("# tiny\n")
    assert "shipseg predict IMAGES --model shipseg-small --out OUT" in page
    card = json.loads(shipseg("models", exported.path, "--json", models=models).stdout)
    assert card == read_card(exported.path).model_dump(mode="json")


def test_without_a_model_the_error_says_how_to_get_one(tmp_path: Path, images: Path) -> None:
    done = shipseg("predict", images, "--out", tmp_path / "out", models=tmp_path)
    assert done.returncode == 1
    assert "no model comes with this copy of shipseg: give one with --model" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not bundled_models(), reason="no model has been bundled yet")
def test_a_ship_of_the_synthetic_world_is_found_by_the_shipped_model(tmp_path: Path) -> None:
    image = make_image(7, 3, WorldConfig(empty_share=0.0))  # never trained on: another seed
    cv2.imwrite(str(tmp_path / "a.png"), cv2.cvtColor(image.image_hwc, cv2.COLOR_RGB2BGR))
    done = shipseg("predict", tmp_path / "a.png", "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ships"] >= 1


def test_a_calibrated_model_needs_no_more_than_any_other(tmp_path: Path, images: Path, exported: ExportReport) -> None:
    from shipseg.inference.export import copy_model
    from shipseg.model.calibration import Calibration

    knots = ((0.0, 0.0), (0.5, 0.9), (1.0, 1.0))
    calibrated = {"calibration": Calibration(method="isotonic", knots=knots)}
    model = copy_model(exported.path, tmp_path, read_card(exported.path).model_copy(update=calibrated))
    done = shipseg("predict", images / "a.jpg", "--model", model, "--out", tmp_path / "out", "--threshold", "0.001")
    assert done.returncode == 0, done.stderr


def test_a_bundled_model_and_an_onnx_file_are_exported_as_copies(tmp_path: Path, exported: ExportReport) -> None:
    (tmp_path / "models").mkdir()
    shutil.copy(exported.path, tmp_path / "models" / "shipseg-small.onnx")
    for model in ("shipseg-small", str(exported.path)):
        out = tmp_path / "out" / "copy.onnx"
        done = shipseg("export", model, out, models=tmp_path / "models")
        assert done.returncode == 0, done.stderr
        assert "unchanged: the model is an ONNX file already" in done.stdout
        assert out.read_bytes() == exported.path.read_bytes()


def test_a_model_that_needs_torch_names_the_extra(tmp_path: Path, images: Path, model_folder: Path) -> None:
    done = shipseg("predict", images / "a.jpg", "--model", model_folder, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "pip install -e '.[train]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_onnx_file_agrees_with_torch_on_an_image(
    tmp_path: Path, images: Path, exported: ExportReport, model_folder: Path
) -> None:
    from shipseg.inference.predictor import load_model

    ours = load_model(model_folder, device="cpu").predict(images / "a.jpg")
    theirs = load_model(exported.path).predict(images / "a.jpg")
    np.testing.assert_allclose(theirs.probability, ours.probability, atol=1e-5)
