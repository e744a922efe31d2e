"""Configuration as typed, frozen data: what each value means stands beside it, what is out of range is refused.

`shipseg.recipes` reads these from YAML files and command lines.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from shipseg.schema import Frozen, validated

__all__ = [
    "MAX_WORKERS",
    "AugmentConfig",
    "Decision",
    "Frozen",
    "InputConfig",
    "LossConfig",
    "NetworkConfig",
    "PhaseConfig",
    "Recipe",
    "SamplingConfig",
    "ScheduleConfig",
    "ThresholdConfig",
    "TrainConfig",
    "validated",
]

MAX_WORKERS = 256
"""Processes of one command: more than the cores of any usual machine only cost memory."""

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Epochs = Annotated[int, Field(ge=1, le=100_000)]
Rate = Annotated[float, Field(gt=0, le=100)]

LossName = Literal["bce", "dice", "focal", "lovasz", "tversky"]
ValidationMetric = Literal["loss", "pooled_dice", "pooled_iou", "image_dice"]
ThresholdMetric = Literal["pooled_dice", "pooled_iou", "airbus_score", "ship_f1"]
_NOT_TARGETS = ("metric", "rectangles", "calibration", "max_images", "keep_below")


class NetworkConfig(Frozen):
    """The network: which architecture, which encoder, from which weights."""

    architecture: str = "unet"
    """`compact` (ours) or any architecture of segmentation_models_pytorch in lower case: unet, fpn, manet ..."""
    encoder: str = "resnet18"
    """Any encoder of segmentation_models_pytorch; not used by `compact`."""
    encoder_weights: str | None = None
    """A local file with the encoder's state dict, `imagenet` (needs a model hub), or nothing: random weights."""
    widths: tuple[Annotated[int, Field(ge=1, le=2048)], ...] = (24, 48, 96, 160, 192)
    """`compact` only: channels at strides 2, 4, 8 ..."""
    normalization: Literal["imagenet", "airbus", "sqrt", "contrast"] = "imagenet"
    """What the network does first to RGB in 0-255: standardise by ImageNet's or the challenge's mean and deviation;
    `sqrt` standardises the square root, which keeps contrast in dark seas; `contrast` also takes away each image's own
    mean, so that bright and dark seas look alike: learns fastest."""


class InputConfig(Frozen):
    """What the network is shown during training."""

    mode: Literal["resized", "crops"] = "resized"
    """`resized`: whole images at the dataset's cached size; `crops`: windows of the image at its own resolution."""
    crop_size: Annotated[int, Field(ge=32, le=8192, multiple_of=32)] = 256
    """`crops` only: side of a window in pixels."""
    ship_crop_share: Share = 0.8
    """`crops` only: share of the windows of a ship image that are placed on one of its ships."""
    scale_jitter: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """`crops` only: a window's side is drawn from crop_size / (1 + j) to crop_size * (1 + j), then resized."""


class SamplingConfig(Frozen):
    """Which images make a batch."""

    zero_ships_ratio: Share | None = 0.5
    """Share of images without a ship in a batch; null leaves the dataset's own share."""
    multiple_ships_ratio: Share | None = None
    """Share of images with several ships in a batch; null leaves their own share among the ship images."""
    batches_per_epoch: Count | None = None
    """Length of an epoch; null is as many batches as show every ship image once."""

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if (self.zero_ships_ratio or 0) + (self.multiple_ships_ratio or 0) > 1:
            raise ValueError("zero_ships_ratio and multiple_ships_ratio add up to more than 1")
        return self


class AugmentConfig(Frozen):
    """Which random changes images and masks undergo in training."""

    names: tuple[str, ...] = ("d4",)
    """Augmentations applied to every image, in this order; see shipseg.data.augment.AUGMENTATIONS."""
    probability: Share = 0.5
    """Chance of each (of `d4`: always one of the eight, equally likely)."""
    ships_threshold_for_add_augs: Count | None = None
    """Images with at least this many ships also undergo the additional augmentations."""
    additional: tuple[str, ...] = ()
    """Those additional augmentations."""


class LossConfig(Frozen):
    """A weighted sum of losses, each on logits against coverage in 0-1."""

    weights: dict[LossName, Positive] = Field(default={"bce": 1.0, "dice": 1.0}, min_length=1)
    """Which losses, and how much of each."""
    smooth: Positive = 1.0
    """Dice, Tversky and Lovasz: added to numerator and denominator, in pixels; defines the loss of an empty batch."""
    focal_gamma: Annotated[float, Field(ge=0, le=100)] = 2.0
    """Focal: exponent that turns down easy pixels."""
    focal_alpha: Share | None = None
    """Focal: weight of ship pixels against sea pixels (1 - alpha); null weighs both 1."""
    tversky_alpha: Share = 0.3
    """Tversky: weight of false positives."""
    tversky_beta: Share = 0.7
    """Tversky: weight of false negatives."""
    small_ships: Share = 0.0
    """How much more the surroundings of small ships count, in all losses but Lovasz: 0 not at all, 1 as if lone ships
    of 32 to 512 px had the same area (`shipseg.model.losses.small_ship_weights`)."""
    between_ships: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Added to the weight of pixels between ships up to 4 px apart, in all losses but Lovasz."""


class ScheduleConfig(Frozen):
    """How the learning rate changes within a phase."""

    name: Literal["constant", "plateau", "cosine", "one-cycle", "step"] = "constant"
    """`plateau` acts after each validation; the others after each step."""
    warmup_steps: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Linear rise from 0 at the start (all but one-cycle, which has its own)."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """plateau, step: what the rate is multiplied by."""
    patience: Annotated[int, Field(ge=0, le=1_000_000)] = 1
    """plateau: validations without improvement of train.best_metric before the rate falls."""
    every_epochs: Count = 5
    """step: epochs between two falls."""
    final_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    """cosine, one-cycle: the last rate as a share of the highest."""


class PhaseConfig(Frozen):
    """A stretch of training with its own learning rate and schedule; optimiser state and best weights carry on."""

    epochs: Epochs
    """Length of the phase."""
    lr: Rate | None = None
    """Learning rate; null keeps train.lr."""
    schedule: ScheduleConfig | None = None
    """Schedule; null keeps train.schedule."""


class TrainConfig(Frozen):
    """The optimisation and its safety net."""

    start_from: str | None = None
    """A run, a model folder, or the name of a model that comes with shipseg, whose weights training starts from;
    `shipseg train --from` sets it, and the network with it. null starts from random weights."""
    epochs: Epochs = 10
    """Epochs, where the recipe has no phases."""
    batch_size: Annotated[int, Field(ge=1, le=16_384)] = 16
    """Images in a batch, all processes together."""
    lr: Rate = 1e-3
    """Learning rate."""
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop", "adagrad"] = "adamw"
    """Optimiser."""
    weight_decay: Annotated[float, Field(ge=0, le=100)] = 0.01
    """Weight decay (decoupled for adamw)."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """sgd and rmsprop only."""
    schedule: ScheduleConfig = ScheduleConfig()
    """Learning-rate schedule."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Decides initial weights, order and augmentation."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] | None = 0.999
    """Exponential moving average of the weights, the ones that are validated and kept; null keeps the raw weights."""
    clip_norm: Positive | None = 1.0
    """Largest norm of the gradient; null does not clip."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """bf16: autocast to bfloat16 in forward and backward; weights stay fp32."""
    channels_last: bool = True
    """Memory layout that convolutions run fastest in."""
    deterministic: bool = True
    """Refuse operations whose result changes from run to run (GPU)."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 ..."""
    workers: Annotated[int, Field(ge=0, le=MAX_WORKERS)] = 0
    """Processes that load images; 0 loads in the training process."""
    checkpoint_every_steps: Count = 200
    """Steps between two checkpoints (one more after every epoch)."""
    best_metric: ValidationMetric = "pooled_dice"
    """Validation score that decides which weights are kept, drives plateau and early stopping."""
    early_stopping_epochs: Count | None = None
    """Stop after this many validations without improvement; null never does."""


class ThresholdConfig(Frozen):
    """What a model's threshold is chosen for, on labelled images at full resolution: the best metric, or one target."""

    metric: ThresholdMetric = "pooled_dice"
    """Score to maximise, where nothing else is requested."""
    precision: Share | None = None
    """Wish: at least this ship precision, with the highest ship recall."""
    pixel_precision: Share | None = None
    """Wish: at least this precision of pixels, with the highest recall of pixels."""
    false_alarm_images: Share | None = None
    """Wish: at most this share of images without ships with a false alarm, with the highest ship recall."""
    false_alarms_per_1000km2: Annotated[float, Field(ge=0)] | None = None
    """Wish: at most so many false alarms, with the highest ship recall."""
    rectangles: bool | None = None
    """Make ships filled rectangles, as the challenge's labels are; null does as the model did that is chosen for, or
    that training started from."""
    calibration: Literal["none", "temperature", "isotonic"] = "none"
    """Makes probabilities true on the same images, before the threshold is chosen; see shipseg.model.calibration."""
    max_images: Count = 2000
    """No more than this many images are looked at (drawn by the seed, stratified)."""
    keep_below: Annotated[int, Field(ge=0)] = 0
    """A training that goes on from a model chooses nothing on fewer validation images, whatever is requested: the
    model's rules are kept, if they were chosen on labelled images."""

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        targets = [name for name, value in self if value is not None and name not in _NOT_TARGETS]
        if len(targets) > 1:
            raise ValueError(f"{' and '.join(targets)} are two targets: give one")
        return self


class Decision(Frozen):
    """From probabilities to ships: kept in a model's card and used everywhere unless overridden."""

    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """A pixel is ship where its probability is at least this."""
    min_peak: Share = 0.0
    """Components whose highest probability is below this are dropped."""
    min_area_px: Count = 1
    """Components of fewer pixels (of the image; before they become rectangles) are dropped."""
    separate: bool = False
    """Components that are clearly several ships side by side or bow to stern are parted."""
    rectangles: bool = False
    """Ships of pictures are filled rectangles, as the challenge's labels are, where one fits; in scenes they keep their
    outlines."""
    metric: str = "none"
    """The score it was chosen for; `none` for a default."""

    @property
    def rules(self) -> dict[str, Any]:
        """Return what `masks.ships.find_ships` takes: all but the metric."""
        return self.model_dump(exclude={"metric"})


class Recipe(Frozen):
    """A complete training configuration."""

    name: str = "unnamed"
    description: str = ""
    """What it is for, in a sentence."""
    network: NetworkConfig = NetworkConfig()
    input: InputConfig = InputConfig()
    sampling: SamplingConfig = SamplingConfig()
    augment: AugmentConfig = AugmentConfig()
    loss: LossConfig = LossConfig()
    train: TrainConfig = TrainConfig()
    threshold: ThresholdConfig = ThresholdConfig()
    phases: tuple[PhaseConfig, ...] = ()
    """Replaces train.epochs when given."""

    def resolved_phases(self) -> tuple[PhaseConfig, ...]:
        """Return the phases with every learning rate and schedule filled in; at least one."""
        phases = self.phases or (PhaseConfig(epochs=self.train.epochs),)
        return tuple(
            PhaseConfig(epochs=p.epochs, lr=p.lr or self.train.lr, schedule=p.schedule or self.train.schedule)
            for p in phases
        )
