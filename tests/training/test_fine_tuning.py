"""Fine-tuning: a training starts from the weights of a model; everything else in a run is the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from shipseg.cli import run as shipseg
from shipseg.config import Decision, Recipe
from shipseg.errors import ConfigError, ModelError, TrainingInterrupted
from shipseg.inference.export import ExportReport
from shipseg.model.bundle import load_network
from shipseg.model.calibration import Calibration
from shipseg.model.card import CARD_FILE, CardChoice, CardCounts, read_card
from shipseg.recipes import load_recipe
from shipseg.training.assembly import assemble
from shipseg.training.distributed import Processes
from shipseg.training.equality import run_differences
from shipseg.training.fine_tuning import read_start, recipe_from
from shipseg.training.run import TrainAndTestModel
from shipseg.training.signals import StopRequest

RecipeMaker = Callable[..., Recipe]

SHORT = {
    "input.crop_size": 64,
    "sampling.batches_per_epoch": 3,
    "train.epochs": 2,
    "train.batch_size": 4,
    "train.checkpoint_every_steps": 2,
}


@pytest.fixture
def recipe(model_folder: Path) -> Recipe:
    """The recipe `fine-tune`, shortened to 6 steps, from the tiny model."""
    return recipe_from(load_recipe("fine-tune", SHORT), model_folder)


def test_network_and_initial_weights_are_the_models(recipe: Recipe, model_folder: Path, dataset_folder: Path) -> None:
    from shipseg.data.prepared import open_dataset

    network, card = load_network(model_folder)
    assert (recipe.network, recipe.train.start_from) == (card.network, str(model_folder))
    start = read_start(recipe)
    assert start is not None
    processes = Processes(rank=0, world_size=1, device=torch.device("cpu"))
    parts = assemble(recipe, open_dataset(dataset_folder), processes=processes, initial=start.tensors)
    assert parts.average is not None
    for key, value in network.body.state_dict().items():
        assert torch.equal(parts.network.body.state_dict()[key], value)
        assert torch.equal(parts.average.network.body.state_dict()[key], value)


def test_the_card_names_the_model_it_started_from(
    recipe: Recipe, model_folder: Path, dataset_folder: Path, tmp_path: Path
) -> None:
    report = TrainAndTestModel(recipe, dataset_folder, tmp_path / "run").train()
    started = read_card(report.model).training.started_from
    assert started.name == "tiny"
    assert started.weights_sha256 == read_card(model_folder).files["model.safetensors"]
    assert "Started from: name | tiny" in (report.model / "README.md").read_text()


@pytest.mark.parametrize("keep_below", [0, 1000])
def test_the_decision_rule_is_kept_if_validation_images_are_too_few(
    keep_below: int, model_folder: Path, dataset_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = Path(shutil.copytree(model_folder, tmp_path / "model"))
    card = read_card(model)
    decision = Decision(threshold=0.31, min_peak=0.8, min_area_px=3, metric="airbus_score")
    fields = {
        "decision": decision,
        "calibration": Calibration(method="temperature", temperature=1.5),
        "choice": CardChoice(data="synth", counts=CardCounts(images=260, images_without_ships=130)),
        "input": card.input.model_copy(update={"views": 4}),
    }
    (model / CARD_FILE).write_text(card.model_copy(update=fields).model_dump_json())
    recipe = recipe_from(load_recipe("fine-tune", SHORT | {"threshold.keep_below": keep_below}), model)
    trained = TrainAndTestModel(recipe, dataset_folder, tmp_path / "run").train().model
    new_card = read_card(trained)
    if not keep_below:
        assert new_card.decision != decision
        assert (new_card.input.views, new_card.calibration) == (1, None)
        return
    assert (new_card.decision, new_card.input.views, new_card.calibration) == (decision, 4, fields["calibration"])
    assert "too few to choose a decision rule for 'best Airbus score': the one of tiny is kept" in caplog.text
    readme = (trained / "README.md").read_text()
    assert "Chosen on synth, for tiny, whose decision rule was kept: 260 images, 130" in readme


@pytest.mark.parametrize(("requested", "expected"), [(None, True), (False, False)])
def test_rectangles_are_kept_even_if_a_new_decision_rule_is_chosen(
    requested: bool | None, expected: bool, model_folder: Path, dataset_folder: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(model_folder, tmp_path / "model"))
    card = read_card(model).model_copy(update={"decision": Decision(rectangles=True)})
    (model / CARD_FILE).write_text(card.model_dump_json())
    overrides = {"threshold.keep_below": 0, "threshold.rectangles": requested}
    recipe = recipe_from(load_recipe("fine-tune", SHORT | overrides), model)
    trained = TrainAndTestModel(recipe, dataset_folder, tmp_path / "run").train().model
    assert read_card(trained).decision.rectangles is expected


def test_a_default_decision_rule_is_not_kept(recipe: Recipe, dataset_folder: Path, tmp_path: Path) -> None:
    threshold = recipe.threshold.model_copy(update={"keep_below": 1000})
    chosen = recipe.model_copy(update={"threshold": threshold})
    report = TrainAndTestModel(chosen, dataset_folder, tmp_path / "run").train()
    assert read_card(report.model).choice.data.endswith(", split val")


def test_a_stopped_run_resumes_exactly_even_if_the_model_was_deleted(
    model_folder: Path, dataset_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Path(shutil.copytree(model_folder, tmp_path / "model"))
    recipe = recipe_from(load_recipe("fine-tune", SHORT), model)
    whole = TrainAndTestModel(recipe, dataset_folder, tmp_path / "whole")
    whole.train()
    stopped = TrainAndTestModel(recipe, dataset_folder, tmp_path / "stopped")
    calls = [0]

    def check(self: StopRequest) -> None:
        calls[0] += 1
        if calls[0] == 5:
            raise TrainingInterrupted("stopped for the test")

    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "check", check)
        with pytest.raises(TrainingInterrupted):
            stopped.train()
    shutil.rmtree(model)
    stopped.train(resume=True)
    assert run_differences(whole.run, stopped.run) == []


def test_a_recipe_with_another_network_is_refused_with_the_key(model_folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"recipe base sets network\.architecture = unet, and .* has compact: leave"):
        recipe_from(load_recipe("base"), model_folder)
    same = load_recipe("fine-tune", {"network.architecture": "compact", "network.widths": "[8, 8, 8, 8, 8]"})
    assert recipe_from(same, model_folder).network == read_card(model_folder).network
    other = load_recipe("fine-tune", {"network.widths": "[8, 8]"})
    with pytest.raises(ConfigError, match=r"sets network\.widths = \[8, 8\], and .* has \[8, 8, 8, 8, 8\]"):
        recipe_from(other, model_folder)


def test_a_wider_compact_network_starts_from_the_model(
    model_folder: Path, dataset_folder: Path, tmp_path: Path
) -> None:
    recipe = recipe_from(load_recipe("fine-tune", SHORT | {"network.widths": "[12, 8, 8, 10, 8]"}), model_folder)
    assert recipe.network.widths == (12, 8, 8, 10, 8)
    assert recipe.network.architecture == "compact"
    start = read_start(recipe)
    assert start is not None
    assert start.facts.widths == "[8, 8, 8, 8, 8]"
    report = TrainAndTestModel(recipe, dataset_folder, tmp_path / "run").train()
    assert read_card(report.model).network.widths == (12, 8, 8, 10, 8)


def test_another_input_mode_is_refused(model_folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"trained with input\.mode crops, and recipe fine-tune has resized: give"):
        recipe_from(load_recipe("fine-tune", {"input.mode": "resized"}), model_folder)


def test_fine_tuning_needs_a_model(dataset_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shipseg(["train", str(dataset_folder), str(tmp_path / "run"), "--recipe", "fine-tune"]) == 1
    assert "recipe fine-tune starts from a model, and none is given: add --from MODEL" in capsys.readouterr().err
    with pytest.raises(ModelError, match="there is no model"):
        recipe_from(load_recipe("fine-tune"), tmp_path / "nowhere")


def test_an_onnx_file_starts_a_training_as_its_model_folder_does(model_folder: Path, exported: ExportReport) -> None:
    ours, theirs = (
        read_start(recipe_from(load_recipe("fine-tune", SHORT), model)) for model in (model_folder, exported.path)
    )
    assert ours is not None
    assert theirs is not None
    assert list(theirs.tensors) == list(ours.tensors)
    for key, value in ours.tensors.items():
        assert theirs.tensors[key].dtype == value.dtype
        assert theirs.tensors[key].numpy().tobytes() == value.numpy().tobytes()
    assert (theirs.facts, theirs.decision_rule) == (ours.facts, ours.decision_rule)


def test_a_damaged_onnx_file_starts_no_training(exported: ExportReport, tmp_path: Path) -> None:
    content = bytearray(exported.path.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "damaged.onnx").write_bytes(content)
    recipe = recipe_from(load_recipe("fine-tune", SHORT), tmp_path / "damaged.onnx")  # its card is whole
    with pytest.raises(ModelError, match=r"damaged\.onnx is not the file that was exported"):
        read_start(recipe)


def test_the_command_accepts_the_name_of_a_bundled_model(
    exported: ExportReport, dataset_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from shipseg.inference import locate

    (tmp_path / "weights").mkdir()
    shutil.copy(exported.path, tmp_path / "weights" / "shipseg-small.onnx")
    monkeypatch.setattr(locate, "bundled_folder", lambda: tmp_path / "weights")
    overrides = [word for key, value in SHORT.items() for word in (f"--{key}", str(value))]
    arguments = [
        "train",
        str(dataset_folder),
        str(tmp_path / "run"),
        "--recipe",
        "fine-tune",
        "--from",
        "shipseg-small",
    ]
    assert shipseg([*arguments, *overrides, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 6
    assert read_card(tmp_path / "run" / "model").training.started_from.name == "tiny"
