"""Each ablation changes the images, and nothing remains changed afterwards."""

from __future__ import annotations

import hashlib

import pytest
from benchmarks.ablations import WHOLE, WITHOUT
from benchmarks.world_pictures import forced

from shipseg.synth import WorldConfig, make_image

CONFIG = WorldConfig(size=160, empty_share=0.3, no_data_share=0.0)


def _digests(without: str, indices: range) -> list[str]:
    with forced(WITHOUT[without]):
        images = [make_image(21, index, CONFIG) for index in indices]
    return [hashlib.sha256(each.image_hwc.tobytes() + each.coverage_hw.tobytes()).hexdigest() for each in images]


@pytest.fixture(scope="module")
def whole() -> list[str]:
    return _digests(WHOLE, range(100))


@pytest.mark.parametrize("without", [name for name in WITHOUT if name != WHOLE])
def test_without_one_part_the_images_differ(without: str, whole: list[str]) -> None:
    assert any(_digests(without, range(at, at + 1)) != whole[at : at + 1] for at in range(len(whole)))


def test_the_generator_is_complete_again_afterwards(whole: list[str]) -> None:
    _digests("wakes", range(1))
    assert _digests(WHOLE, range(3)) == whole[:3]
