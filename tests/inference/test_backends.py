"""The contract of every backend, and what is specific to one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from shipseg.errors import ConfigError, ModelError
from shipseg.inference.backends import Backend, OnnxBackend, TorchBackend
from shipseg.inference.export import ExportReport
from shipseg.model.bundle import load_network
from shipseg.model.card import CARD_KEY, Card
from shipseg.processes import usable_cores


@pytest.fixture(params=["torch", "onnx"])
def backend(request: pytest.FixtureRequest, model_folder: Path, exported: ExportReport) -> Backend:
    if request.param == "onnx":
        return OnnxBackend(exported.path, threads=1)
    return TorchBackend(load_network(model_folder)[0], device="cpu")


def images_of(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (3, 3, 64, 96)])
def test_a_backend_gives_one_probability_per_pixel(backend: Backend, shape: tuple[int, ...]) -> None:
    images = images_of(*shape)
    before = images.copy()
    probability = backend.run(images)
    assert probability.shape == (shape[0], 1, *shape[2:])
    assert probability.dtype == np.float32
    assert 0 <= probability.min() < probability.max() <= 1
    np.testing.assert_array_equal(images, before)


def test_an_image_gives_the_same_result_in_a_batch_and_alone(backend: Backend) -> None:
    images = images_of(3, 3, 64, 64)
    together = backend.run(images)
    for number in range(3):
        np.testing.assert_allclose(backend.run(images[number : number + 1])[0], together[number], atol=1e-5)


def test_a_backend_takes_arrays_that_are_not_contiguous(backend: Backend) -> None:
    images = images_of(2, 64, 64, 3).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(backend.run(images), backend.run(np.ascontiguousarray(images)), atol=1e-6)


def test_a_backend_says_the_same_twice(backend: Backend) -> None:
    images = images_of(1, 3, 64, 64)
    np.testing.assert_array_equal(backend.run(images), backend.run(images))


def test_a_backend_wants_at_least_a_tile_at_once(backend: Backend) -> None:
    assert backend.pixels_per_batch >= 1024 * 1024


def test_both_backends_agree(model_folder: Path, exported: ExportReport) -> None:
    images = images_of(2, 3, 96, 128)
    ours = TorchBackend(load_network(model_folder)[0], device="cpu").run(images)
    np.testing.assert_allclose(OnnxBackend(exported.path).run(images), ours, atol=1e-5)


def test_a_network_in_training_is_evaluated_without_being_changed(model_folder: Path) -> None:
    network, _ = load_network(model_folder)
    expected = TorchBackend(network, device="cpu").run(images_of(2, 3, 64, 64))
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    probability = TorchBackend(network, device="cpu").run(images_of(2, 3, 64, 64))
    np.testing.assert_array_equal(probability, expected)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())
    network(torch.zeros(2, 3, 32, 32)).mean().backward()  # nothing was left in inference mode


def test_threads_are_set_for_a_batch_only(model_folder: Path) -> None:
    counts = []

    class Watched(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            counts.append(torch.get_num_threads())
            return images[:, :1]

    before = torch.get_num_threads()
    TorchBackend(Watched(), device="cpu", threads=before + 1).run(images_of(1, 3, 32, 32))
    assert counts == [before + 1]
    assert torch.get_num_threads() == before


def test_bf16_is_close_to_fp32_and_gives_float32(model_folder: Path) -> None:
    network, _ = load_network(model_folder)
    images = images_of(1, 3, 64, 64)
    exact = TorchBackend(network, device="cpu").run(images)
    rough = TorchBackend(network, device="cpu", precision="bf16").run(images)
    assert rough.dtype == np.float32
    assert 0 < np.abs(rough - exact).max() < 0.05


@pytest.mark.parametrize("device", ["quantum", "cuda:99", "cpu cpu"])
def test_a_device_that_is_not_available_is_refused(model_folder: Path, device: str) -> None:
    with pytest.raises(ConfigError, match=f"{device}.*give auto"):
        TorchBackend(load_network(model_folder)[0], device=device)


@pytest.mark.gpu
def test_a_gpu_agrees_with_the_cpu(model_folder: Path) -> None:
    images = images_of(2, 3, 64, 64)
    network, _ = load_network(model_folder)
    on_cpu = TorchBackend(network, device="cpu").run(images)
    on_gpu = TorchBackend(network, device="cuda")
    assert on_gpu.pixels_per_batch > 1024 * 1024
    np.testing.assert_allclose(on_gpu.run(images), on_cpu, atol=2e-3)  # convolutions there may use TF32


def test_an_onnx_backend_brings_its_card(exported: ExportReport) -> None:
    assert OnnxBackend(exported.path).card.name == "tiny"


def test_the_cores_of_this_process_are_counted_not_the_machine_s() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize("data", [b"", b"not a graph", b"\x08\x07" * 40])
def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path, data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"broken\.onnx is not a readable ONNX file|broken\.onnx .* without a shipseg"):
        OnnxBackend(path)
    assert capfd.readouterr() == ("", "")


def test_an_onnx_file_cut_short_is_refused(tmp_path: Path, exported: ExportReport) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(exported.path.read_bytes()[:-5000])
    with pytest.raises(ModelError, match=r"cut\.onnx is not a readable ONNX file"):
        OnnxBackend(path)


def test_an_onnx_file_with_one_changed_weight_is_refused(tmp_path: Path, exported: ExportReport) -> None:
    model = onnx.load(exported.path)
    weight = max(model.graph.initializer, key=lambda item: len(item.raw_data))
    weight.raw_data = bytes([weight.raw_data[0] ^ 1]) + weight.raw_data[1:]
    onnx.save(model, tmp_path / "changed.onnx")
    with pytest.raises(ModelError, match=r"changed\.onnx is not the file that was exported \(SHA-256"):
        OnnxBackend(tmp_path / "changed.onnx")


def test_an_onnx_file_exported_before_there_was_a_hash_loads(tmp_path: Path, exported: ExportReport) -> None:
    model = onnx.load(exported.path)
    kept = [entry for entry in model.metadata_props if entry.key == CARD_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    onnx.save(model, tmp_path / "old.onnx")
    assert OnnxBackend(tmp_path / "old.onnx").card == OnnxBackend(exported.path).card


def test_a_missing_onnx_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no model file .*nowhere\.onnx"):
        OnnxBackend(tmp_path / "nowhere.onnx")


def foreign_graph(path: Path, metadata: dict[str, str], *, input_name: str = "image") -> Path:
    """Write an ONNX file that gives its input back."""
    kind = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 32, 32]) for name in (input_name, "probability")
    ]
    node = helper.make_node("Identity", [input_name], ["probability"])
    graph = helper.make_graph([node], "foreign", kind[:1], kind[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, str(path))
    return path


def test_an_onnx_file_not_made_by_shipseg_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"a\.onnx is an ONNX file without a shipseg card: make one with"):
        OnnxBackend(foreign_graph(tmp_path / "a.onnx", {"author": "somebody"}))


def test_a_graph_with_another_input_is_refused_even_with_a_card(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="without a shipseg card"):
        OnnxBackend(foreign_graph(tmp_path / "a.onnx", {CARD_KEY: Card().model_dump_json()}, input_name="x"))


def test_an_onnx_file_with_a_damaged_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"a\.onnx holds no usable model card"):
        OnnxBackend(foreign_graph(tmp_path / "a.onnx", {CARD_KEY: '{"format": 99}'}))
