"""A procedural world: pictures of ships from above, with their truth, as many as wanted."""

from __future__ import annotations

from shipseg.synth.folder import FolderSummary, write_airbus_folder
from shipseg.synth.scenes import ScenesSummary, write_scenes
from shipseg.synth.view import SyntheticImage, WorldConfig
from shipseg.synth.world import make_image, make_scene

__all__ = [
    "FolderSummary",
    "ScenesSummary",
    "SyntheticImage",
    "WorldConfig",
    "make_image",
    "make_scene",
    "write_airbus_folder",
    "write_scenes",
]
