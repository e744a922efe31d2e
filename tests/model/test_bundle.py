"""The model folder: what is saved comes back, what is damaged is found, nothing in it is executed."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from pathlib import Path

import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from safetensors.torch import save

from shipseg.config import Decision, NetworkConfig
from shipseg.errors import ModelError, StorageError
from shipseg.inference.export import ExportReport
from shipseg.model.bundle import (
    README_FILE,
    SMP_CONFIG_FILE,
    WEIGHTS_FILE,
    load_network,
    save_model,
)
from shipseg.model.card import CARD_FILE, CARD_KEY, Card, read_card
from shipseg.model.encoders import import_smp
from shipseg.model.network import ShipNetwork, build_network
from shipseg.model.onnxfile import COUNTERS_KEY, HASH_KEY, graph_hash

COMPACT = NetworkConfig(architecture="compact", widths=(8, 16), normalization="sqrt")
CONFIGS = [COMPACT, NetworkConfig(normalization="airbus"), NetworkConfig(architecture="fpn", encoder="mobilenet_v2")]


def trained(config: NetworkConfig) -> ShipNetwork:
    """Return a network whose batch statistics differ from those of a new one."""
    torch.manual_seed(0)
    network = build_network(config)
    with torch.no_grad():
        network(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8))
    return network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a model folder of the small network."""
    save_model(tmp_path / "model", trained(COMPACT), Card(network=COMPACT))
    return tmp_path / "model"


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: str(config.architecture))
def test_a_saved_network_comes_back_with_the_same_answers(tmp_path: Path, config: NetworkConfig) -> None:
    network = trained(config)
    card = Card(name="Model 1", network=config, decision=Decision(threshold=0.4, metric="airbus_score"))
    written = save_model(tmp_path / "model", network, card)
    loaded, read = load_network(tmp_path / "model")
    images = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(loaded(images), network.eval()(images))
    assert not loaded.training
    assert read == written
    assert read.decision.threshold == 0.4
    assert read.files == {WEIGHTS_FILE: hashlib.sha256((tmp_path / "model" / WEIGHTS_FILE).read_bytes()).hexdigest()}


@pytest.mark.parametrize("config", CONFIGS[1:], ids=lambda config: str(config.architecture))
def test_smp_reads_the_folder_of_its_own_networks(tmp_path: Path, config: NetworkConfig) -> None:
    network = trained(config).eval()
    save_model(tmp_path / "model", network, Card(network=config))
    theirs = import_smp().from_pretrained(str(tmp_path / "model")).eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(theirs(x), network.body(x), rtol=0, atol=0)


def test_weights_from_a_hub_are_not_downloaded_again(tmp_path: Path) -> None:
    config = NetworkConfig(encoder_weights="imagenet")
    network = trained(config.model_copy(update={"encoder_weights": None}))
    save_model(tmp_path / "model", network, Card(network=config))
    loaded, card = load_network(tmp_path / "model")
    assert card.network.encoder_weights == "imagenet", "the card keeps where the encoder came from"
    assert torch.equal(
        loaded.state_dict()["body.encoder.conv1.weight"], network.state_dict()["body.encoder.conv1.weight"]
    )
    assert json.loads((tmp_path / "model" / SMP_CONFIG_FILE).read_text())["encoder_weights"] is None


def test_the_compact_network_has_no_file_for_smp(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted([WEIGHTS_FILE, CARD_FILE, README_FILE])


def test_layout_and_precision_in_memory_do_not_matter(tmp_path: Path) -> None:
    network = trained(COMPACT).eval()
    one = save_model(tmp_path / "one", network, Card(network=COMPACT))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert save_model(tmp_path / "two", network, Card(network=COMPACT)).files == one.files


def test_saving_again_replaces_the_model(folder: Path) -> None:
    network = trained(COMPACT)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
    save_model(folder, network, Card(name="second", network=COMPACT))
    loaded, card = load_network(folder)
    assert card.name == "second"
    assert torch.equal(loaded.state_dict()["body.head.bias"], network.state_dict()["body.head.bias"])


def test_loading_leaves_the_random_numbers_of_the_caller_alone(folder: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    load_network(folder)
    assert torch.equal(torch.rand(4), expected)


def test_a_card_of_another_architecture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the card describes architecture 'unet', the network is a CompactUNet"):
        save_model(tmp_path / "model", trained(COMPACT), Card())
    assert not (tmp_path / "model" / WEIGHTS_FILE).exists()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("not a folder")
    with pytest.raises(StorageError, match="in the way"):
        save_model(tmp_path / "model", trained(COMPACT), Card(network=COMPACT))


# --- damaged folders -----------------------------------------------------------------------------------------------


def with_weights(folder: Path, content: bytes) -> None:
    """Replace the weights and let the card vouch for them."""
    (folder / WEIGHTS_FILE).write_bytes(content)
    card = json.loads((folder / CARD_FILE).read_text())
    card["files"][WEIGHTS_FILE] = hashlib.sha256(content).hexdigest()
    (folder / CARD_FILE).write_text(json.dumps(card))


def test_a_folder_without_a_card_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is not a model \(it has no shipseg.json\)"):
        load_network(tmp_path)


def test_missing_weights_are_said(folder: Path) -> None:
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(ModelError, match=r"model.safetensors cannot be read \(No such file or directory\)"):
        load_network(folder)


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_weights_that_are_not_those_of_the_card_are_refused(folder: Path, damage: str) -> None:
    content = bytearray((folder / WEIGHTS_FILE).read_bytes())
    if damage == "truncated":
        del content[-100:]
    else:
        content[-1] ^= 1
    (folder / WEIGHTS_FILE).write_bytes(content)
    with pytest.raises(ModelError, match="is not the file that its card describes"):
        load_network(folder)


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 a zip, as torch.save writes", b"\x80\x04\x95pickle", b"\x00" * 200]
)
def test_weights_in_another_form_are_refused_though_the_card_vouches_for_them(folder: Path, content: bytes) -> None:
    with_weights(folder, content)
    with pytest.raises(ModelError, match="is not a safetensors file"):
        load_network(folder)


def test_a_tensor_that_is_missing_or_unknown_is_named(folder: Path) -> None:
    state = trained(COMPACT).body.state_dict()
    bias = state.pop("head.bias")
    with_weights(folder, save(state))
    with pytest.raises(ModelError, match="1 tensors missing and 0 unknown, such as head.bias"):
        load_network(folder)
    with_weights(folder, save({**state, "head.bias": bias, "extra": bias.clone()}))
    with pytest.raises(ModelError, match="0 tensors missing and 1 unknown, such as extra"):
        load_network(folder)


def test_a_tensor_of_another_shape_is_named(folder: Path) -> None:
    state = trained(COMPACT).body.state_dict()
    with_weights(folder, save({**state, "head.bias": torch.zeros(5)}))
    with pytest.raises(ModelError, match=r"head.bias has shape \(5,\), not \(4,\)"):
        load_network(folder)


def test_a_save_that_fails_half_way_leaves_the_old_weights_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (folder / WEIGHTS_FILE).read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="no space left"):
        save_model(folder, trained(COMPACT), Card(network=COMPACT))
    monkeypatch.undo()
    assert (folder / WEIGHTS_FILE).read_bytes() == before
    assert load_network(folder)[1] == read_card(folder)


@pytest.mark.parametrize("write", range(8))
def test_a_save_killed_at_any_moment_leaves_the_old_model_or_the_new_one(
    folder: Path, write: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = load_network(folder)[1], Card(name="new", network=COMPACT)
    replace, count = Path.replace, itertools.count()

    def killed(source: Path, target: Path) -> Path:
        if next(count) == write:
            raise KeyboardInterrupt
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", killed)
    finished = True
    try:
        save_model(folder, trained(COMPACT), new)
    except KeyboardInterrupt:
        finished = False
    monkeypatch.undo()
    found = load_network(folder)[1]
    assert found.name in (["new"] if finished else [old.name, "new"])
    save_model(folder, trained(COMPACT), new)
    assert load_network(folder)[1].name == "new"
    assert sorted(path.name for path in folder.iterdir()) == sorted([WEIGHTS_FILE, CARD_FILE, README_FILE])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"widths": [2048] * 6}, r"does not fit the network of its card \(\d+ tensors missing"),
        ({"widths": [10**9] * 5}, "network.widths.0 must be at most 2048, got 1000000000"),
        ({"widths": [8]}, "describes a network that cannot be built: network.widths must list 2 to 6"),
        ({"architecture": "vgg", "encoder": "x"}, "describes a network that cannot be built: unknown architecture"),
        ({"architecture": "unet"}, "does not fit the network of its card"),
    ],
)
def test_a_card_of_another_or_an_absurd_network_is_one_sentence(
    folder: Path, change: dict[str, object], sentence: str
) -> None:
    card = json.loads((folder / CARD_FILE).read_text())
    card["network"] |= change
    (folder / CARD_FILE).write_text(json.dumps(card))
    with pytest.raises(ModelError, match=sentence) as caught:
        load_network(folder)
    assert "\n" not in str(caught.value)


# --- ONNX files; tests/inference/test_export.py reads back what was exported ------------------------------------------


def changed_onnx(exported: Path, out: Path, *, metadata: dict[str, str | None], weight: bool = False) -> Path:
    """Write a copy with other metadata (None: without that key) and, on request, another weight."""
    model = onnx.load(exported, load_external_data=False)
    if weight:
        item = next(item for item in model.graph.initializer if item.name.endswith("head.bias"))
        item.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(item) + 1, item.name))
    values = {entry.key: entry.value for entry in model.metadata_props} | metadata
    helper.set_model_props(model, {key: value for key, value in values.items() if value is not None})
    out.write_bytes(model.SerializeToString())
    return out


@pytest.mark.parametrize("place", [0.02, 0.5, 0.9])
def test_a_damaged_onnx_file_is_refused(exported: ExportReport, tmp_path: Path, place: float) -> None:
    content = bytearray(exported.path.read_bytes())
    content[int(place * len(content))] ^= 1
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"a\.onnx (is not the file that was exported|is not a readable ONNX file)"):
        load_network(tmp_path / "a.onnx")


@pytest.mark.parametrize("counters", ["", "[]", "{", '{"a": "b"}', '{"a": 1e400}', f'{{"a": 1{"0" * 30}}}', "{}"])
def test_damaged_counters_of_an_onnx_file_are_one_sentence(
    exported: ExportReport, tmp_path: Path, counters: str
) -> None:
    file = changed_onnx(exported.path, tmp_path / "a.onnx", metadata={COUNTERS_KEY: counters})
    with pytest.raises(ModelError, match=r"a\.onnx (holds weights that cannot be read|does not hold the weights)"):
        load_network(file)


def test_weights_that_are_not_those_of_the_card_are_refused_in_an_onnx_file(
    exported: ExportReport, tmp_path: Path
) -> None:
    file = changed_onnx(exported.path, tmp_path / "a.onnx", metadata={HASH_KEY: None}, weight=True)
    with pytest.raises(ModelError, match=r"a\.onnx does not hold the weights of its card \(SHA-256 differs\)"):
        load_network(file)
    file = changed_onnx(file, file, metadata={HASH_KEY: graph_hash(file.read_bytes())})
    with pytest.raises(ModelError, match=r"a\.onnx does not hold the weights of its card \(SHA-256 differs\)"):
        load_network(file)


def test_an_older_onnx_file_holds_no_weights_for_torch(exported: ExportReport, tmp_path: Path) -> None:
    file = changed_onnx(exported.path, tmp_path / "a.onnx", metadata={COUNTERS_KEY: None})
    with pytest.raises(ModelError, match=r"a\.onnx predicts, but holds no weights for torch .* give the run or"):
        load_network(file)


def test_initialisers_in_another_file_are_not_read(exported: ExportReport, tmp_path: Path) -> None:
    model = onnx.load(exported.path)
    onnx.save_model(model, tmp_path / "a.onnx", save_as_external_data=True, location="elsewhere", size_threshold=0)
    file = changed_onnx(tmp_path / "a.onnx", tmp_path / "b.onnx", metadata={HASH_KEY: None})
    with pytest.raises(ModelError, match=r"b\.onnx does not hold the weights of its card"):
        load_network(file)


def test_an_onnx_file_that_does_not_fit_its_card_is_named(exported: ExportReport, tmp_path: Path) -> None:
    card = read_card(exported.path)
    other = card.model_copy(update={"network": NetworkConfig(architecture="compact", widths=(8, 16))})
    file = changed_onnx(exported.path, tmp_path / "a.onnx", metadata={CARD_KEY: other.model_dump_json()})
    with pytest.raises(ModelError, match=r"a\.onnx does not fit the network of its card .*: copy the file again"):
        load_network(file)
