"""The table of a study adds up, and its words say what the figures say."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest

from shipseg.studies.results import SCORE_COLUMNS, failure
from shipseg.studies.spec import Study
from shipseg.studies.tables import StudyTable, as_csv, as_markdown, tabulate, verdict
from shipseg.studies.trials import expand

StudyMaker = Callable[..., Study]


def result(variant: str, seed: int, score: float | None) -> dict[str, Any]:
    scores = dict.fromkeys(SCORE_COLUMNS, 0.5) | {
        "seed_dice": score,
        "false_alarm_images": score,
        "recall <100": None,
    }
    return {
        "variant": variant,
        "seed": seed,
        "failed": "",
        **scores,
        "minutes": 2.0 + seed,
        "images_seen": 100,
        "steps": 10,
        "parameters": 7,
        "commands": [f"train {variant} {seed}", "evaluate"],
    }


def table_of(study: Study, scores: dict[str, list[float | None]]) -> StudyTable:
    """Return the table where each variant's seeds 0, 1, ... have these scores."""
    results = {f"{name}-seed{k}": result(name, k, v) for name, values in scores.items() for k, v in enumerate(values)}
    return tabulate(study, expand(study), results)


def test_a_row_has_mean_and_deviation_over_its_seeds_and_the_difference_to_the_baseline(tiny_study: StudyMaker) -> None:
    table = table_of(tiny_study(), {"both": [0.5, 0.6], "dice": [0.9, 0.9]})
    both, dice = table.rows
    assert both.is_baseline
    assert (both.difference, both.p) == (None, None)
    assert str(both.scores["seed_dice"]) == "0.550 ± 0.071"  # 0.1 / sqrt(2)
    assert both.scores["recall <100"] is None
    assert both.values == (0.5, 0.6)
    assert dice.difference == pytest.approx(0.35)
    assert (both.minutes, both.images_seen, both.parameters) == (2.5, 100, 7)
    assert table.best is dice


def test_fewer_false_alarms_are_better(tiny_study: StudyMaker) -> None:
    table = table_of(tiny_study(metric="false_alarm_images"), {"both": [0.5, 0.51], "dice": [0.1, 0.11]})
    assert table.best is not None
    assert table.best.variant == "dice"
    assert verdict(table)[1] == "Better than “both”, beyond the noise: dice (-0.400)."


def test_the_words_say_what_exceeds_the_noise_and_what_does_not(tiny_study: StudyMaker) -> None:
    study = tiny_study(variants=[{"name": name} for name in ("both", "up", "down", "same")])
    scores: dict[str, list[float | None]] = {
        "both": [0.50, 0.51],
        "up": [0.80, 0.81],
        "down": [0.20, 0.21],
        "same": [0.50, 0.52],
    }
    sentences = verdict(table_of(study, scores))
    assert sentences[0].startswith("Two trainings of the same variant that differ in the seed alone lie 0.009 apart")
    assert sentences[1:] == (
        "Better than “both”, beyond the noise: up (+0.300).",
        "Worse than “both”, beyond the noise: down (-0.300).",
        "Within the noise of “both”: same (+0.005).",
    )


def test_with_one_seed_nothing_is_said(tiny_study: StudyMaker) -> None:
    table = table_of(tiny_study(seeds=[0]), {"both": [0.5], "dice": [0.9]})
    (sentence,) = verdict(table)
    assert sentence.startswith("Nothing can be said about differences: no variant has two seeds behind it")
    assert "±" not in as_markdown(table).split("\n")[2]


def test_a_failed_baseline_leaves_nothing_to_compare_with(tiny_study: StudyMaker) -> None:
    study = tiny_study()
    trials = expand(study)
    results = {t.name: failure(t, "it broke") if t.variant == "both" else result("dice", t.seed, 0.5) for t in trials}
    table = tabulate(study, trials, results)
    assert verdict(table) == ("Nothing can be said about differences: the baseline “both” has no finished trial.",)
    assert [trial["failed"] for trial in table.failed] == ["it broke", "it broke"]
    assert table.rows[0].failed == (0, 1)
    assert table.rows[0].scores["seed_dice"] is None


def test_unfinished_trials_are_counted_as_missing(tiny_study: StudyMaker) -> None:
    table = table_of(tiny_study(), {"both": [0.5]})
    assert table.num_missing == 3
    assert [row.missing for row in table.rows] == [(1,), (0, 1)]


def test_the_csv_files_hold_every_trial_and_every_variant(tiny_study: StudyMaker) -> None:
    per_trial, per_variant = as_csv(table_of(tiny_study(), {"both": [0.5, 0.6], "dice": [None, 0.9]}))
    trials = list(csv.DictReader(io.StringIO(per_trial)))
    assert [(row["variant"], row["seed"], row["seed_dice"]) for row in trials] == [
        ("both", "0", "0.5"),
        ("both", "1", "0.6"),
        ("dice", "0", ""),
        ("dice", "1", "0.9"),
    ]
    assert trials[0]["commands"] == "train both 0 && evaluate"
    both, dice = csv.DictReader(io.StringIO(per_variant))
    assert (both["seed_dice"], both["seed_dice sd"]) == ("0.55", "0.0707107")
    assert (dice["seed_dice"], dice["seed_dice sd"], dice["seeds"]) == ("0.9", "", "2")


def test_the_markdown_table_is_one_with_figures_of_the_reference_and_the_commands(tiny_study: StudyMaker) -> None:
    study = tiny_study(reference={"dice": {"Dice": 0.539, "loss": 0.985}})
    lines = as_markdown(table_of(study, {"both": [0.5, 0.6], "dice": [0.9, 0.9]})).split("\n")
    assert lines[0].startswith("| variant | the reference's Dice | pooled Dice |")
    assert lines[0].endswith("| reference: Dice | reference: loss |")
    assert {line.count("|") for line in lines[:4]} == {lines[0].count("|")}
    assert "| baseline |" in lines[2]
    assert lines[3].endswith("| +0.350 * | 2.5 | 100 | 0.539 | 0.985 |")
    commands = ["```bash", "# both", "train both 0", "evaluate", "# dice", "train dice 0", "evaluate", "```"]
    assert lines[lines.index("```bash") :] == [*commands, ""]
