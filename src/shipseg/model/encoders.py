"""Networks of segmentation_models_pytorch (smp): import, construction, and loading of encoder weights."""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from shipseg.config import NetworkConfig
from shipseg.errors import ModelError, unknown_name
from shipseg.extras import needing

with needing("train"):
    import torch
    from torch import Tensor, nn

__all__ = ["architecture_names", "build_smp_network", "encoder_names", "import_smp", "load_encoder", "read_state_dict"]

HUB = "imagenet"
"""The value of `network.encoder_weights` that downloads weights from a model hub."""
_HUB_TIMEOUT_S = 5.0
_LOCAL_ROUTE = (
    "give a local file instead, network.encoder_weights: FILE (the encoder's state dict as .safetensors or .pt; "
    "timm's weights of the same encoder fit), or null for random weights"
)
_CLASSIFIER_HEADS = ("fc.", "classifier.", "head.", "last_linear.", "conv_head.", "bn2.")
_TORCHVISION_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[Any] = []  # a torch Library removes its schemas when it is garbage collected, so it is kept here


@functools.cache
def import_smp() -> ModuleType:
    """Return the module segmentation_models_pytorch.

    Raises:
        MissingExtraError: It is not installed.
    """
    with needing("train"):
        _import_torchvision()
        return importlib.import_module("segmentation_models_pytorch")


def _import_torchvision() -> None:
    """Import torchvision, even if its compiled operators cannot be loaded.

    smp and timm import torchvision but need only its Python code. With a torchvision built for the installed torch the
    first import succeeds. The torchvision on package indexes is built against the CUDA build of torch: with a CPU-only
    torch its compiled operators do not load, and the import fails where it registers one of them (`operator
    torchvision::nms does not exist`). Declaring the two missing schemas, without implementation, lets the import
    succeed; shipseg does not call them.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]  # partially initialised; a second import would return them as they are
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for schema in _TORCHVISION_SCHEMAS:
            library.define(schema)  # type: ignore[no-untyped-call]
        _declared.append(library)
        importlib.import_module("torchvision")


def architecture_names() -> list[str]:
    """Return the names of smp's architectures: `unet`, `fpn`, ..."""
    return sorted(import_smp().MODEL_ARCHITECTURES_MAPPING)


def encoder_names() -> list[str]:
    """Return the names of smp's own encoders; `tu-NAME` for any timm network is also valid."""
    return sorted(import_smp().encoders.get_encoder_names())


def build_smp_network(config: NetworkConfig) -> nn.Module:
    """Return the smp network of the architecture and encoder: 3 channels in, 1 channel of logits out.

    Args:
        config: `encoder_weights` other than "imagenet" are loaded by `load_encoder`.

    Raises:
        ConfigError: Unknown architecture or encoder.
        ModelError: The two cannot be combined, or the hub cannot be reached.
    """
    smp = import_smp()
    if config.architecture not in smp.MODEL_ARCHITECTURES_MAPPING:
        raise unknown_name("architecture", config.architecture, ["compact", *architecture_names()])
    if config.encoder not in encoder_names() and not _is_timm_encoder(config.encoder):
        raise unknown_name("encoder", config.encoder, [*encoder_names(), "tu-<any network of timm>"])
    from_hub = config.encoder_weights == HUB
    weights = (True if config.encoder.startswith("tu-") else HUB) if from_hub else None
    try:
        with _offline_without_hub() if from_hub else contextlib.nullcontext():
            network: nn.Module = smp.create_model(
                config.architecture, encoder_name=config.encoder, encoder_weights=weights, in_channels=3, classes=1
            )
    except Exception as error:  # smp, timm and the hub raise some ten unrelated types here
        reason = " ".join(str(error).split()).split(". ")[0][:200].rstrip(".")
        if from_hub:
            raise ModelError(
                f"encoder_weights 'imagenet' of {config.encoder} cannot be downloaded from the model hub ({reason}): "
                f"{_LOCAL_ROUTE}"
            ) from error
        raise ModelError(
            f"architecture {config.architecture!r} cannot be built on encoder {config.encoder!r}: {reason}"
        ) from error
    return network


def _is_timm_encoder(name: str) -> bool:
    if not name.startswith("tu-"):
        return False
    import timm

    return bool(timm.is_model(name.removeprefix("tu-").partition(".")[0]))


@contextlib.contextmanager
def _offline_without_hub() -> Iterator[None]:
    """Restrict hub clients to their local cache if the hub does not answer within seconds.

    By default they retry six times, which takes 23 s where names do not resolve and minutes behind a firewall that
    drops packets.
    """
    from huggingface_hub import constants

    offline = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = offline or not _hub_answers(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline


def _hub_answers(url: str) -> bool:
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

    try:
        get_session().head(url, timeout=_HUB_TIMEOUT_S)
    except Exception:  # noqa: BLE001  (any error means no; clients raise different types)
        return False
    return True


def load_encoder(encoder: nn.Module, path: Path, *, name: str) -> None:
    """Load the encoder's weights from a local file into `encoder`.

    The file holds a state dict: of the encoder itself (timm's naming; a classification head is ignored) or of a
    whole network whose encoder keys begin with `encoder.`, such as `model.safetensors` of a model folder.

    Args:
        encoder: The module whose weights are set.
        path: .safetensors, .pt, .pth, .bin or .ckpt.
        name: The encoder's name, for error messages.

    Raises:
        ModelError: The file does not exist, does not hold plain tensors, or holds weights of another encoder.
    """
    expected = encoder.state_dict()
    state = _best_naming(read_state_dict(path), expected)
    counters = {key for key in expected if key.endswith("num_batches_tracked")}
    missing = [key for key in expected if key not in state and key not in counters]
    other = [
        key for key in state if key not in expected and not key.removeprefix("model.").startswith(_CLASSIFIER_HEADS)
    ]
    wrong = [key for key in expected if key in state and state[key].shape != expected[key].shape]
    hint = f"network.encoder_weights must hold the state dict of encoder {name}"
    if missing:
        raise ModelError(
            f"{path} lacks {len(missing)} of {len(expected)} tensors of encoder {name}, such as {missing[0]}: {hint}"
        )
    if other:
        raise ModelError(
            f"{path} holds {len(other)} tensors that are not in encoder {name}, such as {other[0]}: {hint}"
        )
    if wrong:
        key = wrong[0]
        raise ModelError(
            f"{path}: {key} has shape {tuple(state[key].shape)}, encoder {name} needs {tuple(expected[key].shape)}: "
            f"{hint}"
        )
    filled = {key: state.get(key, expected[key]) for key in expected}
    nn.Module.load_state_dict(encoder, filled)  # smp's own method modifies its argument


def _best_naming(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict with the key prefix, of those in use, that matches most of the expected keys."""
    whole = {key.removeprefix("encoder."): value for key, value in state.items() if key.startswith("encoder.")}
    wrapped = {f"model.{key}": value for key, value in state.items()}  # smp's wrapper around timm networks
    return max((dict(state), whole, wrapped), key=lambda naming: len(naming.keys() & expected.keys()))


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors file or a file written by torch.save; code in it is never executed.

    Raises:
        ModelError: The file does not exist, is damaged, or holds anything but tensors.
    """
    if not path.is_file():
        raise ModelError(f"there is no weight file {path}: {_LOCAL_ROUTE}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load

            return load(path.read_bytes())
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch, zipfile, pickle and safetensors raise different types for broken files
        raise ModelError(
            f"{path} is damaged or holds more than tensors (code in a weight file is never executed): "
            "save the plain state dict, best as .safetensors"
        ) from error
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{path} holds no state dict (names and tensors): save network.state_dict()")
    return dict(state)
