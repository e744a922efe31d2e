"""What `evaluate` does with scenes that have their true ships beside them."""

from __future__ import annotations

from pathlib import Path

from shipseg.commands.summary import show
from shipseg.errors import ConfigError
from shipseg.extras import needing

__all__ = ["score"]


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
        from shipseg.scenes.scores_tables import write_scores
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
