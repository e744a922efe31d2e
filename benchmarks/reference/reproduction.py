"""The reference's recipe done its way, for the side-by-side; written anew here, mistakes included.

Kept as it was: images resized bilinearly and masks by nearest, ship images only, 5 of 16 with several ships and each
batch drawn from all, the network's probabilities fed to the focal loss as logits, a new Adam for each phase, the last
weights. Left out, because they only cost time: the phase with learning rate 1e-10, and the validation, on which nothing
depended.
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

__all__ = ["PHASES", "THRESHOLD", "as_the_original_saw", "train_the_original_way"]

PHASES = (1e-4, 1e-5, 1e-5)
"""Learning rates of phases of equal length."""
THRESHOLD = 4e-4
"""What the reference chose for its model 2, by eye."""


def train_the_original_way(data: PreparedDataset, recipe: Recipe, *, minutes: float, folder: Path) -> dict[str, Any]:
    """Train for so many minutes by the clock, save the last weights as a model folder, and return what was done.

    Args:
        data: A dataset with cached images, whose size is the network's; images are read from the original files.
        recipe: Gives network, batch, precision, memory layout, seed and device; the rest is as the module says.
        minutes: Reading and resizing included.
        folder: Of the model.

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
        _start_undecided(network)
        network.to(device).train()
        if train.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
        started_s, phase, losses = time.perf_counter(), -1, [float("nan")]
        for due in track(_phases(60 * minutes), "the reference's way", note=lambda: f"loss {losses[-1]:.4f}"):
            if due != phase:
                phase, optimizer = due, torch.optim.Adam(network.parameters(), lr=PHASES[due])
            images, masks = _batch([described[place] for place in next(batches)], data, device)
            if train.channels_last:
                images = images.to(memory_format=torch.channels_last)
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=train.precision == "bf16"):
                z = padded_logits(network, images)
            loss = focal_loss(z, masks, fed="probabilities")
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item())
        seconds = time.perf_counter() - started_s
    steps = len(losses) - 1
    done = {"minutes": round(seconds / 60, 3), "steps": steps, "images_seen": steps * train.batch_size}
    save_model(folder, network, _card(data, recipe, network, {**done, "last_loss": round(losses[-1], 5)}))
    return done


def as_the_original_saw(
    data: PreparedDataset, row: ImageRow, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return an image (h, w, 3) and its mask (h, w) of 0 and 1 at size (h, w), sampled as the reference did."""
    image_hwc = data.read_image(row)
    mask_hw = decode_many(data.ship_rles(row), image_hwc.shape[:2]).astype(np.uint8)
    height, width = size
    return (
        np.asarray(cv2.resize(image_hwc, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8),
        np.asarray(cv2.resize(mask_hw, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8),
    )


def _batch(rows: list[Any], data: PreparedDataset, device: torch.device) -> tuple[Tensor, Tensor]:
    assert data.canvas is not None
    pairs = [as_the_original_saw(data, row, data.canvas) for row in rows]
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


def _start_undecided(network: ShipNetwork) -> None:
    """Set the last bias to 0, probability 0.5 everywhere, as its library leaves it; ours start near "no ship"."""
    last = [module for module in network.modules() if isinstance(module, nn.Conv2d) and module.bias is not None][-1]
    assert last.bias is not None
    nn.init.zeros_(last.bias)


def _card(data: PreparedDataset, recipe: Recipe, network: ShipNetwork, done: dict[str, Any]) -> Card:
    return Card(
        name="the reference's way",
        network=recipe.network,
        input=CardInput(mode="resized", scale=data.scale, multiple=network.multiple),
        decision=Decision(threshold=THRESHOLD, metric="none"),
        data={"fingerprint": data.fingerprint, "name": data.root.resolve().name},
        training={"way": "as the reference solution did, mistakes included", **done},
        versions={"shipseg": __version__, "torch": torch.__version__, "python": platform.python_version()},
        created=dt.datetime.now(dt.UTC).date().isoformat(),
    )
