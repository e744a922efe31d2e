"""Speed of preparing a dataset, and accuracy of the detected groups of overlapping images.

    python benchmarks/prepare.py index LABELS.csv              index of 231,723 rows, a label table repeated
    python benchmarks/prepare.py speed AIRBUS_DIR              images per second of `prepare`, by number of workers
    python benchmarks/prepare.py groups TRUTH.csv IMAGES...    precision and recall of the joined pairs
    python benchmarks/prepare.py scale                         time and memory for 192,556 images
    python benchmarks/prepare.py kills AIRBUS_DIR [N]          N kills at random moments, against an uninterrupted run

TRUTH.csv has ImageId and scene. With row0 and col0 (written by `shipseg synth --overlap`) only overlapping tiles are
pairs; without them (`BigImageId` of the challenge's authors) all tiles of a scene are.
"""

from __future__ import annotations

import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from shipseg.data.cleaning import examine, is_solid
from shipseg.data.groups import SUBTILES, describe_texture, find_overlaps, join_groups
from shipseg.data.labels import measure_ships, read_table
from shipseg.data.prepare import PrepareOptions, prepare
from shipseg.data.scanning import TEXTURE_SHAPE
from shipseg.reading import list_images

NUM_ROWS, NUM_MASKS = 231_723, 81_723


def index(labels: Path) -> None:
    """Time reading, checking and measuring a table of the challenge's size."""
    real = pd.read_csv(labels, dtype=str, keep_default_na=False)
    has_ship = real["EncodedPixels"] != ""
    parts = [_repeat(real[has_ship], NUM_MASKS), _repeat(real[~has_ship], NUM_ROWS - NUM_MASKS)]
    with tempfile.TemporaryDirectory() as folder:
        csv = Path(folder) / "labels.csv"
        pd.concat(parts).to_csv(csv, index=False)
        start = time.perf_counter()
        table = read_table(csv)
        read_s = time.perf_counter() - start
        measure_ships(table.frame["rles"])
        total_s = time.perf_counter() - start
        size_mb = csv.stat().st_size / 1e6
    print(
        f"{table.num_rows} rows, {len(table.frame)} images, {int(table.frame['Ships'].sum())} masks, {size_mb:.0f} MB"
    )
    print(f"read and checked in {read_s:.2f} s, ship pixels and overlapping ships in {total_s - read_s:.2f} s")


def _repeat(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    times = -(-count // len(rows))
    copies = [rows.assign(ImageId=[f"{number}{name}" for name in rows["ImageId"]]) for number in range(times)]
    return pd.concat(copies).head(count)


def speed(airbus: Path) -> None:
    """Time `prepare` at 256 px."""
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            report = prepare(airbus, Path(folder) / "dataset", PrepareOptions(workers=workers))
            elapsed_s = time.perf_counter() - start
        num_images = report.summary["images"]
        print(f"{num_images} images with {workers} workers in {elapsed_s:.1f} s: {num_images / elapsed_s:.0f} images/s")


def groups(truth: Path, folders: list[Path]) -> None:
    """Print precision and recall of the joined pairs."""
    paths = sorted((path for folder in folders for path in list_images(folder)), key=lambda path: path.name)
    table = pd.read_csv(truth).rename(columns={"BigImageId": "scene"}).set_index("ImageId")
    examined = [(path, *examine(path)) for path in paths if path.name in table.index]
    kept = [(path, image_hwc) for path, facts, image_hwc in examined if image_hwc is not None and not is_solid(facts)]
    print(f"{len(examined)} images, {len(examined) - len(kept)} of them solid or unreadable and left out")
    paths, images = [path for path, _ in kept], [image_hwc for _, image_hwc in kept]
    table = table.loc[[path.name for path in paths]]
    textures = np.stack([describe_texture(image_hwc) for image_hwc in images])
    overlaps = find_overlaps(textures)
    group = join_groups(len(paths), overlaps.pairs)
    true_pairs = _true_pairs(table, images[0].shape[0])
    found = {(int(one), int(other)) for one, other in overlaps.pairs}
    joined = {pair for pair in combinations(range(len(paths)), 2) if group[pair[0]] == group[pair[1]]}
    true_joined = _closure(true_pairs, len(paths))
    print(f"{len(true_pairs)} overlapping pairs, {len(true_joined)} pairs in the same true group")
    _print_scores("found directly", found, true_pairs)
    _print_scores("in one group", joined, true_joined)
    for title, pairs in (("missed", true_pairs - joined), ("not in the truth", joined - true_joined)):
        names = [f"{paths[one].name}-{paths[other].name}" for one, other in sorted(pairs)]
        print(f"{title}: {len(names)}", *names[:40], sep="\n  ")


def _true_pairs(table: pd.DataFrame, side: int) -> set[tuple[int, int]]:
    rows = pd.Series(range(len(table))).groupby(table["scene"].to_numpy())
    pairs = {pair for _, members in rows for pair in combinations(members.tolist(), 2)}
    if "row0" not in table:
        return pairs
    place = table[["row0", "col0"]].to_numpy()
    return {(one, other) for one, other in pairs if (np.abs(place[one] - place[other]) < side - side % SUBTILES).all()}


def _closure(pairs: set[tuple[int, int]], num_images: int) -> set[tuple[int, int]]:
    group = join_groups(num_images, np.array(sorted(pairs), np.int64).reshape(-1, 2))
    return {pair for pair in combinations(range(num_images), 2) if group[pair[0]] == group[pair[1]]}


def _print_scores(title: str, found: set[tuple[int, int]], true: set[tuple[int, int]]) -> None:
    hits = len(found & true)
    print(f"{title}: {len(found)}, precision {hits / max(1, len(found)):.4f}, recall {hits / max(1, len(true)):.4f}")


def scale(num_images: int = 192_556, tiles_per_scene: int = 9) -> None:
    """Time the search for overlaps on random textures of 192,556 images, in scenes of overlapping tiles."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "textures.npy"
        textures = np.lib.format.open_memmap(path, "w+", np.int8, (num_images, *TEXTURE_SHAPE))
        for first in range(0, num_images, tiles_per_scene):
            ground = rng.normal(0, 32, (5, 5, *TEXTURE_SHAPE[1:]))
            for number in range(first, min(first + tiles_per_scene, num_images)):
                row, column = divmod(number - first, 3)
                tile = ground[row : row + 3, column : column + 3].reshape(TEXTURE_SHAPE)
                textures[number] = np.clip(tile + rng.normal(0, 6, TEXTURE_SHAPE), -127, 127)
        before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        start = time.perf_counter()
        overlaps = find_overlaps(textures)
        group = join_groups(num_images, overlaps.pairs)
        elapsed_s = time.perf_counter() - start
    after_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    true = np.arange(num_images) // tiles_per_scene
    print(
        f"{num_images} images: {len(overlaps.pairs)} pairs in {elapsed_s:.0f} s, {before_mb:.0f} -> {after_mb:.0f} MB"
    )
    print(f"{group.max() + 1} groups of {true.max() + 1}; groups are exact: {bool((group == true).all())}")


def kills(airbus: Path, times: int = 20) -> None:
    """Kill and restart `prepare` at random moments; compare the dataset with that of an uninterrupted run."""
    code = "import sys; from shipseg.data.prepare import prepare; prepare(sys.argv[1], sys.argv[2])"
    with tempfile.TemporaryDirectory() as folder:
        complete, killed = Path(folder) / "complete", Path(folder) / "killed"
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code, str(airbus), str(complete)], check=True)
        full_s = time.perf_counter() - start
        rng, done = random.Random(0), 0
        while True:
            process = subprocess.Popen([sys.executable, "-c", code, str(airbus), str(killed)])
            try:
                process.wait(timeout=rng.uniform(0.3, 1.0) * full_s if done < times else None)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                done += 1
                continue
            print(f"finished after {done} kills in all, ", end="")
            _compare(complete, killed)
            if done == times:
                return
            shutil.rmtree(killed)


def _compare(complete: Path, killed: Path) -> None:
    names = sorted(path.name for path in complete.iterdir())
    extra = {path.name for path in killed.iterdir()} - {*names, ".prepare"}
    different = [name for name in names if (complete / name).read_bytes() != (killed / name).read_bytes()]
    print(f"compared {len(names)} files: different {different or 'none'}, left over {sorted(extra) or 'none'}")


def main(arguments: list[str]) -> None:
    """Run the measurement that the first argument names."""
    match arguments:
        case ["index", labels]:
            index(Path(labels))
        case ["speed", airbus]:
            speed(Path(airbus))
        case ["groups", truth, *folders] if folders:
            groups(Path(truth), [Path(folder) for folder in folders])
        case ["scale"]:
            scale()
        case ["kills", airbus]:
            kills(Path(airbus))
        case ["kills", airbus, times]:
            kills(Path(airbus), int(times))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
