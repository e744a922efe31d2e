"""Inference backends: PyTorch and ONNX Runtime behind one protocol, image arrays in and probabilities out.

Both libraries are imported only when they are used, so that prediction with an ONNX file needs no torch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError, ModelError
from shipseg.extras import needing
from shipseg.model.card import CARD_KEY, parse_card
from shipseg.model.onnxfile import check_graph, read_metadata, read_onnx
from shipseg.processes import usable_cores

if TYPE_CHECKING:
    import torch

__all__ = ["INPUT_NAME", "OUTPUT_NAME", "Backend", "OnnxBackend", "Precision", "TorchBackend"]

Precision = Literal["fp32", "bf16"]

INPUT_NAME: Final = "image"
"""Input of an exported graph: float32 (N, 3, H, W), RGB in 0-255."""
OUTPUT_NAME: Final = "probability"
"""Output of an exported graph: float32 (N, 1, H, W) in 0-1."""

# One tile of the default size uses all cores of a CPU; a larger batch only costs memory. A GPU needs a batch.
_CPU_PIXELS: Final = 1024 * 1024
_GPU_PIXELS: Final = 8 * 1024 * 1024


class Backend(Protocol):
    """Runs a network on a batch of equally large images."""

    @property
    def pixels_per_batch(self) -> int:
        """Maximum number of pixels in a batch, all images together; a single image may be larger."""
        ...

    def run(self, images_n3hw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability of ship.

        Args:
            images_n3hw: float32 (N, 3, H, W), RGB in 0-255; H and W are multiples of the card's `multiple`.

        Returns:
            float32 (N, 1, H, W) in 0-1.
        """
        ...


class TorchBackend:
    """Runs a PyTorch network.

    The network is moved to `device` but not copied, and its training mode is restored after each batch, so it can be
    evaluated between training steps.

    Args:
        network: Images float32 (N, 3, H, W), RGB in 0-255, to logits (N, 1, H, W).
        device: `auto` (a GPU when there is one), `cpu`, `cuda`, `cuda:1` ...
        precision: `fp32`, or `bf16` for autocast to bfloat16.
        threads: Number of threads during `run`; None keeps torch's setting.

    Raises:
        MissingExtraError: torch is not installed.
        ConfigError: The device does not exist.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        *,
        device: str = "auto",
        precision: Precision = "fp32",
        threads: int | None = None,
    ) -> None:
        self.device = _torch_device(device)
        self.precision = precision
        self.threads = threads
        self.network = network.to(self.device)

    @property
    def pixels_per_batch(self) -> int:
        """Maximum number of pixels in a batch, all images together."""
        return _CPU_PIXELS if self.device.type == "cpu" else _GPU_PIXELS

    def run(self, images_n3hw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability of ship, float32 (N, 1, H, W); see `Backend.run`."""
        import torch

        was_training = self.network.training
        if was_training:  # iterating over all modules takes as long as a small image does in a small network
            self.network.eval()
        try:
            with (
                torch.inference_mode(),
                torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"),
                _torch_threads(self.threads),
            ):
                images = torch.from_numpy(np.ascontiguousarray(images_n3hw)).to(self.device)
                logits: torch.Tensor = self.network(images.contiguous(memory_format=torch.channels_last))
                probability: NDArray[np.float32] = torch.sigmoid(logits.float()).contiguous().cpu().numpy()
                return probability
        finally:
            if was_training:
                self.network.train()


def _torch_device(name: str) -> torch.device:
    with needing("train"):
        import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"unknown device {name!r}: give auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise ConfigError(f"device {name} is not available (CUDA devices found: {found}): give auto or cpu")
    return device


@contextlib.contextmanager
def _torch_threads(threads: int | None) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    if threads is None or threads == before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class OnnxBackend:
    """Runs an ONNX file made by shipseg (normalisation and sigmoid inside) with ONNX Runtime, on the CPU.

    Args:
        path: The ONNX file.
        threads: Number of threads; None uses all cores available to this process.

    Attributes:
        card: The model's card, from the file's metadata.

    Raises:
        ModelError: The file does not exist, is not an ONNX file made by shipseg, or is damaged.
    """

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        self.path = Path(path)
        content = read_onnx(self.path)
        metadata = read_metadata(content, self.path)
        if CARD_KEY not in metadata:
            raise _foreign(self.path)
        self.card = parse_card(metadata[CARD_KEY], str(self.path))
        check_graph(content, metadata, self.path)
        self.session = _open_session(content, self.path, threads or usable_cores())

    @property
    def pixels_per_batch(self) -> int:
        """Maximum number of pixels in a batch, all images together."""
        return _CPU_PIXELS

    def run(self, images_n3hw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability of ship, float32 (N, 1, H, W); see `Backend.run`."""
        images = np.ascontiguousarray(images_n3hw, dtype=np.float32)
        probability: NDArray[np.float32] = self.session.run([OUTPUT_NAME], {INPUT_NAME: images})[0]
        return probability


def _open_session(content: bytes, path: Path, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised as exceptions; a library must not print
    # Images have many sizes, and ONNX Runtime would keep a memory plan for each of them.
    options.enable_mem_pattern = False
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises untyped exceptions for every kind of broken file
        detail = (str(error).splitlines() or ["no reason given"])[0]
        raise ModelError(f"{path} is not a readable ONNX file ({detail}): export the model again") from error
    inputs, outputs = ([item.name for item in items] for items in (session.get_inputs(), session.get_outputs()))
    if inputs != [INPUT_NAME] or OUTPUT_NAME not in outputs:
        raise _foreign(path)
    return session


def _foreign(path: Path) -> ModelError:
    return ModelError(
        f"{path} is an ONNX file without a shipseg card: make one with  shipseg export MODEL OUT --format onnx"
    )
