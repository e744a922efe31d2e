"""A model on disk: a folder that predicts by itself, or an ONNX file that holds the same state dict.

    model/
      model.safetensors   the weights under the names of the network's own library; the normalisation is no part of them
      shipseg.json        the card: architecture, normalisation, scale, threshold ... and the SHA-256 of the weights
      config.json         networks of segmentation_models_pytorch: what `smp.from_pretrained(folder)` reads
      README.md           the card for people

An ONNX file of `shipseg export` has the weights as initialisers, under the same names and with the same bits.

Reading a folder or a file never executes code from it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shipseg.errors import ConfigError, ModelError
from shipseg.extras import needing
from shipseg.files import ensure_folder, storage_errors, write_bytes, write_json, write_text
from shipseg.model.card import CARD_FILE, Card, read_card
from shipseg.model.card_page import describe_card
from shipseg.model.network import ShipNetwork, build_network
from shipseg.model.onnxfile import (
    COUNTERS_KEY,
    STATE_PREFIX,
    check_graph,
    check_state_dict,
    read_metadata,
    read_onnx,
)

with needing("train"):
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load, save
    from torch import Tensor

__all__ = [
    "README_FILE",
    "SMP_CONFIG_FILE",
    "WEIGHTS_FILE",
    "initialisers_as_state",
    "load_network",
    "save_model",
    "state_sha256",
]

WEIGHTS_FILE = "model.safetensors"
"""Name of the weights in a model folder."""
SMP_CONFIG_FILE = "config.json"
"""Name of the file that smp.from_pretrained reads beside the weights."""
README_FILE = "README.md"
"""Name of the card for people."""
_NEW_WEIGHTS = f".{WEIGHTS_FILE}.new"
_REMEDY = "copy the folder again or save the model again (shipseg train ... --resume writes it at the end)"
_ONNX_REMEDY = "copy the file again or export the model again"


def save_model(folder: Path, network: ShipNetwork, card: Card) -> Card:
    """Write a model folder and return the card as written, which names the weights' SHA-256.

    Files are replaced atomically. New weights are first written under a temporary name, until the card describes them:
    after an interruption at any moment the folder holds the old model or the new one.

    Args:
        folder: Created if missing.
        network: On any device, in any mode; it is not changed.
        card: Its `network` must describe `network`; its `files` are filled in here.

    Raises:
        StorageError: The disk is full or the folder cannot be written.
        ModelError: The card describes another architecture.
    """
    folder = ensure_folder(Path(folder))
    state = {key: value.detach().cpu().contiguous() for key, value in network.body.state_dict().items()}
    weights = _safetensors(state)
    settings = _smp_config(network, card)
    card = card.model_copy(update={"files": {WEIGHTS_FILE: hashlib.sha256(weights).hexdigest()}})
    place = folder / (_NEW_WEIGHTS if (folder / WEIGHTS_FILE).exists() else WEIGHTS_FILE)
    write_bytes(place, weights)
    write_json(folder / CARD_FILE, card.model_dump(mode="json"))
    with storage_errors(folder / WEIGHTS_FILE):
        place.replace(folder / WEIGHTS_FILE)
    if settings is not None:
        write_json(folder / SMP_CONFIG_FILE, settings)
    write_text(folder / README_FILE, describe_card(card))
    return card


def load_network(path: Path) -> tuple[ShipNetwork, Card]:
    """Return the network of a model folder or of an ONNX file of ours, in evaluation mode on the CPU, and its card.

    Raises:
        ModelError: There is no model, or its weights are missing, damaged, not those of the card, or do not fit the
            network that the card describes.
    """
    path = Path(path)
    card = read_card(path)
    is_onnx = path.is_file()
    state = _read_initialisers(path, card) if is_onnx else _read_safetensors(path, card)
    weights_file, card_file = (path, path) if is_onnx else (path / WEIGHTS_FILE, path / CARD_FILE)
    # The card may tell where the encoder started from; what it ended as is in the file.
    config = card.network.model_copy(update={"encoder_weights": None})
    try:
        if config.architecture == "compact":
            # Its size depends on the card's numbers: shapes are checked before memory is allocated.
            with torch.device("meta"):
                _check_fit(state, build_network(config), weights_file)
        with torch.random.fork_rng(devices=[]):  # the caller's random state is unchanged
            network = build_network(config)
    except (ConfigError, RuntimeError) as error:  # RuntimeError: torch has no memory for it
        detail = str(error).splitlines()[0]
        raise ModelError(f"{card_file} describes a network that cannot be built: {detail}") from error
    _check_fit(state, network, weights_file)
    network.body.load_state_dict(state)
    return network.eval(), card


def initialisers_as_state(graph: Any) -> dict[str, Tensor]:
    """Return the initialisers of an `onnx.GraphProto` that are entries of the network's state dict, by name."""
    from onnx import numpy_helper

    return {
        item.name.removeprefix(STATE_PREFIX): torch.from_numpy(numpy_helper.to_array(item).copy())
        for item in graph.initializer
        if item.name.startswith(STATE_PREFIX) and not item.external_data  # no other file is read
    }


def state_sha256(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 that a state dict has as `model.safetensors`, whatever its order: what a card names."""
    return hashlib.sha256(_safetensors(state)).hexdigest()


def _safetensors(state: Mapping[str, Tensor]) -> bytes:
    content: bytes = save(dict(state), metadata={"format": "pt"})
    return content


def _read_initialisers(file: Path, card: Card) -> dict[str, Tensor]:
    """Return the state dict that an ONNX file was exported from, bit for bit: the card names its SHA-256."""
    with needing("train"):
        import onnx

    content = read_onnx(file)
    metadata = read_metadata(content, file)
    check_graph(content, metadata, file)
    check_state_dict(metadata, file)
    try:
        state = initialisers_as_state(onnx.load_from_string(content).graph)
        state |= {name: torch.tensor(count) for name, count in json.loads(metadata[COUNTERS_KEY]).items()}
    except Exception as error:  # protobuf, onnx and json each raise their own for a changed file
        raise ModelError(f"{file} holds weights that cannot be read ({error}): {_ONNX_REMEDY}") from error
    if state_sha256(state) != card.files.get(WEIGHTS_FILE):
        raise ModelError(f"{file} does not hold the weights of its card (SHA-256 differs): {_ONNX_REMEDY}")
    return state


def _read_safetensors(folder: Path, card: Card) -> dict[str, Tensor]:
    file = folder / WEIGHTS_FILE
    content = _read_bytes(file)
    wanted = card.files.get(WEIGHTS_FILE)
    if not _is(content, wanted) and (folder / _NEW_WEIGHTS).is_file():
        content = _read_bytes(folder / _NEW_WEIGHTS)  # the save was interrupted between the card and the last rename
    if not _is(content, wanted):
        raise ModelError(
            f"{file} is not the file that its card describes (SHA-256 differs: damaged or exchanged): {_REMEDY}"
        )
    try:
        return load(content)
    except SafetensorError as error:
        raise ModelError(f"{file} is not a safetensors file ({error}): {_REMEDY}") from error


def _read_bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ModelError(f"{file} cannot be read ({error.strerror or error}): {_REMEDY}") from error


def _is(content: bytes, sha256: str | None) -> bool:
    return hashlib.sha256(content).hexdigest() == sha256


def _check_fit(state: Mapping[str, Tensor], network: ShipNetwork, file: Path) -> None:
    problem = _misfit(state, network.body.state_dict())
    if problem:
        remedy = _REMEDY if file.name == WEIGHTS_FILE else _ONNX_REMEDY
        raise ModelError(f"{file} does not fit the network of its card ({problem}): {remedy}")


def _misfit(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """Return why the state does not fit the network; empty if it does."""
    missing = [key for key in expected if key not in state]
    unknown = [key for key in state if key not in expected]
    if missing or unknown:
        example = f"such as {missing[0]}" if missing else f"such as {unknown[0]}"
        return f"{len(missing)} tensors missing and {len(unknown)} unknown, {example}"
    for key, value in expected.items():
        if state[key].shape != value.shape:
            return f"{key} has shape {tuple(state[key].shape)}, not {tuple(value.shape)}"
    return ""


def _smp_config(network: ShipNetwork, card: Card) -> dict[str, object] | None:
    """Return the settings from which smp.from_pretrained builds the network; None for `compact`."""
    kind = type(network.body).__name__
    described = "CompactUNet" if card.network.architecture == "compact" else card.network.architecture
    if kind.lower() != described.lower():
        raise ModelError(f"the card describes architecture {card.network.architecture!r}, the network is a {kind}")
    if card.network.architecture == "compact":
        return None
    settings: dict[str, object] = json.loads(json.dumps(network.body.config))
    # The weights are in the same folder: smp must not download others from a hub first.
    return {**settings, "encoder_weights": None, "_model_class": kind}
