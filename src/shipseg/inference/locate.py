"""Locating and loading a model: the files that a path or a name stands for, and the backend that runs them."""

from __future__ import annotations

import importlib.util
from importlib import resources
from pathlib import Path
from typing import Final

from shipseg.errors import ConfigError, ModelError, unknown_name
from shipseg.extras import needing
from shipseg.inference.backends import Backend, OnnxBackend, Precision, TorchBackend
from shipseg.model.card import CARD_FILE, Card, read_card
from shipseg.model.onnxfile import check_state_dict, read_metadata, read_onnx

__all__ = [
    "BACKENDS",
    "ONNX_FILE",
    "WEIGHTS_FILE",
    "bundled_folder",
    "bundled_models",
    "default_model",
    "find_model",
    "find_weights",
    "load_backend",
    "model_folder",
]

BACKENDS: Final = ("auto", "torch", "onnx")
WEIGHTS_FILE: Final = "model.safetensors"
ONNX_FILE: Final = "model.onnx"


_BEST_FIRST: Final = ("shipseg-base", "shipseg-small")


def bundled_folder() -> Path:
    """Return the folder of the weights that come with shipseg.

    Each is one ONNX file, NAME.onnx: it predicts, and torch reads its weights from the initialisers to train on.
    """
    return Path(str(resources.files("shipseg"))) / "weights"


def bundled_models() -> dict[str, Path]:
    """Return the ONNX files of the models that come with shipseg, by name without suffix."""
    return {file.stem: file for file in sorted(bundled_folder().glob("*.onnx"))}


def default_model() -> str:
    """Return the name of the best model that comes with shipseg.

    Raises:
        ModelError: No model comes with shipseg.
    """
    bundled = bundled_models()
    for name in (*_BEST_FIRST, *bundled):
        if name in bundled:
            return name
    raise ModelError(
        "no model comes with this copy of shipseg: give one with --model (a run, a model folder or an ONNX file made "
        "by shipseg), or make the bundled one:  scripts/train-bundled small"
    )


def load_backend(
    path_or_name: str | Path | None, *, backend: str, device: str, threads: int | None, precision: Precision
) -> tuple[Card, Backend]:
    """Return a model's card and its backend; the arguments are those of `load_model`."""
    if backend not in BACKENDS:
        raise unknown_name("backend", backend, BACKENDS)
    if precision not in ("fp32", "bf16"):
        raise unknown_name("precision", precision, ("fp32", "bf16"))
    if threads is not None and threads < 1:
        raise ConfigError(f"threads must be at least 1, got {threads}")
    path = find_model(default_model() if path_or_name is None else path_or_name)
    if _runs_with_torch(path, backend):
        return _load_torch(find_weights(path), device=device, threads=threads, precision=precision)
    return _load_onnx(path, device=device, threads=threads, precision=precision)


def find_model(path_or_name: str | Path) -> Path:
    """Return the ONNX file or model folder of a path or a bundled name.

    Raises:
        ModelError: There is no such model.
        ConfigError: The name is unknown.
    """
    path = Path(path_or_name)
    bundled = bundled_models()
    if path.exists():
        return path if path.is_file() else model_folder(path)
    name = str(path_or_name)
    if name in bundled:
        return bundled[name]
    if len(path.parts) > 1 or path.suffix or not bundled:
        shipped = f", or a name: {', '.join(bundled)}" if bundled else ""
        raise ModelError(f"there is no model {path}: give a model folder, a run, an ONNX file made by shipseg{shipped}")
    raise unknown_name("model", name, bundled)


def find_weights(path_or_name: str | Path) -> Path:
    """Return the model folder or the ONNX file that torch reads the weights of a path or a bundled name from.

    Raises:
        ModelError: There is no such model, or it holds no weights for torch.
        ConfigError: An unknown name.
    """
    path = find_model(path_or_name)
    if (path / WEIGHTS_FILE).is_file():
        return path
    file = path if path.is_file() else path / ONNX_FILE
    if not file.is_file():
        raise ModelError(f"{path} has no {WEIGHTS_FILE}, the weights for torch: give a model folder or a run")
    check_state_dict(read_metadata(read_onnx(file), file), file)
    return file


def model_folder(path: Path) -> Path:
    """Return `path` if it is a model folder, or the model folder of a run.

    Raises:
        ModelError: It is neither.
    """
    for folder in (path, path / "model"):
        if any((folder / name).is_file() for name in (CARD_FILE, WEIGHTS_FILE, ONNX_FILE)):
            return folder
    if (path / "last.ckpt").exists():
        raise ModelError(f"run {path} has no model yet: finish it with  shipseg train ... --resume")
    raise ModelError(f"{path} is neither a model nor a run: give a folder that holds {CARD_FILE}, or an ONNX file")


def _runs_with_torch(path: Path, backend: str) -> bool:
    has_weights = (path / WEIGHTS_FILE).is_file()
    has_onnx = path.is_file() or (path / ONNX_FILE).is_file()
    if backend == "onnx" and not has_onnx:
        raise ModelError(
            f"{path} has no {ONNX_FILE} for backend onnx: make it with  shipseg export {path} {path / ONNX_FILE}"
        )
    if not has_weights and not has_onnx:
        raise ModelError(f"{path} holds no weights (neither {WEIGHTS_FILE} nor {ONNX_FILE}): copy the whole folder")
    return backend == "torch" or (backend == "auto" and has_weights and (_has_torch() or not has_onnx))


def _has_torch() -> bool:
    try:
        return importlib.util.find_spec("torch") is not None
    except ImportError:
        return False


def _load_torch(path: Path, *, device: str, threads: int | None, precision: Precision) -> tuple[Card, Backend]:
    with needing("train"):
        import torch

        from shipseg.model.bundle import load_network

    network, card = load_network(path)
    # Convolutions on a CPU run 1.5 times as fast in this layout (0.37 against 0.57 s for 768 x 768 px).
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch leaves this form out
    return card, TorchBackend(network, device=device, precision=precision, threads=threads)


def _load_onnx(path: Path, *, device: str, threads: int | None, precision: Precision) -> tuple[Card, Backend]:
    if device not in ("auto", "cpu"):
        raise ConfigError(f"backend onnx runs on the CPU, got device {device!r}: give backend torch for a GPU")
    if precision != "fp32":
        raise ConfigError(f"backend onnx computes in fp32, got precision {precision!r}: give backend torch for bf16")
    file = path if path.is_file() else path / ONNX_FILE
    backend = OnnxBackend(file, threads=threads)
    if path.is_dir() and (path / CARD_FILE).is_file():
        _refuse_stale(file, backend.card, read_card(path))
    return backend.card, backend


def _refuse_stale(file: Path, exported: Card, current: Card) -> None:
    """Raise if an ONNX file was exported from other weights than those beside it, e.g. before more training."""
    ours, theirs = current.files.get(WEIGHTS_FILE), exported.files.get(WEIGHTS_FILE)
    if ours != theirs:
        raise ModelError(
            f"{file} was exported from other weights than those beside it: export again with  "
            f"shipseg export {file.parent} {file}"
        )
