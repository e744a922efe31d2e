"""What an ablation takes away was there, and nothing is lost of what the others keep."""

from __future__ import annotations

import hashlib

import pytest
from benchmarks.ablations import LACKING, WHOLE
from benchmarks.world_pictures import forced

from shipseg.synth import WorldConfig, make_image

CONFIG = WorldConfig(size=160, empty_share=0.3, no_data_share=0.0)


def _digests(lacking: str, indices: range) -> list[str]:
    with forced(LACKING[lacking]):
        pictures = [make_image(21, index, CONFIG) for index in indices]
    return [hashlib.sha256(each.image_hwc.tobytes() + each.coverage_hw.tobytes()).hexdigest() for each in pictures]


@pytest.fixture(scope="module")
def whole() -> list[str]:
    return _digests(WHOLE, range(100))


@pytest.mark.parametrize("lacking", [name for name in LACKING if name != WHOLE])
def test_a_world_without_an_ingredient_gives_other_pictures(lacking: str, whole: list[str]) -> None:
    assert any(_digests(lacking, range(at, at + 1)) != whole[at : at + 1] for at in range(len(whole)))


def test_the_world_is_whole_again_afterwards(whole: list[str]) -> None:
    _digests("wakes", range(1))
    assert _digests(WHOLE, range(3)) == whole[:3]
