"""Configuration as typed, frozen data: each field documents its meaning, and values out of range are rejected.

`shipseg.recipes` reads these from YAML files and the command line.
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
"""Largest number of worker processes of one command; more processes than CPU cores only cost memory."""

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
    """The network: architecture, encoder and initial weights."""

    architecture: str = "unet"
    """`compact` (ours) or any architecture of segmentation_models_pytorch in lower case: unet, fpn, manet ..."""
    encoder: str = "resnet18"
    """Any encoder of segmentation_models_pytorch; not used by `compact`."""
    encoder_weights: str | None = None
    """A local file with the encoder's state dict, `imagenet` (needs a model hub), or null for random weights."""
    widths: tuple[Annotated[int, Field(ge=1, le=2048)], ...] = (24, 48, 96, 160, 192)
    """`compact` only: channels at strides 2, 4, 8 ..."""
    normalization: Literal["imagenet", "airbus", "sqrt", "contrast"] = "imagenet"
    """Normalisation of RGB in 0-255, inside the network: `imagenet` and `airbus` standardise by the mean and deviation
    of ImageNet or of the challenge; `sqrt` standardises the square root, which keeps contrast in dark seas; `contrast`
    also subtracts each image's own mean, so that bright and dark seas look alike, and learns fastest."""


class InputConfig(Frozen):
    """The network's input in training: whole images or crops."""

    mode: Literal["resized", "crops"] = "resized"
    """`resized`: whole images at the dataset's cached size; `crops`: crops at the image's native resolution."""
    crop_size: Annotated[int, Field(ge=32, le=8192, multiple_of=32)] = 256
    """`crops` only: side of a crop in pixels."""
    ship_crop_share: Share = 0.8
    """`crops` only: share of the crops of an image with ships that are placed on one of its ships."""
    scale_jitter: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """`crops` only: the crop's side is drawn from crop_size / (1 + j) to crop_size * (1 + j), then resized."""


class SamplingConfig(Frozen):
    """How images are sampled into batches."""

    zero_ships_ratio: Share | None = 0.5
    """Share of images without ships in a batch; null keeps the dataset's own share."""
    multiple_ships_ratio: Share | None = None
    """Share of images with several ships in a batch; null keeps their own share among the images with ships."""
    batches_per_epoch: Count | None = None
    """Batches in an epoch; null: as many as it takes to use every image with ships once."""

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if (self.zero_ships_ratio or 0) + (self.multiple_ships_ratio or 0) > 1:
            raise ValueError("zero_ships_ratio and multiple_ships_ratio add up to more than 1")
        return self


class AugmentConfig(Frozen):
    """Random augmentation of images and masks in training."""

    names: tuple[str, ...] = ("d4",)
    """Augmentations applied to every image, in this order; see shipseg.data.augment.AUGMENTATIONS."""
    probability: Share = 0.5
    """Probability of each augmentation; `d4` always applies one of its eight transforms, all equally likely."""
    ships_threshold_for_add_augs: Count | None = None
    """Images with at least this many ships also get the additional augmentations; null: no image does."""
    additional: tuple[str, ...] = ()
    """Additional augmentations for images with many ships."""


class LossConfig(Frozen):
    """A weighted sum of losses, each computed from logits and coverage in 0-1."""

    weights: dict[LossName, Positive] = Field(default={"bce": 1.0, "dice": 1.0}, min_length=1)
    """Weight of each loss, by name."""
    smooth: Positive = 1.0
    """Dice, Tversky and Lovasz: added to numerator and denominator, in pixels; defines the loss without ships."""
    focal_gamma: Annotated[float, Field(ge=0, le=100)] = 2.0
    """Focal: exponent that reduces the weight of easy pixels."""
    focal_alpha: Share | None = None
    """Focal: weight of ship pixels; other pixels get 1 - alpha; null weights both by 1."""
    tversky_alpha: Share = 0.3
    """Tversky: weight of false positives."""
    tversky_beta: Share = 0.7
    """Tversky: weight of false negatives."""
    small_ships: Share = 0.0
    """Additional weight around small ships, in all losses but Lovasz: 0 adds none; 1 weights isolated ships of 32 to
    512 px as if they had the same area (`shipseg.model.losses.small_ship_weights`)."""
    between_ships: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Additional weight of pixels between ships up to 4 px apart, in all losses but Lovasz."""


class ScheduleConfig(Frozen):
    """The learning-rate schedule of a phase."""

    name: Literal["constant", "plateau", "cosine", "one-cycle", "step"] = "constant"
    """`plateau` updates the rate after each validation, the others after each step."""
    warmup_steps: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Steps of linear warm-up from 0 (all but one-cycle, which has its own)."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """plateau, step: factor that each reduction multiplies the rate by."""
    patience: Annotated[int, Field(ge=0, le=1_000_000)] = 1
    """plateau: validations without improvement of train.best_metric that are tolerated; the next reduces the rate."""
    every_epochs: Count = 5
    """step: epochs between two reductions."""
    final_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    """cosine, one-cycle: the last rate as a share of the highest."""


class PhaseConfig(Frozen):
    """A part of the training with its own learning rate and schedule; optimiser state and best weights are kept."""

    epochs: Epochs
    """Number of epochs."""
    lr: Rate | None = None
    """Learning rate; null uses train.lr."""
    schedule: ScheduleConfig | None = None
    """Schedule; null uses train.schedule."""


class TrainConfig(Frozen):
    """Optimisation, checkpoints and validation."""

    start_from: str | None = None
    """A run, a model folder, an ONNX file or the name of a bundled model, whose weights training starts from;
    `shipseg train --from` sets it, and the network with it. null starts from random weights."""
    epochs: Epochs = 10
    """Number of epochs, if the recipe has no phases."""
    batch_size: Annotated[int, Field(ge=1, le=16_384)] = 16
    """Images in a batch, over all processes."""
    lr: Rate = 1e-3
    """Learning rate."""
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop", "adagrad"] = "adamw"
    """Optimiser."""
    weight_decay: Annotated[float, Field(ge=0, le=100)] = 0.01
    """Weight decay (decoupled for adamw)."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum; sgd and rmsprop only."""
    schedule: ScheduleConfig = ScheduleConfig()
    """Learning-rate schedule."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Random seed of initial weights, sampling and augmentation."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] | None = 0.999
    """Decay of the moving average of the weights, which is validated and saved; null uses the raw weights."""
    clip_norm: Positive | None = 1.0
    """Largest norm of the gradient; null does not clip."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """bf16: autocast to bfloat16 in forward and backward; weights stay fp32."""
    channels_last: bool = True
    """Use the channels-last memory layout, in which convolutions run fastest."""
    deterministic: bool = True
    """Raise an error for operations that are not deterministic (GPU)."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 ..."""
    workers: Annotated[int, Field(ge=0, le=MAX_WORKERS)] = 0
    """Data-loading processes; 0 loads in the training process."""
    checkpoint_every_steps: Count = 200
    """Steps between two checkpoints; one more is saved after every epoch."""
    best_metric: ValidationMetric = "pooled_dice"
    """Validation score that selects the best weights and drives plateau and early stopping."""
    early_stopping_epochs: Count | None = None
    """Stop after this many validations without improvement; null: never."""


class ThresholdConfig(Frozen):
    """How a model's threshold is chosen on labelled images at full resolution: for a metric or for one target."""

    metric: ThresholdMetric = "pooled_dice"
    """Score to maximise, if no target is set."""
    precision: Share | None = None
    """Target: ship precision of at least this, with the highest ship recall."""
    pixel_precision: Share | None = None
    """Target: pixel precision of at least this, with the highest pixel recall."""
    false_alarm_images: Share | None = None
    """Target: false alarms in at most this share of the images without ships, with the highest ship recall."""
    false_alarms_per_1000km2: Annotated[float, Field(ge=0)] | None = None
    """Target: at most this many false alarms per 1000 km2, with the highest ship recall."""
    rectangles: bool | None = None
    """Replace ships by filled rectangles, as in the challenge's labels; null keeps the setting of the model, or of the
    model that training started from."""
    calibration: Literal["none", "temperature", "isotonic"] = "none"
    """Calibrates probabilities on the same images, before the threshold is chosen; see shipseg.model.calibration."""
    max_images: Count = 2000
    """Largest number of images used: a stratified sample drawn with the seed."""
    keep_below: Annotated[int, Field(ge=0)] = 0
    """Fine-tuning with fewer validation images than this chooses no threshold, whatever is requested: the decision rule
    of the original model is kept, if it was chosen on labelled images."""

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        targets = [name for name, value in self if value is not None and name not in _NOT_TARGETS]
        if len(targets) > 1:
            raise ValueError(f"{' and '.join(targets)} are two targets: give one")
        return self


class Decision(Frozen):
    """The decision rule: how probabilities become ships. Stored in a model's card; applies unless overridden."""

    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """A pixel belongs to a ship if its probability is at least this."""
    min_peak: Share = 0.0
    """Peak threshold of the hysteresis thresholding: components whose highest probability is below it are dropped."""
    min_area_px: Count = 1
    """Components of fewer pixels (of the image, before rectangles are fitted) are dropped."""
    separate: bool = False
    """Split components that are clearly several touching ships, side by side or bow to stern."""
    rectangles: bool = False
    """Replace the ships of images by filled rectangles where one fits, as in the challenge's labels; ships of scenes
    keep their outlines."""
    metric: str = "none"
    """The score or target that the rule was chosen for; `none` for a default."""

    @property
    def rules(self) -> dict[str, Any]:
        """Arguments of `masks.ships.find_ships`: all fields but the metric."""
        return self.model_dump(exclude={"metric"})


class Recipe(Frozen):
    """A complete training configuration."""

    name: str = "unnamed"
    description: str = ""
    """Purpose of the recipe, in one sentence."""
    network: NetworkConfig = NetworkConfig()
    input: InputConfig = InputConfig()
    sampling: SamplingConfig = SamplingConfig()
    augment: AugmentConfig = AugmentConfig()
    loss: LossConfig = LossConfig()
    train: TrainConfig = TrainConfig()
    threshold: ThresholdConfig = ThresholdConfig()
    phases: tuple[PhaseConfig, ...] = ()
    """Replaces train.epochs if given."""

    def resolved_phases(self) -> tuple[PhaseConfig, ...]:
        """Return the phases, at least one, with every learning rate and schedule filled in."""
        phases = self.phases or (PhaseConfig(epochs=self.train.epochs),)
        return tuple(
            PhaseConfig(epochs=p.epochs, lr=p.lr or self.train.lr, schedule=p.schedule or self.train.schedule)
            for p in phases
        )
