"""The gap between two folders of images: small between two of one kind, large and described if one is changed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
from benchmarks.gap.catalogue import Statistic
from benchmarks.gap.compare import compare_values
from benchmarks.gap.measure import jpeg_facts, measure_patches

from shipseg.synth import WorldConfig, write_airbus_folder
from shipseg.synth.paint.sensor import encode_jpeg


def test_the_gap_is_small_between_like_folders_and_large_to_a_brighter_one(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("other", 2)):
        write_airbus_folder(tmp_path / name, images=14, seed=seed, config=WorldConfig(size=256), workers=1)
    bright = Path(shutil.copytree(tmp_path / "other" / "train_v2", tmp_path / "bright"))
    for path in bright.iterdir():
        image = cv2.imread(str(path))
        assert image is not None
        cv2.imwrite(str(path), cv2.add(image, np.full_like(image, 60)))
    found = {}
    for name, folder in (("alike", tmp_path / "other" / "train_v2"), ("bright", bright)):
        command = [sys.executable, "-m", "benchmarks.gap", tmp_path / "one" / "train_v2", folder, "--json"]
        done = subprocess.run(
            [*map(str, command), "--out", str(tmp_path / name)],
            capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        report = json.loads(done.stdout)
        rows = {row["name"]: row for row in report["parts"]["whole images"]["differences"]}
        found[name] = rows["luminance"]
        assert (tmp_path / name / "gap.json").is_file()
    assert found["bright"]["synthetic"] - found["alike"]["synthetic"] > 40
    assert found["bright"]["distance"] > 1 > found["alike"]["distance"]
    assert found["bright"]["says"].endswith("too high")


def test_two_draws_of_one_distribution_are_the_same_and_a_shift_is_described() -> None:
    rng = np.random.default_rng(0)
    sides = np.arange(400) >= 200
    values = np.stack([rng.normal(10, 2, 400), rng.normal(10, 2, 400) + 4 * sides], axis=1).astype(np.float32)
    items = (Statistic("alike", "colour"), Statistic("shifted", "colour"))
    alike, shifted = compare_values(items, values, is_synthetic=sides, groups=np.arange(400), seed=0)
    assert alike.says == "the same"
    assert alike.distance <= alike.chance
    assert shifted.says == f"{shifted.synthetic - shifted.real:.3g} too high"
    assert abs(shifted.distance - 2) < 0.4  # 4 over a deviation of 2
    assert shifted.low < shifted.distance < shifted.high


def test_the_quality_and_the_colour_of_a_jpeg_are_read_from_its_bytes() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    fine, coarse = (jpeg_facts(encode_jpeg(image, quality)) for quality in (95, 60))
    assert fine[0] < coarse[0]
    assert fine[1]
    assert np.isnan(jpeg_facts(b"no jpeg")[0])


def test_blocks_of_an_earlier_jpeg_show_in_the_steps_at_their_edges() -> None:
    from benchmarks.gap.catalogue import STATISTICS

    from shipseg.synth.paint.sensor import decode_jpeg

    image = np.random.default_rng(0).normal(90, 4, (256, 256, 3)).clip(0, 255).astype(np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 1.2).astype(np.uint8)
    place = [item.name for item in STATISTICS].index("steps at 8 px edges over steps inside")
    plain, blocky = (
        measure_patches(shown)[0][:, place].mean() for shown in (image, decode_jpeg(encode_jpeg(image, 50)))
    )
    assert abs(plain - 1) < 0.1
    assert blocky > plain + 0.2
