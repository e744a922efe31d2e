"""The sample of images of a choice, and its split into halves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from shipseg.evaluation.labelled import Labelled
from shipseg.evaluation.survey import draw_images

MakeImage = Callable[..., Labelled]


def test_a_sample_keeps_the_shares_of_images_by_number_of_ships(labelled: MakeImage) -> None:
    one, two = [(0, 0, 1, 1)], [(0, 0, 1, 1), (5, 5, 6, 6)]
    images = [labelled(f"{k:03}", truth=[] if k < 70 else one if k < 90 else two) for k in range(100)]
    drawn = draw_images(images, at_most=20, seed=3)
    assert Counter(len(image.rles) for image in drawn) == {0: 14, 1: 4, 2: 2}
    assert [image.image_id for image in drawn] == sorted(image.image_id for image in drawn)
    assert drawn == draw_images(images, at_most=20, seed=3)
    assert drawn != draw_images(images, at_most=20, seed=4)
    assert Counter(len(image.rles) for image in draw_images(images, at_most=3, seed=0)) == {0: 1, 1: 1, 2: 1}
    assert len(draw_images(images, at_most=1, seed=0)) == 1
    assert draw_images(images, at_most=100, seed=0) == tuple(images)
