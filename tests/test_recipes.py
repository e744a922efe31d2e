"""Recipes are complete and validated, and errors in them are one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from shipseg.config import PhaseConfig, Recipe
from shipseg.data.sampling import ShipStratifiedSampler
from shipseg.errors import ConfigError
from shipseg.recipes import dump_recipe, load_recipe, recipe_names
from shipseg.training.history import read_history
from shipseg.training.run import TrainAndTestModel

OF_THE_REFERENCE = ("model-1-simple", "model-2-stratified", "improvement-2", "improvement-3")


@pytest.mark.parametrize("name", recipe_names())
def test_every_bundled_recipe_has_a_description_and_is_read_back(name: str, tmp_path: Path) -> None:
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


def test_phases_inherit_what_they_do_not_set() -> None:
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
        ({"zzz": "1"}, "unknown key zzz in recipe base, valid keys: name, description"),
        ({"network.widths": "[1, x]"}, "network.widths.1 must be a whole number, got 'x'"),
        ({"loss.weights": "{bse: 1}"}, "loss.weights must name 'bce', .* or 'tversky', got 'bse'"),
        ({"loss.weights": "{}"}, "loss.weights must not be empty"),
        ({"phases": "[{epochs: 0}]"}, "phases.0.epochs must be at least 1, got 0"),
        ({"train": "3"}, "train must hold keys and values, got 3"),
        ({"train.lr": ".nan"}, "train.lr must be a finite number"),
        ({"input.crop_size": "100"}, "input.crop_size must be a multiple of 32, got 100"),
        ({"sampling.zero_ships_ratio": 0.9, "sampling.multiple_ships_ratio": 0.2}, "add up to more than 1"),
        ({"train.lr": "true"}, "train.lr must be a number, not yes or no, got True"),
        ({"train.epochs": "yes"}, "train.epochs must be a number, not yes or no"),
        ({"network.widths": "[8, on]"}, "network.widths must be a number, not yes or no"),
        ({"loss.weights": "{bce: on}"}, "loss.weights must be a number, not yes or no"),
        ({"train.epochs": "1e20"}, "train.epochs must be a whole number, got '1e20'"),
        ({"train.epochs": 10**20}, "train.epochs must be at most 100000, got 1000"),
        ({"train.epochs": "9" * 5000}, "train.epochs cannot be read as a value: '9999"),
        ({"train.epochs": "0x" + "f" * 5000}, "train.epochs .*got a number of thousands of digits"),
        ({"train.workers": "100000"}, "train.workers must be at most 256, got 100000"),
        ({"train.batch_size": "1000000"}, "train.batch_size must be at most 16384"),
        ({"train.seed": str(2**64)}, "train.seed must be less than 9223372036854775808"),
        ({"train.lr": "2026-99-99"}, "train.lr cannot be read as a value"),
        ({"train.lr": "[" * 5000}, r"train.lr is nested too deeply: '\["),
        ({"train.lr": "&a [*a]"}, r"train.lr must be a number, got \[\[+\.\.\.\]+ \("),
        ({"train..lr": "1"}, "--train..lr is not a recipe key"),
        ({"train": 3, "train.lr": 1}, "--train.lr cannot be set, train is not a section"),
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


def test_a_small_number_is_read_equally_from_a_file_and_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("train: {lr: 1e-3, weight_decay: 1.0e-2}")
    recipe = load_recipe(tmp_path / "mine.yaml")
    assert (recipe.train.lr, recipe.train.weight_decay) == (0.001, 0.01)
    assert load_recipe("base", {"train.lr": "1e-3"}).train.lr == 0.001


def test_a_boolean_field_accepts_no() -> None:
    assert load_recipe("base", {"train.deterministic": "no"}).train.deterministic is False


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


@pytest.mark.parametrize("name", recipe_names())
def test_every_bundled_recipe_begins_with_a_comment(name: str) -> None:
    file = Path(__file__).parents[1] / "src" / "shipseg" / "recipes" / f"{name}.yaml"
    assert file.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("name", OF_THE_REFERENCE)
def test_the_references_recipes_share_its_network_loss_and_phases(name: str) -> None:
    recipe = load_recipe(name)
    assert (recipe.network.architecture, recipe.network.encoder) == ("unet", "resnet18")
    assert recipe.input.mode == "resized"
    assert recipe.sampling.zero_ships_ratio == 0
    assert recipe.loss.weights == {"focal": 1.0}
    assert (recipe.train.optimizer, recipe.train.batch_size, recipe.train.ema_decay) == ("adam", 16, None)
    phases = recipe.resolved_phases()
    assert [(phase.epochs, phase.lr) for phase in phases] == [(5, 1e-4), (5, 1e-5), (5, 1e-5), (5, 1e-6)]
    assert [phase.schedule.name for phase in phases if phase.schedule] == ["constant", "plateau", "plateau", "plateau"]


def test_the_references_recipes_differ_only_in_share_and_augmentation() -> None:
    one, two, better, without = (load_recipe(name) for name in OF_THE_REFERENCE)
    assert [each.sampling.multiple_ships_ratio for each in (one, two, better, without)] == [None, 0.3629, 0.3629, None]
    assert one.augment == two.augment
    assert better.augment == without.augment
    assert (better.augment.names, better.augment.ships_threshold_for_add_augs) == ((), 2)
    varied = {"name", "description", "sampling", "augment"}
    assert all(each.model_dump(exclude=varied) == one.model_dump(exclude=varied) for each in (two, better, without))


def test_model_2_takes_0_3629_of_its_images_from_those_with_several_ships() -> None:
    sampling = load_recipe("model-2-stratified").sampling
    ships = [0] * 50 + [1] * 90 + [3] * 10
    sampler = ShipStratifiedSampler(ships, batch_size=16, **sampling.model_dump())
    drawn = [ships[draw.index] for number in range(625) for draw in sampler.batch(number)]
    assert (len(drawn), drawn.count(0), drawn.count(3)) == (10_000, 0, 3_629)


def test_epochs_are_refused_for_a_recipe_with_phases() -> None:
    with pytest.raises(ConfigError, match="train.epochs has no effect on recipe improvement-2, whose phases"):
        load_recipe("improvement-2", {"train.epochs": "3"})
    assert load_recipe("improvement-2", {"train.epochs": "3", "phases": "[]"}).resolved_phases()[0].epochs == 3


@pytest.mark.parametrize("name", recipe_names())
def test_every_bundled_recipe_trains(name: str, dataset_folder: Path, tmp_path: Path) -> None:
    phases = [{**phase.model_dump(mode="json"), "epochs": 1} for phase in load_recipe(name).phases]
    small = {
        "network.architecture": "compact",
        "network.widths": "[8, 8, 8]",
        "input.crop_size": 32,
        "sampling.batches_per_epoch": 2,
        "train.start_from": None,
        "train.epochs": 1,
        "train.batch_size": 4,
        "phases": yaml.safe_dump(phases),
    }
    report = TrainAndTestModel(load_recipe(name, small), dataset_folder, tmp_path / "run").train()
    rows = read_history(tmp_path / "run" / "history.csv")
    assert report.steps == 2 * len(rows) == 2 * max(len(phases), 1)
    assert [row.phase for row in rows] == list(range(1, len(rows) + 1))
    assert all(row.train_loss > 0 for row in rows)
