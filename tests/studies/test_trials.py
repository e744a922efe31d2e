"""The trials of a study, and the commands that repeat them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from shipseg.data.prepared import open_dataset
from shipseg.errors import ConfigError
from shipseg.recipes import load_recipe
from shipseg.studies.spec import Study
from shipseg.studies.trials import as_yaml, expand, repeat_commands

StudyMaker = Callable[..., Study]


def run_line(command: str, folder: Path) -> None:
    """Run a printed command as a shell would, with this interpreter's shipseg."""
    name, *words = shlex.split(command)[1:]
    assert name == "shipseg"
    threads = shlex.split(command)[0].partition("=")[2]
    environment = {**os.environ, "OMP_NUM_THREADS": threads}
    subprocess.run([sys.executable, "-m", "shipseg", *words], cwd=folder, env=environment, check=True)


def test_trials_come_seed_by_seed(tiny_study: StudyMaker) -> None:
    names = [trial.name for trial in expand(tiny_study(seeds=[4, 7]))]
    assert names == ["both-seed4", "dice-seed4", "both-seed7", "dice-seed7"]


def test_a_variant_may_have_its_own_recipe(tiny_study: StudyMaker) -> None:
    phases = {"phases": [{"epochs": 2}]}
    study = tiny_study(variants=[{"name": "both"}, {"name": "other", "recipe": "model-1-simple", "set": phases}])
    both, other = expand(study)[:2]
    assert both.recipe.loss.weights == {"bce": 1.0, "dice": 1.0}
    assert other.recipe.loss.weights == {"focal": 1.0}
    assert other.recipe.network.architecture == "compact"  # keys set by the study apply to all variants


def test_epochs_of_a_study_are_refused_for_a_recipe_with_phases(tiny_study: StudyMaker) -> None:
    study = tiny_study(variants=[{"name": "both"}, {"name": "other", "recipe": "model-1-simple"}])
    with pytest.raises(ConfigError, match="variant other of study tiny: train.epochs has no effect on recipe model-1"):
        expand(study)


def test_the_printed_flags_give_the_same_recipe(tiny_study: StudyMaker, dataset_folder: Path) -> None:
    odd = {
        "train.lr": 1e-5,
        "augment.names": [],
        "phases": [{"epochs": 1, "schedule": {"name": "plateau"}}],
        "sampling.multiple_ships_ratio": None,
        "description": 'it\'s a "text" with $signs: # and; more',
    }
    (trial,) = expand(tiny_study(seeds=[5], variants=[{"name": "both", "set": odd}]))
    train = repeat_commands(trial, open_dataset(dataset_folder), split="val", threads=1)[0]
    words = shlex.split(train)[2:]
    flags = words[words.index("--recipe") + 2 : words.index("--resume")]
    pairs = dict(zip(flags[::2], flags[1::2], strict=True))
    overrides = {key.removeprefix("--"): value for key, value in pairs.items() if key != "--set"}
    sets = [value for key, value in zip(flags[::2], flags[1::2], strict=True) if key == "--set"]
    overrides |= dict(text.split("=", 1) for text in sets)
    assert load_recipe("base", overrides) == trial.recipe


def test_values_are_written_as_one_line_of_yaml() -> None:
    for value in (None, True, 3, 1e-5, "text", [], ["a", "b"], {"dice": 1.0}, [{"epochs": 1}], "null", "a: b"):
        text = as_yaml(value)
        assert "\n" not in text
        assert yaml.safe_load(text) == value


@pytest.mark.slow
def test_running_the_printed_commands_gives_the_same_numbers(finished_study: Path, tmp_path: Path) -> None:
    result = json.loads((finished_study / "trials/dice-seed1/result.json").read_text())
    for command in result["commands"]:
        run_line(command, tmp_path)
    again = json.loads((tmp_path / "dice-seed1/scores/metrics.json").read_text())
    first = json.loads((finished_study / "trials/dice-seed1/scores/metrics.json").read_text())
    assert again == first
    assert again["pooled_dice"] == result["pooled_dice"]


@pytest.mark.slow
def test_the_commands_of_a_variant_of_another_size_prepare_its_dataset(
    tiny_study: StudyMaker, dataset_folder: Path, tmp_path: Path
) -> None:
    small, same = expand(
        tiny_study(variants=[{"name": "both", "prepare": {"size": 32}}, {"name": "b", "prepare": {"size": 64}}])
    )[:2]
    data = open_dataset(dataset_folder)
    prepare, train, evaluate = repeat_commands(small, data, split="val", threads=1)
    run_line(prepare, tmp_path)
    made = open_dataset(tmp_path / "both-seed0" / "dataset")
    assert made.report["options"] == {**data.report["options"], "size": 32}
    assert made.report["source"] == data.report["source"]
    assert " both-seed0/dataset both-seed0/run " in train
    assert " both-seed0/dataset both-seed0/scores " in evaluate
    assert len(repeat_commands(same, data, split="val", threads=1)) == 2  # the dataset has that size already
