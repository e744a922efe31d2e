"""Facts from labels: rows, ships per image, both imbalances, pixels, measures of ships; summaries of distributions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shipseg.evaluation.scores import SIZE_BINS
from shipseg.exploration.inputs import Inputs
from shipseg.extras import needing

with needing("train"):
    import pandas as pd

__all__ = [
    "count_in_bins",
    "describe",
    "imbalance_facts",
    "pixel_facts",
    "row_facts",
    "ship_facts",
    "ships_per_image",
    "to_json_types",
]


# Summaries of distributions, ready for JSON.

_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_DIGITS = 6


def describe(values: ArrayLike, edges: Sequence[float]) -> dict[str, Any]:
    """Return number, mean, standard deviation, minimum, quantiles (by percent), maximum and histogram of values.

    Args:
        values: Numbers; NaN is ignored.
        edges: Edges of the histogram's bins, ascending; values outside count in the first or last bin.
    """
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    names = [f"{100 * quantile:g}" for quantile in _QUANTILES]
    counts = np.histogram(np.clip(known, edges[0], edges[-1]), edges)[0].tolist()
    histogram = {"edges": list(edges), "counts": counts}
    if not len(known):
        empty: dict[str, Any] = dict.fromkeys(("mean", "std", "min", "max"))
        return {"num": 0, **empty, "quantiles": dict.fromkeys(names), "histogram": histogram}
    return {
        "num": len(known),
        "mean": known.mean(),
        "std": known.std(),
        "min": known.min(),
        "max": known.max(),
        "quantiles": dict(zip(names, np.quantile(known, _QUANTILES), strict=True)),
        "histogram": histogram,
    }


def count_in_bins(values: NDArray[np.int64], bins: Mapping[str, tuple[float, float]]) -> dict[str, int]:
    """Return how many values are in each bin; the two bounds of a bin are included."""
    return {name: int(((values >= low) & (values <= high)).sum()) for name, (low, high) in bins.items()}


def to_json_types(value: Any) -> Any:
    """Return nested facts with the types of JSON: Python's own numbers, with six significant digits."""
    if isinstance(value, Mapping):
        return {str(key): to_json_types(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [to_json_types(each) for each in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.{_DIGITS}g}")
    return value


REFERENCE_MOST_SHIPS = 15
"""Last row of the reference's table of ships per image; ours is longer if images have more ships."""
POSITION_CELLS = 16
"""Cells along each side of the histogram of positions."""
ROUND_ASPECT = 1.25
"""Ships with a lower aspect ratio have no reliable heading."""

_AREA_EDGES = [round(float(edge), 3) for edge in np.geomspace(1, 100_000, 41)]
_LENGTH_EDGES = [float(edge) for edge in range(0, 410, 10)]
_WIDTH_EDGES = [float(edge) for edge in range(0, 82, 2)]
_ASPECT_EDGES = [1 + 0.25 * step for step in range(37)]
_HEADING_EDGES = [float(edge) for edge in range(0, 190, 10)]
_REDUCED_PX = 256
_FEW_PX = 9  # 3 x 3: fewer pixels do not show an outline
_EXAMPLES = 5


def row_facts(inputs: Inputs) -> dict[str, Any]:
    """Return the number of rows per image, and the number of faulty rows by fault."""
    images, kinds = inputs.images, Counter(problem.reason for problem in inputs.problems)
    extra = Counter(p.image_id for p in inputs.problems if p.reason in ("duplicate-row", "empty-and-ships"))
    rows = images["Ships"].clip(lower=1) + images["ImageId"].map(extra).fillna(0).astype(np.int64)
    numbers, counts = np.unique(rows[images["has_row"]], return_counts=True)
    return {
        "rows": inputs.num_rows,
        "images": int(counts.sum()),
        "per_image": dict(zip(numbers.tolist(), counts.tolist(), strict=True)),
        "most": int(numbers[-1]),
        "duplicate_rows": kinds["duplicate-row"],
        "empty_rows_of_images_with_ships": kinds["empty-and-ships"],
        "malformed_masks": kinds["malformed-mask"],
        "images_with_overlapping_ships": kinds["overlapping-ships"],
        "masks_in_several_images": _shared_masks(images),
    }


def _shared_masks(images: pd.DataFrame) -> dict[str, Any]:
    """Return the number of masks with the same text in more than one image: most likely copies of an image."""
    with_ships = images[images["Ships"] > 0]
    single = with_ships[["ImageId", "rles"]].explode("rles").drop_duplicates()
    shared = single[single.duplicated("rles", keep=False)]
    groups = [sorted(group) for _, group in shared.groupby("rles", sort=False)["ImageId"]]
    return {
        "masks": len(groups),
        "images": int(shared["ImageId"].nunique()),
        "examples": sorted(groups)[:_EXAMPLES],
    }


def ships_per_image(ships: NDArray[np.int64]) -> dict[int, dict[str, Any]]:
    """Return images, their share and their ships for each number of ships, from 0 to the largest (at least 15)."""
    counts = np.bincount(ships, minlength=REFERENCE_MOST_SHIPS + 1)
    return {
        number: {"images": count, "share": count / len(ships), "ships": number * count}
        for number, count in enumerate(counts.tolist())
    }


def imbalance_facts(ships: NDArray[np.int64]) -> dict[str, Any]:
    """Return both imbalances: images without and with ships, images with one ship and with several."""
    num_images, with_ships, several = len(ships), int((ships > 0).sum()), int((ships > 1).sum())
    return {
        "images": num_images,
        "empty": num_images - with_ships,
        "with_ships": with_ships,
        "empty_share": (num_images - with_ships) / num_images,
        "one": with_ships - several,
        "several": several,
        "several_share": several / with_ships if with_ships else None,
        "ships": int(ships.sum()),
        "ships_per_ship_image": float(ships.sum()) / with_ships if with_ships else None,
        "ships_in_images_of_several": int(ships[ships > 1].sum()),
    }


def pixel_facts(inputs: Inputs) -> dict[str, Any]:
    """Return the share of ship pixels in all images and in images with ships, without images of unknown size."""
    known = inputs.images[(inputs.images["height"] > 0) & ~inputs.images["malformed"]]
    pixels = known["height"].astype(np.int64) * known["width"]
    ship_px, all_px = int(known["ship_px"].sum()), int(pixels.sum())
    in_ship_images = int(pixels[known["Ships"] > 0].sum())
    return {
        "ship_px": ship_px,
        "all_px": all_px,
        "share_of_all": ship_px / all_px if all_px else None,
        "share_in_ship_images": ship_px / in_ship_images if in_ship_images else None,
        "images_counted": len(known),
    }


def ship_facts(ships: pd.DataFrame, *, num_labelled: int) -> dict[str, Any]:
    """Return the distributions of the measures of all ships, and how many touch the border or another ship.

    Args:
        ships: See `measure_each_ship`.
        num_labelled: Number of ships in the labels, measured or not.
    """
    num = len(ships)
    directed = ships[ships["aspect"] >= ROUND_ASPECT]
    area = ships["area_px"].to_numpy()
    sizes = [
        {
            "name": name,
            "ships": int(inside.sum()),
            "share": float(inside.mean()) if num else None,
            "share_of_ship_px": float(area[inside].sum() / area.sum()) if num else None,
        }
        for name, (low, high) in SIZE_BINS.items()
        for inside in [(area >= low) & (area < high)]
    ]
    return {
        "ships": num_labelled,
        "measured": num,
        "area_px": describe(area, _AREA_EDGES),
        "length_px": describe(ships["length_px"], _LENGTH_EDGES),
        "width_px": describe(ships["width_px"], _WIDTH_EDGES),
        "aspect": describe(ships["aspect"], _ASPECT_EDGES),
        "heading_deg": describe(directed["heading_deg"], _HEADING_EDGES),
        "without_direction": num - len(directed),
        "position": _density(ships),
        "sizes": sizes,
        "reduced": _reduced(ships),
        "touching_border": int(ships["touches_border"].sum()),
        "touching_border_share": float(ships["touches_border"].mean()) if num else None,
        "touching_other": int(ships["touches_other"].sum()),
        "touching_other_share": float(ships["touches_other"].mean()) if num else None,
        "images_with_touching_ships": int(ships.loc[ships["touches_other"], "ImageId"].nunique()),
    }


def _reduced(ships: pd.DataFrame) -> dict[str, Any]:
    """Return how many ships keep too few pixels if the longest side of images is 256 px, as in the reference."""
    longest = ships[["image_height", "image_width"]].max(axis=1).to_numpy()
    reduced_px = ships["area_px"].to_numpy() * np.minimum(_REDUCED_PX / longest, 1) ** 2
    few = int((reduced_px < _FEW_PX).sum())
    return {"side_px": _REDUCED_PX, "few_px": _FEW_PX, "ships": few, "share": few / len(ships) if len(ships) else None}


def _density(ships: pd.DataFrame) -> dict[str, Any]:
    """Return the number of ship centres in each cell of a grid over the image, row by row from the top."""
    rows = ships["center_row"].to_numpy() / ships["image_height"].to_numpy()
    columns = ships["center_col"].to_numpy() / ships["image_width"].to_numpy()
    counts = np.histogram2d(rows, columns, POSITION_CELLS, ((0, 1), (0, 1)))[0]
    return {"cells": POSITION_CELLS, "counts": counts.astype(np.int64)}
