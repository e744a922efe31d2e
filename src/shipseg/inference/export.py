"""Export of a model to ONNX, verified against PyTorch before the file is written, and copies of models."""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError, ModelError
from shipseg.extras import needing
from shipseg.files import atomic_path, ensure_folder, remove_leftovers, write_bytes, write_json, write_text
from shipseg.inference.backends import INPUT_NAME, OUTPUT_NAME, OnnxBackend, TorchBackend
from shipseg.inference.locate import ONNX_FILE, WEIGHTS_FILE, find_model, find_weights
from shipseg.model.card import CARD_FILE, CARD_KEY, Card
from shipseg.model.card_page import describe_card
from shipseg.model.onnxfile import COUNTERS_KEY, HASH_KEY, STATE_PREFIX, graph_hash, read_metadata, read_onnx

if TYPE_CHECKING:
    from shipseg.model.network import ShipNetwork

__all__ = ["TOLERANCE", "ExportReport", "copy_model", "copy_onnx", "copy_target", "deepness_metadata", "export_onnx"]


TOLERANCE: Final = 1e-4
"""Largest allowed difference in probability between an exported file and PyTorch; 4e-6 is usual."""

_MAX_SIDE_PX: Final = 65536
# Batch, height and width (in multiples of the network's `multiple`) of the images that are compared.
_COMPARED: Final = ((1, 1, 1), (2, 2, 3), (3, 4, 2), (1, 8, 8))


@dataclass(frozen=True)
class ExportReport:
    """Comparison of an exported file with the model that it was made from."""

    path: Path
    """The ONNX file."""
    size_mb: float
    """Its size in 10^6 bytes."""
    num_pixels: int
    """Pixels compared, over images of several sizes in batches of several sizes; 0 for a copy of an ONNX file."""
    max_difference: float
    """Largest difference in probability."""
    mean_difference: float
    """Mean absolute difference in probability."""
    flipped_share: float
    """Share of pixels on different sides of the model's threshold."""

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {**asdict(self), "path": str(self.path)}


def export_onnx(model: str | Path, out: Path) -> ExportReport:
    """Write a model as an ONNX file and return the comparison with PyTorch.

    The graph takes `image`, float32 (N, 3, H, W), RGB in 0-255, and gives `probability`, float32 (N, 1, H, W):
    normalisation and sigmoid are inside; N, H and W are free (H and W multiples of the card's `multiple`). The card
    stands in the metadata, and beside it the keys that the QGIS plugin Deepness reads. The state dict can be read back
    from the initialisers bit for bit (`load_network`), except for a few architectures of smp.

    Args:
        model: A model folder or a run; an ONNX file made by shipseg, or the name of a model that comes with shipseg,
            which is such a file: it is copied unchanged, which needs neither torch nor onnx.
        out: The file to write, ending in `.onnx`; else a folder, in which it is called `model.onnx`.

    Raises:
        ModelError: There is no usable model, or the outputs differ by more than `TOLERANCE` (then nothing is written).
        ConfigError: `out` has another suffix.
        MissingExtraError: torch or onnx is not installed.
        StorageError: The file cannot be written.
    """
    file = _target(Path(out))
    source = find_model(model)
    if source.is_file():
        return _copy_unchanged(source, file)
    with needing("train"):
        import onnx

        from shipseg.model.bundle import load_network

    network, card = load_network(find_weights(source))
    graph = _build_graph(network)
    _add_metadata(graph, card, _counters(graph, network, card))
    remove_leftovers(file.parent)
    with atomic_path(file) as temporary:
        onnx.save_model(graph, str(temporary))
        differences = _compare(network, temporary, card)
        size_mb = temporary.stat().st_size / 1e6
    return ExportReport(file, size_mb, *differences)


def _copy_unchanged(source: Path, target: Path) -> ExportReport:
    OnnxBackend(source)  # whole, and made by shipseg: it was compared then
    content = read_onnx(source)
    write_bytes(target, content)
    return ExportReport(target, len(content) / 1e6, 0, 0.0, 0.0, 0.0)


def copy_onnx(source: Path, target: Path, card: Card) -> None:
    """Write a copy of an ONNX file of ours with another card; graph and weights stay as they are.

    Raises:
        StorageError: The file cannot be written.
    """
    with needing("train"):
        import onnx

    content = read_onnx(source)
    metadata = read_metadata(content, source)
    graph = onnx.load_from_string(content)
    _add_metadata(graph, card, {key: value for key, value in metadata.items() if key == COUNTERS_KEY})
    with atomic_path(target) as temporary:
        onnx.save_model(graph, str(temporary))


def deepness_metadata(card: Card) -> dict[str, str]:
    """Return the settings that the QGIS plugin Deepness reads from an ONNX file, each as JSON.

    Deepness divides pixels by 255 before it standardises them; a standard deviation of 1/255 restores 0-255. It has no
    calibration, so the threshold is that of the network's own probability.

    Source: documentation and code of the plugin (`tiles_size` is documented, `tile_size` is what it reads).
    """
    values = {
        "model_type": "Segmentor",
        "class_names": {"0": "background", "1": "ship"},
        "resolution": round(100 * card.input.metres_per_pixel / card.input.scale, 3),
        "tile_size": card.input.tile,
        "tiles_size": card.input.tile,
        "tiles_overlap": round(100 * card.input.overlap / card.input.tile),
        "seg_thresh": card.network_threshold,
        "seg_small_segment": 0,
        "standardization_mean": [0.0, 0.0, 0.0],
        "standardization_std": [1 / 255] * 3,
    }
    return {key: json.dumps(value) for key, value in values.items()}


def _target(out: Path) -> Path:
    if out.suffix == ".onnx":
        return out
    if out.suffix and not out.is_dir():
        raise ConfigError(f"an ONNX file must end in .onnx, got {out}: give such a file, or a folder")
    return out / ONNX_FILE


def _build_graph(network: ShipNetwork) -> Any:
    """Return the network as an ONNX model, its sizes free, without traces of the machine that made it.

    Batch norms stay nodes of their own, so that each weight keeps its name and its bits. ONNX Runtime folds them into
    the convolutions when it loads the file: same speed, same probabilities.
    """
    import torch
    from onnxscript import optimizer

    class Probability(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.sigmoid(self.network(image))

    multiple = network.multiple
    most = _MAX_SIDE_PX // multiple
    height, width = (torch.export.Dim(name, min=1, max=most) for name in ("height", "width"))
    sizes = {0: torch.export.Dim("batch"), 2: multiple * height, 3: multiple * width}
    example = torch.zeros(2, 3, 2 * multiple, 3 * multiple)
    with _quiet():
        program = torch.onnx.export(
            Probability().eval(),
            (example,),
            dynamo=True,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_shapes=(sizes,),
            verbose=False,
            optimize=False,  # it would fold the batch norms
        )
        if program is None:
            raise ModelError("torch.onnx.export returned nothing: use a version of torch from 2.6 on")
        optimizer.fold_constants(program.model)
        graph = program.model_proto
        _drop_zero_biases(graph, network.body.state_dict())
        optimizer.remove_unused_nodes(graph)
    _strip_traces(graph)
    return graph


def _drop_zero_biases(graph: Any, state: Collection[str]) -> None:
    """Drop the zero biases that the exporter adds to convolutions: they keep ONNX Runtime from folding batch norms."""
    from onnx import numpy_helper

    constants = {item.name: item for item in graph.graph.initializer}
    constants |= {node.output[0]: node.attribute[0].t for node in graph.graph.node if node.op_type == "Constant"}
    for node in graph.graph.node:
        if node.op_type in ("Conv", "ConvTranspose") and len(node.input) == 3:
            bias = node.input[2]
            is_added = bias in constants and bias.removeprefix(STATE_PREFIX) not in state
            if is_added and not numpy_helper.to_array(constants[bias]).any():
                del node.input[2]


def _counters(graph: Any, network: ShipNetwork, card: Card) -> dict[str, str]:
    """Return the metadata that complete the state dict; none where the initialisers do not hold the rest of it."""
    import torch

    from shipseg.model.bundle import initialisers_as_state, state_sha256

    state = network.body.state_dict()
    counters = {key: value for key, value in state.items() if value.ndim == 0 and value.dtype == torch.int64}
    if state_sha256({**initialisers_as_state(graph.graph), **counters}) != card.files.get(WEIGHTS_FILE):
        return {}
    return {COUNTERS_KEY: json.dumps({key: int(value) for key, value in counters.items()})}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's warnings and log lines about deprecations and missing extensions."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _strip_traces(graph: Any) -> None:
    """Remove the exporter's metadata of each node: stack traces hold local paths and half of the graph's size."""
    graph.graph.ClearField("metadata_props")
    for group in (
        graph.graph.node,
        graph.graph.input,
        graph.graph.output,
        graph.graph.value_info,
        graph.graph.initializer,
    ):
        for item in group:
            item.ClearField("metadata_props")
            item.ClearField("doc_string")


def _add_metadata(graph: Any, card: Card, counters: dict[str, str]) -> None:
    graph.ClearField("metadata_props")
    values = {CARD_KEY: card.model_dump_json(), **deepness_metadata(card), **counters}
    for key, value in {**values, HASH_KEY: graph_hash(graph.SerializeToString())}.items():
        entry = graph.metadata_props.add()
        entry.key, entry.value = key, value


def _compare(network: ShipNetwork, file: Path, card: Card) -> tuple[int, float, float, float]:
    """Return the number of pixels, the largest and the mean difference, and the share that crosses the threshold."""
    ours, exported = TorchBackend(network, device="cpu"), OnnxBackend(file)
    largest, total, flipped, num_pixels = 0.0, 0.0, 0, 0
    for number, (batch, rows, columns) in enumerate(_COMPARED):
        images = _trial_images(batch, rows * network.multiple, columns * network.multiple, seed=number)
        expected, got = ours.run(images), exported.run(images)
        if got.shape != expected.shape or not np.isfinite(expected).all():
            raise ModelError(
                f"the exported graph gives {got.shape} for images of {images.shape}, or its model gives NaN"
            )
        difference = np.abs(expected.astype(np.float64) - got)
        largest, total = max(largest, float(difference.max())), total + float(difference.sum())
        threshold = card.network_threshold
        flipped += int(((expected >= threshold) != (got >= threshold)).sum())
        num_pixels += difference.size
    if not largest < TOLERANCE:
        raise ModelError(
            f"the exported graph differs from PyTorch by {largest:.2g} in probability, {TOLERANCE:.0e} is allowed: "
            "nothing was written, try another version of torch or onnxruntime"
        )
    return num_pixels, largest, total / num_pixels, flipped / num_pixels


def _trial_images(batch: int, height: int, width: int, *, seed: int) -> NDArray[np.float32]:
    """Return images (N, 3, H, W) in 0-255 with structure at several scales: noise with increasing Gaussian blur."""
    generator = np.random.default_rng(seed)
    images = []
    for number in range(batch):
        noise_hwc = generator.uniform(0, 255, (height, width, 3)).astype(np.float32)
        blurred = cv2.GaussianBlur(noise_hwc, (0, 0), 1.0 + 3 * number) if number else noise_hwc
        spread = cv2.normalize(blurred, np.empty_like(blurred), 0, 255, cv2.NORM_MINMAX)
        images.append(spread.transpose(2, 0, 1))
    return np.ascontiguousarray(np.stack(images), dtype=np.float32)


# Copies of a model with another card: another decision rule or calibration, the same weights.


def copy_target(model: str | Path, out: Path) -> Path:
    """Return the path that `copy_model` writes: `out/model`, or `out/model.onnx` for an ONNX file.

    Raises:
        ModelError: There is no such model.
        ConfigError: The path is the model itself.
    """
    source = find_model(model)
    target = Path(out) / (ONNX_FILE if source.is_file() else "model")
    if target.resolve() == source.resolve():
        raise ConfigError(f"{target} would be written over the model {model} itself: choose another folder")
    return target


def copy_model(model: str | Path, out: Path, card: Card) -> Path:
    """Write the model with another card into `out` and return its path; the card is written last.

    Args:
        model: A run, a model folder, an ONNX file made by shipseg, or a bundled name.
        out: Folder that gets `model/`, or `model.onnx` for an ONNX file.
        card: The card to write; it describes the same weights.

    Raises:
        ModelError: There is no such model.
        ConfigError: The copy would be written over the model itself.
        StorageError: It cannot be written.
    """
    source, target = find_model(model), copy_target(model, out)
    if source.is_file():
        copy_onnx(source, target, card)
        return target
    with needing("train"):
        from shipseg.model.bundle import README_FILE, load_network, save_model

    remove_leftovers(ensure_folder(target))
    if (source / WEIGHTS_FILE).is_file():
        card = save_model(target, load_network(source)[0], card)
    if (source / ONNX_FILE).is_file():
        copy_onnx(source / ONNX_FILE, target / ONNX_FILE, card)
    write_text(target / README_FILE, describe_card(card))
    write_json(target / CARD_FILE, card.model_dump(mode="json"))
    return target
