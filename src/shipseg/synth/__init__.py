"""The generator of synthetic images and scenes of ships seen from above, with their labels."""

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
