"""`evaluate`, `export` and `models`: score, export and list trained models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from shipseg.commands.flags import DecisionFlags, LabelFlags
from shipseg.commands.summary import show
from shipseg.errors import ConfigError, ModelError
from shipseg.extras import needing

if TYPE_CHECKING:
    from shipseg.evaluation.evaluate import EvaluateOptions
    from shipseg.evaluation.labelled import Source
    from shipseg.evaluation.results import Evaluation
    from shipseg.inference.predictor import Predictor
    from shipseg.model.card import Card

__all__ = ["evaluate", "export", "models", "score_scenes"]


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
    """Score a model on labelled images or scenes at full resolution, images without ships included.

    Args:
        data: Prepared dataset, Airbus folder (CSV and images), scene with its true ships beside it (NAME.tif and
            NAME.ships.gpkg), or folder of such scenes.
        out: Output folder. Images: metrics.json, images.csv, ships.csv, failed.csv, threshold_curve.csv,
            ship_curve.csv, calibration.csv, report.html, panel.png. Scenes: metrics.json, ships.csv, failed.csv,
            report.html, predicted/.
        model: Run, model folder, ONNX file or name of a bundled model. Default: the best bundled model.
        labels: Flags that select labelled images.
        predicted: Scenes: score the results in this folder, the --out of `shipseg predict`, instead of predicting.
        threshold: Probability threshold. Default: the model's own.
        rectangles: Images: replace ships by filled rectangles where one fits. Default: as in the model's card.
        backend: Library that runs the network.
        json: Print metrics.json.
    """
    from shipseg.scenes.scoring import has_truth

    labels = labels or LabelFlags()
    if out.resolve() == data.resolve():
        raise ConfigError(f"the scores cannot be written into the data folder {data}: choose another folder")
    if has_truth(data):
        for flag in labels.given + DecisionFlags(rectangles=rectangles).only_for_images:
            raise ConfigError(f"{flag} applies to images only, and {data} holds scenes: leave it out")
        return score_scenes(
            data, out, model=model, predicted=predicted, threshold=threshold, backend=backend, json=json
        )
    if predicted is not None:
        raise ConfigError("--predicted applies to scenes with their true ships (NAME.ships.gpkg) only: leave it out")
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
    rows = evaluation.summary | {"report": out / REPORT_FILE}
    show(f"Scores of {model} on {data}", evaluation.metrics if json else rows, as_json=json)
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


def score_scenes(
    data: Path,
    out: Path,
    *,
    model: str | None,
    predicted: Path | None,
    threshold: float | None,
    backend: str,
    json: bool,
) -> int:
    """Score scenes that have their true ships beside them (see `evaluate`), print the summary, return the exit status.

    Raises:
        ConfigError: The flags exclude each other.
    """
    from shipseg import files, progress
    from shipseg.inference.locate import default_model
    from shipseg.inference.predictor import load_model
    from shipseg.scenes.scoring import PREDICTED_FOLDER, labelled_scenes
    from shipseg.scenes.scoring import score_scenes as run_score_scenes

    with needing("geo"):
        from shipseg.scenes.scores_page import REPORT_FILE, write_scores_page
        from shipseg.scenes.scoring import write_scores
    if model is not None and predicted is not None:
        raise ConfigError("scenes are scored with --model MODEL or with --predicted FOLDER: give only one")
    if threshold is not None and predicted is not None:
        raise ConfigError("--threshold has no effect on the finished results in --predicted: leave it out")
    if predicted is None:
        model = default_model() if model is None else model
    scenes = labelled_scenes(data)
    predictor = None if model is None else load_model(model, backend=backend)
    with progress.shown():
        scores = run_score_scenes(scenes, predicted or out / PREDICTED_FOLDER, predictor, threshold=threshold)
        with files.all_or_none(out) as folder, progress.stage(f"writing {REPORT_FILE}"):
            write_scores(scores, folder)
            write_scores_page(scores, folder / REPORT_FILE)
    rows = scores.summary | {"report": out / REPORT_FILE}
    show(f"Scores of {model or predicted} on {data}", scores.metrics if json else rows, as_json=json)
    return 1 if scores.failed else 0


def export(model: str, out: Path, /, *, format: Literal["onnx"] = "onnx", json: bool = False) -> int:  # noqa: A002
    """Export a model to another format and verify it against the original.

    Args:
        model: Run or model folder. An ONNX file or the name of a bundled model is copied unchanged.
        out: Output file, e.g. ships.onnx.
        format: Output format: onnx has normalisation and sigmoid inside, takes any image and batch size, and holds the
            card in its metadata.
        json: Print the comparison as JSON.
    """
    from shipseg.files import size_in_words
    from shipseg.inference.export import export_onnx

    report = export_onnx(model, out)
    verified = {
        "verified on": f"{report.num_pixels:,} pixels of images of several sizes",
        "largest difference": f"{report.max_difference:.1e} in probability",
        "mean difference": f"{report.mean_difference:.1e} in probability",
        "pixels classified differently": f"{100 * report.flipped_share:.3g} %",
    }
    rows = {
        "file": f"{report.path}, {size_in_words(1e6 * report.size_mb)}",
        **(verified if report.num_pixels else {"copied": "unchanged: the model is an ONNX file already"}),
        "next": f"shipseg predict IMAGES --model {report.path} --out OUT",
    }
    show(f"{format} model {report.path}", report.as_dict() if json else rows, as_json=json)
    return 0


def models(folder: Path = Path(), /, *, json: bool = False) -> int:
    """List the models in a folder and the bundled models, or print the card of one model.

    Args:
        folder: Folder to search, with its subfolders. An ONNX file or the name of a bundled model prints its card.
        json: Print the list or the card as JSON.
    """
    from shipseg.inference.locate import bundled_models, default_model
    from shipseg.model.card import read_card

    bundled = bundled_models()
    if folder.is_file() or (str(folder) in bundled and not folder.exists()):
        return _print_card(str(folder), json=json)
    if not folder.is_dir():
        raise ModelError(f"{folder} is not a folder: give the folder that holds your runs")
    best = default_model() if bundled else ""
    notes = {name: f"comes with shipseg{', the default' if name == best else ''}" for name in bundled}
    found = {f"{name} ({notes[name]})": _facts(read_card(path)) for name, path in bundled.items()}
    num_foreign = 0
    for path in _candidates(folder):
        try:
            found[str(path)] = _facts(read_card(path))
        except ModelError as error:
            if path.suffix == ".onnx":
                num_foreign += 1  # most likely not a shipseg model
            else:
                found[str(path)] = f"not usable: {error}"
    if num_foreign:
        found["ONNX files without our card"] = str(num_foreign)
    show(f"Models in {folder.resolve()}", found or {"none": "train one with  shipseg train"}, as_json=json)
    return 0


def _print_card(model: str, *, json: bool) -> int:
    """Print the card of an ONNX file or of a bundled model, which have no README.md beside them."""
    from shipseg.inference.locate import find_model
    from shipseg.model.card import read_card
    from shipseg.model.card_page import describe_card

    card = read_card(find_model(model))
    if json:
        show(card.name, card.model_dump(mode="json"), as_json=True)
    else:
        print(describe_card(card, model=model), end="")
    return 0


def _facts(card: Card) -> str:
    """Return architecture, training data, threshold and date on one line."""
    network = card.network
    kind = network.architecture if network.architecture == "compact" else f"{network.architecture} on {network.encoder}"
    trained = f"trained on {card.data.train_images:,} images, " if card.data.train_images is not None else ""
    threshold = f"threshold {card.decision.threshold:.3g} for {card.decision.metric.replace('_', ' ')}"
    return f"{card.name}: {kind}, {trained}{threshold}, made {card.created or 'at an unknown date'}"


def _candidates(folder: Path) -> list[Path]:
    """Return the model folders and ONNX files below a folder, without hidden folders and installed packages."""
    from shipseg.model.card import CARD_FILE

    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != "." and name != "site-packages")
        if CARD_FILE in names:
            found.append(Path(root))
        found += [Path(root) / name for name in sorted(names) if name.endswith(".onnx")]
    return found
