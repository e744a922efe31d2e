"""The report of scenes scored against their true ships: tables, an overview of each scene, close-ups of errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from shipseg.geo.reader import Scene, open_scene
from shipseg.reports.examples import PREDICTED_COLOR, TRUE_COLOR, to_jpeg
from shipseg.reports.page import image_url, write_page
from shipseg.scenes.matching import ShipRecord
from shipseg.scenes.metrics import LENGTH_BINS
from shipseg.scenes.scoring import SceneScores
from shipseg.tiling import Window

__all__ = ["REPORT_FILE", "write_scores_page"]

REPORT_FILE = "report.html"
_MAX_SCENES = 6
_MAX_CASES = 8
_OVERVIEW_PX, _CLOSE_UP_PX = 900, 300
_MIN_CLOSE_UP_PX = 96  # scene pixels
_JPEG_QUALITY = 85
_MEASURES = {
    "length_m": ("Length, m", "of the hull"),
    "width_m": ("Width, m", "of the hull"),
    "label_length_m": ("Length, m", "of the label"),
    "label_width_m": ("Width, m", "of the label"),
    "heading_deg": ("Heading, degrees", "bow and stern not distinguished"),
}


class _Case(NamedTuple):
    """A close-up of a ship."""

    image: str
    """Data URL."""
    caption: str


def write_scores_page(scores: SceneScores, path: Path) -> Path:
    """Write the scores of scenes as one HTML page with embedded images, and return its path.

    Raises:
        DataError: A scene can no longer be read.
        StorageError: The page cannot be written.
    """
    metrics = scores.metrics
    overviews: list[dict[str, str]] = []
    cases: dict[str, list[_Case]] = {}
    chosen = _chosen(scores.records)
    for number, scene_path in enumerate(scores.scenes):
        own = [record for record in scores.records if record.scene == scene_path.stem]
        with open_scene(scene_path) as scene:
            if number < _MAX_SCENES:
                overviews.append({"image": _overview(scene, own), "caption": _scene_caption(scene, own)})
            for title, records in chosen.items():
                close_ups = [_Case(_close_up(scene, r, own), _caption(r)) for r in records if r.scene == scene.name]
                cases.setdefault(title, []).extend(close_ups)
    return write_page(
        path,
        "scene_scores.html",
        metrics=metrics,
        bins=[*LENGTH_BINS],
        measures=[(*labels, metrics["errors"][name]) for name, labels in _MEASURES.items()],
        overviews=overviews,
        num_more=max(0, len(scores.scenes) - _MAX_SCENES),
        cases={title: shown for title, shown in cases.items() if shown},
    )


def _chosen(records: Sequence[ShipRecord]) -> dict[str, list[ShipRecord]]:
    """Return the records for close-ups, by title."""
    missed = [record for record in records if record.status == "missed" and record.true is not None]
    wrong = [record for record in records if record.true is None and record.predicted is not None]
    found = [record for record in records if record.true is not None and record.predicted is not None]
    return {
        "The longest ships that were missed": sorted(missed, key=_true_length, reverse=True)[:_MAX_CASES],
        "The wrong detections with the highest confidence": sorted(wrong, key=_confidence, reverse=True)[:_MAX_CASES],
        "The largest errors of length": sorted(found, key=_length_error, reverse=True)[:_MAX_CASES],
    }


def _true_length(record: ShipRecord) -> float:
    return record.true.length_m if record.true is not None else 0.0


def _confidence(record: ShipRecord) -> float:
    return (record.predicted.confidence or 0.0) if record.predicted is not None else 0.0


def _length_error(record: ShipRecord) -> float:
    if record.true is None or record.predicted is None or record.true.cut:
        return 0.0
    return abs(record.predicted.length_m - record.true.length_m)


def _overview(scene: Scene, records: Sequence[ShipRecord]) -> str:
    scale = min(1.0, _OVERVIEW_PX / max(scene.height, scene.width))
    shape = (max(1, round(scene.height * scale)), max(1, round(scene.width * scale)))
    image, _ = scene.read(Window(0, 0, scene.height, scene.width), shape, from_overviews=True)
    return _drawn(image, records, (0.0, 0.0), (shape[1] / scene.width, shape[0] / scene.height))


def _close_up(scene: Scene, record: ShipRecord, others: Sequence[ShipRecord]) -> str:
    ship = record.true or record.predicted
    assert ship is not None
    left, top, right, bottom = ship.polygon_px.bounds
    side = int(min(max(_MIN_CLOSE_UP_PX, 1.6 * max(right - left, bottom - top)), scene.height, scene.width))
    row0 = int(np.clip((top + bottom) / 2 - side / 2, 0, scene.height - side))
    col0 = int(np.clip((left + right) / 2 - side / 2, 0, scene.width - side))
    image, _ = scene.read(Window(row0, col0, side, side))
    image = np.asarray(cv2.resize(image, (_CLOSE_UP_PX, _CLOSE_UP_PX), interpolation=cv2.INTER_CUBIC), np.uint8)
    inside = shapely.box(col0, row0, col0 + side, row0 + side)
    shown = [
        each
        for each in others
        if any(ship is not None and ship.polygon_px.intersects(inside) for ship in (each.true, each.predicted))
    ]
    return _drawn(image, shown, (col0, row0), (_CLOSE_UP_PX / side, _CLOSE_UP_PX / side))


def _drawn(
    image: NDArray[np.uint8], records: Sequence[ShipRecord], origin: tuple[float, float], scale: tuple[float, float]
) -> str:
    """Return the image with true and predicted outlines as a JPEG data URL."""
    image = np.ascontiguousarray(image)
    for record in records:
        for ship, color in ((record.true, TRUE_COLOR), (record.predicted, PREDICTED_COLOR)):
            if ship is None:
                continue
            for part in shapely.get_parts(ship.polygon_px):
                points = (np.asarray(part.exterior.coords) - origin) * scale
                lines = [np.round((points - 0.5) * 16).astype(np.int32)]
                cv2.polylines(image, lines, isClosed=True, color=color, thickness=1, lineType=cv2.LINE_AA, shift=4)
    return image_url(to_jpeg(image, quality=_JPEG_QUALITY))


def _scene_caption(scene: Scene, records: Sequence[ShipRecord]) -> str:
    true = sum(record.true is not None for record in records)
    found = sum(record.status == "found" for record in records)
    wrong = sum(record.true is None for record in records)
    return f"{scene.name}, {scene.height:,} x {scene.width:,} pixels: {found} of {true} ships found, {wrong} wrong"


def _caption(record: ShipRecord) -> str:
    true, predicted = record.true, record.predicted
    if true is None:
        assert predicted is not None
        touches = f"touches a true ship, IoU {record.iou:.2f}" if record.iou > 0 else "false alarm"
        sure = "" if predicted.confidence is None else f", confidence {predicted.confidence:.2f}"
        return f"{record.scene}: {touches}, {predicted.length_m:.0f} m{sure}"
    said = f"{record.scene}, ship {true.number}: {true.kind + ', ' if true.kind else ''}{true.length_m:.0f} m"
    if predicted is None:
        return f"{said}, missed"
    return f"{said}, measured {predicted.length_m:.0f} m, IoU {record.iou:.2f}"
