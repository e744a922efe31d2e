"""Recipes are complete, checked, and say what is wrong with them in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipseg.config import PhaseConfig, Recipe
from shipseg.errors import ConfigError
from shipseg.recipes import dump_recipe, load_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_of_ours_loads_says_what_it_is_for_and_survives_writing(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description
    (tmp_path / "again.yaml").write_text(dump_recipe(recipe))
    assert load_recipe(tmp_path / "again.yaml") == recipe


def test_overrides_are_read_as_yaml_and_reach_nested_keys() -> None:
    recipe = load_recipe(
        "base", {"train.lr": "3e-4", "augment.names": "[d4, color-jitter]", "sampling.zero_ships_ratio": "null"}
    )
    assert recipe.train.lr == 3e-4
    assert recipe.augment.names == ("d4", "color-jitter")
    assert recipe.sampling.zero_ships_ratio is None


def test_phases_inherit_what_they_do_not_say() -> None:
    recipe = load_recipe("base", {"phases": "[{epochs: 2}, {epochs: 3, lr: 1e-5, schedule: {name: plateau}}]"})
    first, second = recipe.resolved_phases()
    assert (first.epochs, first.lr, first.schedule) == (2, recipe.train.lr, recipe.train.schedule)
    assert second.lr == 1e-5
    assert second.schedule is not None
    assert second.schedule.name == "plateau"
    assert Recipe().resolved_phases()[0] == PhaseConfig(epochs=10, lr=1e-3, schedule=Recipe().train.schedule)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"train.lr": "-0.1"}, r"train.lr must be greater than 0, got -0.1 \(recipe base\)"),
        ({"train.lrr": "1"}, "unknown key train.lrr in recipe base, did you mean train.lr?"),
        ({"zzz": "1"}, "unknown key zzz in recipe base, valid at this place: name, description"),
        ({"network.widths": "[1, x]"}, "network.widths.1 must be a valid integer"),
        ({"loss.weights": "{bse: 1}"}, "'bce', 'dice', 'focal', 'lovasz' or 'tversky', got 'bse'"),
        ({"loss.weights": "{}"}, "loss.weights .*at least 1 item"),
        ({"phases": "[{epochs: 0}]"}, "phases.0.epochs must be greater than or equal to 1"),
        ({"train": "3"}, "train must be a valid dictionary"),
        ({"train.lr": ".nan"}, "train.lr must be a finite number"),
        ({"input.crop_size": "100"}, "input.crop_size must be a multiple of 32, got 100"),
        ({"sampling.zero_ships_ratio": 0.9, "sampling.multiple_ships_ratio": 0.2}, "add up to more than 1"),
        ({"train.lr": "[1"}, r"--train.lr cannot be read as a value: '\[1'"),
    ],
)
def test_a_wrong_value_is_one_sentence_with_its_place(overrides: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        load_recipe("base", overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("a: [", "is not YAML"), ("- 1", "must hold keys and values"), ("train: {lr: no}", "train.lr")],
)
def test_a_broken_file_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=sentence) as caught:
        load_recipe(file)
    assert "\n" not in str(caught.value)


def test_an_unknown_recipe_names_the_nearest_and_a_missing_file_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown recipe 'bas', did you mean 'base'"):
        load_recipe("bas")
    with pytest.raises(ConfigError, match="nothere.yaml cannot be read"):
        load_recipe(tmp_path / "nothere.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        load_recipe(tmp_path / "latin.yaml")


def test_a_recipe_cannot_be_changed() -> None:
    recipe = load_recipe("base")
    with pytest.raises(Exception, match="frozen"):
        recipe.train.lr = 1.0  # type: ignore[misc]
