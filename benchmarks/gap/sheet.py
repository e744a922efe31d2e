"""A sheet of the patches with the most confident predictions, real and synthetic side by side at full size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from benchmarks.gap.classify import Separability
from benchmarks.gap.measure import PATCH_PX, ImageFacts
from numpy.typing import NDArray

from shipseg.files import write_bytes
from shipseg.reading import read_image

__all__ = ["write_sheet"]

ROWS, COLUMNS = 3, 6
GAP_PX = 4
CAPTION_PX = 28


def write_sheet(path: Path, results: Sequence[Separability], facts: Sequence[ImageFacts]) -> None:
    """Write the sheet as PNG: for each trial the most confident real patches on the left, synthetic on the right."""
    strips = []
    for result in results:
        halves = [_half(result, facts, synthetic=synthetic) for synthetic in (False, True)]
        divider = np.full((halves[0].shape[0], 4 * GAP_PX, 3), 255, np.uint8)
        strip = np.hstack([halves[0], divider, halves[1]])
        caption = np.full((CAPTION_PX, strip.shape[1], 3), 255, np.uint8)
        text = f"{result.trial.name}: real | synthetic, boosting's AUC {result.auc['boosting'][0]:.3f}"
        cv2.putText(caption, text, (8, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
        strips += [caption, strip]
    _, data = cv2.imencode(".png", np.vstack(strips)[..., ::-1])
    write_bytes(path, data.tobytes())


def _half(result: Separability, facts: Sequence[ImageFacts], *, synthetic: bool) -> NDArray[np.uint8]:
    patches = result.patches
    order = np.argsort(-result.scores if synthetic else result.scores, kind="stable")
    used: set[int] = set()
    step = PATCH_PX + GAP_PX
    half = np.full((ROWS * step, COLUMNS * step, 3), 255, np.uint8)
    for k in order[patches.is_synthetic[order] == synthetic]:
        if len(used) == ROWS * COLUMNS:
            break
        if int(patches.groups[k]) in used:  # one patch per group
            continue
        row, col = (int(number) * step for number in divmod(len(used), COLUMNS))
        used.add(int(patches.groups[k]))
        one = facts[patches.image[k]]
        top, left = one.corners_rc[patches.patch[k]]
        patch_hwc = read_image(one.path)[top : top + PATCH_PX, left : left + PATCH_PX]
        half[row : row + PATCH_PX, col : col + PATCH_PX] = patch_hwc
    return half
