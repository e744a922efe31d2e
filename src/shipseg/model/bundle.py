"""A model on disk: a folder that predicts by itself.

    model/
      model.safetensors   the weights under the names of the network's own library; the normalisation is no part of them
      shipseg.json        the card: architecture, normalisation, scale, threshold ... and the SHA-256 of the weights
      config.json         networks of segmentation_models_pytorch: what `smp.from_pretrained(folder)` reads
      README.md           the card for people

Reading a folder never executes code from it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from shipseg.errors import ModelError
from shipseg.extras import needing
from shipseg.files import ensure_folder, write_bytes, write_json, write_text
from shipseg.model.card import CARD_FILE, Card, read_card
from shipseg.model.network import ShipNetwork, build_network

with needing("train"):
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load, save
    from torch import Tensor

__all__ = ["README_FILE", "SMP_CONFIG_FILE", "WEIGHTS_FILE", "describe_card", "load_network", "save_model"]

WEIGHTS_FILE = "model.safetensors"
"""Name of the weights in a model folder."""
SMP_CONFIG_FILE = "config.json"
"""Name of the file that smp.from_pretrained reads beside the weights."""
README_FILE = "README.md"
"""Name of the card for people."""
_REMEDY = "copy the folder again or save the model again (shipseg train ... --resume writes it at the end)"


def save_model(folder: Path, network: ShipNetwork, card: Card) -> Card:
    """Write a model folder and return the card as written, which names the weights' SHA-256.

    Each file is replaced whole; the card comes last. Killed between weights and card, a folder that was overwritten
    holds new weights under an old card: `load_network` finds that out and says so.

    Args:
        folder: Made if missing.
        network: On any device, in any mode; it is not changed.
        card: Its `network` must describe `network`; its `files` are filled in here.

    Raises:
        StorageError: The disk is full or the folder cannot be written.
        ModelError: The card describes another architecture.
    """
    folder = ensure_folder(Path(folder))
    state = {key: value.detach().cpu().contiguous() for key, value in network.body.state_dict().items()}
    weights = save(state, metadata={"format": "pt"})
    settings = _smp_config(network, card)
    card = card.model_copy(update={"files": {WEIGHTS_FILE: hashlib.sha256(weights).hexdigest()}})
    write_bytes(folder / WEIGHTS_FILE, weights)
    if settings is not None:
        write_json(folder / SMP_CONFIG_FILE, settings)
    write_text(folder / README_FILE, describe_card(card))
    write_json(folder / CARD_FILE, card.model_dump(mode="json"))
    return card


def load_network(folder: Path) -> tuple[ShipNetwork, Card]:
    """Return the network of a model folder, in evaluation mode on the CPU, and its card.

    Raises:
        ModelError: No model there, weights that are missing, damaged or not those of the card, or weights that do not
            fit the network that the card describes.
    """
    folder = Path(folder)
    card = read_card(folder)
    state = _read_weights(folder / WEIGHTS_FILE, card)
    # The card may tell where the encoder started from; what it ended as is in the file.
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers are not touched
        network = build_network(card.network.model_copy(update={"encoder_weights": None}))
    expected = network.body.state_dict()
    problem = _misfit(state, expected)
    if problem:
        raise ModelError(f"{folder / WEIGHTS_FILE} does not fit the network of its card ({problem}): {_REMEDY}")
    network.body.load_state_dict(state)
    return network.eval(), card


def _read_weights(file: Path, card: Card) -> dict[str, Tensor]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ModelError(f"{file} cannot be read ({error.strerror or error}): {_REMEDY}") from error
    if hashlib.sha256(content).hexdigest() != card.files.get(WEIGHTS_FILE):
        raise ModelError(
            f"{file} is not the file that its card describes (SHA-256 differs: damaged, exchanged or interrupted while "
            f"it was saved): {_REMEDY}"
        )
    try:
        return load(content)
    except SafetensorError as error:
        raise ModelError(f"{file} is not a safetensors file ({error}): {_REMEDY}") from error


def _misfit(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """Return in a few words why the state does not fit; empty when it does."""
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
    """Return what smp.from_pretrained needs to build the network; None for our own."""
    kind = type(network.body).__name__
    described = "CompactUNet" if card.network.architecture == "compact" else card.network.architecture
    if kind.lower() != described.lower():
        raise ModelError(f"the card describes architecture {card.network.architecture!r}, the network is a {kind}")
    if card.network.architecture == "compact":
        return None
    settings: dict[str, object] = json.loads(json.dumps(network.body.config))
    # The weights lie beside it: smp is not to ask a hub for others first.
    return {**settings, "encoder_weights": None, "_model_class": kind}


def describe_card(card: Card) -> str:
    """Return the card as a page for people, in Markdown."""
    network, decision, entry = card.network, card.decision, card.input
    what = "compact U-Net" if network.architecture == "compact" else f"{network.architecture} / {network.encoder}"
    shown = "at its own resolution" if entry.scale == 1 else f"scaled by {entry.scale:.4g}"
    lines = [
        f"# {card.name}",
        "",
        f"Finds ships in optical images of about {entry.metres_per_pixel:g} m per pixel; a {what} of shipseg.",
        "",
        "| | |",
        "|---|---|",
        f"| Input | RGB, 0-255, {shown}, sides padded to multiples of {entry.multiple} px |",
        f"| Normalisation | `{network.normalization}`, inside the network |",
        f"| A pixel is ship from probability | {decision.threshold:.4g} (chosen for: {decision.metric}) |",
        f"| A ship needs | a peak probability of {decision.min_peak:.4g}, {decision.min_area_px} px |",
    ]
    lines += _use_rows(card)
    lines += [f"| {_words(key)} | {_value(value)} |" for key, value in {**card.data, **card.training}.items()]
    if card.created:
        lines.append(f"| Created | {card.created} |")
    lines += [f"| {_words(key)} | {value} |" for key, value in card.versions.items()]
    if card.scores:
        lines += ["", "## Scores on its validation split", "", "| Score | Value |", "|---|---|"]
        lines += [f"| {_words(key)} | {value:.4f} |" for key, value in card.scores.items()]
    lines += ["", "## Use", "", "```", "shipseg predict IMAGES --out OUT --model THIS_FOLDER", "```", ""]
    lines += [
        "```python",
        "import shipseg",
        'ships = shipseg.load_model("THIS_FOLDER").predict("image.jpg").ships',
        "```",
    ]
    if network.architecture != "compact":
        lines += ["", '`segmentation_models_pytorch.from_pretrained("THIS_FOLDER")` reads all but the normalisation.']
    lines += ["", "## Files", ""]
    lines += [f"- `{name}`: SHA-256 `{digest}`" for name, digest in card.files.items()]
    return "\n".join(lines) + "\n"


def _use_rows(card: Card) -> list[str]:
    """Return rows on how the decision was chosen and what calibrates the probabilities."""
    choice, calibration, rows = card.choice, card.calibration, []
    if choice:
        counts = choice["counts"]
        seen = f"{counts['images']} images, {counts['images_without_ships']} of them without ships"
        rows.append(f"| Chosen on | {_value(choice['data'] or 'labelled images')}: {seen} |")
    if calibration is not None:
        errors = calibration.errors
        told = "" if errors is None else f"; error {errors.before:.2g}, then {errors.after:.2g} on unseen groups"
        how = f"temperature {calibration.temperature:g}" if calibration.method == "temperature" else "isotonic"
        rows.append(f"| Probabilities are calibrated | {how}{told} |")
    return rows


def _words(key: str) -> str:
    return key.replace("_", " ").capitalize()


def _value(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
    text = " ".join(text.split()).replace("|", "\\|")
    return text if len(text) <= 200 else f"{text[:197]}..."
