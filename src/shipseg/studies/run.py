"""Run a study: its trials in parallel, on one machine or several, then its table and page."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shipseg.data.prepared import PreparedDataset, open_dataset
from shipseg.errors import ConfigError
from shipseg.processes import available_workers
from shipseg.progress import track
from shipseg.studies import layout, leases
from shipseg.studies.page import PAGE_FILE, collect, write_tables
from shipseg.studies.spec import Study
from shipseg.studies.tables import StudyTable, verdict
from shipseg.studies.trials import Trial, expand
from shipseg.studies.worker_pool import worker_pool

__all__ = ["StudyReport", "run_study"]

_LOG = logging.getLogger(__name__)
_PAGE_EVERY_S = 60.0


@dataclass(frozen=True)
class StudyReport:
    """The result of a study.

    Args:
        rows: The table, one row per variant.
        verdict: Sentences on which differences are significant.
        failed: One sentence per failed trial.
        page: The HTML page.
    """

    rows: list[dict[str, Any]]
    verdict: tuple[str, ...]
    failed: tuple[str, ...]
    page: Path

    @property
    def ok(self) -> bool:
        """Whether every trial has scores."""
        return not self.failed


def run_study(
    study: Study,
    dataset: Path,
    out: Path,
    *,
    quick: bool = False,
    workers: int | None = None,
    seeds: tuple[int, ...] | None = None,
) -> StudyReport:
    """Train and score every variant with every seed, and return which differences are significant.

    If it was killed, running it again resumes it. Run at the same time on the same folder, on this machine or on others
    that share the folder, each trial is run once. A failed trial is listed with its reason; the others still run.

    Args:
        study: The study.
        dataset: Dataset made by `shipseg prepare`.
        out: Output folder: study.yaml, trials/, results.csv, table.csv, table.md, curves.png, report.html.
        quick: Run the study's quick form.
        workers: Number of trainings in parallel, which share the CPU cores; None is 1.
        seeds: Seeds instead of the study's, in addition to those in `out`.

    Raises:
        ConfigError: A recipe or a value is invalid, or `out` holds another study.
        DataError: The dataset cannot be read.
        StorageError: The disk is full, or `out` cannot be written.
    """
    dataset, out = Path(dataset), Path(out)
    data = open_dataset(dataset)
    resolved = study.resolved(quick=quick, seeds=seeds)
    resolved = resolved.model_copy(update={"seeds": tuple(sorted({*resolved.seeds, *layout.existing_seeds(out)}))})
    trials = expand(resolved)
    _check_input(trials, data, resolved)
    workers = available_workers(1 if workers is None else workers)
    layout.begin(out, resolved, trials, data)
    waiting = [trial for trial in trials if not layout.result_file(out, trial).exists()]
    if waiting:
        _work(resolved, trials, waiting, dataset=dataset, data=data, out=out, workers=min(workers, len(waiting)))
    table = write_tables(out, resolved, trials, data)
    return StudyReport(
        rows=[_row(table, number) for number in range(len(table.rows))],
        verdict=verdict(table),
        failed=tuple(f"{each['variant']}, seed {each['seed']}: {each['failed']}" for each in table.failed),
        page=out / PAGE_FILE,
    )


def _check_input(trials: list[Trial], data: PreparedDataset, study: Study) -> None:
    """Refuse a dataset without cached images if trials need them: they would fail one after another."""
    whole = [t for t in trials if t.recipe.input.mode == "resized" and t.size in (None, "native")]
    if whole and data.canvas is None:
        raise ConfigError(
            f"variant {whole[0].variant} of study {study.name} needs cached images, and dataset {data.root} was "
            "prepared at native size: prepare one with --size 256 (for --quick: --size 128)"
        )


def _work(
    study: Study,
    trials: list[Trial],
    waiting: list[Trial],
    *,
    dataset: Path,
    data: PreparedDataset,
    out: Path,
    workers: int,
) -> None:
    written_s = time.monotonic()

    def note() -> str:
        running = [each.name for each in trials if leases.holder(layout.leases_folder(out), each.name) is not None]
        best = collect(out, study, trials).best
        best_text = "" if best is None else f"best so far {best.variant} {best.scores[study.metric]}"
        return ", ".join(filter(None, (best_text, f"running: {' '.join(running)}" if running else "")))

    def finished() -> Iterator[Trial]:
        with worker_pool(out, dataset, workers=workers, threads=_threads(workers)) as pool:
            yield from pool.finished(waiting)

    for _ in track(finished(), f"study {study.name}", total=len(trials), done=len(trials) - len(waiting), note=note):
        if time.monotonic() - written_s >= _PAGE_EVERY_S:
            write_tables(out, study, trials, data)
            written_s = time.monotonic()


def _threads(workers: int) -> int:
    setting = os.environ.get("OMP_NUM_THREADS", "")
    return int(setting) if setting.isdecimal() and int(setting) else max(1, available_workers(None) // workers)


def _row(table: StudyTable, number: int) -> dict[str, Any]:
    row = table.rows[number]
    scores = {name: None if row.scores[name] is None else str(row.scores[name]) for name in table.columns}
    return {
        "variant": row.variant,
        "seeds": len(row.seeds),
        **scores,
        "difference": row.difference,
        "p": row.p,
        "exceeds_noise": row.is_significant,
        "minutes": row.minutes,
        "images_seen": row.images_seen,
    }
