from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from shipseg import load_model
from shipseg.config import Recipe, ScheduleConfig
from shipseg.errors import ConfigError, TrainingError
from shipseg.model.card import read_card
from shipseg.recipes import load_recipe
from shipseg.training.checkpoint import find_checkpoint, read_checkpoint
from shipseg.training.equality import run_differences
from shipseg.training.history import read_history
from shipseg.training.run import TrainAndTestModel

RecipeMaker = Callable[..., Recipe]


def copy_of(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


def test_a_run_writes_all_of_its_files(finished_run: Path) -> None:
    names = {path.relative_to(finished_run).as_posix() for path in finished_run.rglob("*") if path.is_file()}
    assert {"recipe.yaml", "history.csv", "curves.png", "last.ckpt", "model/model.safetensors"} <= names
    assert any(name.startswith("tensorboard/events") for name in names)
    assert (finished_run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not [name for name in names if name.endswith(".part")]


def test_history_has_a_row_for_each_epoch(finished_run: Path) -> None:
    rows = read_history(finished_run / "history.csv")
    assert [(row.epoch, row.phase, row.step) for row in rows] == [(1, 1, 3), (2, 1, 6)]
    assert rows[0].best == 1
    assert all(row.train_loss > 0 and row.val_loss > 0 and row.seconds > 0 and row.images_per_s > 0 for row in rows)


def test_the_recipe_is_written_in_full_and_reads_back(finished_run: Path, tiny: RecipeMaker) -> None:
    written = load_recipe(finished_run / "recipe.yaml")
    assert written.resolved_phases() == tiny().resolved_phases()
    assert written.model_copy(update={"phases": ()}) == tiny()


def test_the_card_describes_the_model_and_its_training(
    finished_run: Path, dataset_folder: Path, tiny: RecipeMaker
) -> None:
    card = read_card(finished_run / "model")
    report = json.loads((dataset_folder / "report.json").read_text())
    assert card.data.fingerprint == report["fingerprint"]
    assert card.data.train_images == report["splits"]["train"]["images"]
    assert card.data.val_images == report["splits"]["val"]["images"]
    assert sum(split["images"] for split in report["splits"].values()) == 20
    assert card.input.mode == "resized"
    assert card.input.scale == 0.5  # 128 px images cached at 64 px
    assert card.input.multiple == 32
    best = card.training.best_epoch
    assert best is not None
    assert card.training.steps == 3 * best
    assert card.training.images_seen == 12 * best
    assert card.training.finished is True
    assert Recipe.model_validate(card.training.recipe).train == tiny().train
    assert set(card.versions) == {"shipseg", "torch", "python"}
    assert card.scores["val_pooled_dice"] == max(
        row.val_pooled_dice for row in read_history(finished_run / "history.csv")
    )


def test_the_threshold_chosen_on_validation_is_in_the_card_with_its_curve(finished_run: Path) -> None:
    card = read_card(finished_run / "model")
    curve = card.threshold_curve
    assert card.decision.metric == "pooled_dice"
    assert len(curve["threshold"]) == len(curve["pooled_dice"]) > 15
    place = int(np.argmin(np.abs(np.array(curve["threshold"]) - card.decision.threshold)))
    assert curve["pooled_dice"][place] == max(curve["pooled_dice"])


def test_a_target_that_cannot_be_met_does_not_lose_the_run(
    dataset_folder: Path, tiny: RecipeMaker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = {"precision": 1.0, "calibration": "isotonic"}
    recipe = tiny(threshold=target, train={"epochs": 1}, sampling={"batches_per_epoch": 1})
    report = TrainAndTestModel(recipe, dataset_folder, tmp_path / "run").train()
    card = read_card(report.model)
    assert card.training.finished is True
    # After one step no ship is detected: the metric replaces the target, or the nearest precision is used.
    assert card.decision.metric == "pooled_dice" or "not reached" in card.decision.metric
    assert "ship precision of at least 1" in caplog.text
    assert card.calibration is not None
    assert card.calibration.method == "isotonic"
    predictor = load_model(report.model, device="cpu")
    image_hwc = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    own = predictor.without_calibration().probability(image_hwc)
    np.testing.assert_array_equal(predictor.probability(image_hwc), card.calibration.apply(own))


def test_the_model_predicts(finished_run: Path) -> None:
    model = load_model(finished_run, backend="torch")
    prediction = model.predict(np.zeros((100, 120, 3), np.uint8))
    assert prediction.probability.shape == (100, 120)
    assert prediction.threshold == model.card.decision.threshold


def test_a_folder_with_a_run_is_not_overwritten(finished_run: Path, dataset_folder: Path, tiny: RecipeMaker) -> None:
    with pytest.raises(TrainingError, match=r"already holds a run: resume it with --resume, or choose another"):
        TrainAndTestModel(tiny(), dataset_folder, finished_run).train()


def test_resuming_a_finished_run_logs_it_and_changes_nothing(
    finished_run: Path, dataset_folder: Path, tiny: RecipeMaker, caplog: pytest.LogCaptureFixture
) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished_run.rglob("*") if path.is_file()}
    before.pop(finished_run / ".lock")
    with caplog.at_level("INFO"):
        report = TrainAndTestModel(tiny(), dataset_folder, finished_run).train(resume=True)
    assert report.was_finished
    assert report.epochs == 2
    assert report.decision == read_card(finished_run / "model").decision
    assert "is finished (2 epochs)" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_resume_without_a_run_starts_one(
    finished_run: Path, dataset_folder: Path, tiny: RecipeMaker, tmp_path: Path
) -> None:
    report = TrainAndTestModel(tiny(), dataset_folder, tmp_path / "run").train(resume=True)
    assert report.resumed_at_step is None
    assert run_differences(finished_run, tmp_path / "run") == []


def test_two_loading_processes_change_no_bit(
    finished_run: Path, dataset_folder: Path, tiny: RecipeMaker, tmp_path: Path
) -> None:
    TrainAndTestModel(tiny(train={"workers": 2}), dataset_folder, tmp_path / "run").train()
    expected = ["checkpoint: /state/recipe/train/workers"]  # the recipe itself, and nothing that was computed
    assert run_differences(finished_run, tmp_path / "run") == expected


def test_another_seed_is_another_run(
    finished_run: Path, dataset_folder: Path, tiny: RecipeMaker, tmp_path: Path
) -> None:
    TrainAndTestModel(tiny(train={"seed": 1}), dataset_folder, tmp_path / "run").train()
    assert {"model.safetensors", "history.csv"} <= set(run_differences(finished_run, tmp_path / "run"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"train": {"lr": 0.1}}, r"was started with train\.lr = 0\.003, now 0\.1 in the recipe"),
        ({"train": {"epochs": 3}}, r"train\.epochs = 2, now 3 in the recipe.*shipseg continue"),
        ({"loss": {"weights": {"dice": 1.0}}}, r"loss\.weights\.bce = 1\.0, now none"),
        ({"augment": {"names": ("d4",)}}, r"augment\.names = "),
    ],
)
def test_a_changed_recipe_is_refused_with_the_changed_key(
    changes: dict[str, dict[str, object]],
    sentence: str,
    finished_run: Path,
    dataset_folder: Path,
    tiny: RecipeMaker,
) -> None:
    with pytest.raises(TrainingError, match=sentence):
        TrainAndTestModel(tiny(**changes), dataset_folder, finished_run).train(resume=True)


def test_keys_without_effect_on_the_result_may_change(
    finished_run: Path, dataset_folder: Path, tiny: RecipeMaker
) -> None:
    changed = tiny(train={"workers": 1, "checkpoint_every_steps": 50, "device": "cpu"})
    assert TrainAndTestModel(changed, dataset_folder, finished_run).train(resume=True).was_finished


def test_another_dataset_is_refused(finished_run: Path, airbus_folder: Path, tiny: RecipeMaker, tmp_path: Path) -> None:
    from shipseg.data.prepare import PrepareOptions, prepare

    prepare(airbus_folder, tmp_path / "other", PrepareOptions(size=64, seed=1, workers=1))
    with pytest.raises(TrainingError, match=r"was started on another dataset \(fingerprint \w{12}\) than .*other"):
        TrainAndTestModel(tiny(), tmp_path / "other", finished_run).train(resume=True)


def test_another_environment_is_reported(
    finished_run: Path, dataset_folder: Path, tiny: RecipeMaker, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        TrainAndTestModel(tiny(), dataset_folder, finished_run).train(resume=True)
    finally:
        torch.set_num_threads(threads)
    assert f"threads {threads} -> {threads + 1}" in caplog.text
    assert "not bit for bit" in caplog.text


def test_a_continued_run_has_one_more_phase_and_keeps_the_optimiser_state(
    finished_run: Path, dataset_folder: Path, tiny: RecipeMaker, tmp_path: Path
) -> None:
    run = copy_of(finished_run, tmp_path)
    schedule = ScheduleConfig(name="cosine")
    report = TrainAndTestModel.open(dataset_folder, run).continue_training(epochs=1, lr=1e-4, schedule=schedule)
    assert (report.epochs, report.resumed_at_step, report.was_finished) == (3, 6, False)
    assert [(row.phase, row.step) for row in read_history(run / "history.csv")] == [(1, 3), (1, 6), (2, 9)]
    phases = yaml.safe_load((run / "recipe.yaml").read_text())["phases"]
    assert [(phase["epochs"], phase["lr"], phase["schedule"]["name"]) for phase in phases] == [
        (2, 3e-3, "constant"),
        (1, 1e-4, "cosine"),
    ]
    stored = find_checkpoint(run)
    assert stored is not None
    optimizer = read_checkpoint(stored.data, origin=run)["optimizer"]
    assert {int(values["step"]) for values in optimizer["state"].values()} == {9}  # Adam's step count continues


def test_a_run_can_be_continued_repeatedly_but_a_resumed_continuation_is_not_repeated(
    finished_run: Path, dataset_folder: Path, tmp_path: Path
) -> None:
    run = copy_of(finished_run, tmp_path)
    trainer = TrainAndTestModel.open(dataset_folder, run)
    assert trainer.continue_training(epochs=1, resume=True).epochs == 3
    again = trainer.continue_training(epochs=1, resume=True)
    assert (again.epochs, again.was_finished) == (3, True)
    assert trainer.continue_training(epochs=1).epochs == 4


def test_a_continued_run_resumes_with_its_first_and_with_its_current_recipe(
    finished_run: Path, dataset_folder: Path, tiny: RecipeMaker, tmp_path: Path
) -> None:
    run = copy_of(finished_run, tmp_path)
    TrainAndTestModel(tiny(), dataset_folder, run).continue_training(epochs=1)
    assert TrainAndTestModel(tiny(), dataset_folder, run).train(resume=True).was_finished
    assert TrainAndTestModel.open(dataset_folder, run).train(resume=True).was_finished


def test_a_folder_without_a_run_cannot_be_continued(dataset_folder: Path, tiny: RecipeMaker, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no run"):
        TrainAndTestModel.open(dataset_folder, tmp_path / "nothing")
    with pytest.raises(TrainingError, match="holds no run to continue"):
        TrainAndTestModel(tiny(), dataset_folder, tmp_path / "nothing").continue_training(epochs=1)
    with pytest.raises(ConfigError, match="epochs must be at least 1, got 0"):
        TrainAndTestModel(tiny(), dataset_folder, tmp_path / "nothing").continue_training(epochs=0)
    with pytest.raises(TrainingError, match=r"history\.csv is not the history of a run"):
        TrainAndTestModel(tiny(), dataset_folder, tmp_path / "nothing").curves()


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop", "adagrad"])
def test_every_optimiser_trains_and_resumes(
    optimizer: str, dataset_folder: Path, tiny: RecipeMaker, tmp_path: Path
) -> None:
    train = {"optimizer": optimizer, "epochs": 1, "ema_decay": None, "precision": "fp32", "channels_last": False}
    recipe = tiny(train=train, sampling={"batches_per_epoch": 2})
    trainer = TrainAndTestModel(recipe, dataset_folder, tmp_path / "run")
    assert trainer.train().steps == 2
    assert trainer.continue_training(epochs=1).steps == 4


def test_a_run_on_crops_validates_whole_native_images(native_folder: Path, tiny: RecipeMaker, tmp_path: Path) -> None:
    report = TrainAndTestModel(tiny(input={"mode": "crops"}), native_folder, tmp_path / "run").train()
    card = read_card(report.model)
    assert (card.input.mode, card.input.scale) == ("crops", 1.0)
    assert 0 <= report.scores["pooled_dice"] <= 1
