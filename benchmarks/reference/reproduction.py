"""The training of the reference solution, reimplemented with its errors for the comparison.

Reproduced: images resized bilinearly and masks by nearest, ship images only, 5 of 16 with several ships and each
batch drawn from all, the network's probabilities as input of the focal loss, a new Adam for each phase, the last
weights. Left out, since they only take time: the phase with learning rate 1e-10, and validation, which had no effect on
the weights.
"""

from __future__ import annotations

import datetime as dt
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from benchmarks.reference.losses import focal_loss
from benchmarks.reference.sampler import reference_batches
from numpy.typing import NDArray

from shipseg import __version__
from shipseg.config import Decision, Recipe
from shipseg.data.prepared import ImageRow, PreparedDataset
from shipseg.errors import DataError
from shipseg.extras import needing
from shipseg.masks.rle import decode_many
from shipseg.model.bundle import save_model
from shipseg.model.card import Card, CardInput
from shipseg.model.network import ShipNetwork, build_network
from shipseg.progress import track
from shipseg.training.assembly import padded_logits
from shipseg.training.devices import numerics, resolve_device

with needing("train"):
    import torch
    from torch import Tensor, nn

__all__ = ["PHASES", "THRESHOLD", "resized_like_reference", "train_like_reference"]

PHASES = (1e-4, 1e-5, 1e-5)
"""Learning rates of phases of equal length."""
THRESHOLD = 4e-4
"""Threshold of the reference for its model 2, chosen by eye."""


def train_like_reference(data: PreparedDataset, recipe: Recipe, *, minutes: float, folder: Path) -> dict[str, Any]:
    """Train for a number of minutes, save the last weights as a model folder, and return the amount of training.

    Args:
        data: A dataset with cached images, whose size is the network's; images are read from the original files.
        recipe: For network, batch size, precision, memory layout, seed and device; the rest is described above.
        minutes: Wall-clock time, including reading and resizing.
        folder: Model folder to write.

    Raises:
        DataError: The dataset has no cached images, or none with ships to train on.
    """
    train = recipe.train
    rows = data.rows("train")
    ships = rows["Ships"].to_numpy(np.int64)
    if data.canvas is None or not (ships > 0).any():
        raise DataError(f"dataset {data.root} has no cached training image with ships: prepare it with --size 256")
    described = list(rows.itertuples(index=False))
    device = resolve_device(train.device)
    batches = reference_batches(ships, generator=np.random.default_rng(train.seed), batch_size=train.batch_size)
    with numerics(deterministic=train.deterministic):
        torch.manual_seed(train.seed)
        network = build_network(recipe.network)
        _zero_last_bias(network)
        network.to(device).train()
        if train.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
        started_s, phase, losses = time.perf_counter(), -1, [float("nan")]
        for current in track(_phases(60 * minutes), "training the reference", note=lambda: f"loss {losses[-1]:.4f}"):
            if current != phase:
                phase, optimizer = current, torch.optim.Adam(network.parameters(), lr=PHASES[current])
            images, masks = _batch([described[index] for index in next(batches)], data, device)
            if train.channels_last:
                images = images.to(memory_format=torch.channels_last)
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=train.precision == "bf16"):
                z = padded_logits(network, images)
            loss = focal_loss(z, masks, input_kind="probabilities")
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item())
        seconds = time.perf_counter() - started_s
    steps = len(losses) - 1
    done = {"minutes": round(seconds / 60, 3), "steps": steps, "images_seen": steps * train.batch_size}
    save_model(folder, network, _card(data, recipe, network, {**done, "last_loss": round(losses[-1], 5)}))
    return done


def resized_like_reference(
    data: PreparedDataset, row: ImageRow, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return an image (h, w, 3) and its mask (h, w) of 0 and 1 at size (h, w), resized as in the reference."""
    image_hwc = data.read_image(row)
    mask_hw = decode_many(data.ship_rles(row), image_hwc.shape[:2]).astype(np.uint8)
    height, width = size
    return (
        np.asarray(cv2.resize(image_hwc, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8),
        np.asarray(cv2.resize(mask_hw, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8),
    )


def _batch(rows: list[Any], data: PreparedDataset, device: torch.device) -> tuple[Tensor, Tensor]:
    assert data.canvas is not None
    pairs = [resized_like_reference(data, row, data.canvas) for row in rows]
    images = np.stack([image for image, _ in pairs]).transpose(0, 3, 1, 2)
    masks = np.stack([mask for _, mask in pairs])[:, None].astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(images)).to(device), torch.from_numpy(masks).to(device)


def _phases(seconds: float) -> Iterator[int]:
    """Yield the phase of the next step until the time is up; at least once."""
    started_s = time.perf_counter()
    elapsed_s = 0.0
    while True:
        yield min(int(len(PHASES) * elapsed_s / seconds), len(PHASES) - 1)
        elapsed_s = time.perf_counter() - started_s
        if elapsed_s >= seconds:
            return


def _zero_last_bias(network: ShipNetwork) -> None:
    """Set the last bias to 0, so that training starts at probability 0.5, as in the reference; ours starts near 0."""
    last = [module for module in network.modules() if isinstance(module, nn.Conv2d) and module.bias is not None][-1]
    assert last.bias is not None
    nn.init.zeros_(last.bias)


def _card(data: PreparedDataset, recipe: Recipe, network: ShipNetwork, done: dict[str, Any]) -> Card:
    return Card(
        name="reference",
        network=recipe.network,
        input=CardInput(mode="resized", scale=data.scale, multiple=network.multiple),
        decision=Decision(threshold=THRESHOLD, metric="none"),
        data={"fingerprint": data.fingerprint, "name": data.root.resolve().name},
        training={"way": "like the reference solution, with its errors", **done},
        versions={"shipseg": __version__, "torch": torch.__version__, "python": platform.python_version()},
        created=dt.datetime.now(dt.UTC).date().isoformat(),
    )
