"""Time of `shipseg explore` on a label table, in all and by step.

    python benchmarks/explore.py [CSV]

Without a CSV, one is generated with as many images and ships as the partial label table of the challenge in the docs.
The command runs on one core, imports included; the steps are timed afterwards in this process.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from shipseg.exploration.explore import Exploration, explore, write_exploration
from shipseg.exploration.inputs import read_inputs
from shipseg.exploration.ships import measure_each_ship
from shipseg.masks import rle

Result = TypeVar("Result")

NUM_IMAGES, NUM_SHIPS = 39_542, 29_124
SHAPE = (768, 768)
DIFFERENT_SHIPS = 1000


def make_table(path: Path) -> None:
    """Write a label table of rotated rectangles; half of the images have ships, some several."""
    rng = np.random.default_rng(0)
    texts = []
    for _ in range(DIFFERENT_SHIPS):
        length = min(rng.lognormal(np.log(40), 0.8), 400.0)
        box = (tuple(rng.uniform(100, 668, 2)), (length, max(length / 4, 2.0)), rng.uniform(0, 180))
        mask_hw = np.zeros(SHAPE, np.uint8)
        cv2.fillConvexPoly(mask_hw, cv2.boxPoints(box).astype(np.int32), 1)
        texts.append(rle.encode(mask_hw))
    owners = rng.integers(0, NUM_IMAGES // 2, NUM_SHIPS)
    rows = [f"{image:09d}.jpg,{texts[rng.integers(len(texts))]}" for image in owners.tolist()]
    rows += [f"{image:09d}.jpg," for image in sorted(set(range(NUM_IMAGES)) - set(owners.tolist()))]
    path.write_text("\n".join(["ImageId,EncodedPixels", *rows]) + "\n")


def time_command(csv: Path, out: Path) -> tuple[float, float, float]:
    """Return wall-clock seconds, CPU seconds and the peak memory in MB of the command on one core."""
    core = min(os.sched_getaffinity(0))
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "shipseg", "explore", str(csv), str(out)],
        check=True,
        capture_output=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    elapsed_s = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return elapsed_s, cpu_s, after.ru_maxrss / 1024


def cpu_seconds(work: Callable[[], Result]) -> tuple[float, Result]:
    """Return the CPU seconds of a call, and its result."""
    begin = time.process_time()
    result = work()
    return time.process_time() - begin, result


def time_parts(csv: Path, out: Path) -> tuple[dict[str, float], Exploration]:
    """Return the CPU seconds of reading, measuring, the other facts and writing; and the result."""
    reading_s, inputs = cpu_seconds(
        lambda: read_inputs(csv, csv=None, images=None, labels_size=SHAPE, store=out, workers=1)
    )
    measuring_s, _ = cpu_seconds(lambda: measure_each_ship(inputs.images, assumed_size=SHAPE))
    exploring_s, exploration = cpu_seconds(lambda: explore(csv))
    writing_s, _ = cpu_seconds(lambda: write_exploration(exploration, out))
    parts = {
        "reading and checking the table": reading_s,
        "measuring every ship": measuring_s,
        "the other facts": exploring_s - reading_s - measuring_s,
        "figures, page and tables": writing_s,
    }
    return parts, exploration


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", type=Path, nargs="?")
    given = parser.parse_args().csv
    with tempfile.TemporaryDirectory() as temporary:
        csv = given or Path(temporary) / "labels.csv"
        if given is None:
            make_table(csv)
        elapsed_s, cpu_s, peak_mb = time_command(csv, Path(temporary) / "out")
        parts, exploration = time_parts(csv, Path(temporary) / "out")
    num_images, num_ships = exploration.facts["imbalance"]["images"], exploration.facts["ships"]["measured"]
    print(
        f"{num_images:,} images, {num_ships:,} ships: {elapsed_s:.1f} s ({cpu_s:.1f} s of one core), {peak_mb:.0f} MB"
    )
    for name, seconds in parts.items():
        print(f"  {name:<32} {seconds:5.1f} s  {seconds / cpu_s:4.0%}")
    print(f"  {'starting, importing':<32} {cpu_s - sum(parts.values()):5.1f} s  {1 - sum(parts.values()) / cpu_s:4.0%}")


if __name__ == "__main__":
    main()
