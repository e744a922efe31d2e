"""What the trials of a study came to: a row for each trial, a row for each variant."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shipseg.studies.significance import Comparison, Noise, compare
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
"""Scores of which less is better."""
_SHOWN = ("pooled_dice", "image_dice", "ship_f1", "false_alarm_images")
_RECALL = tuple(name for name in SCORE_COLUMNS if name.startswith("recall "))


@dataclass(frozen=True)
class Mean:
    """A figure over the seeds of a variant."""

    mean: float
    deviation: float | None
    """Standard deviation over seeds; None with one seed."""

    def __str__(self) -> str:
        return f"{self.mean:.3f}" + ("" if self.deviation is None else f" ± {self.deviation:.3f}")


@dataclass(frozen=True)
class VariantRow:
    """A variant, over its seeds."""

    variant: str
    note: str
    is_baseline: bool
    seeds: tuple[int, ...]
    """Those that are finished."""
    failed: tuple[int, ...]
    missing: tuple[int, ...]
    scores: Mapping[str, Mean | None]
    """None where no finished trial has the score."""
    values: tuple[float, ...]
    """The judged score of each finished seed."""
    against: Mapping[str, Comparison]
    """By score: the variant against the baseline; empty for the baseline, and where nothing can be said."""
    difference: float | None
    """To the baseline, in the judged score; None as above."""
    p: float | None
    """See `Comparison.p`."""
    exceeds: bool
    """Whether that difference exceeds the noise."""
    minutes: float | None
    """Of training and validation, mean."""
    images_seen: float | None
    steps: float | None
    parameters: int | None
    reference: Mapping[str, float]


@dataclass(frozen=True)
class StudyTable:
    """A study's result so far."""

    study: Study
    rows: tuple[VariantRow, ...]
    trials: tuple[Mapping[str, Any], ...]
    """Results of finished and failed trials, in the order of the table."""
    noises: Mapping[str, Noise]
    """By score; without those of which nothing can be said."""
    empty_share: float | None = None
    """Share of the scored images without a ship, which is the Airbus score of predicting nothing."""

    @property
    def noise(self) -> Noise | None:
        """Of the judged score."""
        return self.noises.get(self.study.metric)

    @property
    def num_missing(self) -> int:
        """Trials that are not finished."""
        return sum(len(row.missing) for row in self.rows)

    @property
    def failed(self) -> tuple[Mapping[str, Any], ...]:
        """Results of failed trials."""
        return tuple(trial for trial in self.trials if trial["failed"])

    @property
    def best(self) -> VariantRow | None:
        """The variant with the best mean of the judged score."""
        metric = self.study.metric
        sign = -1 if metric in LOWER_IS_BETTER else 1
        known = [(mean.mean * sign, row) for row in self.rows if (mean := row.scores[metric]) is not None]
        return max(known, key=lambda each: each[0])[1] if known else None

    @property
    def columns(self) -> dict[str, str]:
        """Scores that the table shows, and their names; the judged one first."""
        return {self.study.metric: METRICS[self.study.metric]} | {name: METRICS[name] for name in _SHOWN}

    @property
    def sizes(self) -> dict[str, str]:
        """Recall by size of ship, and their names."""
        return {name: f"{name} px" for name in _RECALL}


def tabulate(study: Study, trials: Sequence[Trial], results: Mapping[str, Mapping[str, Any]]) -> StudyTable:
    """Return the tables of a study.

    Args:
        study: Resolved.
        trials: All of its trials.
        results: By a trial's name; unfinished ones are missing.
    """
    done: dict[str, dict[int, Mapping[str, Any]]] = {variant.name: {} for variant in study.variants}
    for trial in trials:
        if trial.name in results:
            done[trial.variant][trial.seed] = results[trial.name]
    values = {
        score: {name: _known(score, by_seed.values()) for name, by_seed in done.items()} for score in SCORE_COLUMNS
    }
    found = {score: compare(by_variant, study.baseline) for score, by_variant in values.items()}
    noises = {score: noise for score, noise in found.items() if noise is not None}
    rows = tuple(
        _variant_row(study, variant, done[variant.name], values[study.metric][variant.name], noises)
        for variant in study.variants
    )
    ordered = tuple(done[variant.name][seed] for variant in study.variants for seed in sorted(done[variant.name]))
    return StudyTable(study, rows, ordered, noises)


def _variant_row(
    study: Study,
    variant: Variant,
    done: Mapping[int, Mapping[str, Any]],
    judged: Sequence[float],
    noises: Mapping[str, Noise],
) -> VariantRow:
    """Return a variant's row from its results by seed."""
    against = {
        score: each for score, noise in noises.items() for each in noise.comparisons if each.variant == variant.name
    }
    judgement = against.get(study.metric)
    good = [result for result in done.values() if not result["failed"]]

    def typical(name: str) -> float | None:
        return statistics.fmean(result[name] for result in good) if good else None

    return VariantRow(
        variant=variant.name,
        note=variant.note,
        is_baseline=variant.name == study.baseline,
        seeds=tuple(seed for seed in study.seeds if seed in done and not done[seed]["failed"]),
        failed=tuple(seed for seed in study.seeds if seed in done and done[seed]["failed"]),
        missing=tuple(seed for seed in study.seeds if seed not in done),
        scores={name: _mean(_known(name, good)) for name in SCORE_COLUMNS},
        values=tuple(judged),
        against=against,
        difference=judgement.difference if judgement else None,
        p=judgement.p if judgement else None,
        exceeds=bool(judgement and judgement.exceeds),
        minutes=typical("minutes"),
        images_seen=typical("images_seen"),
        steps=typical("steps"),
        parameters=good[0]["parameters"] if good else None,
        reference=study.reference.get(variant.name, {}),
    )


def as_csv(table: StudyTable) -> tuple[str, str]:
    """Return results.csv, a row for each trial, and table.csv, a row for each variant."""
    per_trial = [
        {**{name: trial.get(name) for name in _TRIAL_COLUMNS}, "commands": " && ".join(trial.get("commands", ()))}
        for trial in table.trials
    ]
    per_variant = []
    for row in table.rows:
        cells: dict[str, Any] = {"variant": row.variant, "seeds": len(row.seeds), "failed": len(row.failed)}
        for name, mean in row.scores.items():
            cells |= {name: mean and mean.mean, f"{name} sd": mean and mean.deviation}
        cells |= {"difference": row.difference, "p": row.p, "exceeds_noise": "yes" if row.exceeds else "no"}
        cells |= {"minutes": row.minutes, "images_seen": row.images_seen, "steps": row.steps}
        per_variant.append(cells | {"parameters": row.parameters})
    return _csv(_TRIAL_COLUMNS, per_trial), _csv(tuple(per_variant[0]), per_variant)


def _known(score: str, results: Iterable[Mapping[str, Any]]) -> list[float]:
    """Return a score of the trials that have it: neither failed nor without anything to count."""
    return [float(each[score]) for each in results if not each["failed"] and each[score] is not None]


def _mean(values: Sequence[float]) -> Mean | None:
    if not values:
        return None
    return Mean(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_plain(row.get(name)) for name in columns] for row in rows)
    return text.getvalue()


def _plain(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


# A study's result in words, and as a table in Markdown.


def verdict(table: StudyTable) -> tuple[str, ...]:
    """Return in sentences which differences exceed the noise."""
    study, noise = table.study, table.noise
    if noise is None:
        if not any(len(row.seeds) > 1 for row in table.rows):
            why = "no variant has two seeds behind it, so nobody knows how far apart two trainings of the same one lie."
        elif not any(row.is_baseline and row.seeds for row in table.rows):
            why = f"the baseline “{study.baseline}” has no finished trial."
        else:
            why = "every variant has the same score at each of its seeds: most likely nothing was learned."
        return (f"Nothing can be said about differences: {why}", *_floor(table))
    base, better = f"“{study.baseline}”", -1 if study.metric in LOWER_IS_BETTER else 1
    beyond = [each for each in noise.comparisons if each.exceeds]
    spread = f"{noise.deviation:.3f} apart in {METRICS[study.metric]}"
    shows = f"; a difference to {base} shows from about {noise.smallest:.3f} on" if noise.smallest else ""
    sentences = (
        f"Two trainings of the same variant that differ in the seed alone lie {spread} (standard deviation){shows}.",
        _sentence(f"Better than {base}, beyond the noise", [e for e in beyond if e.difference * better > 0]),
        _sentence(f"Worse than {base}, beyond the noise", [e for e in beyond if e.difference * better < 0]),
        _sentence(f"Within the noise of {base}", [e for e in noise.comparisons if not e.exceeds]),
        *(
            _sentence(f"In {name}, beyond its own noise", [e for e in table.noises[score].comparisons if e.exceeds])
            for score, name in table.columns.items()
            if score != study.metric and score in table.noises
        ),
        *_floor(table),
    )
    return tuple(sentence for sentence in sentences if sentence)


def signed(difference: float) -> str:
    """Return a difference with its sign, to the third digit; nothing is +0.000."""
    return f"{round(difference, 3) + 0.0:+.3f}"


def as_markdown(table: StudyTable) -> str:
    """Return the table, the verdict and the commands of one seed of each variant as Markdown."""
    names = table.columns
    figures = sorted({key for row in table.rows for key in row.reference})
    sizes = "recall " + " / ".join(name.removeprefix("recall ") for name in table.sizes.values())
    heads = ["variant", *names.values(), sizes, "difference", "minutes", "images seen"]
    heads += [f"reference: {figure}" for figure in figures]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for row in table.rows:
        recall = [row.scores[key] for key in table.sizes]
        difference = "baseline" if row.is_baseline else _difference(row)
        starred = {key: " *" if key in row.against and row.against[key].exceeds else "" for key in names}
        cells = [row.variant, *(_cell(row.scores[key]) + starred[key] for key in names)]
        cells += [" / ".join(_cell(each and each.mean, ".2f") for each in recall), difference]
        cells += [_cell(row.minutes, ".1f"), _cell(row.images_seen, ",.0f")]
        cells += [_cell(row.reference.get(figure), "g") for figure in figures]
        lines.append(f"| {' | '.join(cells)} |")
    commands = []
    for row in table.rows:
        first = next((t for t in table.trials if t["variant"] == row.variant and not t["failed"]), None)
        commands += [] if first is None else [f"# {row.variant}", *first["commands"]]
    seeds = ", ".join(map(str, table.study.seeds))
    said = [
        "",
        f"Mean ± standard deviation over the seeds {seeds}; * differs from the baseline beyond the noise.",
        "",
        *verdict(table),
    ]
    return "\n".join([*lines, *said, "", "```bash", *commands, "```", ""])


def _sentence(start: str, comparisons: Iterable[Comparison]) -> str:
    """Return the variants with their differences, the largest first; nothing where there are none."""
    largest_first = sorted(comparisons, key=lambda each: -abs(each.difference))
    listed = ", ".join(f"{each.variant} ({signed(each.difference)})" for each in largest_first)
    return f"{start}: {listed}." if listed else ""


def _floor(table: StudyTable) -> tuple[str, ...]:
    """Return what the Airbus scores have to be measured against, where the study is judged by them."""
    if table.study.metric != "airbus_score" or table.empty_share is None:
        return ()
    return (f"Predicting nothing gets an Airbus score of {table.empty_share:.3f} on these images.",)


def _difference(row: VariantRow) -> str:
    return "–" if row.difference is None else signed(row.difference)


def _cell(value: object, form: str = "") -> str:
    return "–" if value is None else format(value, form)
