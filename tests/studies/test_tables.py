"""The table of a study adds up."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

import pytest

from shipseg.studies.spec import Study
from shipseg.studies.tables import StudyTable, as_csv

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
