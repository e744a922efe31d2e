"""Memory and time for scenes of several sizes, each predicted by a separate process.

    python benchmarks/scene.py --model MODEL [--sizes 2000 8000 30000 60000] [--folder FOLDER] [--json FILE]
    python benchmarks/scene.py --cheap [...]

The scenes are synthetic square GeoTIFFs. Large ones are sparse: every eighth cell is painted and the rest is black sea,
which is predicted as well. They are kept in FOLDER and reused. `--cheap` replaces the network by a threshold on
brightness, to measure everything else. Memory is the peak of the process (VmHWM), with the model loaded and warmed up,
and at the end. "cpu s" is the CPU time of all threads, including the network's; on a busy machine it is more reliable
than the wall-clock time.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shipseg.config import Decision
from shipseg.inference.predictor import Predictor, load_model
from shipseg.model.card import Card
from shipseg.processes import usable_cores
from shipseg.scenes.options import SceneOptions
from shipseg.scenes.predict import predict_scene
from shipseg.synth.scenes import scene_name, write_scenes

SPARSE_FROM_PX = 10_000
SEED = 2026
COLUMNS = (
    "side",
    "tiles",
    "ships",
    "total s",
    "cpu s",
    "network s",
    "reader s",
    "writer s",
    "end s",
    "around",
    "model MB",
    "peak MB",
)


class Bright:
    """A backend that returns brightness as probability, at nearly no cost."""

    pixels_per_batch = 1024 * 1024

    def run(self, images_n3hw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return brightness above 127 as probability."""
        return np.clip(images_n3hw[:, :1] / 127 - 1, 0, 1)


def main() -> None:
    """Make the scenes, predict each in a separate process, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a model folder, run or ONNX file")
    parser.add_argument("--cheap", action="store_true", help="a threshold on brightness instead of a network")
    parser.add_argument("--sizes", type=int, nargs="+", default=[2000, 8000, 30_000, 60_000])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "shipseg-scenes")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--scene", type=Path, help=argparse.SUPPRESS)  # for the process of one scene
    options = parser.parse_args()
    if options.cheap == (options.model is not None):
        parser.error("give either --model or --cheap")
    if options.scene is not None:
        print(json.dumps(measure_scene(options.scene, options.model, options.folder)))
        return
    print(
        f"{platform.processor() or platform.machine()}, {usable_cores()} cores, model {options.model or 'brightness'}"
    )
    print("".join(f"{name:>11}" for name in COLUMNS), flush=True)
    rows = []
    for side in options.sizes:
        rows.append({"side": side} | in_a_process(make(side, options.folder), options.model, options.folder))
        print("".join(f"{cell:>11}" for cell in cells(rows[-1])), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


def make(side: int, folder: Path) -> Path:
    """Return a scene of side x side pixels, made if it does not exist."""
    place = folder / f"{side}"
    write_scenes(place, scenes=1, seed=SEED, shape=(side, side), sparse=side >= SPARSE_FROM_PX)
    return place / f"{scene_name(0)}.tif"


def in_a_process(scene: Path, model: str | None, folder: Path) -> dict[str, Any]:
    """Predict one scene in a separate process and return its figures."""
    shown = ["--cheap"] if model is None else ["--model", model]
    command = [sys.executable, __file__, *shown, "--scene", str(scene), "--folder", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def measure_scene(scene: Path, model: str | None, folder: Path) -> dict[str, Any]:
    """Predict a scene and return time and memory."""
    card = Card(name="brightness", decision=Decision(threshold=0.5, min_area_px=20))
    predictor = Predictor(card, Bright()) if model is None else load_model(model)
    tile = predictor.card.input.tile
    predictor.tiles_probability(np.zeros((predictor.tiles_per_batch, tile, tile, 3), np.uint8))
    before_mb = peak_mb()
    out = folder / "results"
    shutil.rmtree(out, ignore_errors=True)
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    result = predict_scene(scene, out, predictor, SceneOptions())
    total_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    seconds = {name: round(value, 2) for name, value in vars(result.seconds).items() if name != "total"}
    return {
        "tiles": result.facts["tiles"],
        "ships": result.num_ships,
        "total_s": round(total_s, 2),
        "cpu_s": round(cpu_s, 2),
        **seconds,
        "model_mb": before_mb,
        "peak_mb": peak_mb(),
        "result_mb": round(sum(path.stat().st_size for path in result.folder.iterdir()) / 1e6, 1),
    }


def peak_mb() -> int:
    """Return the peak memory of this process, in MB of 1,000,000 bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return round(int(line.split()[1]) * 1024 / 1e6)
    raise RuntimeError("/proc/self/status has no VmHWM")


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """Return a row of the table."""
    around = 1 - row["network"] / row["total_s"]
    return (
        f"{row['side']:,}",
        f"{sum(row['tiles'].values()):,}",
        f"{row['ships']:,}",
        *(
            f"{row[name]:.1f}"
            for name in ("total_s", "cpu_s", "network", "waiting_for_reader", "waiting_for_writer", "finishing")
        ),
        f"{100 * around:.0f} %",
        f"{row['model_mb']:,}",
        f"{row['peak_mb']:,}",
    )


if __name__ == "__main__":
    main()
