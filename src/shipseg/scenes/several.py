"""Several scenes, one after the other: one that cannot be used does not stop the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shipseg.errors import MissingExtraError, ShipsegError
from shipseg.inference.predictor import Predictor
from shipseg.scenes.options import SceneOptions
from shipseg.scenes.predict import predict_scene
from shipseg.scenes.result import SceneResult

__all__ = ["Attempt", "Work", "attempt_scene", "predict_scenes"]


@dataclass(frozen=True)
class Work:
    """A scene to be looked at."""

    path: str
    name: str
    """Of its folder of results; different for each scene of an archive."""


@dataclass(frozen=True, eq=False)
class Attempt:
    """What became of one scene."""

    name: str
    path: str
    result: SceneResult | None
    """None where it failed."""
    message: str = ""
    """Why it failed, in a sentence."""

    @property
    def status(self) -> str:
        """`done`, `skipped` (an earlier run had finished it) or `failed`."""
        return "failed" if self.result is None else self.result.status

    def as_dict(self) -> dict[str, Any]:
        """Return what happened as plain data."""
        facts: dict[str, Any] = {"path": self.path, "status": self.status}
        if self.result is None:
            return facts | {"message": self.message}
        shown = ("num_ships", "num_cut", "looked_at_km2", "tiles", "dropped", "files")
        facts |= {"folder": str(self.result.folder)} | {name: self.result.facts[name] for name in shown}
        if self.result.status == "done":
            facts["seconds"] = {name: round(value, 2) for name, value in vars(self.result.seconds).items()}
        return facts


def predict_scenes(
    work: Sequence[Work], out: Path, predictor: Predictor, options: SceneOptions | None = None
) -> tuple[Attempt, ...]:
    """Look for ships in scenes, one after the other, and return what became of each, in the order given.

    Args:
        work: Scenes and the names of their folders.
        out: Folder with a folder of results for each scene.
        predictor: The model.
        options: For all of them.

    Raises:
        MissingExtraError: rasterio or another part of the extra `geo` is not installed.
    """
    return tuple(attempt_scene(item, out, predictor, options) for item in work)


def attempt_scene(work: Work, out: Path, predictor: Predictor, options: SceneOptions | None = None) -> Attempt:
    """Look for ships in one scene; what is wrong with it is returned, not raised.

    Raises:
        MissingExtraError: rasterio or another part of the extra `geo` is not installed.
    """
    try:
        return Attempt(work.name, work.path, predict_scene(work.path, out, predictor, options, name=work.name))
    except MissingExtraError:
        raise
    except ShipsegError as error:
        return Attempt(work.name, work.path, None, str(error))
