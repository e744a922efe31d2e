"""Which model a path or a name stands for, and what runs it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from shipseg.errors import ConfigError, MissingExtraError, ModelError
from shipseg.inference import locate
from shipseg.inference.export import ExportReport
from shipseg.inference.locate import ONNX_FILE, WEIGHTS_FILE, bundled_models, default_model, find_weights
from shipseg.inference.predictor import OnnxBackend, TorchBackend, load_model
from shipseg.model import bundle
from shipseg.model.onnxfile import COUNTERS_KEY
from shipseg.processes import usable_cores


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model's folder, to be spoiled."""
    return Path(shutil.copytree(model_folder, tmp_path / "model"))


@pytest.fixture
def both(folder: Path, exported: ExportReport) -> Path:
    """A model folder with both kinds of weights."""
    shutil.copy(exported.path, folder / ONNX_FILE)
    return folder


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without torch, as far as choosing goes; test_without_torch.py takes it away for good."""
    monkeypatch.setattr(locate, "_has_torch", lambda: False)


def test_the_names_of_the_weights_are_those_that_are_written() -> None:
    assert WEIGHTS_FILE == bundle.WEIGHTS_FILE


def test_a_model_folder_runs_with_torch(folder: Path) -> None:
    predictor = load_model(folder)
    assert isinstance(predictor.backend, TorchBackend)
    assert predictor.card.name == "tiny"
    assert not predictor.backend.network.training


def test_a_path_may_be_text(folder: Path) -> None:
    assert load_model(str(folder)).card.name == "tiny"


def test_a_run_stands_for_its_model(folder: Path) -> None:
    assert load_model(folder.parent).card.name == "tiny"


def test_an_onnx_file_runs_with_onnxruntime(exported: ExportReport) -> None:
    predictor = load_model(exported.path)
    assert isinstance(predictor.backend, OnnxBackend)
    assert predictor.card.name == "tiny"


def test_auto_takes_torch_where_it_is_installed_and_onnx_where_not(both: Path, request: pytest.FixtureRequest) -> None:
    assert isinstance(load_model(both).backend, TorchBackend)
    assert isinstance(load_model(both, backend="onnx").backend, OnnxBackend)
    request.getfixturevalue("no_torch")
    assert isinstance(load_model(both).backend, OnnxBackend)


def test_a_folder_with_nothing_but_an_onnx_file_is_a_model(tmp_path: Path, exported: ExportReport) -> None:
    shutil.copy(exported.path, tmp_path / ONNX_FILE)
    assert load_model(tmp_path).card.name == "tiny"


@pytest.mark.usefixtures("no_torch")
def test_without_torch_and_without_an_onnx_file_the_extra_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails
    with pytest.raises(MissingExtraError, match=r"torch is needed .* pip install -e '.\[train\]'"):
        load_model(folder)


def test_an_onnx_file_beside_newer_weights_is_refused(both: Path) -> None:
    card = json.loads((both / "shipseg.json").read_text())
    card["files"][WEIGHTS_FILE] = "0" * 64
    (both / "shipseg.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match=r"exported from other weights .* shipseg export"):
        load_model(both, backend="onnx")


def test_threads_and_precision_reach_the_backend(folder: Path, exported: ExportReport) -> None:
    backend = load_model(folder, threads=3, precision="bf16", device="cpu").backend
    assert isinstance(backend, TorchBackend)
    assert (backend.threads, backend.precision, backend.device.type) == (3, "bf16", "cpu")
    session = load_model(exported.path, threads=3).backend.session  # type: ignore[attr-defined]
    assert session.get_session_options().intra_op_num_threads == 3
    everything = load_model(exported.path).backend.session  # type: ignore[attr-defined]
    assert everything.get_session_options().intra_op_num_threads == usable_cores()


def test_what_is_bundled_can_be_called_by_name(
    exported: ExportReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = {"harbour-v1": exported.path, "ocean-v1": tmp_path / "ocean-v1.onnx"}
    monkeypatch.setattr(locate, "bundled_models", lambda: shipped)
    assert load_model("harbour-v1").card.name == "tiny"
    with pytest.raises(ConfigError, match="unknown model 'harbor-v1', did you mean 'harbour-v1'"):
        load_model("harbor-v1")
    with pytest.raises(ModelError, match="there is no model runs/harbor: .*, or a name: harbour-v1, ocean-v1"):
        load_model("runs/harbor")


@pytest.fixture
def shipped(exported: ExportReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of models that come with shipseg, with one in it: shipseg-small."""
    folder = tmp_path / "weights"
    folder.mkdir()
    shutil.copy(exported.path, folder / "shipseg-small.onnx")
    monkeypatch.setattr(locate, "bundled_folder", lambda: folder)
    return folder


def test_the_best_model_that_comes_with_shipseg_is_the_default(shipped: Path, exported: ExportReport) -> None:
    assert (default_model(), load_model().card.name) == ("shipseg-small", "tiny")
    shutil.copy(exported.path, shipped / "another.onnx")
    assert default_model() == "shipseg-small"
    shutil.copy(exported.path, shipped / "shipseg-base.onnx")
    assert default_model() == "shipseg-base"


def test_a_name_runs_as_onnx_and_with_torch_on_request(shipped: Path) -> None:
    onnx, torch = load_model("shipseg-small"), load_model("shipseg-small", backend="torch")
    assert isinstance(onnx.backend, OnnxBackend)
    assert isinstance(torch.backend, TorchBackend)
    assert onnx.card == torch.card
    image_hwc = np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype(np.uint8)
    np.testing.assert_allclose(onnx.probability(image_hwc), torch.probability(image_hwc), atol=1e-5)
    make_old(shipped / "shipseg-small.onnx")
    assert isinstance(load_model("shipseg-small").backend, OnnxBackend)
    with pytest.raises(ModelError, match=r"shipseg-small\.onnx predicts, but holds no weights .* with backend onnx"):
        load_model("shipseg-small", backend="torch")


def make_old(file: Path) -> None:
    """Change an ONNX file of ours to one of before its state dict could be read back."""
    model = onnx.load(file)
    values = {entry.key: entry.value for entry in model.metadata_props if entry.key != COUNTERS_KEY}
    onnx.helper.set_model_props(model, values)
    onnx.save_model(model, str(file))


def test_the_weights_to_train_on_are_found_by_name_file_run_or_folder(shipped: Path, both: Path) -> None:
    file = shipped / "shipseg-small.onnx"
    assert find_weights("shipseg-small") == find_weights(file) == file
    assert find_weights(both) == both
    assert find_weights(both.parent) == both  # a run
    (both / WEIGHTS_FILE).unlink()
    assert find_weights(both) == both / ONNX_FILE
    (both / ONNX_FILE).unlink()
    with pytest.raises(ModelError, match=r"model has no model\.safetensors, the weights for torch: give a model"):
        find_weights(both)
    make_old(file)
    with pytest.raises(ModelError, match=r"shipseg-small\.onnx predicts, but holds no weights for torch .* give the"):
        find_weights("shipseg-small")


def test_without_any_model_one_sentence_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locate, "bundled_folder", lambda: tmp_path / "nothing")
    with pytest.raises(ModelError, match=r"no model comes with this copy of shipseg: give one with --model .*or make"):
        load_model()


def test_bundled_models_are_onnx_files() -> None:
    assert all(path.suffix == ".onnx" and path.is_file() for path in bundled_models().values())


@pytest.mark.parametrize("path", ["nowhere", "runs/nowhere", "nowhere.onnx"])
def test_a_model_that_is_not_there_is_named(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(locate, "bundled_models", dict)
    with pytest.raises(ModelError, match=f"there is no model {path}: give a model folder, a run"):
        load_model(path)


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="neither a model nor a run"):
        load_model(tmp_path)


def test_a_run_that_has_not_finished_says_so(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").mkdir()
    with pytest.raises(ModelError, match=r"has no model yet.*--resume"):
        load_model(tmp_path)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"pickle")
    with pytest.raises(ModelError, match=r"weights\.pt is not a readable ONNX file"):
        load_model(path)


def test_a_card_alone_is_no_model(folder: Path) -> None:
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(ModelError, match=r"holds no weights \(neither model.safetensors nor model.onnx\)"):
        load_model(folder)


def test_weights_alone_are_no_model(folder: Path) -> None:
    (folder / "shipseg.json").unlink()
    with pytest.raises(ModelError, match=r"shipseg\.json"):
        load_model(folder)


def test_a_backend_without_its_weights_says_how_to_get_them(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"no model\.onnx for backend onnx: make it with  shipseg export"):
        load_model(folder, backend="onnx")


def test_unknown_settings_are_refused_with_the_known_ones(folder: Path, exported: ExportReport) -> None:
    with pytest.raises(ConfigError, match="unknown backend 'tensorflow'. Valid: auto, onnx, torch"):
        load_model(folder, backend="tensorflow")
    with pytest.raises(ConfigError, match="unknown precision 'fp16', did you mean 'bf16'"):
        load_model(folder, precision="fp16")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="threads must be at least 1, got 0"):
        load_model(folder, threads=0)
    with pytest.raises(ConfigError, match="backend onnx runs on the CPU, got device 'cuda'"):
        load_model(exported.path, device="cuda")
    with pytest.raises(ConfigError, match="backend onnx computes in fp32, got precision 'bf16'"):
        load_model(exported.path, precision="bf16")
