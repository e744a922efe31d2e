"""Distance and direction of the differences between synthetic and real images, without labels.

    python -m benchmarks.gap REAL_FOLDER SYNTHETIC_FOLDER [--out FOLDER] [--images N] [--seed 0] [--json]

Prints the distances between the statistics of real and synthetic images for the sea, the calm sea (where fine detail is
the sensor's), land and whole images; then the AUC of classifiers on patches of 128 px (0.5: indistinguishable). --out
writes everything to gap.json, and the patches with the most confident predictions to sheet.png, if there are enough
patches to train a classifier.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from benchmarks.gap.classify import TRIALS, Separability, choose_patches, classify_patches
from benchmarks.gap.compare import PARTS, Difference, compare_part
from benchmarks.gap.grounds import GROUNDS
from benchmarks.gap.measure import ImageFacts, measure_image
from benchmarks.gap.sheet import write_sheet
from numpy.typing import NDArray

from shipseg import progress
from shipseg.data.groups import find_overlaps, join_groups
from shipseg.errors import DataError, ShipsegError
from shipseg.files import ensure_folder, write_json
from shipseg.reading import list_images

SHOWN = 12
"""Differences printed per part; gap.json has all."""


def measure_sides(
    folders: Sequence[Path], *, max_images: int | None, seed: int
) -> tuple[list[ImageFacts], NDArray[np.bool_], NDArray[np.int64]]:
    """Return the measurements of all images, whether each is synthetic, and its group of overlapping images."""
    rng = np.random.default_rng(seed)
    paths, sides = [], []
    for side, folder in enumerate(folders):
        found = list_images(folder)
        if not found:
            raise DataError(f"{folder} has no images: give the folder with the images")
        if max_images is not None and len(found) > max_images:
            found = [found[k] for k in np.sort(rng.permutation(len(found))[:max_images])]
        paths += found
        sides += [bool(side)] * len(found)
    facts = [measure_image(path) for path in progress.track(paths, "measuring images")]
    overlaps = find_overlaps(np.stack([one.texture for one in facts]))
    return facts, np.array(sides), join_groups(len(facts), overlaps.pairs)


def study_gap(folders: Sequence[Path], *, max_images: int | None, seed: int, out: Path | None) -> dict[str, Any]:
    """Return all figures as JSON-able data; writes `gap.json` and `sheet.png` into `out`, where given."""
    facts, is_synthetic, groups = measure_sides(folders, max_images=max_images, seed=seed)
    report: dict[str, Any] = {"images": {}, "parts": {}, "classifier": []}
    for name, side in (("real", ~is_synthetic), ("synthetic", is_synthetic)):
        grounds = np.concatenate([facts[k].grounds for k in np.flatnonzero(side)])
        shares = {ground: float((grounds == ground).mean()) for ground in GROUNDS}
        report["images"][name] = {"images": int(side.sum()), "groups": len(np.unique(groups[side])), "patches": shares}
    for part in PARTS:
        counts, found = compare_part(part, facts, is_synthetic=is_synthetic, groups=groups, seed=seed)
        differences = [dataclasses.asdict(item) for item in found]
        report["parts"][part] = {"real_images": counts[0], "synthetic_images": counts[1], "differences": differences}
    results = []
    for trial in progress.track(TRIALS, "classifying patches"):
        rng = np.random.default_rng(seed)
        patches = choose_patches(trial, facts, is_synthetic=is_synthetic, groups=groups, rng=rng)
        result = classify_patches(trial, patches, seed=seed)
        if result is not None:
            results.append(result)
            report["classifier"].append(_as_json(result))
    if out is not None:
        ensure_folder(out)
        write_json(out / "gap.json", report)
        shown = [one for one in results if not one.trial.matched]
        if shown:
            write_sheet(out / "sheet.png", shown, facts)
    return report


def _as_json(result: Separability) -> dict[str, Any]:
    return {
        "patches": result.trial.name,
        "real": result.num_real,
        "synthetic": result.num_synthetic,
        "auc": {name: dict(zip(("value", "low", "high"), area, strict=True)) for name, area in result.auc.items()},
        "families": dict(result.families),
        "statistics": {
            name: {"drop": drop, "alone": alone} for name, (drop, alone) in list(result.statistics.items())[:20]
        },
    }


def print_report(report: dict[str, Any]) -> None:
    """Print the figures as text."""
    for name, side in report["images"].items():
        shares = ", ".join(f"{100 * share:.0f} % {ground}" for ground, share in side["patches"].items())
        print(f"{name}: {side['images']} images in {side['groups']} groups; patches: {shares}")
    for part, content in report["parts"].items():
        rows = content["differences"]
        mean = f"; mean distance {np.mean([row['distance'] for row in rows]):.3f}" if rows else ""
        print(f"\n{part}: {content['real_images']} real and {content['synthetic_images']} synthetic images{mean}")
        if content["differences"]:
            print(f"{'':48} {'real':>8} {'synth.':>8}  distance (90 %)         chance     spread  synthetic images are")
        for row in content["differences"][:SHOWN]:
            item = Difference(**row)
            print(
                f"{item.name:48} {item.real:8.3g} {item.synthetic:8.3g}  {item.distance:5.2f} "
                f"({item.low:.2f}-{item.high:.2f}){'':8} {item.chance:5.2f}  {item.spread:5.1f} x  {item.says}"
            )
    for result in report["classifier"]:
        areas = "; ".join(
            f"{name} {area['value']:.3f} ({area['low']:.3f}-{area['high']:.3f})" for name, area in result["auc"].items()
        )
        print(f"\n{result['patches']}: {result['real']} real and {result['synthetic']} synthetic patches; AUC {areas}")
        families = ", ".join(f"{name} {drop:.3f}" for name, drop in list(result["families"].items())[:6])
        print(f"  most important families, drop of AUC without: {families}")
        for name, figures in list(result["statistics"].items())[:6]:
            side = "higher" if figures["alone"] > 0.5 else "lower"
            alone = max(figures["alone"], 1 - figures["alone"])
            print(f"    {name}: {figures['drop']:.3f}; alone {alone:.2f}, synthetic {side}")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", type=Path)
    parser.add_argument("synthetic", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--images", type=int, help="maximum number of images of each folder, sampled at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    start = time.process_time()
    try:
        with progress.shown(enabled=not arguments.json):
            folders = (arguments.real, arguments.synthetic)
            report = study_gap(folders, max_images=arguments.images, seed=arguments.seed, out=arguments.out)
    except ShipsegError as error:
        sys.exit(f"gap: {error}")
    if arguments.json:
        print(json.dumps(report, indent=2))
        return
    print_report(report)
    print(f"\n{time.process_time() - start:.0f} s of CPU time")


if __name__ == "__main__":
    main()
