"""The architecture `compact`: a small U-Net for machines without a GPU.

    image (3, H, W)
      stem, stride 2 ──► stage, stride 4 ──► stage, stride 8 ──► ... ──► stage, stride 2**n
         │                   │                   │                          │
      decoder, stride 2 ◄── decoder, stride 4 ◄── decoder, stride 8 ◄───────┘
         │
      1x1 convolution to 4 channels, pixel shuffle ──► logits (1, H, W)

It has no layers at full resolution, which cost most in a U-Net: the decoder stops at stride 2, where each position
predicts four pixels. It uses only convolution, batch norm, ReLU and nearest upsampling, which can be fused and run
fastest in channels_last and bfloat16.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from shipseg.errors import ConfigError
from shipseg.extras import needing

with needing("train"):
    from torch import Tensor, nn
    from torch.nn import functional as F

__all__ = ["PRIOR_LOGIT", "CompactUNet"]

PRIOR_LOGIT = -3.0
"""Initial bias of the last layer: probability 0.047 everywhere, so that the first steps are not spent on learning that
most pixels are not ship (the prior of Lin et al., Focal Loss for Dense Object Detection, 2017, section 3.3)."""


class CompactUNet(nn.Module):
    """Maps images (N, 3, H, W), float, to logits (N, 1, H, W); H and W are multiples of `stride`.

    Args:
        widths: Channels at strides 2, 4, 8 ...; two to six stages.

    Raises:
        ConfigError: Fewer than two or more than six widths.
    """

    def __init__(self, widths: Sequence[int] = (24, 48, 96, 160, 192)) -> None:
        super().__init__()
        if not 2 <= len(widths) <= 6:
            raise ConfigError(f"network.widths must list 2 to 6 numbers of channels, got {len(widths)}")
        self.stride = 2 ** len(widths)
        self.encoder = _Encoder(widths)
        self.decoder = nn.ModuleList(_DecoderBlock(deep, skip) for skip, deep in reversed(list(pairwise(widths))))
        self.head = nn.Conv2d(widths[0], 4, kernel_size=1)
        _initialise(self)

    def forward(self, x_n3hw: Tensor) -> Tensor:
        """Return the logits."""
        *skips, x = self.encoder(x_n3hw)
        for block, skip in zip(self.decoder, reversed(skips), strict=True):
            x = block(x, skip)
        return F.pixel_shuffle(self.head(x), 2)


class _Encoder(nn.Module):
    """Returns features at strides 2, 4, 8 ..., the highest resolution first."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(3, widths[0], kernel=5, stride=2), nn.ReLU(), _ResidualBlock(widths[0]))
        self.stages = nn.ModuleList(
            nn.Sequential(_DownsamplingBlock(before, after), _ResidualBlock(after))
            for before, after in pairwise(widths)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        features = [self.stem(x)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features


class _ResidualBlock(nn.Module):
    """Two 3x3 convolutions with an identity shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(_conv(width, width), nn.ReLU(), _conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.branch(x))


class _DownsamplingBlock(nn.Module):
    """Halves the resolution: two 3x3 convolutions with an average-pooled shortcut."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(_conv(before, after, stride=2), nn.ReLU(), _conv(after, after))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), _conv(before, after, kernel=1))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.branch(x))


class _DecoderBlock(nn.Module):
    """Deep features, projected and upsampled by 2, added to the encoder's features of that stride."""

    def __init__(self, deep: int, skip: int) -> None:
        super().__init__()
        self.narrow = _conv(deep, skip, kernel=1)
        self.refine = _ResidualBlock(skip)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        upsampled = F.interpolate(self.narrow(deep), scale_factor=2.0, mode="nearest")
        refined: Tensor = self.refine(F.relu(upsampled + skip))
        return refined


def _conv(before: int, after: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride=stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(after)
    )


def _initialise(network: CompactUNet) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(module, _ResidualBlock | _DownsamplingBlock):
            last_norm = list(module.branch.modules())[-1]
            assert isinstance(last_norm, nn.BatchNorm2d)
            nn.init.zeros_(last_norm.weight)  # each block starts as its shortcut, which stabilises the first steps
    nn.init.normal_(network.head.weight, std=0.01)
    assert network.head.bias is not None
    nn.init.constant_(network.head.bias, PRIOR_LOGIT)
