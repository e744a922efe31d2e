"""Time of a training step, and samples per second of the dataset.

    python benchmarks/training_step.py [--rounds 5] [--batch 16] [--side 256] [--device cpu] [--dataset DATASET]

A step is forward, loss (BCE + Dice), backward and optimiser. All variants are measured in turn, round by round, so that
other load affects all of them equally: use the ratios. Samples are timed in this process alone, on DATASET or on a
small synthetic one of 768 px images; data-loading processes multiply the rate.
"""

from __future__ import annotations

import argparse
import io
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import torch

from shipseg.config import AugmentConfig, InputConfig, LossConfig, NetworkConfig
from shipseg.data.augment import AUGMENTATIONS
from shipseg.data.dataset import AirbusShipDetectionDataset, Draw
from shipseg.data.prepare import PrepareOptions, prepare
from shipseg.data.prepared import open_dataset
from shipseg.data.sampling import ShipStratifiedSampler
from shipseg.model.losses import LOSSES, build_loss
from shipseg.model.network import build_network, count_parameters
from shipseg.synth import WorldConfig, write_airbus_folder

NETWORKS = {
    "compact": NetworkConfig(architecture="compact", normalization="sqrt"),
    "compact, demo widths": NetworkConfig(architecture="compact", widths=(16, 32, 64, 96, 128), normalization="sqrt"),
    "unet / resnet18": NetworkConfig(normalization="airbus"),
}
LAYOUTS = {"channels_last": torch.channels_last, "NCHW": torch.contiguous_format}
AUGMENTS = {
    "none": AugmentConfig(names=()),
    "d4": AugmentConfig(names=("d4",)),
    "all thirteen": AugmentConfig(names=tuple(AUGMENTATIONS)),
}


def median_times(actions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median time of each action in seconds, one call of each per round, after a warm-up round."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(rounds + 1):
        for name, action in actions.items():
            started = time.perf_counter()
            action()
            if number:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def step(config: NetworkConfig, *, layout: str, bf16: bool, options: argparse.Namespace) -> Callable[[], object]:
    """Return a training step on a batch of noise."""
    torch.manual_seed(0)
    device = torch.device(options.device)
    network = build_network(config).to(device)
    network.to(memory_format=LAYOUTS[layout])  # type: ignore[call-overload]
    shape = (options.batch, 3, options.side, options.side)
    images = torch.randint(0, 256, shape, dtype=torch.uint8).to(device, memory_format=LAYOUTS[layout])
    target = (torch.rand(options.batch, 1, options.side, options.side) < 0.01).float().to(device)
    loss = build_loss(LossConfig())
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def run() -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            logits = network(images)
        torch.autograd.backward(loss(logits, target))
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return run


def report_steps(options: argparse.Namespace) -> None:
    """Print the time of a step of each network, precision and layout."""
    print(f"\ntraining step, {options.batch} x {options.side} x {options.side}, {options.device}")
    actions = {
        f"{name:<22}{'bf16' if bf16 else 'fp32'} {layout}": step(config, layout=layout, bf16=bf16, options=options)
        for (name, config), bf16, layout in product(NETWORKS.items(), (True, False), LAYOUTS)
    }
    times = median_times(actions, options.rounds)
    base = times[f"{'unet / resnet18':<22}bf16 channels_last"]
    for name, seconds in times.items():
        print(f"  {name:<42}{seconds * 1e3:9.0f} ms   {seconds / base:6.2f} x unet bf16 channels_last")
    for name, config in NETWORKS.items():
        print(f"  {name:<22}{count_parameters(build_network(config)):>12,} parameters")


def report_losses(options: argparse.Namespace) -> None:
    """Print the time of each loss, forward and backward."""
    print("\nloss alone, forward and backward")
    logits = torch.randn(options.batch, 1, options.side, options.side, requires_grad=True)
    target = (torch.rand_like(logits) < 0.01).float()

    def action(name: str) -> Callable[[], object]:
        loss = build_loss(LossConfig.model_validate({"weights": {name: 1.0}}))
        return lambda: torch.autograd.grad(loss(logits, target), logits)

    for name, seconds in median_times({name: action(name) for name in LOSSES}, options.rounds).items():
        print(f"  {name:<12}{seconds * 1e3:9.1f} ms")


def report_items(folder: Path, options: argparse.Namespace) -> None:
    """Print the samples per second of each input mode and augmentation."""
    print("\nsamples, one process")
    data = open_dataset(folder)
    modes = {"crops": InputConfig(mode="crops", crop_size=options.side)}
    if data.images is not None:
        modes["resized"] = InputConfig(mode="resized")
    counter = iter(range(10**9))

    def action(dataset: AirbusShipDetectionDataset) -> Callable[[], object]:
        return lambda: [dataset[Draw(number % len(dataset), next(counter))] for number in range(20)]

    actions = {
        f"{mode:<9} augmentation: {augment}": action(
            AirbusShipDetectionDataset(data, "train", recipe_input=recipe_input, augment=AUGMENTS[augment])
        )
        for (mode, recipe_input), augment in product(modes.items(), AUGMENTS)
    }
    for name, seconds in median_times(actions, options.rounds).items():
        print(f"  {name:<42}{20 / seconds:9.0f} samples/s   {seconds / 20 * 1e3:7.2f} ms")


def report_sampler(options: argparse.Namespace) -> None:
    """Print the time of a batch of indices at the size of the challenge."""
    ships = np.random.default_rng(0).choice(3, 192_556, p=[0.78, 0.14, 0.08])
    sampler = ShipStratifiedSampler(ships, batch_size=options.batch, zero_ships_ratio=0.5, multiple_ships_ratio=0.3629)
    started = time.perf_counter()
    num_batches = sum(1 for _ in sampler)
    print(f"\nsampler over {len(ships):,} images: {(time.perf_counter() - started) / num_batches * 1e6:.0f} us a batch")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dataset", type=Path)
    options = parser.parse_args()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # shows each line at once, since a run takes minutes
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}")
    report_sampler(options)
    report_losses(options)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.dataset or Path(scratch) / "dataset"
        if options.dataset is None:
            write_airbus_folder(Path(scratch) / "airbus", images=24, seed=1, config=WorldConfig())
            prepare(Path(scratch) / "airbus", folder, PrepareOptions(size=options.side))
        report_items(folder, options)
    report_steps(options)


if __name__ == "__main__":
    main()
