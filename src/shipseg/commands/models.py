"""`evaluate`, `export`, `models`: using trained models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from shipseg.commands.flags import LabelFlags, RuleFlags
from shipseg.commands.summary import show
from shipseg.errors import ConfigError, ModelError
from shipseg.extras import needing

if TYPE_CHECKING:
    from shipseg.evaluation.evaluate import EvaluateOptions
    from shipseg.evaluation.labelled import Source
    from shipseg.evaluation.results import Evaluation
    from shipseg.inference.predictor import Predictor
    from shipseg.model.card import Card

__all__ = ["evaluate", "export", "models", "score"]


def evaluate(
    data: Path,
    out: Path,
    /,
    *,
    model: str | None = None,
    labels: LabelFlags | None = None,
    predicted: Path | None = None,
    threshold: float | None = None,
    rectangles: Annotated[bool | None, Parameter(negative="--no-rectangles")] = None,
    backend: Literal["auto", "torch", "onnx"] = "auto",
    json: bool = False,
) -> int:
    """Score a model on a dataset's split, an Airbus folder or scenes, at full resolution, empties included.

    Args:
        data: A prepared dataset, an Airbus folder (CSV and images), a scene with its true ships beside it (NAME.tif and
            NAME.ships.gpkg), or a folder of such scenes.
        out: Folder to write: metrics.json, images.csv, ships.csv, failed.csv, threshold_curve.csv, ship_curve.csv,
            calibration.csv, report.html, panel.png; of scenes: metrics.json, ships.csv, failed.csv, report.html,
            predicted/.
        model: A run, a model folder, an ONNX file made by shipseg, or the name of a model that comes with it; the best
            of those unless given.
        labels: Flags for labelled images.
        predicted: Scenes: score the finished results in this folder (the --out of predict) instead of predicting.
        threshold: Use this threshold instead of the model's own.
        rectangles: Images: make ships filled rectangles where one fits, or keep their outlines, whatever the card says.
        backend: What runs the network.
        json: Print metrics.json.
    """
    from shipseg.scenes.scoring import has_truth

    labels = labels or LabelFlags()
    if out.resolve() == data.resolve():
        raise ConfigError(f"the scores would be written among the data in {data}: choose another folder for them")
    if has_truth(data):
        for flag in labels.given + RuleFlags(rectangles=rectangles).only_for_images:
            raise ConfigError(f"{flag} is not for scenes, and {data} holds scenes: leave it out")
        return score(data, out, model=model, predicted=predicted, threshold=threshold, backend=backend, json=json)
    if predicted is not None:
        raise ConfigError("--predicted is for scenes with their true ships (NAME.ships.gpkg) beside: leave it out")
    from shipseg import progress
    from shipseg.evaluation.evaluate import EvaluateOptions
    from shipseg.inference.locate import default_model
    from shipseg.inference.predictor import load_model
    from shipseg.reports.evaluation_page import REPORT_FILE

    model = default_model() if model is None else model
    predictor = load_model(model, backend=backend)
    with progress.shown():
        source = labels.open(data)
        evaluation = _score_images(predictor, source, out, EvaluateOptions(threshold=threshold, rectangles=rectangles))
    short = evaluation.summary | {"report": out / REPORT_FILE}
    show(f"Scores of {model} on {data}", evaluation.metrics if json else short, as_json=json)
    return 1 if evaluation.failed else 0


def _score_images(predictor: Predictor, source: Source, out: Path, options: EvaluateOptions) -> Evaluation:
    from shipseg import files
    from shipseg.evaluation.evaluate import evaluate as run_evaluate
    from shipseg.evaluation.results import write_evaluation
    from shipseg.reports.evaluation_page import REPORT_FILE, write_evaluation_report

    evaluation = run_evaluate(predictor, source, options=options)
    with files.all_or_none(out) as folder:
        write_evaluation(evaluation, folder)
        write_evaluation_report(evaluation, folder / REPORT_FILE, predictor=predictor, source=source)
    return evaluation


def export(model: str, out: Path, /, *, format: Literal["onnx"] = "onnx", json: bool = False) -> int:  # noqa: A002
    """Write a model in another form, compared with the original before the file gets its name.

    Args:
        model: A run, a model folder, or the name of a model that comes with shipseg.
        out: File to write, e.g. ships.onnx.
        format: Form to write: onnx (normalisation and sigmoid inside, any size and batch, card in the metadata).
        json: Print the comparison as JSON.
    """
    from shipseg.files import size_in_words
    from shipseg.inference.export import export_onnx

    report = export_onnx(model, out)
    short = {
        "file": f"{report.path}, {size_in_words(1e6 * report.size_mb)}",
        "compared with the model": f"at {report.num_pixels:,} pixels of images of several sizes",
        "largest difference": f"{report.max_difference:.1e} in probability",
        "mean difference": f"{report.mean_difference:.1e} in probability",
        "pixels decided otherwise": f"{100 * report.flipped_share:.3g} %",
        "next": f"shipseg predict IMAGES --model {report.path} --out OUT",
    }
    show(f"{format} model {report.path}", report.as_dict() if json else short, as_json=json)
    return 0


def models(folder: Path = Path(), /, *, json: bool = False) -> int:
    """List the models below a folder, which runs here have made, and those that come with shipseg.

    Args:
        folder: Where to look.
        json: Print the list as JSON.
    """
    from shipseg.inference.locate import bundled_models, default_model
    from shipseg.model.card import read_card

    if not folder.is_dir():
        raise ModelError(f"{folder} is not a folder: give the folder that holds your runs")
    bundled = bundled_models()
    best = default_model() if bundled else ""
    words = {name: f"comes with shipseg{', the default' if name == best else ''}" for name in bundled}
    found = {f"{name} ({words[name]})": _facts(read_card(path)) for name, path in bundled.items()}
    foreign = 0
    for path in _candidates(folder):
        try:
            found[str(path)] = _facts(read_card(path))
        except ModelError as error:
            if path.suffix == ".onnx":
                foreign += 1  # somebody else's, most likely
            else:
                found[str(path)] = f"not usable: {error}"
    if foreign:
        found["ONNX files without our card"] = str(foreign)
    show(f"Models below {folder.resolve()}", found or {"none": "train one with  shipseg train"}, as_json=json)
    return 0


def _facts(card: Card) -> str:
    """Return on one line what tells models apart."""
    network = card.network
    kind = network.architecture if network.architecture == "compact" else f"{network.architecture} on {network.encoder}"
    learnt = f"{card.data['train_images']:,} images learnt from, " if "train_images" in card.data else ""
    threshold = f"threshold {card.decision.threshold:.3g} for {card.decision.metric.replace('_', ' ')}"
    return f"{card.name}: {kind}, {learnt}{threshold}, made {card.created or 'at an unknown date'}"


def _candidates(folder: Path) -> list[Path]:
    """Return model folders and ONNX files below a folder, hidden folders and installed packages aside."""
    from shipseg.model.card import CARD_FILE

    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != "." and name != "site-packages")
        if CARD_FILE in names:
            found.append(Path(root))
        found += [Path(root) / name for name in sorted(names) if name.endswith(".onnx")]
    return found


# What `evaluate` does with scenes that have their true ships beside them.


def score(
    data: Path,
    out: Path,
    *,
    model: str | None,
    predicted: Path | None,
    threshold: float | None,
    backend: str,
    json: bool,
) -> int:
    """Score scenes and write metrics.json, ships.csv, failed.csv and report.html, see `commands.models.evaluate`."""
    from shipseg import files, progress
    from shipseg.inference.locate import default_model
    from shipseg.inference.predictor import load_model
    from shipseg.scenes.scoring import PREDICTED_FOLDER, labelled_scenes, score_scenes

    with needing("geo"):
        from shipseg.scenes.scores_page import REPORT_FILE, write_scores_page
        from shipseg.scenes.scoring import write_scores
    if model is not None and predicted is not None:
        raise ConfigError("scenes are scored with --model MODEL or with --predicted FOLDER: give only one")
    if threshold is not None and predicted is not None:
        raise ConfigError("--threshold is for --model MODEL: the results of --predicted were made with their own")
    if predicted is None:
        model = default_model() if model is None else model
    scenes = labelled_scenes(data)
    predictor = None if model is None else load_model(model, backend=backend)
    with progress.shown():
        scores = score_scenes(scenes, predicted or out / PREDICTED_FOLDER, predictor, threshold=threshold)
        with files.all_or_none(out) as folder, progress.stage(f"writing {REPORT_FILE}"):
            write_scores(scores, folder)
            write_scores_page(scores, folder / REPORT_FILE)
    short = scores.summary | {"report": out / REPORT_FILE}
    show(f"Scores of {model or predicted} on {data}", scores.metrics if json else short, as_json=json)
    return 1 if scores.failed else 0
