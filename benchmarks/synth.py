"""Speed of the synthetic generator: images per second of one process, and the time of each part.

    python benchmarks/synth.py [--images 60] [--seed 1]

CPU time of this process, one thread. The targets are 3 images of 768 px and 10 of 256 px per second.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from shipseg.synth import WorldConfig, make_image, make_scene, write_airbus_folder
from shipseg.synth.view import image_of
from shipseg.synth.world import render

PARTS = {
    "paint_sea": "sea",
    "_paint_ground": "land, harbours, jetties",
    "paint_clutter": "clutter",
    "place_fleet": "ships and wakes",
    "paint_weather": "weather",
    "expose": "camera",
    "image_of": "JPEG and run-length labels",
}


def measure_sizes(seed: int, images: int) -> None:
    """Print images per second for some sizes."""
    for size in (256, 384, 768):
        config = WorldConfig(size=size)
        make_image(seed, 0, config)
        start = time.process_time()
        for index in range(images):
            make_image(seed, index, config)
        print(f"{size:5d} px  {images / (time.process_time() - start):7.1f} images/s per core")
    start = time.process_time()
    make_scene(seed, 0, 2048, 2048, WorldConfig())
    print(f"scene of 2048 x 2048 px  {time.process_time() - start:.2f} s")


def measure_kinds(seed: int, images: int) -> None:
    """Print the median time of each kind of image."""
    times = defaultdict(list)
    for index in range(images):
        start = time.process_time()
        image = image_of(render(seed, index, (768, 768), WorldConfig()))
        times[image.kind, bool(image.ship_rles)].append(time.process_time() - start)
    for (kind, has_ship), values in sorted(times.items()):
        text = "with ships" if has_ship else "empty"
        print(f"{kind:>9} {text:<10}  {1000 * statistics.median(values):6.0f} ms  ({len(values)} images)")


def measure_parts(seed: int, images: int) -> None:
    """Print the share of the time of each part."""
    profile = cProfile.Profile()
    start = time.process_time()
    profile.enable()
    for index in range(images):
        make_image(seed, index, WorldConfig())
    profile.disable()
    total = time.process_time() - start
    seconds: dict[str, float] = defaultdict(float)
    for (_, _, name), (_, _, _, cumulative, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        if name in PARTS:
            seconds[PARTS[name]] += cumulative
    for part, value in sorted(seconds.items(), key=lambda item: -item[1]):
        print(f"{part:<28} {100 * value / total:5.1f} %")


def measure_folder(seed: int, images: int) -> None:
    """Print images per second written to disk by one process."""
    with tempfile.TemporaryDirectory() as folder:
        start, clock = time.process_time(), time.perf_counter()
        write_airbus_folder(Path(folder) / "a", images=images, seed=seed, config=WorldConfig(), overlap=0.3, workers=1)
        used, passed = time.process_time() - start, time.perf_counter() - clock
        sizes = sorted(path.stat().st_size / 1000 for path in (Path(folder) / "a" / "train_v2").iterdir())
    print(f"folder: {images / used:.1f} images/s of CPU time, {images / passed:.1f} of wall-clock time")
    print("file sizes, kB:", *(f"{value:.0f}" for value in statistics.quantiles(sizes, n=4)), "(real: 108 130 178)")


def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for measure in (measure_sizes, measure_kinds, measure_parts, measure_folder):
        measure(arguments.seed, arguments.images)
        print()


if __name__ == "__main__":
    main()
