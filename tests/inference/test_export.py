"""A model as an ONNX file: what stands in it, and that it says what the original says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from shipseg.config import Decision, NetworkConfig
from shipseg.errors import ConfigError, ModelError, StorageError
from shipseg.inference import export
from shipseg.inference.backends import OnnxBackend, TorchBackend
from shipseg.inference.export import ExportReport, copy_model, deepness_metadata, export_onnx
from shipseg.inference.predictor import load_model
from shipseg.model.bundle import load_network, save_model
from shipseg.model.calibration import Calibration
from shipseg.model.card import CARD_KEY, Card, CardInput, parse_card, read_card
from shipseg.model.network import ShipNetwork, build_network
from shipseg.model.onnxfile import COUNTERS_KEY, HASH_KEY, graph_hash


def test_the_report_says_how_little_the_file_differs(exported: ExportReport) -> None:
    # 1 of 32 x 32, 2 of 64 x 96, 3 of 128 x 64, 1 of 256 x 256.
    assert exported.num_pixels == 32**2 + 2 * 64 * 96 + 3 * 128 * 64 + 256**2
    assert 0 <= exported.mean_difference <= exported.max_difference < 1e-4
    assert exported.flipped_share < 1e-3
    assert exported.size_mb == pytest.approx(exported.path.stat().st_size / 1e6)
    assert json.loads(json.dumps(exported.as_dict()))["path"] == str(exported.path)


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (2, 3, 32, 96), (1, 3, 160, 64), (5, 3, 64, 64)])
def test_sizes_and_batches_that_were_not_compared_agree_too(
    exported: ExportReport, model_folder: Path, shape: tuple[int, ...]
) -> None:
    images = np.random.default_rng(7).uniform(0, 255, shape).astype(np.float32)
    network, _ = load_network(model_folder)
    expected = torch.sigmoid(network(torch.from_numpy(images))).detach().numpy()
    np.testing.assert_allclose(OnnxBackend(exported.path).run(images), expected, atol=1e-5)


@pytest.fixture
def known_graph(exported: ExportReport, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter of torch, which takes seconds, gives the tiny model's graph at once."""
    monkeypatch.setattr(export, "_build_graph", lambda _: onnx.load(exported.path))


def test_a_network_of_smp_is_exported_with_its_normalisation_and_without_a_word(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    torch.manual_seed(1)
    config = NetworkConfig(architecture="unet", encoder="resnet18", normalization="sqrt")
    network = build_network(config)
    with torch.no_grad():
        for number, module in enumerate(network.modules()):  # statistics as after training: not the neutral ones
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
                module.num_batches_tracked.fill_(number)  # type: ignore[union-attr]
    card = save_model(tmp_path / "model", network, Card(network=config))
    report = export_onnx(tmp_path / "model", tmp_path / "out.onnx")
    assert capfd.readouterr() == ("", "")
    assert [str(warning.message) for warning in recwarn] == []
    assert report.max_difference < 1e-5
    images = np.random.default_rng(0).uniform(0, 255, (1, 3, 96, 64)).astype(np.float32)
    expected = TorchBackend(network, device="cpu").run(images)
    assert expected.std() > 1e-4, "a constant output would prove nothing"
    np.testing.assert_allclose(OnnxBackend(report.path).run(images), expected, atol=1e-5)
    loaded, read = load_network(report.path)
    assert read == card
    assert bits(loaded) == bits(network)


def bits(network: ShipNetwork) -> dict[str, tuple[torch.dtype, tuple[int, ...], bytes]]:
    """Return type, shape and bytes of each entry of the state dict."""
    return {
        key: (value.dtype, tuple(value.shape), value.numpy().tobytes())
        for key, value in network.body.state_dict().items()
    }


def test_the_state_dict_is_read_back_bit_for_bit(exported: ExportReport, model_folder: Path) -> None:
    (ours, card), (theirs, read) = load_network(model_folder), load_network(exported.path)
    assert bits(theirs) == bits(ours)
    assert read == card
    assert not theirs.training


@pytest.mark.usefixtures("known_graph")
def test_a_file_that_does_not_hold_all_weights_says_so_and_predicts(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rewritten(network: ShipNetwork) -> Any:
        """Return the graph with another weight, where the exporter has transposed or folded one."""
        model = known(network)
        item = next(item for item in model.graph.initializer if item.name.endswith("head.weight"))
        item.name = "head.weight_transposed"
        for node in model.graph.node:
            node.input[:] = [item.name if name.endswith("head.weight") else name for name in node.input]
        return model

    known = export._build_graph
    monkeypatch.setattr(export, "_build_graph", rewritten)
    out = export_onnx(model_folder, tmp_path / "out.onnx").path
    assert load_model(out).card.name == "tiny"
    with pytest.raises(ModelError, match=r"out\.onnx predicts, but holds no weights for torch .*: give the run or"):
        load_network(out)


def test_the_file_names_its_input_and_output_and_leaves_their_sizes_free(exported: ExportReport) -> None:
    graph = onnx.load(exported.path).graph
    (image,), (probability,) = graph.input, graph.output
    assert (image.name, probability.name) == ("image", "probability")
    for value, channels in ((image, 3), (probability, 1)):
        dims = value.type.tensor_type.shape.dim
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        assert dims[1].dim_value == channels
        assert all(dims[axis].dim_param for axis in (0, 2, 3))


def test_the_card_travels_in_the_file(exported: ExportReport, model_folder: Path) -> None:
    assert read_card(exported.path) == read_card(model_folder)


def test_the_file_holds_no_trace_of_the_machine_that_made_it(exported: ExportReport) -> None:
    data = exported.path.read_bytes()
    for trace in (str(Path.home()), str(Path(__file__).parents[2]), "site-packages", "stack_trace"):
        assert trace.encode() not in data


def test_the_metadata_hold_what_deepness_reads() -> None:
    card = Card(
        input=CardInput(scale=0.5, metres_per_pixel=1.5, tile=512, overlap=128), decision=Decision(threshold=0.4)
    )
    values = {key: json.loads(value) for key, value in deepness_metadata(card).items()}
    assert values["model_type"] == "Segmentor"
    assert values["class_names"] == {"0": "background", "1": "ship"}
    assert values["resolution"] == 300.0  # cm per pixel of the network: 1.5 m / 0.5
    assert (values["tile_size"], values["tiles_size"], values["tiles_overlap"]) == (512, 512, 25)
    assert values["seg_thresh"] == 0.4
    # Deepness gives (pixel / 255 - mean) / std: our 0-255.
    assert (200 / 255 - values["standardization_mean"][0]) / values["standardization_std"][0] == pytest.approx(200)


def test_the_metadata_stand_beside_the_card(exported: ExportReport) -> None:
    entries = {entry.key: entry.value for entry in onnx.load(exported.path).metadata_props}
    assert parse_card(entries.pop(CARD_KEY), "metadata").name == "tiny"
    assert entries.pop(HASH_KEY) == graph_hash(exported.path.read_bytes())
    assert all(key.endswith("num_batches_tracked") for key in json.loads(entries.pop(COUNTERS_KEY)))
    assert entries.keys() == deepness_metadata(Card()).keys()


@pytest.mark.usefixtures("known_graph")
def test_a_graph_that_differs_never_gets_its_name(tmp_path: Path) -> None:
    torch.manual_seed(2)
    config = NetworkConfig(architecture="compact", widths=(8, 8, 8, 8, 8))
    save_model(tmp_path / "other", build_network(config), Card(network=config))
    with pytest.raises(ModelError, match=r"differs from PyTorch by 0\.\d.* 1e-04 is allowed"):
        export_onnx(tmp_path / "other", tmp_path / "out" / "ships.onnx")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.usefixtures("known_graph")
def test_a_run_stands_for_its_model_and_a_folder_for_the_file_in_it(model_folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "model").symlink_to(model_folder)
    report = export_onnx(run, tmp_path / "out")
    assert report.path == tmp_path / "out" / "model.onnx"
    assert report.path.is_file()


@pytest.mark.usefixtures("known_graph")
def test_an_earlier_file_is_replaced(model_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    out.write_bytes(b"old")
    export_onnx(model_folder, out)
    assert read_card(out).name == "tiny"


def test_another_ending_is_refused(model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must end in \.onnx, got .*ships\.pt"):
        export_onnx(model_folder, tmp_path / "ships.pt")


@pytest.mark.parametrize("what", ["missing", "empty folder", "no weights"])
def test_what_is_no_model_is_not_exported(tmp_path: Path, what: str) -> None:
    source = tmp_path / "source"
    if what != "missing":
        source.mkdir()
    if what == "no weights":
        (source / "shipseg.json").write_text(Card().model_dump_json())
    with pytest.raises(ModelError, match="source"):
        export_onnx(source, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_an_exported_file_is_copied_unchanged(exported: ExportReport, tmp_path: Path) -> None:
    report = export_onnx(exported.path, tmp_path / "out.onnx")
    assert report.path.read_bytes() == exported.path.read_bytes()
    assert (report.num_pixels, report.size_mb) == (0, exported.size_mb)


def test_a_damaged_file_is_not_copied(exported: ExportReport, tmp_path: Path) -> None:
    content = bytearray(exported.path.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "damaged.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"damaged\.onnx is not the file that was exported"):
        export_onnx(tmp_path / "damaged.onnx", tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.usefixtures("known_graph")
def test_a_file_in_the_way_of_the_folder_is_named(model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "way").write_text("I was here first")
    with pytest.raises(StorageError, match="way"):
        export_onnx(model_folder, tmp_path / "way" / "out.onnx")


BENT = Calibration(method="isotonic", knots=((0, 0), (0.5, 0.2), (1, 0.9)))


@pytest.fixture
def card(model_folder: Path) -> Card:
    changed = {"decision": Decision(threshold=0.2, min_peak=0.3, metric="ship_f1"), "calibration": BENT}
    return read_card(model_folder).model_copy(update=changed)


@pytest.mark.parametrize("form", ["folder", "onnx"])
def test_the_copy_predicts_calibrated_whatever_runs_it(
    form: str, model_folder: Path, exported: ExportReport, card: Card, tmp_path: Path
) -> None:
    source = model_folder if form == "folder" else exported.path
    copy = copy_model(source, tmp_path / "out", card)
    assert copy == tmp_path / "out" / ("model" if form == "folder" else "model.onnx")
    assert read_card(copy) == card
    image_hwc = np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype(np.uint8)
    before, after = load_model(source), load_model(copy)
    np.testing.assert_allclose(after.probability(image_hwc), BENT.apply(before.probability(image_hwc)), atol=1e-6)
    np.testing.assert_allclose(
        after.without_calibration().probability(image_hwc), before.probability(image_hwc), atol=1e-6
    )


def test_the_same_ships_come_out_at_the_threshold_that_corresponds(
    model_folder: Path, card: Card, tmp_path: Path
) -> None:
    image_hwc = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    before, after = load_model(model_folder), load_model(copy_model(model_folder, tmp_path, card))
    probability_hw = after.probability(image_hwc)
    threshold = float(np.quantile(probability_hw, 0.8))
    own = BENT.before(threshold)
    np.testing.assert_array_equal(
        probability_hw >= np.float32(threshold), before.probability(image_hwc) >= np.float32(own)
    )
    assert 0.1 < (probability_hw >= np.float32(threshold)).mean() < 0.9, "all or nothing would prove nothing"


def test_other_programs_get_the_threshold_in_the_networks_own_probability(
    exported: ExportReport, card: Card, tmp_path: Path
) -> None:
    copy = copy_model(exported.path, tmp_path, card)
    assert bits(load_network(copy)[0]) == bits(load_network(exported.path)[0])  # and it can be trained on
    entries = {entry.key: entry.value for entry in onnx.load(copy).metadata_props}
    assert json.loads(entries["seg_thresh"]) == pytest.approx(0.5)  # BENT makes 0.2 of it


def test_an_onnx_file_beside_the_weights_gets_the_new_card_too(
    model_folder: Path, exported: ExportReport, card: Card, tmp_path: Path
) -> None:
    source = copy_model(model_folder, tmp_path / "source", read_card(model_folder))
    (source / "model.onnx").write_bytes(exported.path.read_bytes())
    copy = copy_model(source, tmp_path / "out", card)
    assert load_model(copy, backend="onnx").card == load_model(copy, backend="torch").card == card


def test_a_model_is_not_written_over_itself(
    exported: ExportReport, model_folder: Path, card: Card, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    copy_model(model_folder, run, card)
    for source in (run, run / "model"):
        with pytest.raises(ConfigError, match="would be written over the model"):
            copy_model(source, run, card)
    (tmp_path / "model.onnx").write_bytes(exported.path.read_bytes())
    with pytest.raises(ConfigError, match="would be written over the model"):
        copy_model(tmp_path / "model.onnx", tmp_path, card)
