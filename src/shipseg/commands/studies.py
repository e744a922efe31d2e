"""`study`: what changes when one thing is varied."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from shipseg.commands.summary import show
from shipseg.errors import ConfigError

if TYPE_CHECKING:
    from shipseg.studies.run import StudyReport

__all__ = ["study"]


def study(
    name: str | None = None,
    dataset: Path | None = None,
    out: Path | None = None,
    /,
    *,
    quick: bool = False,
    workers: int | None = None,
    seeds: str | None = None,
    json: bool = False,
) -> int:
    """Train what varies with several seeds each, and say which differences exceed the noise.

    Without arguments: list the studies and their questions. Killed and run again, the command goes on; the same command
    on the same OUT from several machines shares the trials among them.

    Args:
        name: Name of a study, or a YAML file.
        dataset: Folder made by `shipseg prepare`.
        out: Folder to write: report.html, table.csv, table.md, results.csv, curves.png, study.yaml, trials/.
        quick: The study's quick form: a small network, few steps; meant for a dataset prepared with --size 128.
        workers: Trainings side by side, each with its share of the cores; 1 unless given.
        seeds: Seeds to train each variant with, as in 0,1,2; the study's own unless given.
        json: Print the table as JSON.
    """
    from shipseg.studies.spec import load_study, study_names

    if name is None:
        show("Studies", {known: load_study(known).question for known in study_names()}, as_json=json)
        return 0
    loaded = load_study(name)
    if dataset is None or out is None:
        raise ConfigError(f"give a dataset and a folder to write: shipseg study {name} DATASET OUT")
    if out.resolve() == dataset.resolve():
        raise ConfigError(f"the study would be written into the dataset {dataset}: choose another folder for it")

    from shipseg import progress
    from shipseg.studies.run import run_study

    with progress.shown():
        report = run_study(loaded, dataset, out, quick=quick, workers=workers, seeds=_seeds(seeds))
    show(f"Study {loaded.name}: {loaded.question}", _as_dict(report) if json else _in_short(report), as_json=json)
    return 0 if report.ok else 1


def _in_short(report: StudyReport) -> dict[str, Any]:
    """Return what people want to know of a finished study."""
    from shipseg.studies.tables import signed

    table = {}
    for row in report.rows:
        judged = next(value for key, value in row.items() if key not in ("variant", "seeds"))
        difference = "" if row["difference"] is None else f", {signed(row['difference'])}"
        table[row["variant"]] = f"{judged or 'no score'}{difference}{' *' if row['exceeds_noise'] else ''}"
    failed = {"failed": "; ".join(report.failed)} if report.failed else {}
    return table | failed | {"verdict": " ".join(report.verdict), "report": report.page}


def _as_dict(report: StudyReport) -> dict[str, Any]:
    return {"rows": report.rows, "verdict": report.verdict, "failed": report.failed, "report": report.page}


def _seeds(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    parts = text.split(",")
    if not all(part.strip().isascii() and part.strip().isdecimal() for part in parts):
        raise ConfigError(f"--seeds must be whole numbers with commas between them, as in 0,1,2, got {text!r}")
    return tuple(int(part) for part in parts)
