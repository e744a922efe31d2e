"""The card of a model: the settings needed to use its weights, as data that can be read without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from shipseg.config import Decision, Frozen, NetworkConfig, validated
from shipseg.errors import ConfigError, ModelError
from shipseg.model.calibration import Calibration
from shipseg.model.onnxfile import read_metadata, read_onnx

__all__ = ["CARD_FILE", "CARD_KEY", "Card", "CardGate", "CardInput", "parse_card", "read_card"]

CARD_FILE = "shipseg.json"
"""Name of the card in a model folder."""
CARD_KEY = "shipseg"
"""Key of the card in an ONNX file's metadata."""


TtaViews = Literal[1, 2, 4, 8]


class CardInput(Frozen):
    """How an image is scaled, padded and tiled for the network."""

    mode: Literal["resized", "crops"] = "resized"
    """As in the recipe."""
    scale: Annotated[float, Field(gt=0)] = 1.0
    """Network pixels per image pixel: 1 for native crops, 1/3 for images of 768 px resized to 256 px."""
    metres_per_pixel: Annotated[float, Field(gt=0)] = 1.5
    """Ground sample distance of the images (not of the network's pixels) in metres."""
    multiple: Annotated[int, Field(ge=1)] = 32
    """Height and width of the network's input are multiples of this, in network pixels."""
    tile: Annotated[int, Field(ge=32)] = 1024
    """Larger images are cut into overlapping tiles of this many network pixels."""
    overlap: Annotated[int, Field(ge=0)] = 128
    """Overlap of two tiles in network pixels."""
    views: TtaViews = 1
    """Number of TTA views of each tile; the time for inference is proportional to it."""


class CardGate(Frozen):
    """Gate that skips empty tiles of scenes, with its measured loss and saving; see `shipseg gate`."""

    reduction: Annotated[int, Field(ge=1, le=16)]
    """The contrast is computed at 1/reduction of the network's resolution."""
    threshold: Annotated[float, Field(ge=0)]
    """Tiles whose highest contrast is below this are skipped; in grey values, 0-255."""
    wished_loss: Annotated[float, Field(ge=0, le=1)]
    """Target: largest allowed share of lost ships."""
    lost_recall: Annotated[float, Field(ge=0, le=1)]
    """Measured share of lost ships."""
    lost_recall_at_most: Annotated[float, Field(ge=0, le=1)]
    """Upper bound of the share of lost ships, with 95 % confidence."""
    num_ships: Annotated[int, Field(ge=1)]
    """Number of ships in the measurement."""
    skipped_share: Annotated[float, Field(ge=0, le=1)]
    """Share of the tiles without ships that were skipped."""
    num_empty_tiles: Annotated[int, Field(ge=1)]
    """Number of tiles without ships in the measurement."""
    tile_px: Annotated[int, Field(ge=1)]
    """Side of the tiles in network pixels; of larger tiles fewer are skipped."""
    time_share: Annotated[float, Field(ge=0)]
    """Time of the gate divided by the time of the network."""
    measured_on: str
    """The images of the measurement."""


class Card(Frozen):
    """Description of a model: network, input, decision rule, training, scores and limits."""

    format: Literal[1] = 1
    name: str = "unnamed"
    network: NetworkConfig = NetworkConfig()
    input: CardInput = CardInput()
    calibration: Calibration | None = None
    """Calibration of the network's probabilities; the decision and all scores refer to calibrated ones."""
    decision: Decision = Decision()
    choice: dict[str, Any] = Field(default={})
    """How the decision was chosen: for which target, on which images, with which scores there."""
    gate: CardGate | None = None
    """Skips empty tiles of scenes; with None every tile is predicted."""
    threshold_curve: dict[str, list[float]] = Field(default={})
    """Scores against `threshold`, on the images on which it was chosen: columns of equal length."""
    data: dict[str, Any] = Field(default={})
    """What it was trained on: dataset fingerprint, number of images, origin."""
    training: dict[str, Any] = Field(default={})
    """Recipe, steps, images seen, seed."""
    scores: dict[str, float] = Field(default={})
    """Scores on validation, by name."""
    tested: dict[str, dict[str, Any]] = Field(default={})
    """Scores on images that had no part in training or choosing, by the name of the images."""
    intended_use: str = ""
    """What it is meant for, in a sentence."""
    limits: tuple[str, ...] = ()
    """Its limits, in sentences."""
    license: str = ""
    """SPDX identifier of the licence."""
    versions: dict[str, str] = Field(default={})
    """Versions of shipseg, torch and python that made it."""
    files: dict[str, str] = Field(default={})
    """SHA-256 of the weight files, by name."""
    created: str = ""
    """Date in ISO form."""

    @property
    def network_threshold(self) -> float:
        """Return the decision's threshold as uncalibrated probability, for programs without calibration."""
        return self.decision.threshold if self.calibration is None else self.calibration.before(self.decision.threshold)


def parse_card(text: str, origin: str) -> Card:
    """Return the card in a JSON text.

    Raises:
        ModelError: The text is not JSON, or not a card that this version of shipseg can read.
    """
    try:
        return validated(Card, json.loads(text), origin)
    except (json.JSONDecodeError, RecursionError, ConfigError) as error:
        raise ModelError(f"{origin} holds no usable model card: {error}") from error


def read_card(path: Path) -> Card:
    """Return the card of a model folder or of an ONNX file.

    Raises:
        ModelError: There is no card, or it cannot be read.
    """
    path = Path(path)
    if path.suffix == ".onnx":
        return parse_card(_onnx_card_text(path), str(path))
    file = path / CARD_FILE
    if not file.is_file():
        raise ModelError(
            f"{path} is not a model (it has no {CARD_FILE}): give a model folder, a run or an ONNX file made by shipseg"
        )
    return parse_card(file.read_text(encoding="utf-8", errors="replace"), str(file))


def _onnx_card_text(path: Path) -> str:
    metadata = read_metadata(read_onnx(path), path)
    if CARD_KEY not in metadata:
        raise ModelError(
            f"{path} has no shipseg card in its metadata: make it with  shipseg export MODEL OUT --format onnx"
        )
    return metadata[CARD_KEY]
