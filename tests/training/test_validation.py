from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from shipseg.config import LossConfig, TrainConfig
from shipseg.errors import NonFiniteLossError, TrainingInterrupted
from shipseg.model.losses import build_loss
from shipseg.training.assembly import Forward, padded_logits
from shipseg.training.batches import Batch
from shipseg.training.distributed import Processes
from shipseg.training.signals import StopRequest
from shipseg.training.validation import validate

ALONE = Processes(rank=0, world_size=1, device=torch.device("cpu"))


class FirstChannel(nn.Module):
    """Returns the first channel divided by 200 as the probability, so that a test sets what is predicted."""

    multiple = 32

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, images_n3hw: Tensor) -> Tensor:
        self.sizes.append(tuple(images_n3hw.shape[-2:]))
        return torch.logit(images_n3hw[:, :1].float() / 200, eps=1e-6)


def forward_pass(precision: str = "fp32") -> Forward:
    train = TrainConfig.model_validate({"precision": precision, "channels_last": False})
    return Forward.from_config(train, loss=build_loss(LossConfig(weights={"bce": 1.0})), device=torch.device("cpu"))


def batch_of(*rows: tuple[list[int], list[float]]) -> Batch:
    """Return images of 1 x n pixels with these values in the first channel, and their coverage."""
    images = torch.zeros(len(rows), 3, 1, len(rows[0][0]), dtype=torch.uint8)
    targets = torch.zeros(len(rows), 1, 1, len(rows[0][1]))
    for index, (values, coverage) in enumerate(rows):
        images[index, 0, 0] = torch.tensor(values)
        targets[index, 0, 0] = torch.tensor(coverage)
    return Batch(images, targets, tuple(f"{index}.jpg" for index in range(len(rows))))


def scores_of(*batches: Batch, stop: StopRequest | None = None, network: nn.Module | None = None) -> Any:
    return validate(
        network or FirstChannel(), list(batches), forward=forward_pass(), processes=ALONE, stop=stop or StopRequest()  # type: ignore[arg-type]
    )  # fmt: skip


def test_all_scores_of_two_small_images_are_as_worked_out_by_hand() -> None:
    # Probabilities 0.9 0.4 0.1 0.1 against ship, ship, sea, sea; and one false alarm of 0.6 in an image without ships.
    found = scores_of(batch_of(([180, 80, 20, 20], [1, 1, 0, 0])), batch_of(([120, 20, 20, 20], [0, 0, 0, 0])))
    # At 0.5: one of two ship pixels found, one false alarm: Dice 2 / (2 + 1 + 1), IoU 1 / 3.
    assert found.pooled_dice_at_half == pytest.approx(0.5)
    assert found.pooled_iou_at_half == pytest.approx(1 / 3)
    # At 0.2 to 0.4: both found, one false alarm: Dice 4 / 5, IoU 2 / 3. Nothing is better.
    assert found.pooled_dice == pytest.approx(0.8)
    assert found.pooled_iou == pytest.approx(2 / 3)
    assert 0.1 < found.threshold <= 0.4
    # Only the first image has ships: Dice at 0.5 is 2 / 3.
    assert found.image_dice == pytest.approx(2 / 3)
    losses = [-(math.log(0.9) + math.log(0.4) + 2 * math.log(0.9)) / 4, -(math.log(0.4) + 3 * math.log(0.9)) / 4]
    assert found.loss == pytest.approx(sum(losses) / 2, rel=1e-5)


def test_the_loss_weighs_batches_by_their_images() -> None:
    one, two = batch_of(([180], [1])), batch_of(([20], [1]), ([20], [1]))
    expected = (-math.log(0.9) - 2 * math.log(0.1)) / 3
    assert scores_of(one, two).loss == pytest.approx(expected, rel=1e-5)


def test_a_split_without_ships_has_no_image_dice() -> None:
    assert scores_of(batch_of(([20, 20], [0, 0]))).image_dice == 0


def test_an_image_whose_loss_is_not_finite_is_named() -> None:
    class Broken(nn.Module):
        multiple = 1

        def forward(self, images: Tensor) -> Tensor:
            return images[:, :1].float() * torch.nan

    with pytest.raises(NonFiniteLossError, match=r"the validation loss became nan on 0\.jpg, 1\.jpg"):
        scores_of(batch_of(([1], [0]), ([2], [0])), network=Broken())


def test_a_signal_stops_it_between_two_batches() -> None:
    stop = StopRequest()
    stop.signal_name = "SIGTERM"
    with pytest.raises(TrainingInterrupted, match="SIGTERM"):
        scores_of(batch_of(([1], [0])), stop=stop)


@pytest.mark.parametrize(("height", "width"), [(64, 96), (33, 50), (1, 70), (31, 32)])
def test_images_of_any_size_are_padded_for_the_network_and_cut_again(height: int, width: int) -> None:
    network = FirstChannel()
    images = torch.randint(1, 199, (2, 3, height, width), dtype=torch.uint8)
    logits = padded_logits(network, images)
    assert all(side % 32 == 0 for side in network.sizes[0])
    assert torch.equal(logits, torch.logit(images[:, :1].float() / 200, eps=1e-6))


def test_bf16_computes_in_bfloat16_and_the_loss_in_float32() -> None:
    seen = []

    class Convolution(nn.Module):
        multiple = 1

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 1, 1)
            nn.init.constant_(self.layer.bias, -5.0)  # type: ignore[arg-type]  # it has one

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.layer(images.float())
            seen.append(logits.dtype)
            return logits

    for precision in ("bf16", "fp32"):
        loss, logits, _ = forward_pass(precision)(Convolution(), batch_of(([1, 2], [0, 1])))
        assert (loss.dtype, logits.dtype) == (torch.float32, torch.float32)
    assert seen == [torch.bfloat16, torch.float32]
