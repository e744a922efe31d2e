"""Networks: RGB images in, one channel of logits out, with the normalisation as their first layer."""

from __future__ import annotations

import math
from pathlib import Path

from shipseg.config import NetworkConfig
from shipseg.errors import ConfigError, ModelError
from shipseg.extras import needing
from shipseg.model.compact import PRIOR_LOGIT, CompactUNet
from shipseg.model.encoders import HUB, build_smp_network, load_encoder

with needing("train"):
    import torch
    from torch import Tensor, nn

__all__ = ["NORMALIZATIONS", "Normalization", "ShipNetwork", "build_network", "count_parameters"]

_IMAGENET_MEAN, _IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
# Of the challenge's pixels, 0-255 (published statistics of the training set).
_AIRBUS_MEAN, _AIRBUS_STD = (52.3, 73.3, 81.0), (53.1, 47.6, 42.2)


# PAN halves its coarsest features (stride 16) three more times; the others need multiples of the encoder's stride.
_MULTIPLES = {"pan": 128}


def _root_statistics() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of the square root of the challenge's pixels, assumed gamma distributed.

    A gamma variable X with mean m and standard deviation s has shape k = (m / s)^2 and scale m / k, and
    E[sqrt X] = sqrt(scale) * gamma(k + 1/2) / gamma(k); the variance of sqrt X is m minus the square of that.
    """
    shapes = [(mean / std) ** 2 for mean, std in zip(_AIRBUS_MEAN, _AIRBUS_STD, strict=True)]
    means = tuple(
        math.sqrt(mean / k) * math.exp(math.lgamma(k + 0.5) - math.lgamma(k))
        for mean, k in zip(_AIRBUS_MEAN, shapes, strict=True)
    )
    return means, tuple(math.sqrt(mean - root**2) for mean, root in zip(_AIRBUS_MEAN, means, strict=True))


_CONTRAST_STD = 1.5
"""Standard deviation of the square root within a tile that is not empty: sea varies by 0.3, a ship by 2 to 8."""

NORMALIZATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": (_IMAGENET_MEAN, _IMAGENET_STD),
    "airbus": (_AIRBUS_MEAN, _AIRBUS_STD),
    "sqrt": _root_statistics(),
    "contrast": ((0.0, 0.0, 0.0), (_CONTRAST_STD, _CONTRAST_STD, _CONTRAST_STD)),
}
"""Mean and standard deviation per channel (R, G, B) by name: of values in 0-255; for `sqrt` of their square root
(0-16); for `contrast` of the square root minus its mean over the image."""


class Normalization(nn.Module):
    """Normalises RGB in 0-255 to about zero mean and unit standard deviation, float32.

    The constants follow from the name, so they are not in the state dict, and the weights of an smp network keep smp's
    keys.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str) -> None:
        super().__init__()
        mean, std = NORMALIZATIONS[name]
        self.takes_root = name in ("sqrt", "contrast")
        self.centres_image = name == "contrast"
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images_n3hw: Tensor) -> Tensor:
        """Return the normalised images."""
        x = images_n3hw.float()
        if self.takes_root:
            x = x.clamp(min=0).sqrt()
        if self.centres_image:
            x = x - x.mean(dim=(2, 3), keepdim=True)
        return (x - self.mean) / self.std


class ShipNetwork(nn.Module):
    """A ship segmentation network: `network(images_n3hw)` returns logits (N, 1, H, W), float32.

    Images are RGB in 0-255, uint8 or float, on the network's device; height and width are multiples of `multiple`.
    The sigmoid of a logit is the probability that the pixel is ship.

    Args:
        body: Maps normalised images to logits.
        normalization: A key of `NORMALIZATIONS`.
        multiple: Height and width must be multiples of this, in pixels.
    """

    def __init__(self, body: nn.Module, *, normalization: str, multiple: int) -> None:
        super().__init__()
        self.normalize = Normalization(normalization)
        self.body = body
        self.multiple = multiple

    def forward(self, images_n3hw: Tensor) -> Tensor:
        """Return the logits.

        Raises:
            ModelError: The image has not three channels, or its height or width is not a multiple of `multiple`.
        """
        if not torch.compiler.is_compiling():  # in an exported graph the sizes are symbolic
            self._check(images_n3hw)
        logits: Tensor = self.body(self.normalize(images_n3hw))
        return logits.float()

    def _check(self, images_n3hw: Tensor) -> None:
        shape = tuple(images_n3hw.shape)
        if len(shape) != 4 or shape[1] != 3:
            raise ModelError(f"images must have shape (N, 3, height, width), got {shape}")
        for side, pixels in (("height", shape[2]), ("width", shape[3])):
            if pixels % self.multiple or not pixels:
                following = (pixels // self.multiple + 1) * self.multiple
                raise ModelError(f"{side} {pixels} must be a multiple of {self.multiple}, use {following}")


def build_network(config: NetworkConfig) -> ShipNetwork:
    """Return the network that the configuration describes, in training mode, on the CPU.

    Weights are drawn from torch's global generator: seed it for reproducible weights. Encoder weights are loaded from
    `config.encoder_weights` if set.

    Args:
        config: Architecture, encoder, its weights, normalisation.

    Raises:
        ConfigError: Unknown architecture or encoder, or settings that contradict each other.
        ModelError: Encoder weights cannot be read or downloaded, or do not fit the encoder.

    Example:
        >>> build_network(NetworkConfig(architecture="compact")).multiple
        32
    """
    if config.architecture == "compact":
        if config.encoder_weights == HUB:
            raise ConfigError(
                "network.encoder_weights 'imagenet' is for encoders of segmentation_models_pytorch, not for compact: "
                "use null or a local file"
            )
        body: nn.Module = CompactUNet(config.widths)
        multiple, encoder = 2 ** len(config.widths), "compact"
    else:
        body = build_smp_network(config)
        _set_prior_bias(body)
        multiple, encoder = _MULTIPLES.get(config.architecture, int(body.encoder.output_stride)), config.encoder  # type: ignore[arg-type, union-attr]
    if config.encoder_weights not in (None, HUB):
        load_encoder(body.encoder, Path(str(config.encoder_weights)), name=encoder)  # type: ignore[arg-type]
    return ShipNetwork(body, normalization=config.normalization, multiple=multiple)


def _set_prior_bias(body: nn.Module) -> None:
    """Set the bias of smp's last convolution as in `compact`; by default it is 0, probability 0.5 everywhere."""
    convolutions = [module for module in body.segmentation_head.modules() if isinstance(module, nn.Conv2d)]  # type: ignore[union-attr]
    if convolutions and convolutions[-1].bias is not None:
        nn.init.constant_(convolutions[-1].bias, PRIOR_LOGIT)


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
