"""The tables of a study have the right rows, means and sentences."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace

import pytest

from shipseg.studies.spec import Study
from shipseg.studies.tables import StudyTable, as_csv, as_markdown, signed, tabulate, verdict
from shipseg.studies.trials import expand, failure

StudyMaker = Callable[..., Study]
TableMaker = Callable[[Study, dict[str, list[float | None]]], StudyTable]


def test_a_row_has_mean_and_deviation_over_its_seeds_and_the_difference_to_the_baseline(
    tiny_study: StudyMaker, table_of: TableMaker
) -> None:
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


def test_unfinished_trials_are_counted_as_missing(tiny_study: StudyMaker, table_of: TableMaker) -> None:
    table = table_of(tiny_study(), {"both": [0.5]})
    assert table.num_missing == 3
    assert [row.missing for row in table.rows] == [(1,), (0, 1)]


def test_the_csv_files_hold_every_trial_and_every_variant(tiny_study: StudyMaker, table_of: TableMaker) -> None:
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


def test_fewer_false_alarms_are_better(tiny_study: StudyMaker, table_of: TableMaker) -> None:
    table = table_of(tiny_study(metric="false_alarm_images"), {"both": [0.5, 0.51], "dice": [0.1, 0.11]})
    assert table.best is not None
    assert table.best.variant == "dice"
    assert verdict(table)[1] == "Significantly better than “both”: dice (-0.400)."


def test_the_verdict_lists_significant_and_other_differences(tiny_study: StudyMaker, table_of: TableMaker) -> None:
    study = tiny_study(variants=[{"name": name} for name in ("both", "up", "down", "same")])
    scores: dict[str, list[float | None]] = {
        "both": [0.50, 0.51],
        "up": [0.80, 0.81],
        "down": [0.20, 0.21],
        "same": [0.50, 0.52],
    }
    sentences = verdict(table_of(study, scores))
    assert sentences[0].startswith("The standard deviation of the reference's Dice over seeds is 0.009; differences to")
    assert sentences[1:] == (
        "Significantly better than “both”: up (+0.300).",
        "Significantly worse than “both”: down (-0.300).",
        "Not significantly different from “both”: same (+0.005).",
        "Significantly different in images with a false alarm: up (+0.300), down (-0.300).",
    )


def test_with_one_seed_differences_cannot_be_tested(tiny_study: StudyMaker, table_of: TableMaker) -> None:
    table = table_of(tiny_study(seeds=[0]), {"both": [0.5], "dice": [0.9]})
    (sentence,) = verdict(table)
    assert sentence.startswith("Differences cannot be tested: no variant has two finished seeds")
    assert "±" not in as_markdown(table).split("\n")[2]


def test_without_a_finished_baseline_differences_cannot_be_tested(tiny_study: StudyMaker, table_of: TableMaker) -> None:
    study = tiny_study()
    trials = expand(study)
    good = {f"dice-seed{each['seed']}": each for each in table_of(study, {"dice": [0.5, 0.6]}).trials}
    table = tabulate(study, trials, good | {t.name: failure(t, "it broke") for t in trials if t.variant == "both"})
    assert verdict(table) == ("Differences cannot be tested: the baseline “both” has no finished trial.",)
    assert [trial["failed"] for trial in table.failed] == ["it broke", "it broke"]
    assert table.rows[0].failed == (0, 1)
    assert table.rows[0].scores["seed_dice"] is None


def test_the_markdown_table_is_one_with_figures_of_the_reference_and_the_commands(
    tiny_study: StudyMaker, table_of: TableMaker
) -> None:
    study = tiny_study(reference={"dice": {"Dice": 0.539, "loss": 0.985}})
    lines = as_markdown(table_of(study, {"both": [0.50, 0.51], "dice": [0.9, 0.9]})).split("\n")
    assert lines[0].startswith("| variant | the reference's Dice | pooled Dice |")
    assert lines[0].endswith("| reference: Dice | reference: loss |")
    assert {line.count("|") for line in lines[:4]} == {lines[0].count("|")}
    assert "| baseline |" in lines[2]
    assert lines[3].startswith("| dice | 0.900 ± 0.000 * | 0.500 ± 0.000 |")
    assert lines[3].endswith("| – / 0.50 / 0.50 | +0.395 | 2.5 | 100 | 0.539 | 0.985 |")
    commands = ["```bash", "# both", "train both 0", "evaluate", "# dice", "train dice 0", "evaluate", "```"]
    assert lines[lines.index("```bash") :] == [*commands, ""]


def test_with_equal_scores_for_all_seeds_differences_cannot_be_tested(
    tiny_study: StudyMaker, table_of: TableMaker
) -> None:
    (sentence,) = verdict(table_of(tiny_study(), {"both": [0.5, 0.5], "dice": [0.4, 0.4]}))
    assert sentence.endswith("has the same score for all of its seeds: most likely nothing was learned.")


def test_airbus_scores_are_compared_with_predicting_nothing(tiny_study: StudyMaker, table_of: TableMaker) -> None:
    scores: dict[str, list[float | None]] = {"both": [0.5, 0.51], "dice": [0.9, 0.91]}
    by_airbus_score = replace(table_of(tiny_study(metric="airbus_score"), scores), empty_share=0.4894)
    assert verdict(by_airbus_score)[-1] == "Predicting nothing gets an Airbus score of 0.489 on these images."
    by_dice = replace(table_of(tiny_study(metric="pooled_dice"), scores), empty_share=0.4894)
    assert not any("Predicting nothing" in sentence for sentence in verdict(by_dice))


def test_a_difference_that_rounds_to_zero_has_a_plus() -> None:
    assert [signed(value) for value in (-0.0004, 0.0, 0.0004, -0.0006)] == ["+0.000", "+0.000", "+0.000", "-0.001"]
