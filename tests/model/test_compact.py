"""The small U-Net: size, shapes, layout, export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from shipseg.config import NetworkConfig
from shipseg.errors import ConfigError
from shipseg.model.compact import CompactUNet
from shipseg.model.network import build_network, count_parameters


def test_the_default_has_about_three_million_parameters() -> None:
    assert 2.7e6 < count_parameters(CompactUNet()) < 3.3e6


@pytest.mark.parametrize(("widths", "stride"), [((8, 16), 4), ((8, 8, 8), 8), ((8, 8, 8, 8, 8, 8), 64)])
def test_each_width_halves_the_resolution_once(widths: tuple[int, ...], stride: int) -> None:
    network = CompactUNet(widths)
    assert network.stride == stride
    assert network(torch.zeros(2, 3, stride, 3 * stride)).shape == (2, 1, stride, 3 * stride)


@pytest.mark.parametrize("widths", [(8,), (8,) * 7, ()])
def test_too_few_or_too_many_widths_are_refused(widths: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=f"2 to 6 numbers of channels, got {len(widths)}"):
        CompactUNet(widths)


def test_a_new_network_answers_the_prior_everywhere() -> None:
    torch.manual_seed(0)
    probability = CompactUNet().eval()(torch.randn(1, 3, 64, 64)).sigmoid()
    assert float(probability.detach().mean()) == pytest.approx(0.047, abs=0.02)


def test_moving_the_image_by_the_stride_moves_the_answer() -> None:
    torch.manual_seed(0)
    network = CompactUNet((8, 16, 16)).eval()
    image = torch.zeros(1, 3, 128, 128)
    image[:, :, 60:68, 48:76] = 2.0
    with torch.inference_mode():
        moved = network(image.roll((8, 16), dims=(2, 3)))
        expected = network(image).roll((8, 16), dims=(2, 3))
    torch.testing.assert_close(moved[..., 40:-40, 40:-40], expected[..., 40:-40, 40:-40])


def test_channels_last_gives_the_same_logits_and_stays_channels_last() -> None:
    torch.manual_seed(0)
    network = CompactUNet((8, 16, 16)).eval()
    image = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected = network(image)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        features = network.encoder(image.to(memory_format=torch.channels_last))
        torch.testing.assert_close(network(image.to(memory_format=torch.channels_last)), expected, rtol=1e-4, atol=1e-5)
    assert all(feature.is_contiguous(memory_format=torch.channels_last) for feature in features)


def test_it_learns_a_bright_square_within_a_few_steps() -> None:
    torch.manual_seed(0)
    network = CompactUNet((8, 16, 16))
    images = torch.randn(4, 3, 32, 32) * 0.1
    target = torch.zeros(4, 1, 32, 32)
    for place in range(4):
        images[place, :, 4 * place : 4 * place + 9, 8:15] += 1.0
        target[place, :, 4 * place : 4 * place + 9, 8:15] = 1.0
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(network(images), target).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    hits = ((network(images) > 0) & (target > 0)).sum()
    assert hits / ((network(images) > 0) | (target > 0)).sum() > 0.9


@pytest.mark.parametrize(
    "config",
    [
        NetworkConfig(architecture="compact", widths=(8, 16, 16), normalization="sqrt"),
        pytest.param(NetworkConfig(normalization="airbus"), marks=pytest.mark.slow),
    ],
    ids=["compact", "unet"],
)
@pytest.mark.filterwarnings("ignore")  # the exporter warns about its own internals
def test_the_exported_graph_agrees_at_another_size_and_batch(tmp_path: Path, config: NetworkConfig) -> None:
    import onnxruntime

    torch.manual_seed(0)
    network = build_network(config).eval()
    multiple = network.multiple
    sides = {
        2: multiple * torch.export.Dim("rows", min=1, max=64),
        3: multiple * torch.export.Dim("columns", min=1, max=64),
    }
    batch = torch.export.Dim("batch", min=1, max=64)
    file = tmp_path / "network.onnx"
    torch.onnx.export(
        network,
        (torch.rand(2, 3, 2 * multiple, 3 * multiple) * 255,),
        file,
        dynamo=True,
        verbose=False,
        input_names=["images"],
        dynamic_shapes={"images_n3hw": {0: batch, **sides}},
    )
    images = torch.rand(3, 3, 4 * multiple, 2 * multiple) * 255
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (exported,) = session.run(None, {"images": images.numpy()})
    with torch.inference_mode():
        np.testing.assert_allclose(exported, network(images).numpy(), atol=1e-4)
