"""The contact sheet: the patches that the classifier is surest of, real and synthetic side by side at full size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from benchmarks.gap.classify import Verdict
from benchmarks.gap.measure import PATCH_PX, ImageFacts
from numpy.typing import NDArray

from shipseg.files import write_bytes
from shipseg.reading import read_image

__all__ = ["write_sheet"]

ROWS, COLUMNS = 3, 6
GAP_PX = 4
CAPTION_PX = 28


def write_sheet(path: Path, verdicts: Sequence[Verdict], facts: Sequence[ImageFacts]) -> None:
    """Write the sheet as PNG: per verdict the surest real patches on the left, the surest synthetic on the right."""
    strips = []
    for verdict in verdicts:
        halves = [_half(verdict, facts, synthetic=synthetic) for synthetic in (False, True)]
        divider = np.full((halves[0].shape[0], 4 * GAP_PX, 3), 255, np.uint8)
        strip = np.hstack([halves[0], divider, halves[1]])
        caption = np.full((CAPTION_PX, strip.shape[1], 3), 255, np.uint8)
        text = f"{verdict.trial.name}: real | synthetic, boosting's AUC {verdict.auc['boosting'][0]:.3f}"
        cv2.putText(caption, text, (8, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
        strips += [caption, strip]
    _, data = cv2.imencode(".png", np.vstack(strips)[..., ::-1])
    write_bytes(path, data.tobytes())


def _half(verdict: Verdict, facts: Sequence[ImageFacts], *, synthetic: bool) -> NDArray[np.uint8]:
    patches = verdict.patches
    order = np.argsort(-verdict.scores if synthetic else verdict.scores, kind="stable")
    seen: set[int] = set()
    step = PATCH_PX + GAP_PX
    half = np.full((ROWS * step, COLUMNS * step, 3), 255, np.uint8)
    for k in order[patches.is_synthetic[order] == synthetic]:
        if len(seen) == ROWS * COLUMNS:
            break
        if int(patches.groups[k]) in seen:  # one patch per ground
            continue
        row, col = (int(number) * step for number in divmod(len(seen), COLUMNS))
        seen.add(int(patches.groups[k]))
        one = facts[patches.image[k]]
        top, left = one.corners_rc[patches.patch[k]]
        picture = read_image(one.path)[top : top + PATCH_PX, left : left + PATCH_PX]
        half[row : row + PATCH_PX, col : col + PATCH_PX] = picture
    return half
