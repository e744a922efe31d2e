"""Studies are complete and validated, and errors in them are one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from shipseg.data.augment import AUGMENTATIONS
from shipseg.errors import ConfigError
from shipseg.model.encoders import encoder_names
from shipseg.studies.spec import Study, dump_study, load_study, study_names
from shipseg.studies.trials import expand

STUDIES = [
    "augmentations",
    "batch-size",
    "encoders",
    "input-size",
    "learning-rate",
    "losses",
    "models",
    "multiple-ships",
    "optimizers",
    "schedulers",
    "ships-threshold",
    "zero-ships",
]
WHOLE = {
    "question": "Is it so?",
    "recipe": "base",
    "baseline": "a",
    "variants": [{"name": "a"}, {"name": "b", "set": {"train.lr": 0.1}}],
}


def test_all_studies_are_bundled() -> None:
    assert study_names() == STUDIES


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", STUDIES)
def test_every_bundled_study_can_be_run_in_both_forms(name: str, *, quick: bool) -> None:
    study = load_study(name)
    assert study.question.endswith("?")
    resolved = study.resolved(quick=quick)
    trials = expand(resolved)
    assert len(trials) == len(resolved.variants) * len(resolved.seeds)
    # No two variants are the same training.
    seeded = [trial for trial in trials if trial.seed == resolved.seeds[0]]
    assert len({(trial.recipe.model_dump_json(), trial.size) for trial in seeded}) == len(seeded)
    for trial in seeded:
        assert {*trial.recipe.augment.names, *trial.recipe.augment.additional} <= AUGMENTATIONS.keys()
        assert trial.recipe.network.encoder in encoder_names()


@pytest.mark.parametrize("name", STUDIES)
def test_the_quick_form_uses_about_two_thousand_images_and_a_small_network(name: str) -> None:
    for trial in expand(load_study(name).resolved(quick=True)):
        recipe = trial.recipe
        epochs = sum(phase.epochs for phase in recipe.resolved_phases())
        assert recipe.sampling.batches_per_epoch is not None
        images = epochs * recipe.sampling.batches_per_epoch * recipe.train.batch_size
        assert 1200 <= images <= 2600
        assert recipe.network.architecture == "compact" or name == "encoders"


def test_batches_of_any_size_use_the_same_number_of_images() -> None:
    for quick, images in ((False, 8000), (True, 2560)):
        for trial in expand(load_study("batch-size").resolved(quick=quick)):
            recipe = trial.recipe
            assert recipe.sampling.batches_per_epoch is not None
            seen = recipe.train.epochs * recipe.sampling.batches_per_epoch * recipe.train.batch_size
            assert abs(seen - images) <= recipe.train.epochs * recipe.train.batch_size


def test_each_of_the_references_twelve_augmentations_is_a_variant_of_its_own() -> None:
    alone = {
        tuple(t.recipe.augment.names) for t in expand(load_study("augmentations")) if len(t.recipe.augment.names) == 1
    }
    assert alone == {(name,) for name in AUGMENTATIONS if name != "rgb-shift"}, "rgb-shift is not in the reference"


def test_a_written_study_is_read_back(tmp_path: Path) -> None:
    study = load_study("input-size").resolved(quick=True, seeds=(3, 4))
    (tmp_path / "again.yaml").write_text(dump_study(study))
    assert load_study(tmp_path / "again.yaml") == study
    assert study.quick is None
    assert study.seeds == (3, 4)


def test_the_order_of_overrides_in_the_quick_form(tmp_path: Path) -> None:
    values = WHOLE | {
        "set": {"train.epochs": 7, "train.batch_size": 5},
        "quick": {
            "set": {"train.lr": 0.2, "train.epochs": 2},
            "variants": {"b": {"set": {"train.momentum": 0.5}, "note": "other"}},
        },
    }
    study = Study.model_validate(values | {"name": "x"}).resolved(quick=True)
    a, b = (trial.recipe.train for trial in expand(study)[:2])
    assert (a.epochs, a.batch_size, a.lr) == (2, 5, 0.2)
    assert (b.epochs, b.batch_size, b.lr, b.momentum) == (2, 5, 0.1, 0.5)
    assert study.variants[1].note == "other"


def test_a_quick_recipe_replaces_the_studys_recipe_and_settings_and_keeps_some_variants() -> None:
    quick = {"recipe": "study-quick", "only": ["b"], "baseline": "b"}
    values = WHOLE | {"name": "x", "set": {"train.epochs": 7}, "reference": {"a": {"Dice": 1}}, "quick": quick}
    study = Study.model_validate(values).resolved(quick=True)
    assert (study.recipe, study.set, study.baseline, study.reference) == ("study-quick", {}, "b", {})
    assert [variant.name for variant in study.variants] == ["b"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"baselin": "a"}, "unknown key baselin in .*, did you mean baseline?"),
        ({"baseline": "c"}, "baseline names c, which is not one of the variants a, b"),
        ({"question": None}, "question must be a string, got None"),
        ({"seeds": []}, r"seeds must not be empty, got \[\]"),
        ({"seeds": [1, 1]}, "seeds must be different from each other"),
        ({"seeds": [-1]}, "seeds.0 must be at least 0, got -1"),
        ({"metric": "dice"}, "metric must be 'airbus_score'"),
        ({"variants": []}, r"variants must not be empty, got \[\]"),
        ({"variants": [{"name": "a"}, {"name": "a"}]}, "variants must have different names, a is given twice"),
        ({"variants": [{"name": "../a"}]}, "variants.0.name .*pattern"),
        ({"variants": [{"name": "a", "prepare": {"size": 3}}]}, "variants.0.prepare.size"),
        ({"reference": {"z": {"Dice": 1}}}, "reference names z, which is not one of the variants"),
        ({"quick": {"variants": {"z": {}}}}, "quick.variants names z, which is not one of the variants"),
        ({"quick": {"only": ["z"]}}, "quick.only names z, which is not one of the variants"),
        ({"quick": {"seeds": [2, 2]}}, "quick.seeds must be different"),
    ],
)
def test_an_error_in_a_study_is_one_sentence(changes: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(WHOLE | changes))
    with pytest.raises(ConfigError, match=sentence) as caught:
        load_study(tmp_path / "mine.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [", "mine.yaml is not YAML"),
        ("a: 2024-13-45", "mine.yaml is not YAML"),
        ("a: " + "[" * 5000, "mine.yaml is nested too deeply for a study"),
        ("- a", "mine.yaml must hold keys and values .*, got list"),
        ("", "is missing in .*mine.yaml"),
        ("question: So?", "recipe is missing in .*mine.yaml"),
    ],
)
def test_a_file_that_is_no_study_is_refused(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        load_study(tmp_path / "mine.yaml")


def test_an_unknown_study_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown study 'loses', did you mean 'losses'\?"):
        load_study("loses")
    with pytest.raises(ConfigError, match=r"study file .*none.yaml cannot be read \(No such file"):
        load_study("none.yaml")


def test_a_study_without_a_quick_form_is_refused_with_quick() -> None:
    with pytest.raises(ConfigError, match="study x has no quick form"):
        Study.model_validate(WHOLE | {"name": "x"}).resolved(quick=True)


def test_a_wrong_override_names_its_variant() -> None:
    values = WHOLE | {"name": "x", "variants": [{"name": "a", "set": {"train.lrr": 1}}]}
    with pytest.raises(
        ConfigError, match="variant a of study x: unknown key train.lrr in recipe base, did you mean train.lr"
    ):
        expand(Study.model_validate(values))
