"""Writing the tables of a prepared dataset: index, split, problems, report."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shipseg import files
from shipseg.data.cache import CacheLayout
from shipseg.data.cleaning import REASONS
from shipseg.data.groups import Overlaps
from shipseg.data.labels import Problem
from shipseg.data.prepared import FORMAT, INDEX_FILE, PROBLEMS_FILE, REPORT_FILE, SPLIT_FILE
from shipseg.data.splits import SPLITS, balance, leak_report
from shipseg.extras import needing

with needing("train"):
    import pandas as pd

__all__ = ["PreparedTables", "write_results"]

_INDEX_COLUMNS = (
    "ImageId",
    "EncodedPixels",
    "Ships",
    "Size_kb",
    "group",
    "split",
    "reason",
    "rles",
    "height",
    "width",
    "row",
    "ship_px",
)
_DETAILS = {
    "no-file": "the table has rows for it, but the folder has no such file",
    "no-row": "the folder has the file, but the table has no row for it",
    "wrong-size": "its size is not the most common one",
    "solid": "it has one colour",
}


@dataclass(frozen=True, eq=False)
class PreparedTables:
    """The tables that `write_results` writes.

    Args:
        images: One row per image of the source, with facts, masks, reason, group, split and row.
        textures: int8 (N, 9, 32, 32), textures of the scanned images.
        overlaps: Pairs of scanned images that share ground.
        problems: Problems of label rows and masks.
        layout: Layout of the cache; None for a native dataset.
        num_csv_rows: Rows of the CSV.
    """

    images: pd.DataFrame
    textures: NDArray[np.int8]
    overlaps: Overlaps
    problems: tuple[Problem, ...]
    layout: CacheLayout | None
    num_csv_rows: int


def write_results(
    out: Path, tables: PreparedTables, *, options: Mapping[str, Any], source: Mapping[str, Any]
) -> dict[str, Any]:
    """Write index.parquet, split.json, problems.csv and, last, report.json into `out`; return the report."""
    index = _index(tables.images)
    summary = _summary(tables, index, options=options, source=source)
    with files.atomic_path(out / INDEX_FILE) as temporary:
        index.to_parquet(temporary, index=False)
    members = {name: index["ImageId"][index["split"] == name].tolist() for name in SPLITS}
    files.write_json(out / SPLIT_FILE, {"seed": options["seed"], **members})
    problems = files.csv_text(("ImageId", "row", "reason", "detail"), _problem_rows(tables))
    files.write_text(out / PROBLEMS_FILE, problems)
    files.write_json(out / REPORT_FILE, summary)
    return summary


def _index(images: pd.DataFrame) -> pd.DataFrame:
    encoded = [" ".join(rles) if rles else "0" for rles in images["rles"]]
    texts = pd.Series([list(rles) for rles in images["rles"]], index=images.index, dtype=object)
    index = images.assign(EncodedPixels=encoded, rles=texts)
    for name in ("Ships", "group", "height", "width", "row", "ship_px"):
        index[name] = index[name].astype(np.int64)
    for name in ("ImageId", "EncodedPixels", "split", "reason"):
        index[name] = index[name].astype("str")
    return index[list(_INDEX_COLUMNS)]


def _problem_rows(tables: PreparedTables) -> list[tuple[str, int, str, str]]:
    """Return the rows of problems.csv."""
    found = [(p.image_id, p.row, p.reason, p.detail) for p in tables.problems]
    images = tables.images
    left_out = images[images["reason"].isin(_DETAILS) | (images["detail"] != "")]
    found += [
        (image_id, 0, reason, detail or _DETAILS[reason])
        for image_id, reason, detail in zip(left_out["ImageId"], left_out["reason"], left_out["detail"], strict=True)
    ]
    return sorted(found)


def _summary(
    tables: PreparedTables, index: pd.DataFrame, *, options: Mapping[str, Any], source: Mapping[str, Any]
) -> dict[str, Any]:
    kept = (index["reason"] == "").to_numpy()
    images, used = tables.images, index[kept]
    split, groups = used["split"].to_numpy(str), used["group"].to_numpy()
    sizes = np.bincount(groups)
    height, width = images["height"].to_numpy(), images["width"].to_numpy()
    shapes = pd.Series([f"{w} x {h}" for h, w in zip(height[kept], width[kept], strict=True)]).value_counts()
    dropped = {
        reason: {"images": int(hit.sum()), "ships": int(index["Ships"][hit].sum())}
        for reason in REASONS
        for hit in [index["reason"] == reason]
        if hit.any()
    }
    return {
        "format": FORMAT,
        "images": len(index),
        "ships": int(index["Ships"].sum()),
        "kept": {
            "images": int(kept.sum()),
            "ships": int(used["Ships"].sum()),
            "without_ships": int((used["Ships"] == 0).sum()),
        },
        "left_out": dropped,
        "table": {"rows": tables.num_csv_rows, **_count_reasons(tables.problems)},
        "image_sizes_px": {str(shape): int(count) for shape, count in sorted(shapes.items())},
        "groups": {
            "groups": int((sizes > 0).sum()),
            "groups_of_several": int((sizes > 1).sum()),
            "largest": int(sizes.max()),
            "overlapping_pairs": len(tables.overlaps.pairs),
        },
        "splits": balance(split, groups, used["Ships"].to_numpy()),
        "leak": leak_report(
            split,
            groups,
            ids=used["ImageId"].to_numpy(object),
            textures=tables.textures,
            places=images["place"].to_numpy()[kept],
        ),
        "cache": _cache_facts(tables.layout),
        "options": dict(options),
        "source": dict(source),
        "fingerprint": _fingerprint(index, options),
    }


def _count_reasons(problems: tuple[Problem, ...]) -> dict[str, int]:
    reasons = [problem.reason for problem in problems]
    return {reason: reasons.count(reason) for reason in sorted(set(reasons))}


def _cache_facts(layout: CacheLayout | None) -> dict[str, Any]:
    if layout is None:
        return {"size": "native", "scale": 1.0, "canvas": None, "bytes": 0}
    return {
        "size": max(layout.canvas),
        "scale": layout.scale,
        "canvas": list(layout.canvas),
        "bytes": layout.num_bytes,
    }


def _fingerprint(index: pd.DataFrame, options: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(dict(options), sort_keys=True).encode())
    for name in _INDEX_COLUMNS:
        digest.update(repr([list(v) if name == "rles" else v for v in index[name].tolist()]).encode())
    return digest.hexdigest()
