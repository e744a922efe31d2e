"""How far synthetic images are from real ones, in which direction, and what gives them away. No labels are needed.

    python -m benchmarks.gap REAL_FOLDER SYNTHETIC_FOLDER [--out FOLDER] [--images N] [--seed 0] [--json]

Prints, for the sea, the calm sea (where fine detail is the sensor's), land and whole images, how far apart the
statistics of the two sides are; then how well a classifier tells patches of 128 px apart (AUC 0.5: it cannot). --out
keeps all of it as gap.json, and sheet.png: the patches that the classifier is surest of, where there are enough to
train one.
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
from benchmarks.gap.classify import TRIALS, Verdict, choose_patches, tell_apart
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
    """Return what was measured of all images, which side each is from, and its group of overlapping images."""
    rng = np.random.default_rng(seed)
    paths, sides = [], []
    for side, folder in enumerate(folders):
        found = list_images(folder)
        if not found:
            raise DataError(f"{folder} has no images: name the folder that holds them")
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
    verdicts = []
    for trial in progress.track(TRIALS, "telling patches apart"):
        rng = np.random.default_rng(seed)
        patches = choose_patches(trial, facts, is_synthetic=is_synthetic, groups=groups, rng=rng)
        verdict = tell_apart(trial, patches, seed=seed)
        if verdict is not None:
            verdicts.append(verdict)
            report["classifier"].append(_as_json(verdict))
    if out is not None:
        ensure_folder(out)
        write_json(out / "gap.json", report)
        shown = [one for one in verdicts if not one.trial.matched]
        if shown:
            write_sheet(out / "sheet.png", shown, facts)
    return report


def _as_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "patches": verdict.trial.name,
        "real": verdict.num_real,
        "synthetic": verdict.num_synthetic,
        "auc": {name: dict(zip(("value", "low", "high"), area, strict=True)) for name, area in verdict.auc.items()},
        "families": dict(verdict.families),
        "statistics": {
            name: {"drop": drop, "alone": alone} for name, (drop, alone) in list(verdict.statistics.items())[:20]
        },
    }


def print_report(report: dict[str, Any]) -> None:
    """Print the figures for people."""
    for name, side in report["images"].items():
        shares = ", ".join(f"{100 * share:.0f} % {ground}" for ground, share in side["patches"].items())
        print(f"{name}: {side['images']} images in {side['groups']} groups; patches: {shares}")
    for part, content in report["parts"].items():
        rows = content["differences"]
        mean = f"; mean distance {np.mean([row['distance'] for row in rows]):.3f}" if rows else ""
        print(f"\n{part}: {content['real_images']} real and {content['synthetic_images']} synthetic images{mean}")
        if content["differences"]:
            print(
                f"{'':48} {'real':>8} {'synth.':>8}  distance (90 %)         by chance  spread  the synthetic side is"
            )
        for row in content["differences"][:SHOWN]:
            item = Difference(**row)
            print(
                f"{item.name:48} {item.real:8.3g} {item.synthetic:8.3g}  {item.distance:5.2f} "
                f"({item.low:.2f}-{item.high:.2f}){'':8} {item.chance:5.2f}  {item.spread:5.1f} x  {item.says}"
            )
    for verdict in report["classifier"]:
        areas = "; ".join(
            f"{name} {area['value']:.3f} ({area['low']:.3f}-{area['high']:.3f})"
            for name, area in verdict["auc"].items()
        )
        print(
            f"\n{verdict['patches']}: {verdict['real']} real and {verdict['synthetic']} synthetic patches; AUC {areas}"
        )
        families = ", ".join(f"{name} {drop:.3f}" for name, drop in list(verdict["families"].items())[:6])
        print(f"  what gives it away, drop of AUC without: {families}")
        for name, figures in list(verdict["statistics"].items())[:6]:
            side = "higher" if figures["alone"] > 0.5 else "lower"
            alone = max(figures["alone"], 1 - figures["alone"])
            print(f"    {name}: {figures['drop']:.3f}; alone {alone:.2f}, synthetic {side}")


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", type=Path)
    parser.add_argument("synthetic", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--images", type=int, help="at most so many of each side, drawn at random")
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
    print(f"\n{time.process_time() - start:.0f} s of processor time")


if __name__ == "__main__":
    main()
