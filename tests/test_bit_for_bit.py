"""The same seed gives the same bits in every version: images, labels, scenes, groups, splits, fingerprints.

Digests are of pixels and texts, not of files. Pixels of images are read from their JPEGs, so these digests also depend
on OpenCV's codec; scenes are stored without loss. Trained weights are not pinned, because they depend on the processor;
the tests of resumed training cover them. A deliberate change of the synthetic world raises WORLD_VERSION and updates
these digests.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import geopandas
import numpy as np
import onnx
import pandas as pd
import pytest
import rasterio

import shipseg

CPU = Path("/proc/cpuinfo")
# The last bit of a sine or a matrix product differs between AVX2 and AVX-512, so every processor uses AVX2 here.
ENVIRONMENT = os.environ | {
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
    "OPENBLAS_NUM_THREADS": "1",
    "OPENCV_CPU_DISABLE": "AVX512-SKX",
}
pytestmark = pytest.mark.skipif(
    not CPU.exists() or "avx2" not in CPU.read_text(), reason="the digests hold for processors with AVX2"
)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def ran(*arguments: object) -> None:
    command = [sys.executable, "-m", "shipseg", *map(str, arguments)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


# Together these use nearly every function of the synthetic world; what only LARGE uses is suburbs.
OVERLAPPING = "--images 12 --size 128 --seed 5 --empty-share 0.3 --overlap 0.4"
HULLS = "--images 30 --size 256 --seed 11 --empty-share 0.5 --label hull --metres-per-pixel 2"
EMPTY = "--images 30 --size 192 --seed 2 --empty-share 0.6"
LARGE = "--images 40 --size 768 --seed 21"


@pytest.fixture(scope="module")
def airbus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images, some cut from common scenes, so that they overlap."""
    out = tmp_path_factory.mktemp("bits") / "airbus"
    ran("synth", out, *OVERLAPPING.split(), "--workers", 1)
    return out


@pytest.fixture(scope="module")
def dataset(airbus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bits") / "dataset"
    ran("prepare", airbus, out, "--size", 64, "--test-share", 0.2, "--workers", 1)
    return out


@pytest.mark.parametrize(
    ("flags", "pixels", "labels", "places"),
    [
        (OVERLAPPING, "4320913eca1e4f23", "98515a539b8d1b6c", "4db6cf976935f421"),
        (HULLS, "5d7176c6c2257fed", "1bced0e51314019a", "fe23254d163fb71e"),
        (EMPTY, "58309d278fa4bbaa", "9754a7573ece2fe2", "cb7e716df1c5c315"),
        pytest.param(LARGE, "675816c475ce970d", "b9b7bf18d7ff4406", "6ceff56d975d92ae", marks=pytest.mark.slow),
    ],
    ids=["overlapping", "hulls", "empty", "large"],
)
def test_synthetic_images_are_these(flags: str, pixels: str, labels: str, places: str, tmp_path: Path) -> None:
    ran("synth", tmp_path / "out", *flags.split(), "--workers", 1)
    images = [cv2.imread(str(path)) for path in sorted((tmp_path / "out" / "train_v2").iterdir())]
    assert digest((tmp_path / "out" / "train_ship_segmentations_v2.csv").read_bytes()) == labels
    assert digest((tmp_path / "out" / "truth.csv").read_bytes()) == places
    assert digest(np.array(images).tobytes()) == pixels


@pytest.mark.parametrize(
    ("flags", "pixels", "ships"),
    [
        ("--scene-kind mixed --seed 0", "24feb61889e1474b", "bb5a71d7b0052161"),
        ("--scene-kind harbour --seed 3 --label hull --metres-per-pixel 3", "7bbe6a7c24245a4c", "aa4109feaade8124"),
        ("--scene-kind anchorage --seed 0", "2dde38a7f16de5e9", "3be8e9b604146798"),
        ("--scene-kind open-sea --seed 1", "dcfa8ebbf592be23", "85a70ef4106a2659"),
    ],
    ids=["mixed", "harbour", "anchorage", "open-sea"],
)
def test_a_synthetic_scene_is_this(flags: str, pixels: str, ships: str, tmp_path: Path) -> None:
    ran("synth", tmp_path, "--scenes", 1, "--scene-size", 256, *flags.split(), "--workers", 1)
    with rasterio.open(tmp_path / "scene-000.tif") as scene:
        assert digest(scene.read().tobytes()) == pixels
    true = geopandas.read_file(tmp_path / "scene-000.ships.gpkg").drop(columns=["lon", "lat", "geometry"])
    assert digest(true.to_csv(float_format="%.3f").encode()) == ships


GROUPS = {
    "22419a919.jpg": 0,
    "26639a87c.jpg": 1,
    "2ffa4ae6f.jpg": 2,
    "460d1b904.jpg": 3,
    "62a6b85d2.jpg": 4,
    "8b2da3178.jpg": 5,
    "c19fc3f7e.jpg": 6,
    "c74623bd8.jpg": 7,
    "c78646662.jpg": 5,
    "c9bb1ed36.jpg": 5,
    "eb5a1c80d.jpg": 5,
    "fa531c7a7.jpg": 8,
}
SPLIT = {
    "seed": 42,
    "train": [
        "22419a919.jpg",
        "26639a87c.jpg",
        "2ffa4ae6f.jpg",
        "460d1b904.jpg",
        "8b2da3178.jpg",
        "c78646662.jpg",
        "c9bb1ed36.jpg",
        "eb5a1c80d.jpg",
        "fa531c7a7.jpg",
    ],
    "val": ["62a6b85d2.jpg", "c74623bd8.jpg"],
    "test": ["c19fc3f7e.jpg"],
}


def test_a_dataset_has_these_groups_and_splits(dataset: Path) -> None:
    index = pd.read_parquet(dataset / "index.parquet").set_index("ImageId")
    assert index["group"].to_dict() == GROUPS
    assert json.loads((dataset / "split.json").read_text()) == SPLIT


def test_a_dataset_has_these_pixels_and_this_fingerprint(dataset: Path) -> None:
    assert digest(np.load(dataset / "images.npy").tobytes()) == "4793c0f0cae8f851"
    assert digest(np.load(dataset / "coverage.npy").tobytes()) == "9aea2a203f25df4f"
    # Runs and studies recognise their dataset by it.
    fingerprint = json.loads((dataset / "report.json").read_text())["fingerprint"]
    assert fingerprint == "8147dbcdb8a0c1d706098bcc943781e2431b2dd3375545d37c8f259a0936b944"


def test_results_of_a_scene_identify_the_model_by_the_digest_of_its_card(tmp_path: Path) -> None:
    ran("synth", tmp_path, "--scenes", 1, "--scene-size", 96, "--scene-kind", "open-sea", "--workers", 1)
    out = tmp_path / "out"
    ran("predict", tmp_path / "scene-000.tif", "--out", out, "--model", "shipseg-small", "--no-quicklook")
    (file,) = Path(str(shipseg.__file__)).parent.rglob("shipseg-small.onnx")
    metadata = {entry.key: entry.value for entry in onnx.load(file, load_external_data=False).metadata_props}
    text = json.dumps(json.loads(metadata["shipseg"]), separators=(",", ":"))
    identity = json.loads((out / "scene-000" / "scene.json").read_text())["identity"]
    assert identity["model"] == hashlib.sha256(text.encode()).hexdigest()
