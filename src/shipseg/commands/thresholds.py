"""`threshold`: choosing a finished model's threshold anew, for a target, on labelled images."""

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
    """What the threshold is to grant; at most one.

    Args:
        precision: Instead: at least this ship precision, with the highest recall there.
        pixel_precision: Instead: at least this precision of pixels, with the highest recall of pixels there.
        false_alarms: Instead: at most this share of the images without ships with a false alarm, e.g. 0.02.
        false_alarms_per_1000km2: Instead: at most so many false alarms.
    """

    precision: float | None = None
    pixel_precision: float | None = None
    false_alarms: float | None = None
    false_alarms_per_1000km2: float | None = None

    @property
    def settings(self) -> dict[str, float | None]:
        """The targets as a configuration has them."""
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
    views: Literal[1, 2, 4, 8] | None = None,
    rectangles: Annotated[bool | None, Parameter(negative="--no-rectangles")] = None,
    max_images: int = 2000,
    seed: int = 0,
    json: bool = False,
) -> int:
    """Choose a model's threshold anew on labelled images: for the best score, a precision, or few false alarms.

    Args:
        model: A run, a model folder, an ONNX file or the name of a bundled model; it is not changed.
        data: A prepared dataset, or an Airbus folder (CSV and images), that the model was not trained on.
        out: Folder to write: model/ (or model.onnx), a copy with the new rules; report.html, curves.csv,
            thresholds.json.
        labels: Flags for labelled images.
        metric: The score to maximise; airbus_score unless given.
        targets: Flags for targets, instead of the metric.
        calibrate: First make probabilities true on the same images; none undoes that; the model's own unless given.
        views: From now on average over so many mirror images; surer, and as many times the work.
        rectangles: From now on make ships of pictures filled rectangles, as the challenge's labels are, or do not; the
            model's own habit unless given.
        max_images: Look at no more than this many images, drawn with their shares of no, one and several ships.
        seed: Decides that draw, and the halves that are judged by each other.
        json: Print thresholds.json.
    """
    from shipseg.config import ThresholdConfig, validated

    asked = (targets or TargetFlags()).settings
    if metric is not None and any(value is not None for value in asked.values()):
        raise ConfigError(f"--metric {metric} and another target cannot both be met: give one")
    if seed < 0:
        raise ConfigError(f"seed must be at least 0, got {seed}")
    settings = {
        "metric": metric or "airbus_score",
        "calibration": calibrate or "none",
        "max_images": max_images,
        "rectangles": rectangles,
    }
    config = validated(ThresholdConfig, settings | asked, "shipseg threshold")
    how = _How(config, calibrate is None, views, seed)
    retuned, written = _retune(model, data, labels or LabelFlags(), out, how)
    rows = retuned.facts() if json else _in_short(retuned) | {"model": written, "report": out / _REPORT_FILE}
    show(f"Threshold of {model} on {data}", rows, as_json=json)
    return 0


class _How(NamedTuple):
    """What is to be chosen, and how."""

    config: ThresholdConfig
    keep_calibration: bool
    views: TtaViews | None
    seed: int


def _retune(model: str, data: Path, labels: LabelFlags, out: Path, how: _How) -> tuple[Retuned, Path]:
    """Choose, write all into `out`, and return the choice and the new model."""
    from shipseg import files, progress
    from shipseg.evaluation.labelled import DEFAULT_SPLIT, is_dataset
    from shipseg.evaluation.thresholds import retune, write_retuned
    from shipseg.inference.export import copy_model, copy_target
    from shipseg.inference.predictor import load_model
    from shipseg.reports.thresholds_page import write_threshold_report

    copy_target(model, out)  # refuses to write over the model, before any work
    if out.resolve() == data.resolve():
        raise ConfigError(f"the model would be written among the data in {data}: choose another folder for it")
    predictor = load_model(model)
    predictor = predictor if how.views is None else predictor.with_tta(how.views)
    with progress.shown():
        source = labels.open(data)
        split = f", split {labels.split or DEFAULT_SPLIT}" if is_dataset(data) else ""
        name = f"{data.resolve().name}{split}"
        options: dict[str, Any] = {"config": how.config, "keep_calibration": how.keep_calibration, "seed": how.seed}
        retuned = retune(predictor, source, data=name, **options)
        with files.all_or_none(out) as folder:
            write_retuned(retuned, folder)
            write_threshold_report(retuned, folder / _REPORT_FILE)
            written = copy_model(model, out, retuned.card)
    return retuned, written


def _in_short(retuned: Retuned) -> dict[str, Any]:
    decision, facts, card = retuned.card.decision, retuned.choice.facts, retuned.card
    point = retuned.choice.point
    shown: dict[str, Any] = {"wish": retuned.target, "result": point.sentence if point else ""}
    shown |= {"a pixel is ship from probability": decision.threshold, "a ship needs a peak of": decision.min_peak}
    if decision.rectangles:
        shown["ships become"] = "filled rectangles where one fits"
    held = facts["held_out_scores"] or {}
    names = {"ship_precision": "ship precision", "ship_recall": "ship recall", "airbus_score": "Airbus score",
             "false_alarm_images": "share of empty images with a false alarm"}  # fmt: skip
    for key, words in names.items():
        here, elsewhere = facts["scores"][key], held.get(key)
        if here is not None:
            shown[words] = f"{here:.3f}" + ("" if elsewhere is None else f" (on groups not chosen on: {elsewhere:.3f})")
    if card.calibration is not None and card.calibration.errors is not None:
        errors = card.calibration.errors
        shown["calibration error, all pixels"] = f"{errors.before:.2g} before, {errors.after:.2g} after"
    return shown


# `gate`: a cheap first look that lets empty tiles of scenes be skipped, measured on labelled images.


def gate(
    model: str,
    data: Path,
    /,
    *,
    out: Path,
    loss: float = 0.005,
    reduction: int = 4,
    split: str | None = None,
    csv: Path | None = None,
    images: Path | None = None,
    max_images: int = 4000,
    seed: int = 0,
    json: bool = False,
) -> int:
    """Give a model a gate: a cheap first look by which `predict` skips empty tiles of scenes.

    Args:
        model: A run, a model folder, an ONNX file or the name of a bundled model; it is not changed.
        data: A prepared dataset, or an Airbus folder (CSV and images), of images like the scenes to come.
        out: Folder to write: model/ (or model.onnx), a copy with the gate in its card.
        loss: Share of the ships that may be lost.
        reduction: The first look is at 1/reduction of the network's resolution.
        split: Which split of a dataset: train, val or test; val unless given.
        csv: The CSV, where an Airbus folder holds several.
        images: The folder of images, where an Airbus folder holds several.
        max_images: Look at no more than this many images, drawn with their shares of no, one and several ships.
        seed: Decides that draw.
        json: Print the gate as JSON.
    """
    from shipseg import progress
    from shipseg.evaluation.labelled import open_source
    from shipseg.inference.export import copy_model, copy_target
    from shipseg.inference.predictor import load_model
    from shipseg.scenes.gate import GateOptions, choose_gate

    options = GateOptions(loss=loss, reduction=reduction, max_images=max_images, seed=seed)
    copy_target(model, out)  # refuses to write over the model, before any work
    if out.resolve() == data.resolve():
        raise ConfigError(f"the model would be written among the data in {data}: choose another folder for it")
    predictor = load_model(model)
    with progress.shown():
        source = open_source(data, split=split, csv=csv, images=images)
        chosen = choose_gate(predictor, source, options)
        written = copy_model(model, out, predictor.card.model_copy(update={"gate": chosen}))
    empty = f"{chosen.num_empty_tiles:,} ({chosen.tile_px} px)"
    lost = f"{100 * chosen.lost_recall:.2g} % of {chosen.num_ships:,}, below {100 * chosen.lost_recall_at_most:.2g} %"
    short = {
        "skips a tile with less contrast than": f"{chosen.threshold:.4g} grey values at 1/{chosen.reduction}",
        "ships lost": f"{lost} with 95 % confidence",
        "empty tiles skipped": f"{100 * chosen.skipped_share:.3g} % of {empty}",
        "time of the first look": f"{100 * chosen.time_share:.2g} % of the network's",
        "model": written,
    }
    facts = chosen.model_dump() | {"model": str(written)}
    show(f"Gate of {model}, measured on {data}", facts if json else short, as_json=json)
    return 0
