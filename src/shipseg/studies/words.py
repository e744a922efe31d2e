"""A study's result in words, and as a table in Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from shipseg.studies.significance import Comparison
from shipseg.studies.spec import METRICS
from shipseg.studies.tables import LOWER_IS_BETTER, StudyTable, VariantRow

__all__ = ["as_markdown", "signed", "verdict"]


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
