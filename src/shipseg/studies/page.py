"""The tables of a study, finished or not, as files and as an HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from shipseg import files
from shipseg.data.prepared import PreparedDataset
from shipseg.errors import TrainingError
from shipseg.reports import figures
from shipseg.reports.page import drawing, write_page
from shipseg.studies import layout
from shipseg.studies.spec import METRICS, Study
from shipseg.studies.tables import StudyTable, as_csv, as_markdown, signed, tabulate, verdict
from shipseg.studies.trials import Trial, as_yaml, empty_share, scored_split
from shipseg.training.history import HISTORY_FILE, EpochRow, read_history

__all__ = ["PAGE_FILE", "collect", "write_tables"]

PAGE_FILE = "report.html"


def collect(out: Path, study: Study, trials: Sequence[Trial]) -> StudyTable:
    """Return the table of the results so far."""
    results = {trial.name: layout.read_result(out, trial) for trial in trials}
    return tabulate(study, trials, {name: result for name, result in results.items() if result is not None})


def write_tables(out: Path, study: Study, trials: Sequence[Trial], data: PreparedDataset) -> StudyTable:
    """Write results.csv, table.csv, table.md, curves.png and report.html, and return the table.

    Raises:
        StorageError: They cannot be written.
    """
    table = replace(collect(out, study, trials), empty_share=empty_share(data))
    per_trial, per_variant = as_csv(table)
    files.write_text(out / "results.csv", per_trial)
    files.write_text(out / "table.csv", per_variant)
    files.write_text(out / "table.md", as_markdown(table))
    curves = figures.study_curves(_curves(out, study, trials), baseline=study.baseline)
    figures.save_png(curves, out / "curves.png")
    dots = figures.study_dots(
        [(row.variant, list(row.values)) for row in table.rows],
        baseline=study.baseline,
        label=METRICS[study.metric],
        noise=table.significance.min_difference if table.significance else None,
    )
    write_page(
        out / PAGE_FILE,
        "study.html",
        study=study,
        table=table,
        metric=METRICS[study.metric],
        signed=signed,
        figure_names=sorted({name for row in table.rows for name in row.reference}),
        verdict=verdict(table),
        varied=_varied(study),
        common=_as_text({"recipe": study.recipe, **study.set}),
        num_trials=len(trials),
        dataset=_dataset_row(data),
        dots=drawing(dots),
        curves=drawing(curves),
    )
    return table


def _dataset_row(data: PreparedDataset) -> dict[str, Any]:
    split, options = scored_split(data), data.report["options"]
    rows, train = data.rows(split), data.rows("train")
    return {
        "name": data.root.resolve().name,
        "split": split,
        "images": len(rows),
        "with_ships": int((rows["Ships"] > 0).sum()),
        "ships": int(rows["Ships"].sum()),
        "train_images": len(train),
        "size": "native size" if options["size"] == "native" else f"{options['size']} px",
    }


def _curves(out: Path, study: Study, trials: Sequence[Trial]) -> dict[str, list[tuple[list[float], list[float]]]]:
    """Return the images seen and the validation pooled Dice of each trial with a finished epoch, by variant."""
    curves: dict[str, list[tuple[list[float], list[float]]]] = {variant.name: [] for variant in study.variants}
    for trial in trials:
        rows = _history(layout.run_folder(out, trial) / HISTORY_FILE)
        if rows:
            batch = trial.recipe.train.batch_size
            curves[trial.variant].append(([row.step * batch for row in rows], [row.val_pooled_dice for row in rows]))
    return curves


def _history(path: Path) -> list[EpochRow]:
    try:
        return read_history(path)
    except TrainingError:  # not written yet, or being replaced
        return []


def _varied(study: Study) -> list[tuple[str, str]]:
    """Return the changes of each variant as text."""
    varied = []
    for variant in study.variants:
        changes: dict[str, Any] = {"recipe": variant.recipe} if variant.recipe else {}
        changes |= variant.set
        if variant.prepare is not None:
            changes["prepare.size"] = variant.prepare.size
        varied.append((variant.name, _as_text(changes) or "nothing"))
    return varied


def _as_text(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {as_yaml(value)}" for key, value in values.items())
