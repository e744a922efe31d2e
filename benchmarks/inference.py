"""Time to predict an image with PyTorch in fp32 and bf16 and with ONNX Runtime, and the effect of bf16.

    python benchmarks/inference.py [--model MODEL] [--rounds 15] [--threads N] [--size 768]

The backends are measured in turn, round by round, so that other load affects all of them equally: use the ratios of the
medians. With --model, its ships in bf16 and from ONNX are also compared with those in fp32, on synthetic images.
"""

from __future__ import annotations

import argparse
import functools
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from shipseg.config import NetworkConfig
from shipseg.inference.export import export_onnx
from shipseg.inference.overlay import draw_ships
from shipseg.inference.predictor import Predictor, load_model
from shipseg.masks.ships import find_ships
from shipseg.model.bundle import save_model
from shipseg.model.card import Card, CardInput
from shipseg.model.network import build_network
from shipseg.processes import usable_cores
from shipseg.synth import WorldConfig, make_image

NETWORKS = {
    "compact": NetworkConfig(architecture="compact"),
    "unet / resnet18": NetworkConfig(architecture="unet", encoder="resnet18"),
}
SEED = 2026


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a model folder or run, to compare bf16 and ONNX with fp32")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--size", type=int, default=768)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {options.threads} threads")
    with tempfile.TemporaryDirectory() as scratch:
        for name, config in NETWORKS.items():
            folder = Path(scratch) / config.architecture
            torch.manual_seed(0)
            save_model(folder, build_network(config), Card(name=name, network=config, input=CardInput(mode="crops")))
            image_hwc = make_image(SEED, 0, WorldConfig(size=options.size)).image_hwc
            backends = all_backends(folder, threads=options.threads)
            print_times(
                f"{name}, {options.size} x {options.size}", probability_calls(backends, image_hwc), options.rounds
            )
        print_times("other steps", surrounding_calls(options.size), options.rounds)
        if options.model is not None:
            print_differences(all_backends(options.model, threads=options.threads), num_images=options.rounds)


def all_backends(folder: Path, *, threads: int) -> dict[str, Predictor]:
    """Return the same model with each backend; the ONNX file is temporary."""
    with tempfile.TemporaryDirectory() as scratch:
        exported = export_onnx(folder, Path(scratch) / "model.onnx").path
        return {
            "torch fp32": load_model(folder, backend="torch", device="cpu"),
            "torch bf16": load_model(folder, backend="torch", device="cpu", precision="bf16"),
            "onnxruntime": load_model(exported, threads=threads),
        }


def probability_calls(backends: dict[str, Predictor], image_hwc: NDArray[np.uint8]) -> dict[str, Callable[[], object]]:
    """Return, for each backend, the call that predicts the image."""
    return {name: functools.partial(predictor.probability, image_hwc) for name, predictor in backends.items()}


def surrounding_calls(size: int) -> dict[str, Callable[[], object]]:
    """Return the other steps for an image with ships: finding and drawing them."""
    synthetic = make_image(SEED, 1, WorldConfig(size=size, empty_share=0.0))
    prob_hw = synthetic.coverage_hw.astype(np.float32) / 255
    ships = find_ships(prob_hw, threshold=0.5)
    return {
        "find ships": lambda: find_ships(prob_hw, threshold=0.5),
        "draw ships": lambda: draw_ships(synthetic.image_hwc, ships),
    }


def print_times(title: str, calls: dict[str, Callable[[], object]], rounds: int) -> None:
    """Run the calls in turn and print the median of each, and its ratio to the first."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in times.items()}
    first = next(iter(medians.values()))
    print(f"\n{title}: median of {rounds} rounds in turn")
    for name, median in medians.items():
        print(f"  {name:<14} {1000 * median:8.1f} ms   best {1000 * min(times[name]):8.1f}   {median / first:5.2f} x")


def print_differences(backends: dict[str, Predictor], *, num_images: int) -> None:
    """Print how the ships of each backend differ from those of torch in fp32."""
    images = [make_image(SEED, index, WorldConfig(empty_share=0.4)).image_hwc for index in range(num_images)]
    print(f"\nagainst torch fp32 on {num_images} synthetic images")
    reference = [backends["torch fp32"].predict(image_hwc) for image_hwc in images]
    for name in ("torch bf16", "onnxruntime"):
        predictions = [backends[name].predict(image_hwc) for image_hwc in images]
        pairs = list(zip(reference, predictions, strict=True))
        largest = max(float(np.abs(a.probability - b.probability).max()) for a, b in pairs)
        flipped = sum(int((a.mask != b.mask).sum()) for a, b in pairs)
        ship_px = sum(int(a.mask.sum()) for a, _ in pairs)
        counts = f"{sum(len(a.ships) for a, _ in pairs)} ships, {sum(len(b.ships) for _, b in pairs)} here"
        changed = sum(len(a.ships) != len(b.ships) for a, b in pairs)
        print(f"  {name:<14} largest difference {largest:.2g}, {flipped} of {ship_px} ship pixels change; {counts}; "
              f"the number of ships differs in {changed} images")  # fmt: skip


if __name__ == "__main__":
    main()
