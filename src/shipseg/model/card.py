"""The card of a model: the settings needed to use its weights, as data that can be read without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from shipseg.config import Decision, Frozen, NetworkConfig, validated
from shipseg.errors import ConfigError, ModelError
from shipseg.model.calibration import Calibration
from shipseg.model.onnxfile import read_metadata, read_onnx

__all__ = [
    "CARD_FILE",
    "CARD_KEY",
    "Card",
    "CardChoice",
    "CardCounts",
    "CardData",
    "CardGate",
    "CardInput",
    "CardStart",
    "CardTested",
    "CardTraining",
    "parse_card",
    "read_card",
]

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


Count = Annotated[int, Field(ge=0)]


class _CardRecord(Frozen):
    """A part of the card that records how the model was made; prediction does not depend on it.

    Every key may be missing: a card of another version has fewer keys or other ones. Known keys are checked. Unknown
    keys are kept as they are (`extra="allow"`), so that a copy of the model loses none of them.
    """

    model_config = ConfigDict(extra="allow")

    @model_serializer(mode="wrap")
    def _given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Return the keys that were given: a missing key stays missing instead of becoming null."""
        return {key: value for key, value in handler(self).items() if key in self.model_fields_set}


class CardCounts(_CardRecord):
    """Counts at the chosen operating point, on the images that it was chosen on."""

    images: Count = 0
    """Labelled images, those without ships included."""
    images_without_ships: Count = 0
    """Images without a true ship."""
    ships: Count = 0
    """True ships."""
    right: Count = 0
    """Detections matched with a true ship, at an IoU above 0.5."""
    predicted: Count = 0
    """Detections."""
    alarmed_images: Count = 0
    """Images without ships that have a detection."""
    false_alarms: Count = 0
    """Detections that touch no true ship, in all images."""


class CardChoice(_CardRecord):
    """How the operating point was chosen, and its scores on the images that it was chosen on."""

    data: str = ""
    """Name of the labelled images."""
    groups: Count | None = None
    """Groups of images that show the same ground; the halves for calibration and held-out scores are made of these."""
    chosen_for: str = ""
    """The metric or the target, as in `Decision.metric`."""
    reached: bool | None = None
    """Whether the target is met; a metric always is."""
    scores: dict[str, float | None] = Field(default={})
    """By name of the score (`SWEEP_SCORES`); None where there was nothing to count."""
    intervals: dict[str, tuple[float, float] | None] = Field(default={})
    """Low and high end of the 90 % interval of the scores that have one."""
    counts: CardCounts = CardCounts()
    """What the scores are computed from."""
    held_out_scores: dict[str, float | None] | None = None
    """The same scores on each half of the groups at the point chosen on the other half; None without enough images."""


class CardData(_CardRecord):
    """The images that the model was trained and validated on."""

    fingerprint: str = ""
    """Hash of the prepared dataset."""
    name: str = ""
    """Name of the dataset's folder."""
    train_images: Count | None = None
    """Images trained on."""
    train_images_with_ships: Count | None = None
    """Those of them with ships."""
    train_ships: Count | None = None
    """Ships in them."""
    val_images: Count | None = None
    """Images validated on."""
    val_images_with_ships: Count | None = None
    """Those of them with ships."""
    val_ships: Count | None = None
    """Ships in them."""
    origin: str = ""
    """Where the images are from, in a sentence."""
    synth: dict[str, Any] = Field(default={})
    """Parameters of `shipseg synth`, as its synth.json holds them. Free: each version of the generator has its own."""


class CardStart(_CardRecord):
    """The model whose weights the training started from."""

    name: str = ""
    """Its name."""
    weights_sha256: str = ""
    """SHA-256 of its weights."""
    data: str = ""
    """Origin of the images that it was trained on, or the name of their dataset."""
    created: str = ""
    """Date in ISO form."""
    widths: str = ""
    """Its channels, where they were widened."""


class CardTraining(_CardRecord):
    """How the weights were trained."""

    recipe: dict[str, Any] = Field(default={})
    """The recipe with every value, see `shipseg.config.Recipe`. Free: that of another version has other keys."""
    finished: bool | None = None
    """Whether the run came to its end; before that the decision is a preliminary one."""
    epochs: Count | None = None
    """Epochs trained."""
    best_epoch: Count | None = None
    """Epoch of these weights, counted from 1."""
    steps: Count | None = None
    """Optimizer steps until these weights."""
    images_seen: Count | None = None
    """Steps times batch size."""
    seed: int | None = None
    """The recipe's seed."""
    processes: Count | None = None
    """Processes of the distributed training; 1 without."""
    hours: float | None = None
    """Duration of all epochs."""
    started_from: CardStart = CardStart()
    """Not given for random weights."""
    commit: str = ""
    """Git commit of shipseg that trained it; models that come with shipseg only."""
    command: str = ""
    """Command that trained it; likewise."""


class CardTested(_CardRecord):
    """Scores on images that had no part in training or choosing; None where there was nothing to count.

    The recall by size has a key for each size, such as `recall <100 px`.
    """

    num_images: Count | None = None
    """Images that were scored."""
    airbus_score: float | None = None
    """Score of the Airbus challenge: mean over images of F2 over ships, averaged over IoU 0.50 ... 0.95."""
    airbus_score_of_predicting_nothing: float | None = None
    """The same for predicting nothing: the share of images without ships."""
    pooled_dice: float | None = None
    """Dice of the pixels of all images together."""
    pooled_dice_ship_images: float | None = None
    """Likewise, of images with ships only."""
    image_dice: float | None = None
    """Mean Dice of the images with ships."""
    ship_f1: float | None = None
    """F1 of ships, matched one to one at an IoU above 0.5."""
    ship_precision: float | None = None
    """Share of the detections that are matched."""
    ship_recall: float | None = None
    """Share of the true ships that are matched."""
    false_alarm_images: float | None = None
    """Share of the images without ships that have a detection."""
    false_alarms_per_1000km2: float | None = None
    """Detections that touch no true ship, per 1000 km2 of all images."""


class Card(Frozen):
    """Description of a model: network, input, decision rule, training, scores and limits."""

    format: Literal[1] = 1
    name: str = "unnamed"
    network: NetworkConfig = NetworkConfig()
    input: CardInput = CardInput()
    calibration: Calibration | None = None
    """Calibration of the network's probabilities; the decision and all scores refer to calibrated ones."""
    decision: Decision = Decision()
    choice: CardChoice = CardChoice()
    """How the decision was chosen: for which target, on which images, with which scores there."""
    gate: CardGate | None = None
    """Skips empty tiles of scenes; with None every tile is predicted."""
    threshold_curve: dict[str, list[float]] = Field(default={})
    """Scores against `threshold`, on the images on which it was chosen: columns of equal length."""
    data: CardData = CardData()
    """What it was trained on: dataset fingerprint, number of images, origin."""
    training: CardTraining = CardTraining()
    """Recipe, steps, images seen, seed."""
    scores: dict[str, float] = Field(default={})
    """Scores on validation, by name."""
    tested: dict[str, CardTested] = Field(default={})
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
