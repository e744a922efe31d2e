"""Initialisation of a wider compact network from the weights of a narrower one (Net2WiderNet).

The additional channels of a stage are copies of existing channels, and the weights that read a channel are divided by
its number of copies, so that the wider network computes the same function. Noise lets the copies diverge in training.

Source: Chen, Goodfellow and Shlens, Net2Net: Accelerating Learning via Knowledge Transfer, 2016.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from shipseg.errors import ConfigError
from shipseg.extras import needing

with needing("train"):
    import torch
    from torch import Tensor

__all__ = ["can_widen", "widened"]

NOISE = 0.02
"""Standard deviation of the factors (mean 1) by which the weights of a widened network differ from exact copies."""
_IMAGE, _LOGITS = None, None


def can_widen(widths: Sequence[int], wider: Sequence[int]) -> bool:
    """Return whether a compact network of `widths` can initialise one of the widths `wider`."""
    return len(widths) == len(wider) and all(old <= new for old, new in zip(widths, wider, strict=True))


def widened(
    tensors: Mapping[str, Tensor], widths: Sequence[int], wider: Sequence[int], *, seed: int, noise: float = NOISE
) -> dict[str, Tensor]:
    """Return the weights of a `CompactUNet` of the widths `wider` that computes what a narrower one computes.

    Args:
        tensors: State dict of the `CompactUNet` of `widths`.
        widths: Its channels at strides 2, 4, 8 ...
        wider: The channels of the wider network; as many stages, none narrower.
        seed: Seeds the choice of the copied channels and the noise.
        noise: Standard deviation of the noise; 0 gives the same function up to rounding.

    Raises:
        ConfigError: A stage would become narrower, or the number of stages differs.
    """
    if not can_widen(widths, wider):
        raise ConfigError(f"network.widths {list(wider)} cannot grow from {list(widths)}: no stage may become narrower")
    rng = torch.Generator().manual_seed(seed)
    origins = [_origins(old, new, rng) for old, new in zip(widths, wider, strict=True)]
    grown: dict[str, Tensor] = {}
    for prefix, reads, writes in _convolutions(len(widths)):
        norm = f"{prefix}.1." if prefix != "head" else None
        weight = f"{prefix}.0.weight" if norm else "head.weight"
        grown[weight] = _grown(
            tensors[weight], None if reads is None else origins[reads], None if writes is None else origins[writes]
        )
        if noise > 0:
            grown[weight] = grown[weight] * (1.0 + noise * torch.randn(grown[weight].shape, generator=rng))
        if norm:
            assert writes is not None
            for key, value in tensors.items():
                if key.startswith(norm):
                    grown[key] = value[origins[writes]].clone() if value.ndim else value.clone()
    grown["head.bias"] = tensors["head.bias"].clone()
    return {key: grown[key] for key in tensors}


def _origins(old: int, new: int, rng: torch.Generator) -> Tensor:
    """Return for each channel of the wider stage the index of the channel it copies; all are copied equally often."""
    more = [torch.randperm(old, generator=rng) for _ in range(-(-(new - old) // old))]
    return torch.cat([torch.arange(old), *more])[:new]


def _grown(weight: Tensor, reads: Tensor | None, writes: Tensor | None) -> Tensor:
    if reads is not None:
        copies = torch.bincount(reads)[reads]
        weight = weight[:, reads] / copies.view(1, -1, 1, 1)
    return weight if writes is None else weight[writes]


def _convolutions(num_stages: int) -> Iterator[tuple[str, int | None, int | None]]:
    """Yield for each convolution its name and the indices of the stages whose channels it reads and writes."""
    yield "encoder.stem.0", _IMAGE, 0
    yield from ((f"encoder.stem.2.branch.{place}", 0, 0) for place in (0, 2))
    for stage in range(1, num_stages):
        block = f"encoder.stages.{stage - 1}"
        yield f"{block}.0.branch.0", stage - 1, stage
        yield f"{block}.0.branch.2", stage, stage
        yield f"{block}.0.shortcut.1", stage - 1, stage
        yield from ((f"{block}.1.branch.{place}", stage, stage) for place in (0, 2))
    for place, skip in enumerate(reversed(range(num_stages - 1))):
        yield f"decoder.{place}.narrow", skip + 1, skip
        yield from ((f"decoder.{place}.refine.branch.{part}", skip, skip) for part in (0, 2))
    yield "head", 0, _LOGITS
