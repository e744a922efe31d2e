"""Predicting many scenes: expanding the inputs, sharding over machines, and a table with the status of each scene.

Finished scenes are skipped, and a lock keeps two processes from predicting the same scene
(`checkpoint.open_checkpoint`). So shards may share a folder of results and be run again after a kill.
"""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shipseg import files
from shipseg.errors import ConfigError, DataError, MissingExtraError, ShipsegError
from shipseg.geo.gdal import is_remote
from shipseg.inference.predictor import Predictor
from shipseg.number_formats import rounded
from shipseg.scenes.inputs import scene_names
from shipseg.scenes.options import SceneOptions
from shipseg.scenes.predict import predict_scene
from shipseg.scenes.ships import SceneResult

__all__ = [
    "SceneAttempt",
    "Shard",
    "Work",
    "attempt_scene",
    "expand_inputs",
    "predict_scenes",
    "work_of",
    "write_archive",
]


@dataclass(frozen=True)
class Work:
    """A scene to predict."""

    path: str
    name: str
    """Name of its folder of results; unique among all scenes of a run."""


@dataclass(frozen=True, eq=False)
class SceneAttempt:
    """The outcome of predicting one scene."""

    name: str
    path: str
    result: SceneResult | None
    """None if it failed."""
    message: str = ""
    """Why it failed, one sentence."""

    @property
    def status(self) -> str:
        """`done`, `skipped` (an earlier run finished it) or `failed`."""
        return "failed" if self.result is None else self.result.status

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as plain data."""
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
) -> tuple[SceneAttempt, ...]:
    """Predict scenes one after the other and return the outcome of each, in the given order.

    Args:
        work: Scenes and the names of their folders.
        out: Folder with a folder of results for each scene.
        predictor: The model.
        options: Options for all scenes.

    Raises:
        MissingExtraError: rasterio or another package of the extra `geo` is not installed.
    """
    return tuple(attempt_scene(item, out, predictor, options) for item in work)


def attempt_scene(work: Work, out: Path, predictor: Predictor, options: SceneOptions | None = None) -> SceneAttempt:
    """Predict one scene; errors of the scene are returned, not raised.

    Raises:
        MissingExtraError: rasterio or another package of the extra `geo` is not installed.
    """
    try:
        return SceneAttempt(work.name, work.path, predict_scene(work.path, out, predictor, options, name=work.name))
    except MissingExtraError:
        raise
    except ShipsegError as error:
        return SceneAttempt(work.name, work.path, None, str(error))


_LIST = "@"
_COMMENT = "#"


@dataclass(frozen=True)
class Shard:
    """One of several shards of a set of scenes.

    The shard of a scene is a hash of its path as given, so scenes that are added later do not move the others. Shards
    are of equal size only on average.

    Raises:
        ConfigError: The number is not from 1 to the total.
    """

    number: int = 1
    """Counted from 1."""
    total: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.total:
            raise ConfigError(f"shard must be I/N with I from 1 to N, such as 3/8, got {self.number}/{self.total}")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard for a text such as `3/8`.

        Raises:
            ConfigError: The text is not I/N with I from 1 to N.
        """
        number, slash, total = text.partition("/")
        if not (slash and number.isdecimal() and total.isdecimal()):
            raise ConfigError(f"shard must be I/N with I from 1 to N, such as 3/8, got {text!r}")
        return cls(int(number), int(total))

    def holds(self, path: str) -> bool:
        """Return whether a scene belongs to this shard."""
        digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.total == self.number - 1


def expand_inputs(inputs: Iterable[str]) -> list[str]:
    """Return inputs with lists (`@FILE`) replaced by their lines and patterns (`*.tif`, `**/*.tif`) by their matches.

    Each line of a list is an input; empty lines and lines that begin with # are skipped, and paths are relative to the
    folder of the list. An existing file whose name looks like a pattern or a list is taken as a file.

    Raises:
        DataError: A list cannot be read, or a pattern matches nothing.
    """
    found: dict[str, None] = {}
    for given in inputs:
        if given.startswith(_LIST) and not Path(given).exists():
            found |= dict.fromkeys(expand_inputs(_read_list(Path(given[1:]))))
        elif glob.has_magic(given) and not is_remote(given) and not Path(given).exists():
            matches = sorted(glob.glob(given, recursive=True))  # noqa: PTH207  (Path.glob takes no absolute pattern)
            if not matches:
                raise DataError(f"nothing matches {given}: check the pattern")
            found |= dict.fromkeys(matches)
        else:
            found[given] = None
    return list(found)


def _read_list(file: Path) -> list[str]:
    """Return the inputs in a list.

    Raises:
        DataError: The list cannot be read, or contains another list.
    """
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise DataError(f"the list {file} cannot be read ({reason}): give @FILE with a path on each line") from error
    inputs = [line for line in lines if line and not line.startswith(_COMMENT)]
    if not inputs:
        raise DataError(f"the list {file} has no inputs: write a path on each line")
    nested = next((line for line in inputs if line.startswith(_LIST)), None)
    if nested is not None:
        raise DataError(f"the list {file} contains another list, {nested}: give both lists instead")
    return [line if is_remote(line) else str(file.parent / line) for line in inputs]


def work_of(scenes: Sequence[str], shard: Shard) -> tuple[Work, ...]:
    """Return the scenes of a shard, with names that are unique among all shards.

    Raises:
        DataError: The names cannot be made unique.
    """
    named = zip(scenes, scene_names(scenes), strict=True)
    return tuple(Work(path, name) for path, name in named if shard.holds(path))


def write_archive(out: Path, attempts: Sequence[SceneAttempt], shard: Shard) -> tuple[Path, Path]:
    """Write the outcome of each scene as CSV and as JSON, and return their paths.

    The files are archive.csv and archive.json; for a shard, archive-3-of-8.csv and archive-3-of-8.json.

    Raises:
        StorageError: The files cannot be written.
    """
    part = "" if shard.total == 1 else f"-{shard.number}-of-{shard.total}"
    table, facts = out / f"archive{part}.csv", out / f"archive{part}.json"
    files.ensure_folder(out)
    files.write_text(table, _table(attempts))
    files.write_json(facts, {"scenes": {attempt.name: attempt.as_dict() for attempt in attempts}})
    return table, facts


def _table(attempts: Sequence[SceneAttempt]) -> str:
    columns = ("scene", "status", "ships", "looked_at_km2", "seconds", "path", "folder", "message")
    rows = []
    for attempt in attempts:
        row: dict[str, Any] = {"scene": attempt.name, "status": attempt.status, "path": attempt.path}
        if attempt.result is None:
            row["message"] = attempt.message
        else:
            row |= {"ships": attempt.result.num_ships, "folder": attempt.result.folder}
            row["looked_at_km2"] = rounded(attempt.result.facts["looked_at_km2"], 3)
            row["seconds"] = rounded(attempt.result.seconds.total, 2) if attempt.status == "done" else None
        rows.append(row)
    return files.csv_text(columns, rows)
