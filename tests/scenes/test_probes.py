from __future__ import annotations

import pytest

from shipseg.scenes.probes import probe_places
from shipseg.tiling import Window


@pytest.mark.parametrize(
    ("height", "width", "overviews", "shape"),
    [
        (1, 1, [], (1, 1)),
        (1000, 500, [], (1000, 500)),
        (4096, 2048, [], (1024, 512)),
        (60_000, 30_000, [2, 4, 8, 16], (1024, 512)),
    ],
)
def test_a_scene_that_is_small_or_has_small_overviews_is_seen_whole(
    height: int, width: int, overviews: list[int], shape: tuple[int, int]
) -> None:
    assert probe_places(height, width, overviews) == [(Window(0, 0, height, width), shape)]


@pytest.mark.parametrize("overviews", [[], [2]])
@pytest.mark.parametrize(("height", "width"), [(60_000, 60_000), (1, 60_000), (60_000, 130), (5_000, 4_000)])
def test_others_are_seen_in_places_all_over(height: int, width: int, overviews: list[int]) -> None:
    places = probe_places(height, width, [] if max(height, width) < 10_000 else overviews)
    assert 8 <= len(places) <= 64
    rows, cols = {window.row0 for window, _ in places}, {window.col0 for window, _ in places}
    assert max(cols) > width * 0.9 - 128 or width < 128
    assert max(rows) > height * 0.9 - 128 or height < 128
    for window, shape in places:
        assert (window.height, window.width) == shape
        assert 0 <= window.row0 <= height - window.height
        assert 0 <= window.col0 <= width - window.width
