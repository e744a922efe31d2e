"""The tables of a study, with one row per trial or per variant, as CSV, Markdown and sentences."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shipseg.files import csv_text
from shipseg.number_formats import NONE, csv_cell, formatted
from shipseg.studies.significance import Comparison, Significance, compare
from shipseg.studies.spec import METRICS, Study, Variant
from shipseg.studies.trials import SCORE_COLUMNS, Trial

__all__ = [
    "LOWER_IS_BETTER",
    "Mean",
    "StudyTable",
    "VariantRow",
    "as_csv",
    "as_markdown",
    "signed",
    "tabulate",
    "verdict",
]

_TRIAL_COLUMNS = (
    "variant",
    "seed",
    *SCORE_COLUMNS,
    "threshold",
    "min_peak",
    "minutes",
    "images_seen",
    "steps",
    "best_epoch",
    "parameters",
    "split",
    "num_images",
    "threads",
    "shipseg",
    "failed",
    "commands",
)
LOWER_IS_BETTER = ("false_alarm_images",)
"""Scores for which a lower value is better."""
_SHOWN = ("pooled_dice", "image_dice", "ship_f1", "false_alarm_images")
_RECALL = tuple(name for name in SCORE_COLUMNS if name.startswith("recall "))


@dataclass(frozen=True)
class Mean:
    """Mean of a value over the seeds of a variant."""

    mean: float
    deviation: float | None
    """Standard deviation over seeds; None with one seed."""

    def __str__(self) -> str:
        return f"{self.mean:.3f}" + ("" if self.deviation is None else f" ± {self.deviation:.3f}")


@dataclass(frozen=True)
class VariantRow:
    """Results of a variant over its seeds."""

    variant: str
    note: str
    is_baseline: bool
    seeds: tuple[int, ...]
    """Seeds of the finished trials."""
    failed: tuple[int, ...]
    missing: tuple[int, ...]
    scores: Mapping[str, Mean | None]
    """Mean scores; None if no finished trial has the score."""
    values: tuple[float, ...]
    """The study's score for each finished seed."""
    against: Mapping[str, Comparison]
    """Comparisons with the baseline, by score; empty for the baseline, and without scores that can be compared."""
    difference: float | None
    """Difference to the baseline in the study's score; None if there is no comparison."""
    p: float | None
    """p value of that difference; see `Comparison.p`."""
    is_significant: bool
    """Whether that difference is significant."""
    minutes: float | None
    """Mean minutes of training and validation."""
    images_seen: float | None
    steps: float | None
    parameters: int | None
    reference: Mapping[str, float]


@dataclass(frozen=True)
class StudyTable:
    """The results of a study so far."""

    study: Study
    rows: tuple[VariantRow, ...]
    trials: tuple[Mapping[str, Any], ...]
    """Results of finished and failed trials, in the order of the table."""
    significances: Mapping[str, Significance]
    """By score, without scores that cannot be compared."""
    empty_share: float | None = None
    """Share of the scored images without ships, which is the Airbus score of predicting nothing."""

    @property
    def significance(self) -> Significance | None:
        """Significance of the differences in the study's score."""
        return self.significances.get(self.study.metric)

    @property
    def num_missing(self) -> int:
        """Number of trials that are not finished."""
        return sum(len(row.missing) for row in self.rows)

    @property
    def failed(self) -> tuple[Mapping[str, Any], ...]:
        """Results of failed trials."""
        return tuple(trial for trial in self.trials if trial["failed"])

    @property
    def best(self) -> VariantRow | None:
        """The variant with the best mean of the study's score."""
        metric = self.study.metric
        sign = -1 if metric in LOWER_IS_BETTER else 1
        known = [(mean.mean * sign, row) for row in self.rows if (mean := row.scores[metric]) is not None]
        return max(known, key=lambda each: each[0])[1] if known else None

    @property
    def columns(self) -> dict[str, str]:
        """Scores that the table shows, and their names; the study's score first."""
        return {self.study.metric: METRICS[self.study.metric]} | {name: METRICS[name] for name in _SHOWN}

    @property
    def sizes(self) -> dict[str, str]:
        """Recalls by ship size that the table shows, and their names."""
        return {name: f"{name} px" for name in _RECALL}


def tabulate(study: Study, trials: Sequence[Trial], results: Mapping[str, Mapping[str, Any]]) -> StudyTable:
    """Return the tables of a study.

    Args:
        study: The resolved study.
        trials: All of its trials.
        results: Results by the trial's name, without unfinished trials.
    """
    done: dict[str, dict[int, Mapping[str, Any]]] = {variant.name: {} for variant in study.variants}
    for trial in trials:
        if trial.name in results:
            done[trial.variant][trial.seed] = results[trial.name]
    values = {
        score: {name: _known(score, by_seed.values()) for name, by_seed in done.items()} for score in SCORE_COLUMNS
    }
    compared = {score: compare(by_variant, study.baseline) for score, by_variant in values.items()}
    significances = {score: significance for score, significance in compared.items() if significance is not None}
    rows = tuple(
        _variant_row(study, variant, done[variant.name], values[study.metric][variant.name], significances)
        for variant in study.variants
    )
    ordered = tuple(done[variant.name][seed] for variant in study.variants for seed in sorted(done[variant.name]))
    return StudyTable(study, rows, ordered, significances)


def _variant_row(
    study: Study,
    variant: Variant,
    done: Mapping[int, Mapping[str, Any]],
    values: Sequence[float],
    significances: Mapping[str, Significance],
) -> VariantRow:
    """Return a variant's row from its results by seed; `values` are its scores in the study's metric."""
    against = {
        score: comparison
        for score, significance in significances.items()
        for comparison in significance.comparisons
        if comparison.variant == variant.name
    }
    main = against.get(study.metric)
    finished = [result for result in done.values() if not result["failed"]]

    def mean(name: str) -> float | None:
        return statistics.fmean(result[name] for result in finished) if finished else None

    return VariantRow(
        variant=variant.name,
        note=variant.note,
        is_baseline=variant.name == study.baseline,
        seeds=tuple(seed for seed in study.seeds if seed in done and not done[seed]["failed"]),
        failed=tuple(seed for seed in study.seeds if seed in done and done[seed]["failed"]),
        missing=tuple(seed for seed in study.seeds if seed not in done),
        scores={name: _mean(_known(name, finished)) for name in SCORE_COLUMNS},
        values=tuple(values),
        against=against,
        difference=main.difference if main else None,
        p=main.p if main else None,
        is_significant=bool(main and main.is_significant),
        minutes=mean("minutes"),
        images_seen=mean("images_seen"),
        steps=mean("steps"),
        parameters=finished[0]["parameters"] if finished else None,
        reference=study.reference.get(variant.name, {}),
    )


def as_csv(table: StudyTable) -> tuple[str, str]:
    """Return the texts of results.csv, with one row per trial, and of table.csv, with one row per variant."""
    per_trial = [
        {**{name: trial.get(name) for name in _TRIAL_COLUMNS}, "commands": " && ".join(trial.get("commands", ()))}
        for trial in table.trials
    ]
    per_variant = []
    for row in table.rows:
        cells: dict[str, Any] = {"variant": row.variant, "seeds": len(row.seeds), "failed": len(row.failed)}
        for name, mean in row.scores.items():
            cells |= {name: mean and mean.mean, f"{name} sd": mean and mean.deviation}
        cells |= {"difference": row.difference, "p": row.p, "exceeds_noise": "yes" if row.is_significant else "no"}
        cells |= {"minutes": row.minutes, "images_seen": row.images_seen, "steps": row.steps}
        per_variant.append(cells | {"parameters": row.parameters})
    results = csv_text(_TRIAL_COLUMNS, per_trial, cell=csv_cell)
    return results, csv_text(tuple(per_variant[0]), per_variant, cell=csv_cell)


def _known(score: str, results: Iterable[Mapping[str, Any]]) -> list[float]:
    """Return the values of a score, of the trials that finished and have it."""
    return [float(each[score]) for each in results if not each["failed"] and each[score] is not None]


def _mean(values: Sequence[float]) -> Mean | None:
    if not values:
        return None
    return Mean(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


def verdict(table: StudyTable) -> tuple[str, ...]:
    """Return sentences on which differences are significant."""
    study, significance = table.study, table.significance
    if significance is None:
        if not any(len(row.seeds) > 1 for row in table.rows):
            reason = "no variant has two finished seeds, so the variation between seeds is unknown."
        elif not any(row.is_baseline and row.seeds for row in table.rows):
            reason = f"the baseline “{study.baseline}” has no finished trial."
        else:
            reason = "every variant has the same score for all of its seeds: most likely nothing was learned."
        return (f"Differences cannot be tested: {reason}", *_empty_baseline(table))
    base, sign = f"“{study.baseline}”", -1 if study.metric in LOWER_IS_BETTER else 1
    significant = [each for each in significance.comparisons if each.is_significant]
    smallest = significance.min_difference
    limit = f"; differences to {base} of about {smallest:.3f} or more are significant" if smallest else ""
    sentences = (
        f"The standard deviation of {METRICS[study.metric]} over seeds is {significance.deviation:.3f}{limit}.",
        _sentence(f"Significantly better than {base}", [e for e in significant if e.difference * sign > 0]),
        _sentence(f"Significantly worse than {base}", [e for e in significant if e.difference * sign < 0]),
        _sentence(
            f"Not significantly different from {base}",
            [e for e in significance.comparisons if not e.is_significant],
        ),
        *(
            _sentence(
                f"Significantly different in {name}",
                [e for e in table.significances[score].comparisons if e.is_significant],
            )
            for score, name in table.columns.items()
            if score != study.metric and score in table.significances
        ),
        *_empty_baseline(table),
    )
    return tuple(sentence for sentence in sentences if sentence)


def signed(difference: float) -> str:
    """Return a difference with its sign and three decimals; zero is +0.000."""
    return f"{round(difference, 3) + 0.0:+.3f}"


def as_markdown(table: StudyTable) -> str:
    """Return the table, the verdict, and the commands of one seed of each variant, as Markdown."""
    names = table.columns
    figures = sorted({key for row in table.rows for key in row.reference})
    sizes = "recall " + " / ".join(name.removeprefix("recall ") for name in table.sizes.values())
    headers = ["variant", *names.values(), sizes, "difference", "minutes", "images seen"]
    headers += [f"reference: {figure}" for figure in figures]
    lines = [f"| {' | '.join(headers)} |", f"|{'---|' * len(headers)}"]
    for row in table.rows:
        recall = [row.scores[key] for key in table.sizes]
        difference = NONE if row.difference is None else signed(row.difference)
        stars = {key: " *" if key in row.against and row.against[key].is_significant else "" for key in names}
        cells = [row.variant, *(formatted(row.scores[key]) + stars[key] for key in names)]
        cells.append(" / ".join(formatted(each and each.mean, ".2f") for each in recall))
        cells.append("baseline" if row.is_baseline else difference)
        cells += [formatted(row.minutes, ".1f"), formatted(row.images_seen, ",.0f")]
        cells += [formatted(row.reference.get(figure), "g") for figure in figures]
        lines.append(f"| {' | '.join(cells)} |")
    commands = []
    for row in table.rows:
        first = next((t for t in table.trials if t["variant"] == row.variant and not t["failed"]), None)
        commands += [] if first is None else [f"# {row.variant}", *first["commands"]]
    seeds = ", ".join(map(str, table.study.seeds))
    text = [
        "",
        f"Mean ± standard deviation over the seeds {seeds}; * differs significantly from the baseline.",
        "",
        *verdict(table),
    ]
    return "\n".join([*lines, *text, "", "```bash", *commands, "```", ""])


def _sentence(start: str, comparisons: Iterable[Comparison]) -> str:
    """Return a sentence with the variants and their differences, the largest first; empty without variants."""
    largest_first = sorted(comparisons, key=lambda each: -abs(each.difference))
    listed = ", ".join(f"{each.variant} ({signed(each.difference)})" for each in largest_first)
    return f"{start}: {listed}." if listed else ""


def _empty_baseline(table: StudyTable) -> tuple[str, ...]:
    """Return a sentence on the Airbus score of empty predictions, if the study compares Airbus scores."""
    if table.study.metric != "airbus_score" or table.empty_share is None:
        return ()
    return (f"Predicting nothing gets an Airbus score of {table.empty_share:.3f} on these images.",)
