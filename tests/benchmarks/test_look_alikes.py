"""The image of errors has crops with the outlines of true and predicted ships."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from benchmarks.look_alikes import FOUND, SIDE, TRUTH, ZOOM, cut_out, mistakes

from shipseg.masks.ships import ship_from_mask


def test_a_crop_has_both_outlines_and_stays_inside_the_image() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    masks = np.zeros((2, 200, 300), bool)
    masks[0, 5:15, 280:298] = True
    masks[1, 3:12, 270:290] = True
    truth, found = ([ship_from_mask(mask)] for mask in masks)
    crop = cut_out(image, truth[0].center_rc, truth, found)
    assert crop.shape == (SIDE * ZOOM, SIDE * ZOOM, 3)
    colors = {tuple(color) for color in np.unique(crop.reshape(-1, 3), axis=0).tolist()}
    assert colors == {(0, 0, 0), TRUTH, FOUND}


def test_each_image_gives_at_most_one_of_each_kind(airbus_folder: Path, model_folder: Path) -> None:
    found = list(mistakes(airbus_folder, str(model_folder)))
    assert len(found) == len(list((airbus_folder).rglob("*.jpg")))
    assert any(miss is not None for _, miss in found)  # the model is untrained
