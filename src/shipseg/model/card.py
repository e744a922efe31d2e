"""The card of a model: all that is needed to use its weights rightly, as data that needs no torch to read."""

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
    """How an image is brought to the network."""

    mode: Literal["resized", "crops"] = "resized"
    """As in the recipe."""
    scale: Annotated[float, Field(gt=0)] = 1.0
    """Network pixels per image pixel: 1 for native crops, 1/3 for 768 px images shown to the network at 256 px."""
    metres_per_pixel: Annotated[float, Field(gt=0)] = 1.5
    """Ground sample distance of the images (not of the network's pixels) in metres."""
    multiple: Annotated[int, Field(ge=1)] = 32
    """Height and width given to the network are multiples of this, in network pixels."""
    tile: Annotated[int, Field(ge=32)] = 1024
    """Larger images are cut into overlapping tiles of this many network pixels."""
    overlap: Annotated[int, Field(ge=0)] = 128
    """Overlap of two tiles in network pixels."""
    views: TtaViews = 1
    """How many mirror images of each tile the probability is averaged over, for as many times the work."""


class CardGate(Frozen):
    """A cheap first look at tiles of scenes, and what it was measured to lose and to save; see `shipseg gate`."""

    reduction: Annotated[int, Field(ge=1, le=16)]
    """The first look is at 1/reduction of the network's resolution."""
    threshold: Annotated[float, Field(ge=0)]
    """Tiles with less contrast everywhere are skipped; in grey values, 0-255."""
    wished_loss: Annotated[float, Field(ge=0, le=1)]
    """Share of the ships that were allowed to be lost."""
    lost_recall: Annotated[float, Field(ge=0, le=1)]
    """Share of the ships that were lost."""
    lost_recall_at_most: Annotated[float, Field(ge=0, le=1)]
    """The share that the true one does not exceed, with 95 % confidence."""
    num_ships: Annotated[int, Field(ge=1)]
    """Ships that this was measured on."""
    skipped_share: Annotated[float, Field(ge=0, le=1)]
    """Share of the tiles without ships that were skipped."""
    num_empty_tiles: Annotated[int, Field(ge=1)]
    """Tiles that this was measured on."""
    tile_px: Annotated[int, Field(ge=1)]
    """Their side in network pixels; of larger tiles fewer are skipped."""
    time_share: Annotated[float, Field(ge=0)]
    """Time of the first look as a share of the network's."""
    measured_on: str
    """Which images."""


class Card(Frozen):
    """What a model is, what it was made from, how to use it and how well it does."""

    format: Literal[1] = 1
    name: str = "unnamed"
    network: NetworkConfig = NetworkConfig()
    input: CardInput = CardInput()
    calibration: Calibration | None = None
    """Makes the network's probabilities true; all that follows is about calibrated ones."""
    decision: Decision = Decision()
    choice: dict[str, Any] = Field(default={})
    """How the decision was chosen: for which target, on which images, with which scores there."""
    gate: CardGate | None = None
    """Lets empty tiles of scenes be skipped; None looks at every tile."""
    threshold_curve: dict[str, list[float]] = Field(default={})
    """Scores on the images it was chosen on against `threshold`: equal-length columns."""
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
    """What it cannot do, in sentences."""
    license: str = ""
    """Under which terms it may be used; an SPDX name."""
    versions: dict[str, str] = Field(default={})
    """shipseg, torch, python that made it."""
    files: dict[str, str] = Field(default={})
    """SHA-256 of the weight files, by name."""
    created: str = ""
    """Date in ISO form."""

    @property
    def network_threshold(self) -> float:
        """Return the decision's threshold in the network's own probability, for programs that know no calibration."""
        return self.decision.threshold if self.calibration is None else self.calibration.before(self.decision.threshold)


def parse_card(text: str, origin: str) -> Card:
    """Return the card in a JSON text.

    Raises:
        ModelError: Not JSON, or not a card that this version of shipseg understands.
    """
    try:
        return validated(Card, json.loads(text), origin)
    except (json.JSONDecodeError, RecursionError, ConfigError) as error:
        raise ModelError(f"{origin} holds no usable model card: {error}") from error


def read_card(path: Path) -> Card:
    """Return the card of a model folder or of an ONNX file.

    Raises:
        ModelError: There is no card, or it cannot be understood.
    """
    path = Path(path)
    if path.suffix == ".onnx":
        return parse_card(_onnx_card_text(path), str(path))
    file = path / CARD_FILE
    if not file.is_file():
        raise ModelError(
            f"{path} is not a model (it has no {CARD_FILE}): give a model folder, a run or an ONNX file of ours"
        )
    return parse_card(file.read_text(encoding="utf-8", errors="replace"), str(file))


def _onnx_card_text(path: Path) -> str:
    metadata = read_metadata(read_onnx(path), path)
    if CARD_KEY not in metadata:
        raise ModelError(
            f"{path} has no shipseg card in its metadata: make it with  shipseg export MODEL OUT --format onnx"
        )
    return metadata[CARD_KEY]
