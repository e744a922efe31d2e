"""A finished model is bundled with shipseg: complete, with its card, and small enough."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from benchmarks.bundle import bundle_model

from benchmarks import bundle
from shipseg.errors import ConfigError, ModelError
from shipseg.files import write_json
from shipseg.inference import locate
from shipseg.inference.predictor import load_model
from shipseg.model.bundle import WEIGHTS_FILE, load_network, state_sha256
from shipseg.model.card import CardData, CardTraining, read_card

FACTS = {"license": "Apache-2.0", "limits": ("It misses boats.",), "data": {"origin": "synthetic"}}


@pytest.fixture
def finished(model_folder: Path, tmp_path: Path) -> Path:
    """The tiny model, marked as finished."""
    folder = Path(shutil.copytree(model_folder, tmp_path / "finished"))
    training = CardTraining(finished=True, seed=3, recipe={"train": {"start_from": "/somewhere/runs/first"}})
    card = read_card(folder).model_copy(update={"training": training, "data": CardData(train_images=5)})
    write_json(folder / "shipseg.json", card.model_dump(mode="json"))
    return folder


def test_what_was_bundled_is_one_file_that_both_backends_run(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locate, "bundled_folder", lambda: tmp_path / "weights")
    made = bundle_model(finished, "shipseg-small", facts=FACTS, folder=tmp_path / "weights")
    assert [path.name for path in (tmp_path / "weights").rglob("*")] == ["shipseg-small.onnx"]
    onnx, torch = load_model(), load_model("shipseg-small", backend="torch")
    assert onnx.card == torch.card == made.card
    assert (made.card.name, made.card.license, made.card.limits) == ("shipseg-small", "Apache-2.0", FACTS["limits"])
    assert made.card.data == CardData(train_images=5, origin="synthetic")
    assert made.card.training.seed == 3
    assert made.card.training.recipe["train"]["start_from"] == "first"  # no path of the machine that trained it
    assert made.card.files == read_card(finished).files
    assert made.onnx.path.is_file()
    assert made.parameters > 1000


def test_it_is_replaced_by_bundling_again(finished: Path, tmp_path: Path) -> None:
    for limits in (("one",), ("two",)):
        made = bundle_model(finished, "shipseg-small", facts={"limits": limits}, folder=tmp_path / "weights")
    assert read_card(tmp_path / "weights" / "shipseg-small.onnx").limits == made.card.limits == ("two",)


def test_one_that_is_too_large_is_refused_and_nothing_is_left(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "MAX_BYTES", 10_000)
    with pytest.raises(ModelError, match=r"shipseg-small\.onnx takes 0\.\d MB, 16 MB can be shipped"):
        bundle_model(finished, "shipseg-small", facts={}, folder=tmp_path / "weights")
    assert [path for path in (tmp_path / "weights").rglob("*") if path.is_file()] == []


def test_an_unfinished_training_and_an_invalid_name_are_refused(model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the training of .* has not finished"):
        bundle_model(model_folder, "shipseg-small", facts={}, folder=tmp_path)
    with pytest.raises(ConfigError, match="got '../Small'"):
        bundle_model(model_folder, "../Small", facts={}, folder=tmp_path)


@pytest.mark.parametrize("name", locate.bundled_models())
def test_what_comes_with_shipseg_is_small_described_and_can_be_trained_on(name: str) -> None:
    file = locate.bundled_models()[name]
    assert file.stat().st_size <= bundle.MAX_BYTES
    network, card = load_network(locate.find_weights(name))
    assert state_sha256(network.body.state_dict()) == card.files[WEIGHTS_FILE]
    assert (card.name, card.license) == (name, "Apache-2.0")
    assert card.intended_use
    assert card.limits
    assert card.tested
    assert "no real pixel" in card.data.origin
    assert len(card.training.commit) == 40
