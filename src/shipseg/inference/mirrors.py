"""A network asked about mirror images of the same pixels, and its answers averaged.

Seen from above no direction is special, so a network should say the same of an image and of its mirror images. Where it
does not it is unsure: the mean is a better answer than any one of them (test-time augmentation), for as many times the
work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["mean_over_mirrors"]

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]

_MIRRORS: Final = tuple((flip_rows, flip_cols, swap) for swap in (False, True) for flip_rows, flip_cols in (
    (False, False), (True, True), (True, False), (False, True)
))  # fmt: skip
"""Whether rows, columns, and rows with columns change places: the first two are a half turn apart, the first four all
mirror images that keep the sides, all eight those of a square."""
_SURE: Final = 1e-7
"""Probabilities nearer to 0 or 1 than this count as this near: one sure answer does not outweigh all others."""


def mean_over_mirrors(run: Run, images_n3hw: NDArray[np.float32], *, views: int) -> NDArray[np.float32]:
    """Return the probability (N, 1, H, W) whose log odds are the mean over mirror images.

    Args:
        run: The network: images (N, 3, H, W), of swapped sides, too, to probability (N, 1, H, W).
        images_n3hw: What it takes.
        views: Over how many mirror images: 1, 2, 4 or 8.
    """
    if views == 1:
        return run(images_n3hw)
    total: NDArray[np.float32] | None = None
    for mirror in _MIRRORS[:views]:
        prob = np.clip(
            _mirrored(run(np.ascontiguousarray(_mirrored(images_n3hw, mirror))), mirror, back=True), _SURE, 1 - _SURE
        )
        odds = np.log(prob) - np.log1p(-prob)
        total = odds if total is None else total + odds
    assert total is not None
    return np.asarray(1.0 / (1.0 + np.exp(-total / np.float32(views))), np.float32)


def _mirrored(
    values_nchw: NDArray[np.float32], mirror: tuple[bool, bool, bool], *, back: bool = False
) -> NDArray[np.float32]:
    flip_rows, flip_cols, swap = mirror
    if swap and not back:
        values_nchw = values_nchw.swapaxes(2, 3)
    values_nchw = values_nchw[:, :, :: -1 if flip_rows else 1, :: -1 if flip_cols else 1]
    return values_nchw.swapaxes(2, 3) if swap and back else values_nchw
