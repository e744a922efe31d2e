"""Networks: normalisation inside, logits of the input's size, encoder weights from files, refusals in one sentence."""

from __future__ import annotations

import importlib
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from shipseg.config import NetworkConfig
from shipseg.errors import ConfigError, ModelError
from shipseg.model import encoders
from shipseg.model.compact import PRIOR_LOGIT
from shipseg.model.encoders import architecture_names, encoder_names, import_smp, load_encoder, read_state_dict
from shipseg.model.network import NORMALIZATIONS, Normalization, ShipNetwork, build_network, count_parameters

COMPACT = NetworkConfig(architecture="compact", widths=(8, 16, 16))
ON_RESNET = [name for name in architecture_names() if name != "dpt"]  # dpt takes transformers of timm only
FAMILIES = [COMPACT, *(NetworkConfig(architecture=name) for name in ON_RESNET)]


def built(config: NetworkConfig, *, seed: int = 0) -> ShipNetwork:
    """Return the network with the weights of that seed, in evaluation mode."""
    torch.manual_seed(seed)
    return build_network(config).eval()


@pytest.fixture(scope="module")
def unet() -> ShipNetwork:
    """Return the default network."""
    return built(NetworkConfig())


@pytest.mark.parametrize("config", FAMILIES, ids=lambda config: str(config.architecture))
class TestEveryNetwork:
    """The contract of all of them."""

    def test_gives_a_logit_for_every_pixel(self, config: NetworkConfig) -> None:
        network = built(config)
        height, width = 2 * network.multiple, 3 * network.multiple
        with torch.inference_mode():
            logits = network(torch.full((2, 3, height, width), 80, dtype=torch.uint8))
        assert logits.shape == (2, 1, height, width)
        assert logits.dtype == torch.float32

    def test_bytes_and_floats_are_the_same_image(self, config: NetworkConfig) -> None:
        network = built(config)
        side = network.multiple * (1 if network.multiple >= 32 else 8)
        image = torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8)
        with torch.inference_mode():
            torch.testing.assert_close(network(image), network(image.float()), rtol=0, atol=0)

    def test_the_seed_decides_the_weights(self, config: NetworkConfig) -> None:
        one, same, other = (built(config, seed=seed).state_dict() for seed in (1, 1, 2))
        assert all(torch.equal(one[key], same[key]) for key in one)
        assert any(not torch.equal(one[key], other[key]) for key in one)

    def test_learns_in_bfloat16_and_channels_last(self, config: NetworkConfig) -> None:
        network = built(config).train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        side = max(64, network.multiple)
        images = torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network(images)
        assert logits.dtype == torch.float32
        logits.square().mean().backward()
        without = [name for name, parameter in network.named_parameters() if parameter.grad is None]
        # PSPNet uses three of the five stages of its encoder.
        assert all(config.architecture == "pspnet" and name.startswith("body.encoder.layer") for name in without)


def test_the_default_network_has_the_size_of_the_reference(unet: ShipNetwork) -> None:
    assert count_parameters(unet) == 14_328_209


def test_the_default_multiple_is_32(unet: ShipNetwork) -> None:
    assert unet.multiple == 32


@pytest.mark.parametrize(("height", "width", "words"), [(100, 128, "height 100 must be a multiple of 32, use 128")])
def test_a_wrong_height_is_refused_with_the_next_that_fits(
    unet: ShipNetwork, height: int, width: int, words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        unet(torch.zeros(1, 3, height, width))
    with pytest.raises(ModelError, match=words.replace("height", "width")):
        unet(torch.zeros(1, 3, width, height))


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 4, 64, 64)])
def test_anything_but_three_channels_is_refused(unet: ShipNetwork, shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=r"images must have shape \(N, 3, height, width\), got "):
        unet(torch.zeros(shape))


@pytest.mark.parametrize("config", [COMPACT, NetworkConfig()], ids=["compact", "unet"])
def test_a_new_network_starts_near_no_ship(config: NetworkConfig) -> None:
    head = [module for module in built(config).modules() if isinstance(module, nn.Conv2d)][-1]
    assert head.bias is not None
    assert (head.bias == PRIOR_LOGIT).all()


@pytest.mark.parametrize(("name", "pixel"), [("imagenet", 123.675), ("airbus", 52.3)])
def test_the_mean_colour_becomes_zero(name: str, pixel: float) -> None:
    mean, std = NORMALIZATIONS[name]
    images = torch.tensor([mean, np.add(mean, std).tolist()]).view(2, 3, 1, 1)
    assert images[0, 0] == pytest.approx(pixel)
    expected = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    torch.testing.assert_close(Normalization(name)(images), expected, rtol=0, atol=1e-5)


def test_the_root_is_standardised_by_the_moments_of_a_gamma_variable() -> None:
    generator = np.random.default_rng(0)
    for mean, std, root_mean, root_std in zip(*NORMALIZATIONS["airbus"], *NORMALIZATIONS["sqrt"], strict=True):
        shape = (mean / std) ** 2
        roots = np.sqrt(generator.gamma(shape, mean / shape, 200_000))
        assert roots.mean() == pytest.approx(root_mean, rel=0.01)
        assert roots.std() == pytest.approx(root_std, rel=0.01)


def test_the_root_of_a_pixel_below_zero_is_that_of_zero() -> None:
    normalize = Normalization("sqrt")
    pixels = torch.tensor([-3.0, 0.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    assert torch.equal(*normalize(pixels).split(1))


def test_contrast_normalises_bright_and_dark_seas_to_the_same_image() -> None:
    normalize = Normalization("contrast")
    dark = torch.tensor([4.0, 4.0, 4.0, 16.0]).view(1, 1, 2, 2).expand(1, 3, 2, 2)  # roots 2, 2, 2, 4: mean 2.5
    bright = torch.tensor([64.0, 64.0, 64.0, 100.0]).view(1, 1, 2, 2).expand(1, 3, 2, 2)  # roots 8, 8, 8, 10
    expected = torch.tensor([-0.5, -0.5, -0.5, 1.5]).view(1, 1, 2, 2).expand(1, 3, 2, 2) / 1.5
    torch.testing.assert_close(normalize(dark), expected)
    torch.testing.assert_close(normalize(bright), expected)
    # Each image has its own mean: what stands beside it in a batch does not matter.
    torch.testing.assert_close(normalize(torch.cat([dark, bright]))[:1], expected)


def test_the_normalisation_is_no_part_of_the_weights(unet: ShipNetwork) -> None:
    smp_keys = {f"body.{key}" for key in import_smp().Unet("resnet18", encoder_weights=None).state_dict()}
    assert set(unet.state_dict()) == smp_keys


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"architecture": "unnet"}, "unknown architecture 'unnet', did you mean 'unet'"),
        ({"encoder": "resnet19"}, "unknown encoder 'resnet19', did you mean 'resnet18'"),
        ({"encoder": "tu-nothing"}, "unknown encoder 'tu-nothing'"),
        (
            {"architecture": "compact", "encoder_weights": "imagenet"},
            "'imagenet' is for encoders of segmentation_models_pytorch, not for compact",
        ),
        ({"architecture": "compact", "widths": [16]}, "network.widths must list 2 to 6 numbers"),
    ],
)
def test_settings_that_name_nothing_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build_network(NetworkConfig.model_validate(values))


def test_an_architecture_that_does_not_take_the_encoder_says_so() -> None:
    with pytest.raises(ModelError, match="architecture 'dpt' cannot be built on encoder 'resnet18': Only Timm"):
        build_network(NetworkConfig(architecture="dpt"))


def test_any_network_of_timm_can_be_an_encoder() -> None:
    assert built(NetworkConfig(encoder="tu-mobilenetv3_small_050")).multiple == 32


def test_encoder_names_hold_the_reference_s() -> None:
    assert {"resnet18", "resnet34", "efficientnet-b0"} <= set(encoder_names())


# --- torchvision beside a CPU-only torch ---------------------------------------------------------------------------


def test_no_schema_is_declared_if_torchvision_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    declared: list[Any] = []
    monkeypatch.setattr(encoders, "_declared", declared)
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    encoders._import_torchvision()
    assert declared == []


def test_another_failure_of_torchvision_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> types.ModuleType:
        raise RuntimeError(f"{name} does not fit this driver")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(RuntimeError, match="does not fit this driver"):
        encoders._import_torchvision()


# --- encoder weights -----------------------------------------------------------------------------------------------


def timm_state() -> dict[str, torch.Tensor]:
    """Return a state dict as timm's resnet18 has it, classifier and all."""
    import timm

    torch.manual_seed(7)
    return dict(timm.create_model("resnet18", pretrained=False).state_dict())


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
def test_timm_s_weights_become_the_encoder_s(tmp_path: Path, suffix: str) -> None:
    state, file = timm_state(), tmp_path / f"resnet18{suffix}"
    if suffix == ".safetensors":
        save_file(state, file)
    else:
        torch.save(state, file)
    network = built(NetworkConfig(encoder_weights=str(file)))
    loaded = network.body.encoder.state_dict()  # type: ignore[union-attr]
    assert set(state) - set(loaded) == {"fc.weight", "fc.bias"}
    assert all(torch.equal(loaded[key], state[key]) for key in loaded)


def test_weights_of_a_timm_network_fit_the_tu_encoder(tmp_path: Path) -> None:
    file = tmp_path / "resnet18.pt"
    torch.save({"state_dict": timm_state()}, file)
    network = built(NetworkConfig(encoder="tu-resnet18", encoder_weights=str(file)))
    assert torch.equal(network.state_dict()["body.encoder.model.conv1.weight"], timm_state()["conv1.weight"])


@pytest.mark.parametrize("config", [COMPACT, NetworkConfig()], ids=["compact", "unet"])
def test_the_encoder_of_a_whole_network_can_be_taken_over(tmp_path: Path, config: NetworkConfig) -> None:
    donor, file = built(config, seed=1), tmp_path / "model.safetensors"
    save_file(donor.body.state_dict(), file)
    heir = built(config.model_copy(update={"encoder_weights": str(file)}), seed=2)
    taken = {key for key in donor.state_dict() if torch.equal(donor.state_dict()[key], heir.state_dict()[key])}
    assert taken >= {key for key in donor.state_dict() if key.startswith("body.encoder.")}
    assert any(not key.startswith("body.encoder.") for key in set(donor.state_dict()) - taken)


def test_a_missing_weight_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no weight file .*nowhere.pt: give a local file"):
        build_network(NetworkConfig(encoder_weights=str(tmp_path / "nowhere.pt")))


def test_weights_that_lack_tensors_are_refused(tmp_path: Path) -> None:
    state = timm_state()
    del state["layer1.0.conv1.weight"]
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match="lacks 1 of 120 tensors of encoder resnet18, such as layer1.0.conv1.weight"):
        build_network(NetworkConfig(encoder_weights=str(tmp_path / "w.safetensors")))


def test_weights_of_a_larger_encoder_are_refused(tmp_path: Path) -> None:
    state = {**timm_state(), "layer1.2.conv1.weight": torch.zeros(64, 64, 3, 3)}
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match="holds 1 tensors that are not in encoder resnet18, such as layer1.2.conv1"):
        build_network(NetworkConfig(encoder_weights=str(tmp_path / "w.safetensors")))


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    save_file({**timm_state(), "conv1.weight": torch.zeros(64, 1, 7, 7)}, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"conv1.weight has shape \(64, 1, 7, 7\), encoder resnet18 needs \(64, 3"):
        build_network(NetworkConfig(encoder_weights=str(tmp_path / "w.safetensors")))


class _Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.path,)


def test_code_in_a_weight_file_is_not_executed(tmp_path: Path) -> None:
    torch.save({"conv1.weight": _Trap(tmp_path / "executed")}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match="code in a weight file is never executed"):
        read_state_dict(tmp_path / "w.pt")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\xff" * 64])
def test_a_damaged_weight_file_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    file = tmp_path / f"w{suffix}"
    file.write_bytes(content)
    with pytest.raises(ModelError, match="is damaged or holds more than tensors"):
        read_state_dict(file)


def test_a_file_of_other_things_is_no_state_dict(tmp_path: Path) -> None:
    torch.save([1, 2, 3], tmp_path / "w.pt")
    with pytest.raises(ModelError, match="holds no state dict"):
        read_state_dict(tmp_path / "w.pt")


def test_weights_without_batch_counters_fit(tmp_path: Path) -> None:
    state = {key: value for key, value in timm_state().items() if not key.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "old.pth")
    encoder = build_network(NetworkConfig()).body.encoder
    assert isinstance(encoder, nn.Module)
    load_encoder(encoder, tmp_path / "old.pth", name="resnet18")
    assert torch.equal(encoder.state_dict()["conv1.weight"], state["conv1.weight"])


@pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet18"])
def test_an_unreachable_hub_is_an_error_that_names_the_local_file(
    encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    # A port where nothing listens, and an empty cache.
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    started = time.monotonic()
    with pytest.raises(
        ModelError, match=f"'imagenet' of {encoder} cannot be downloaded from the model hub .* local file"
    ):
        build_network(NetworkConfig(encoder=encoder, encoder_weights="imagenet"))
    assert time.monotonic() - started < 10
    assert not constants.HF_HUB_OFFLINE, "the process may try the hub again"
