"""`threshold` and `gate`: choose a model's decision rule or its gate on labelled images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from cyclopts import Parameter

from shipseg.commands.flags import LabelFlags
from shipseg.commands.summary import show
from shipseg.errors import ConfigError

if TYPE_CHECKING:
    from shipseg.config import ThresholdConfig
    from shipseg.evaluation.thresholds import Retuned
    from shipseg.model.card import TtaViews

__all__ = ["TargetFlags", "gate", "threshold"]

_REPORT_FILE = "report.html"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TargetFlags:
    """Flags for a target of the threshold; at most one.

    Args:
        precision: Target instead of --metric: ship precision of at least this, with the highest ship recall.
        pixel_precision: Target instead of --metric: pixel precision of at least this, with the highest pixel recall.
        false_alarms: Target instead of --metric: false alarms in at most this share of the images without ships, e.g.
            0.02.
        false_alarms_per_1000km2: Target instead of --metric: at most this many false alarms per 1000 km2.
    """

    precision: float | None = None
    pixel_precision: float | None = None
    false_alarms: float | None = None
    false_alarms_per_1000km2: float | None = None

    @property
    def settings(self) -> dict[str, float | None]:
        """The targets by their names in `ThresholdConfig`."""
        return {
            "precision": self.precision,
            "pixel_precision": self.pixel_precision,
            "false_alarm_images": self.false_alarms,
            "false_alarms_per_1000km2": self.false_alarms_per_1000km2,
        }


def threshold(
    model: str,
    data: Path,
    /,
    *,
    out: Path,
    labels: LabelFlags | None = None,
    metric: Literal["airbus_score", "ship_f1", "pooled_dice", "pooled_iou"] | None = None,
    targets: TargetFlags | None = None,
    calibrate: Literal["none", "temperature", "isotonic"] | None = None,
    tta_views: Annotated[Literal[1, 2, 4, 8] | None, Parameter(name=("--tta-views", "--views"))] = None,
    rectangles: Annotated[bool | None, Parameter(negative="--no-rectangles")] = None,
    max_images: int = 2000,
    seed: int = 0,
    json: bool = False,
) -> int:
    """Choose a model's threshold on labelled images, for a score or a target.

    Args:
        model: Run, model folder, ONNX file or name of a bundled model; it is not modified.
        data: Prepared dataset or Airbus folder (CSV and images) that the model was not trained on.
        out: Output folder: model/ or model.onnx, a copy with the new decision rule; report.html, curves.csv,
            thresholds.json.
        labels: Flags that select labelled images.
        metric: Score to maximise. Default: airbus_score.
        targets: Flags for a target, instead of the metric.
        calibrate: Calibrate probabilities on the same images first; none removes the calibration. Default: keep the
            model's own.
        tta_views: Number of flipped and rotated views that the new model averages (test-time augmentation); each costs
            one pass of the network. Default: as in the model's card.
        rectangles: Replace ships of images by filled rectangles, as in the challenge's labels. Default: as in the
            model's card.
        max_images: Largest number of images to use, a sample stratified by no, one and several ships.
        seed: Random seed of the sample, and of its two halves for cross-validation.
        json: Print thresholds.json.
    """
    from shipseg.config import ThresholdConfig, validated

    requested = (targets or TargetFlags()).settings
    if metric is not None and any(value is not None for value in requested.values()):
        raise ConfigError(f"--metric {metric} and a target exclude each other: give only one")
    if seed < 0:
        raise ConfigError(f"seed must be at least 0, got {seed}")
    settings = {
        "metric": metric or "airbus_score",
        "calibration": calibrate or "none",
        "max_images": max_images,
        "rectangles": rectangles,
    }
    config = validated(ThresholdConfig, settings | requested, "shipseg threshold")
    options = _Options(config, calibrate is None, tta_views, seed)
    retuned, written = _retune(model, data, labels or LabelFlags(), out, options)
    rows = retuned.facts() if json else _retuned_rows(retuned) | {"model": written, "report": out / _REPORT_FILE}
    show(f"Threshold of {model} on {data}", rows, as_json=json)
    return 0


class _Options(NamedTuple):
    """Options of `threshold`."""

    config: ThresholdConfig
    keep_calibration: bool
    tta_views: TtaViews | None
    seed: int


def _retune(model: str, data: Path, labels: LabelFlags, out: Path, options: _Options) -> tuple[Retuned, Path]:
    """Choose the threshold, write all files into `out`, and return the choice and the path of the new model."""
    from shipseg import files, progress
    from shipseg.evaluation.labelled import DEFAULT_SPLIT, is_dataset
    from shipseg.evaluation.thresholds import retune, write_retuned
    from shipseg.inference.export import copy_model, copy_target
    from shipseg.inference.predictor import load_model
    from shipseg.reports.thresholds_page import write_threshold_report

    copy_target(model, out)  # raises if it would overwrite the model
    if out.resolve() == data.resolve():
        raise ConfigError(f"the model cannot be written into the data folder {data}: choose another folder")
    predictor = load_model(model)
    predictor = predictor if options.tta_views is None else predictor.with_tta(options.tta_views)
    with progress.shown():
        source = labels.open(data)
        split = f", split {labels.split or DEFAULT_SPLIT}" if is_dataset(data) else ""
        name = f"{data.resolve().name}{split}"
        retuned = retune(
            predictor,
            source,
            config=options.config,
            keep_calibration=options.keep_calibration,
            seed=options.seed,
            data=name,
        )
        with files.all_or_none(out) as folder:
            write_retuned(retuned, folder)
            write_threshold_report(retuned, folder / _REPORT_FILE)
            written = copy_model(model, out, retuned.card)
    return retuned, written


def _retuned_rows(retuned: Retuned) -> dict[str, Any]:
    decision, facts, card = retuned.card.decision, retuned.choice.facts, retuned.card
    point = retuned.choice.point
    rows: dict[str, Any] = {"target": retuned.target, "result": point.sentence if point else ""}
    rows |= {"threshold": decision.threshold, "peak threshold": decision.min_peak}
    if decision.rectangles:
        rows["ships"] = "filled rectangles where one fits"
    held_out = facts.held_out_scores or {}
    names = {"ship_precision": "ship precision", "ship_recall": "ship recall", "airbus_score": "Airbus score",
             "false_alarm_images": "share of empty images with a false alarm"}  # fmt: skip
    for key, name in names.items():
        score, other = facts.scores[key], held_out.get(key)
        if score is not None:
            rows[name] = f"{score:.3f}" + ("" if other is None else f" (held-out images: {other:.3f})")
    if card.calibration is not None and card.calibration.errors is not None:
        errors = card.calibration.errors
        rows["calibration error, all pixels"] = f"{errors.before:.2g} before, {errors.after:.2g} after"
    return rows


def gate(
    model: str,
    data: Path,
    /,
    *,
    out: Path,
    loss: float = 0.005,
    reduction: int = 4,
    labels: LabelFlags | None = None,
    max_images: int = 4000,
    seed: int = 0,
    json: bool = False,
) -> int:
    """Add a gate to a model: a fast check at low resolution, by which `predict` skips empty tiles of scenes.

    Args:
        model: Run, model folder, ONNX file or name of a bundled model; it is not modified.
        data: Prepared dataset or Airbus folder (CSV and images) whose images are like the scenes to predict.
        out: Output folder: model/ or model.onnx, a copy with the gate in its card.
        loss: Largest share of the ships that the gate may lose, from 0 to 0.5.
        reduction: Factor by which the gate reduces the network's resolution.
        labels: Flags that select labelled images.
        max_images: Largest number of images to use, a sample stratified by no, one and several ships.
        seed: Random seed of the sample.
        json: Print the gate as JSON.
    """
    from shipseg import progress
    from shipseg.inference.export import copy_model, copy_target
    from shipseg.inference.predictor import load_model
    from shipseg.scenes.gate import GateOptions, choose_gate

    options = GateOptions(loss=loss, reduction=reduction, max_images=max_images, seed=seed)
    copy_target(model, out)  # raises if it would overwrite the model
    if out.resolve() == data.resolve():
        raise ConfigError(f"the model cannot be written into the data folder {data}: choose another folder")
    predictor = load_model(model)
    with progress.shown():
        source = (labels or LabelFlags()).open(data)
        chosen = choose_gate(predictor, source, options)
        written = copy_model(model, out, predictor.card.model_copy(update={"gate": chosen}))
    empty = f"{chosen.num_empty_tiles:,} ({chosen.tile_px} px)"
    lost = f"{100 * chosen.lost_recall:.2g} % of {chosen.num_ships:,}, below {100 * chosen.lost_recall_at_most:.2g} %"
    rows = {
        "contrast threshold": f"{chosen.threshold:.4g} grey values at 1/{chosen.reduction} of the resolution",
        "ships lost": f"{lost} with 95 % confidence",
        "empty tiles skipped": f"{100 * chosen.skipped_share:.3g} % of {empty}",
        "time of the gate": f"{100 * chosen.time_share:.2g} % of the network's",
        "model": written,
    }
    facts = chosen.model_dump() | {"model": str(written)}
    show(f"Gate of {model}, measured on {data}", facts if json else rows, as_json=json)
    return 0
