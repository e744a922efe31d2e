"""`study`: compare variants of a training over several seeds."""

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
    """Train variants with several seeds each and report which differences are significant.

    Without arguments, list the studies and their questions. To resume a command that was killed, run it again. Several
    machines that run the same command on the same OUT share the trials.

    Args:
        name: Name of a study or YAML file.
        dataset: Dataset made by `shipseg prepare`.
        out: Output folder: report.html, table.csv, table.md, results.csv, curves.png, study.yaml, trials/.
        quick: Run the quick form of the study, a small network and few steps, on a dataset prepared with --size 128.
        workers: Number of trainings in parallel, which share the CPU cores. Default: 1.
        seeds: Seeds of each variant, such as 0,1,2. Default: the study's own.
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
        raise ConfigError(f"the study cannot be written into the dataset {dataset}: choose another folder")

    from shipseg import progress
    from shipseg.studies.run import run_study

    with progress.shown():
        report = run_study(loaded, dataset, out, quick=quick, workers=workers, seeds=_seeds(seeds))
    show(f"Study {loaded.name}: {loaded.question}", _as_dict(report) if json else _report_rows(report), as_json=json)
    return 0 if report.ok else 1


def _report_rows(report: StudyReport) -> dict[str, Any]:
    """Return the rows of the summary; * marks significant differences."""
    from shipseg.studies.tables import signed

    rows = {}
    for row in report.rows:
        score = next(value for key, value in row.items() if key not in ("variant", "seeds"))
        difference = "" if row["difference"] is None else f", {signed(row['difference'])}"
        rows[row["variant"]] = f"{score or 'no score'}{difference}{' *' if row['exceeds_noise'] else ''}"
    failed = {"failed": "; ".join(report.failed)} if report.failed else {}
    return rows | failed | {"verdict": " ".join(report.verdict), "report": report.page}


def _as_dict(report: StudyReport) -> dict[str, Any]:
    return {"rows": report.rows, "verdict": report.verdict, "failed": report.failed, "report": report.page}


def _seeds(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    parts = text.split(",")
    if not all(part.strip().isascii() and part.strip().isdecimal() for part in parts):
        raise ConfigError(f"--seeds must be comma-separated whole numbers such as 0,1,2, got {text!r}")
    return tuple(int(part) for part in parts)
