"""What people look at first: the quick look of a scene and its page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from shipseg.extras import needing
from shipseg.geo.reader import Scene
from shipseg.scenes.close_ups import read_close_ups
from shipseg.scenes.quicklook import draw_quicklook, look_shape, write_png
from shipseg.scenes.ships import SceneShips
from shipseg.tiling import Window

__all__ = ["PAGE_FILE", "QUICKLOOK_FILE", "write_views"]

QUICKLOOK_FILE: Final = "quicklook.png"
PAGE_FILE: Final = "report.html"


def write_views(folder: Path, scene: Scene, ships: SceneShips, facts: Mapping[str, Any]) -> None:
    """Write quicklook.png and report.html into a folder.

    Args:
        folder: An existing folder.
        scene: Open for reading; looked at as a whole once, reduced, and around the longest ships.
        ships: Its ships.
        facts: What scene.json holds.

    Raises:
        DataError: The scene cannot be read any more.
        StorageError: The files cannot be written.
    """
    with needing("geo"):
        from shipseg.scenes.page import write_scene_page

    whole = Window(0, 0, scene.height, scene.width)
    look_hwc, valid_hw = scene.read(whole, look_shape(ships.georef), from_overviews=True)
    picture_hwc, _ = draw_quicklook(look_hwc, valid_hw, ships)
    write_png(folder / QUICKLOOK_FILE, picture_hwc)
    write_scene_page(folder / PAGE_FILE, picture_hwc, ships, facts, close_ups=read_close_ups(scene.read, ships))
