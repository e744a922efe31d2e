"""Facts that the labels alone tell: rows, ships per image, both imbalances, pixels, and every ship's measures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shipseg.evaluation.scores import SIZE_BINS
from shipseg.exploration.inputs import Inputs
from shipseg.extras import needing
from shipseg.masks.metrics import SIZE_BINS_PX

with needing("train"):
    import pandas as pd

__all__ = [
    "counted",
    "describe",
    "imbalance_facts",
    "pixel_facts",
    "plain",
    "row_facts",
    "ship_facts",
    "ships_per_image",
]


# A column of numbers in a few: mean, quantiles, histogram; ready for JSON.

_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_DIGITS = 6


def describe(values: ArrayLike, edges: Sequence[float]) -> dict[str, Any]:
    """Return number, mean, standard deviation, smallest, quantiles (by percent), largest and histogram of values.

    Args:
        values: Numbers; NaN is left out.
        edges: Of the histogram's bins, ascending; what lies outside counts in the first or last bin.
    """
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    names = [f"{100 * quantile:g}" for quantile in _QUANTILES]
    counts = np.histogram(np.clip(known, edges[0], edges[-1]), edges)[0].tolist()
    histogram = {"edges": list(edges), "counts": counts}
    if not len(known):
        nothing: dict[str, Any] = dict.fromkeys(("mean", "std", "min", "max"))
        return {"num": 0, **nothing, "quantiles": dict.fromkeys(names), "histogram": histogram}
    return {
        "num": len(known),
        "mean": known.mean(),
        "std": known.std(),
        "min": known.min(),
        "max": known.max(),
        "quantiles": dict(zip(names, np.quantile(known, _QUANTILES), strict=True)),
        "histogram": histogram,
    }


def counted(values: NDArray[np.int64], bins: Mapping[str, tuple[float, float]]) -> dict[str, int]:
    """Return how many values lie in each bin, from its first number to its second, both included."""
    return {name: int(((values >= low) & (values <= high)).sum()) for name, (low, high) in bins.items()}


def plain(value: Any) -> Any:
    """Return nested facts as JSON knows them: Python's own numbers, of six significant digits."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(each) for each in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.{_DIGITS}g}")
    return value


REFERENCE_MOST_SHIPS = 15
"""The reference's table of ships per image ends here; ours goes on where there are more."""
POSITION_CELLS = 16
"""Cells along each side of the density of positions."""
ROUND_ASPECT = 1.25
"""Below this a ship has no direction worth counting."""

_AREA_EDGES = [round(float(edge), 3) for edge in np.geomspace(1, 100_000, 41)]
_LENGTH_EDGES = [float(edge) for edge in range(0, 410, 10)]
_WIDTH_EDGES = [float(edge) for edge in range(0, 82, 2)]
_ASPECT_EDGES = [1 + 0.25 * step for step in range(37)]
_HEADING_EDGES = [float(edge) for edge in range(0, 190, 10)]
_REDUCED_PX = 256
_FEW_PX = 9  # 3 x 3: with fewer an outline cannot be told
_EXAMPLES = 5


def row_facts(inputs: Inputs) -> dict[str, Any]:
    """Return how many rows images have, and what is wrong with rows."""
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
    """Return the masks that stand, to the last character, in more than one image: copies of an image, most likely."""
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
    """Return for each number of ships, from 0 to the most (at least 15), its images, their share and their ships."""
    counts = np.bincount(ships, minlength=REFERENCE_MOST_SHIPS + 1)
    return {
        number: {"images": count, "share": count / len(ships), "ships": number * count}
        for number, count in enumerate(counts.tolist())
    }


def imbalance_facts(ships: NDArray[np.int64]) -> dict[str, Any]:
    """Return both imbalances: images without against with ships, one ship against several."""
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
    """Return the ships' share of all pixels, and of those in images with ships; images of unknown size are left out."""
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
    """Return the measures of all ships.

    Args:
        ships: See `measure_each_ship`.
        num_labelled: Ships in the labels, measured or not.
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
        for name, (low, high) in zip(SIZE_BINS, SIZE_BINS_PX, strict=True)
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
    """Return how many ships keep too few pixels when their image's longest side becomes 256 px, as in the reference."""
    longest = ships[["image_height", "image_width"]].max(axis=1).to_numpy()
    left = ships["area_px"].to_numpy() * np.minimum(_REDUCED_PX / longest, 1) ** 2
    few = int((left < _FEW_PX).sum())
    return {"side_px": _REDUCED_PX, "few_px": _FEW_PX, "ships": few, "share": few / len(ships) if len(ships) else None}


def _density(ships: pd.DataFrame) -> dict[str, Any]:
    """Return how many ships have their centre in each cell of a grid over the image, row by row from the top."""
    rows = ships["center_row"].to_numpy() / ships["image_height"].to_numpy()
    columns = ships["center_col"].to_numpy() / ships["image_width"].to_numpy()
    counts = np.histogram2d(rows, columns, POSITION_CELLS, ((0, 1), (0, 1)))[0]
    return {"cells": POSITION_CELLS, "counts": counts.astype(np.int64)}
