"""Errors of the measured length, width and heading of ships in synthetic scenes.

    python benchmarks/measuring.py                        the true coverage as probability: a perfect network
    python benchmarks/measuring.py --model MODEL          a model
    python benchmarks/measuring.py --label hull --metres-per-pixel 3

Synthetic anchorages, harbours and open sea, painted cell by cell. Ships are detected, measured and matched by the code
of `shipseg predict` and `shipseg evaluate`. Prints a Markdown table by true length.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np
import shapely
from numpy.typing import NDArray

from shipseg.config import Decision
from shipseg.geo.georef import GeoReference
from shipseg.inference.predictor import load_model
from shipseg.masks.ships import find_ships
from shipseg.progress import shown, track
from shipseg.scenes.matching import MapShip, ShipRecord, match_ships
from shipseg.scenes.metrics import LENGTH_BINS, metrics_of
from shipseg.scenes.ships import measure_ship
from shipseg.scenes.tiles import dequantise, quantise
from shipseg.synth.cells import CellImage, DrawnShip, paint_cell
from shipseg.synth.ground import SceneKind, plan_scene
from shipseg.synth.paint.ships import LabelStyle
from shipseg.synth.scenes import Place, ship_facts
from shipseg.synth.view import WorldConfig
from shipseg.tiling import Window

KINDS: tuple[SceneKind, ...] = ("anchorage", "harbour", "open-sea")
SIDE_M = 4608
"""Side of a scene: two cells of 1.5 m pixels."""
PLACE = (32631, 300_000.0, 5_600_000.0)
"""Two degrees west of the zone's central meridian, where grid north differs from true north by 1.6 degrees."""

Predict = Callable[[CellImage], NDArray[np.floating]]


def perfect(cell: CellImage) -> NDArray[np.floating]:
    """Return the coverage as probability."""
    return cell.coverage_hw.astype(np.float32) / np.float32(255)


def true_ship(number: int, ship: DrawnShip, place: Place, inside: shapely.Polygon) -> MapShip:
    """Return a drawn ship as a true ship."""
    label, facts = shapely.Polygon(ship.label_xy), ship_facts(ship, place)
    return MapShip(
        number=number,
        polygon_px=label.intersection(inside),  # type: ignore[arg-type]  # a convex label gives one polygon
        lon=facts["lon"],
        lat=facts["lat"],
        length_m=facts["length_m"],
        width_m=facts["width_m"],
        heading_deg=facts["heading_deg"],
        label_m=(facts["label_length_m"], facts["label_width_m"]),
        kind=facts["kind"],
        confidence=None,
        cut=not inside.covers(label),
    )


def found_ships(prob_hw: NDArray[np.floating], window: Window, georef: GeoReference, rule: Decision) -> list[MapShip]:
    """Return the ships detected in a cell, measured as by `shipseg predict`."""
    prob_hw = dequantise(quantise(prob_hw))
    ships = find_ships(
        prob_hw,
        threshold=rule.threshold,
        min_peak=rule.min_peak,
        min_area_px=rule.min_area_px,
        separate=rule.separate,
        origin=(window.row0, window.col0),
    )
    found = []
    for number, ship in enumerate(ships, start=1):
        each = measure_ship(ship, georef, number=number, scene="")
        assert each.lon is not None
        assert each.lat is not None
        assert each.length_m is not None
        assert each.width_m is not None
        assert each.heading_deg is not None
        measures = (each.lon, each.lat, each.length_m, each.width_m, each.heading_deg)
        found.append(MapShip(number, each.polygon_px, *measures, None, "", each.confidence, cut=False))
    return found


def records_of(scenes: int, seed: int, config: WorldConfig, predict: Predict, rule: Decision) -> Iterator[ShipRecord]:
    """Yield the records of all cells of some scenes of each kind."""
    side, (epsg, east, north) = round(SIDE_M / config.metres_per_pixel), PLACE
    size = config.metres_per_pixel
    place = Place(epsg, east, north, size)
    georef = GeoReference.of((size, 0.0, east, 0.0, -size, north), f"EPSG:{epsg}", (side, side))
    inside = shapely.box(0, 0, side, side)
    plans = (plan_scene(seed, index, (side, side), KINDS[index % len(KINDS)], config) for index in range(scenes))
    work = [(plan, cell) for plan in plans for cell in plan.cells]
    for plan, cell in track(work, "painting and measuring"):
        image = paint_cell(plan, cell)
        true = [true_ship(k, ship, place, inside) for k, ship in enumerate(image.ships, start=1)]
        yield from match_ships(f"{plan.key}", true, found_ships(predict(image), cell.window, georef, rule), georef)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=18)
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--label", choices=("rectangle", "hull"), default="rectangle")
    parser.add_argument("--metres-per-pixel", type=float, default=1.5)
    parser.add_argument("--model", help="a run, a model folder or an ONNX file; default: the true coverage")
    parser.add_argument(
        "--split-touching", "--separate", action="store_true", help="split touching ships (without --model)"
    )
    given = parser.parse_args()
    predict, rule = perfect, Decision(threshold=0.5, separate=given.split_touching)
    if given.model:
        predictor = load_model(given.model)
        predict, rule = (lambda cell: predictor.probability(cell.image_hwc)), predictor.card.decision
    label: LabelStyle = given.label
    config = WorldConfig(label=label, metres_per_pixel=given.metres_per_pixel)
    with shown():
        records = list(records_of(given.scenes, given.seed, config, predict, rule))
    metrics = metrics_of(records, looked_at_km2=given.scenes * SIDE_M**2 / 1e6, scenes=[])
    bins = ["all", *LENGTH_BINS]
    print(f"\nlabel {label}, {given.metres_per_pixel:g} m per pixel, {given.model or 'the coverage as probability'}\n")
    print("| | " + " | ".join(bins) + " |")
    print("|---" * (len(bins) + 1) + "|")
    recall = metrics["by_iou"]["recall_by_length"] | {"all": {"share": metrics["by_iou"]["recall"]}}
    counts = {name: metrics["errors"]["length_m"][name]["num"] for name in bins}
    print("| ships found, not cut | " + " | ".join(f"{counts[name]}" for name in bins) + " |")
    shares = ("–" if recall[name]["share"] is None else f"{100 * recall[name]['share']:.0f} %" for name in bins)
    print("| recall above IoU 0.5 | " + " | ".join(shares) + " |")
    for name, spreads in metrics["errors"].items():
        cells = (
            f"{spreads[each]['median']:.2f} / {spreads[each]['p95']:.2f} ({spreads[each]['bias']:+.2f})"
            if spreads[each]["num"]
            else "–"
            for each in bins
        )
        print(f"| {name.replace('_', ' ')}, median / 95 % (bias) | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
