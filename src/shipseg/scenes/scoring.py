"""Scoring scenes against their true ships, predicted now or read from finished results."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shipseg import files
from shipseg.errors import DataError, MissingExtraError, ShipsegError, StorageError
from shipseg.geo.reader import open_scene
from shipseg.inference.predictor import Predictor
from shipseg.progress import track
from shipseg.scenes.inputs import SCENE_SUFFIXES
from shipseg.scenes.matching import MapShip, ShipRecord, heading_apart, lies_on, match_ships, read_ships, truth_path
from shipseg.scenes.metrics import metrics_of
from shipseg.scenes.options import SceneOptions
from shipseg.scenes.output import FACTS_FILE
from shipseg.scenes.predict import predict_scene

__all__ = [
    "PREDICTED_FOLDER",
    "FailedScene",
    "SceneScores",
    "has_truth",
    "labelled_scenes",
    "score_scenes",
    "write_scores",
]


_LOG = logging.getLogger(__name__)

PREDICTED_FOLDER = "predicted"
"""Subfolder of the scores with the results of the scenes, one folder each."""
SHIPS_FILE = "ships.gpkg"


@dataclass(frozen=True)
class FailedScene:
    """A scene that could not be scored, with the reason."""

    scene: str
    detail: str


@dataclass(frozen=True, eq=False)
class SceneScores:
    """The scores of scenes.

    Attributes:
        scenes: The scenes that were scored, in order.
        records: True ships and wrong detections of these scenes.
        metrics: All scores as plain data.
        failed: The scenes that could not be scored, which count in no score.
    """

    scenes: tuple[Path, ...]
    records: tuple[ShipRecord, ...]
    metrics: dict[str, Any]
    failed: tuple[FailedScene, ...] = ()

    @property
    def summary(self) -> dict[str, Any]:
        """The main scores, for display."""
        metrics = self.metrics
        by_iou, length = metrics["by_iou"], metrics["errors"]["length_m"]["all"]
        heading = metrics["errors"]["heading_deg"]["all"]
        return {
            "scenes": metrics["num_scenes"],
            **({"scenes that could not be scored": len(self.failed)} if self.failed else {}),
            "area predicted": f"{metrics['looked_at_km2']:,.1f} km2",
            "true ships": metrics["num_ships"],
            "recall": _percent(by_iou["recall"]),
            "precision": _percent(by_iou["precision"]),
            "recall by length": ", ".join(
                f"{name} {_percent(part['share'])}" for name, part in by_iou["recall_by_length"].items()
            ),
            "false alarms": _alarms(metrics["num_false_alarms"], metrics["false_alarms_per_1000km2"]),
            "error of length": _error(length, "m"),
            "error of heading": _error(heading, "degrees"),
        }


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _alarms(number: int, per_1000km2: float | None) -> str:
    return f"{number}" if per_1000km2 is None else f"{number}, {per_1000km2:,.0f} per 1000 km2"


def _error(spread: dict[str, Any], unit: str) -> str:
    if not spread["num"]:
        return "no whole ship was found"
    return f"median {spread['median']:.2g} {unit}, 95th percentile {spread['p95']:.2g} {unit}"


def has_truth(data: Path) -> bool:
    """Return whether a path is a scene, or a folder with true ships of scenes."""
    if data.is_dir():
        return any(data.glob("*.ships.gpkg"))
    return data.suffix.lower() in SCENE_SUFFIXES and data.is_file()


def labelled_scenes(data: Path) -> list[Path]:
    """Return the scenes with true ships of a path, which is a scene or a folder of scenes, sorted by name.

    Raises:
        DataError: The scene, or every scene of the folder, has no true ships beside it.
    """
    if not data.is_dir():
        if not truth_path(data).is_file():
            raise DataError(f"{data} has no true ships beside it: put them into {truth_path(data)}")
        return [data]
    scenes = [path for path in sorted(data.iterdir()) if path.suffix.lower() in SCENE_SUFFIXES]
    found = [path for path in scenes if truth_path(path).is_file()]
    if not found:
        raise DataError(f"{data} has no scene with true ships: put NAME.ships.gpkg beside NAME.tif")
    if len(found) < len(scenes):
        _LOG.warning(
            "%d of %d scenes in %s have no true ships and are left out", len(scenes) - len(found), len(scenes), data
        )
    return found


def score_scenes(
    scenes: Sequence[Path], predicted: Path, predictor: Predictor | None, *, threshold: float | None = None
) -> SceneScores:
    """Return the scores of scenes; a scene that cannot be scored does not stop the others.

    Args:
        scenes: Each with its true ships beside it, see `labelled_scenes`.
        predicted: Folder with the results of `predict_scene`, one folder per scene; missing results are predicted.
        predictor: The model; None scores the existing results.
        threshold: Replaces the model's threshold.

    Raises:
        DataError: No scene can be scored, or results are missing and there is no model.
        StorageError: Results cannot be written.
    """
    scored: list[_Scored] = []
    failed: list[FailedScene] = []
    for path in track(scenes, "scoring scenes"):
        try:
            scored.append(_score_scene(path, predicted, predictor, threshold=threshold))
        except (MissingExtraError, StorageError):
            raise
        except ShipsegError as error:
            if len(scenes) == 1:
                raise
            _LOG.warning("%s is left out: %s", path.name, error)
            failed.append(FailedScene(path.stem, str(error)))
    if not scored:
        raise DataError(f"none of the {len(failed)} scenes can be scored, the first: {failed[0].detail}")
    records = tuple(record for each in scored for record in each.records)
    looked_at_km2 = sum(float(each.facts["looked_at_km2"] or 0.0) for each in scored)
    metrics = metrics_of(records, looked_at_km2=looked_at_km2, scenes=[each.path.stem for each in scored])
    metrics |= {"num_failed": len(failed), "failed": [asdict(each) for each in failed]}
    models = {(str(each.facts["model"]), json.dumps(each.facts["decision"])) for each in scored}
    if len(models) == 1:
        name, decision = models.pop()
        metrics = {"model": name, "decision": json.loads(decision)} | metrics
    return SceneScores(tuple(each.path for each in scored), records, metrics, tuple(failed))


@dataclass(frozen=True, eq=False)
class _Scored:
    """The records of a scene, and its scene.json."""

    path: Path
    records: list[ShipRecord]
    facts: dict[str, Any]


def _score_scene(path: Path, predicted: Path, predictor: Predictor | None, *, threshold: float | None) -> _Scored:
    with open_scene(path) as scene:
        georef, shape = scene.georef, (scene.height, scene.width)
    # First, since invalid truth must be reported before the long prediction.
    true = _on_scene(read_ships(truth_path(path), georef), path, shape)
    if predictor is not None:
        options = SceneOptions(
            formats=("gpkg",), probability=False, quicklook=False, threshold=threshold, overwrite=True
        )
        predict_scene(path, predicted, predictor, options)
    facts = _facts(predicted / path.stem)
    found = read_ships(predicted / path.stem / SHIPS_FILE, georef)
    return _Scored(path, match_ships(path.stem, true, found, georef), facts)


def _on_scene(true: list[MapShip], path: Path, shape: tuple[int, int]) -> list[MapShip]:
    """Return the true ships that intersect the scene.

    Raises:
        DataError: There are true ships, and none of them does.
    """
    inside = [ship for ship in true if lies_on(ship, shape)]
    if true and not inside:
        raise DataError(
            f"none of the {len(true)} ships in {truth_path(path)} lies on {path.name}, the first is at longitude "
            f"{true[0].lon:.4f}, latitude {true[0].lat:.4f}: are they of another scene, or in another coordinate "
            "reference system than the file states?"
        )
    if len(inside) < len(true):
        _LOG.warning(
            "%d of the %d ships in %s are outside the scene and are left out",
            len(true) - len(inside),
            len(true),
            truth_path(path),
        )
    return inside


def _facts(folder: Path) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))
        facts["looked_at_km2"], facts["model"], facts["decision"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder} holds no finished results of a scene: run  shipseg predict  with --format gpkg"
        ) from error
    if not (folder / SHIPS_FILE).is_file():
        raise DataError(f"{folder} has no {SHIPS_FILE}: predict the scene with --format gpkg")
    return facts


_COLUMNS = (
    "scene",
    "status",
    "true_ship",
    "predicted_ship",
    "kind",
    "iou",
    "found_by_center",
    "lon",
    "lat",
    "true_length_m",
    "length_m",
    "length_error_m",
    "true_width_m",
    "width_m",
    "width_error_m",
    "true_heading_deg",
    "heading_deg",
    "heading_error_deg",
    "area_px",
    "cut",
    "confidence",
)


def write_scores(scores: SceneScores, folder: Path) -> None:
    """Write metrics.json, ships.csv and failed.csv into an existing folder.

    Raises:
        StorageError: They cannot be written.
    """
    failed = [(each.scene, each.detail) for each in scores.failed]
    files.write_text(folder / "ships.csv", files.csv_text(_COLUMNS, _rows(scores.records)))
    files.write_text(folder / "failed.csv", files.csv_text(("scene", "detail"), failed))
    files.write_json(folder / "metrics.json", scores.metrics)


def _rows(records: Sequence[ShipRecord]) -> Iterator[list[Any]]:
    for record in records:
        true, found = record.true, record.predicted
        shown = true or found
        assert shown is not None
        errors = ("", "", "")
        if true is not None and found is not None:
            turned = heading_apart(found.heading_deg, true.heading_deg)
            wrong = (found.length_m - true.length_m, found.width_m - true.width_m, turned)
            errors = (f"{wrong[0]:.2f}", f"{wrong[1]:.2f}", f"{wrong[2]:.2f}")
        measures = [
            (f"{getattr(true, name):.2f}" if true else "", f"{getattr(found, name):.2f}" if found else "", error)
            for name, error in zip(("length_m", "width_m", "heading_deg"), errors, strict=True)
        ]
        yield [
            record.scene,
            record.status,
            true.number if true else "",
            found.number if found else "",
            true.kind if true else "",
            f"{record.iou:.3f}",
            int(record.by_center),
            f"{shown.lon:.7f}",
            f"{shown.lat:.7f}",
            *(value for measure in measures for value in measure),
            f"{shown.area_px:.0f}",
            int(shown.cut),
            "" if found is None or found.confidence is None else f"{found.confidence:.4f}",
        ]
