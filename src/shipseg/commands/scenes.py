"""`predict` on scenes: flags, prediction and summary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from shipseg.errors import ConfigError
from shipseg.number_formats import counted

if TYPE_CHECKING:
    from shipseg.inference.predictor import Predictor
    from shipseg.scenes.batch import SceneAttempt
    from shipseg.scenes.options import SceneOptions

__all__ = ["ArchiveFlags", "SceneFlags", "predict_shard", "scene_rows"]

_TILE_STATUS_TEXT = {
    "network": "run through the network",
    "no data": "without data",
    "outside": "outside the area",
    "gate": "skipped by the gate",
}


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SceneFlags:
    """Flags of `predict` for scenes.

    Args:
        water: Scenes: polygons of water (GeoPackage, GeoJSON, Shapefile ...); land is skipped.
        area: Scenes: polygons of interest; everything outside is skipped.
        bands: Scenes: bands of red, green and blue, such as 4,3,2, or one band. Default: chosen from the file.
        stretch: Scenes: how values are scaled to 8 bits: none, LOW,HIGH or percent:LOW,HIGH. Default: chosen from the
            file.
        metres_per_pixel: Scenes: ground sample distance in metres, if the file has none or a wrong one; lengths follow
            the file's coordinates if it has any.
        probability: Scenes: write probability.tif.
        mask: Scenes: write mask.tif.
        quicklook: Scenes: write quicklook.png and report.html.
        gate: Scenes: skip tiles that the model's gate classifies as empty, if it has a gate.
        batch: Scenes: number of tiles per batch. Default: chosen for the backend.
        overwrite: Scenes: replace finished results that were made with other options.
    """

    water: Path | None = None
    area: Path | None = None
    bands: str | None = None
    stretch: str | None = None
    metres_per_pixel: float | None = None
    probability: Annotated[bool, Parameter(negative="--no-probability")] = True
    mask: bool = False
    quicklook: Annotated[bool, Parameter(negative="--no-quicklook")] = True
    gate: Annotated[bool, Parameter(negative="--no-gate")] = True
    batch: int | None = None
    overwrite: bool = False

    @property
    def given(self) -> list[str]:
        """Names of the flags that differ from their defaults, such as water or no-gate."""
        given = [
            (flag.name, getattr(self, flag.name)) for flag in fields(self) if getattr(self, flag.name) != flag.default
        ]
        return [f"{'no-' if value is False else ''}{name.replace('_', '-')}" for name, value in given]

    def options(self, formats: tuple[str, ...] | None, threshold: float | None) -> SceneOptions:
        """Return the options of the library for these flags.

        Raises:
            ConfigError: A value is invalid.
        """
        from shipseg.scenes.options import SceneOptions

        values = {flag.name: getattr(self, flag.name) for flag in fields(self)}
        bands = None if self.bands is None else _numbers(self.bands)
        given_formats = {} if formats is None else {"formats": formats}
        return SceneOptions(**(values | {"bands": bands, "threshold": threshold} | given_formats))


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError as error:
        raise ConfigError(f"bands must be comma-separated numbers such as 4,3,2, got {text!r}") from error


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ArchiveFlags:
    """Flags of `predict` for many scenes.

    Args:
        engine: Scenes: local runs one scene at a time; ray runs several in parallel, on this machine or on the cluster
            that RAY_ADDRESS names.
        workers: Scenes: number of scenes in parallel with --engine ray. Default: one per GPU, or one per two CPU cores.
        shard: Scenes: process only share I of N, such as 3/8; run all N shards to process all scenes.
    """

    engine: Literal["local", "ray"] = "local"
    workers: Annotated[int | None, Parameter(name="--workers")] = None
    shard: str | None = None

    @property
    def given(self) -> list[str]:
        """Names of the flags that differ from their defaults."""
        return [flag.name for flag in fields(self) if getattr(self, flag.name) != flag.default]


def predict_shard(
    scenes: Sequence[str], out: Path, load: Callable[..., Predictor], options: SceneOptions, flags: ArchiveFlags
) -> tuple[SceneAttempt, ...]:
    """Detect ships in this shard's scenes, write the table of scenes if there are several, and return the attempts.

    Args:
        scenes: Files and URLs, of all shards.
        out: Output folder.
        load: Returns the model, for a number of `threads` if one is given.
        options: Options of every scene.
        flags: Engine, workers and shard.

    Raises:
        ConfigError: Flags exclude each other, or the shard is invalid.
    """
    from shipseg.scenes.batch import Shard, predict_scenes, work_of, write_archive

    if flags.workers is not None and flags.engine != "ray":
        raise ConfigError("--workers requires --engine ray: add it, or leave --workers out")
    shard = Shard() if flags.shard is None else Shard.parse(flags.shard)
    work = work_of(scenes, shard)
    if flags.engine == "ray":
        from shipseg.scenes.cluster import predict_on_ray

        attempts = predict_on_ray(work, out, load, options, workers=flags.workers)
    else:
        attempts = predict_scenes(work, out, load(), options) if work else ()
    if len(scenes) > 1:
        write_archive(out, attempts, shard)
    return attempts


def scene_rows(attempts: Sequence[SceneAttempt]) -> dict[str, Any]:
    """Return the rows of the summary: the details of one scene, or one row for each of several."""
    if len(attempts) == 1:
        return _details(attempts[0])
    return {attempt.name: _line(attempt) for attempt in attempts} | {
        "ships": sum(attempt.result.num_ships for attempt in attempts if attempt.result is not None),
        "failed": sum(attempt.result is None for attempt in attempts),
    }


def _details(attempt: SceneAttempt) -> dict[str, Any]:
    if attempt.result is None:
        return {"failed": attempt.message}
    facts, seconds = attempt.result.facts, attempt.result.seconds
    rows: dict[str, Any] = {"ships": facts["num_ships"], "cut by an edge": facts["num_cut"]}
    if facts["looked_at_km2"] is not None:
        rows["area searched"] = f"{facts['looked_at_km2']:,.1f} km2"
    tiles = facts["tiles"].items()
    rows["tiles"] = ", ".join(f"{count:,} {_TILE_STATUS_TEXT[status]}" for status, count in tiles if count)
    if facts["dropped"]:
        rows["left out"] = f"{len(facts['dropped'])} regions too large for a ship, see scene.json"
    rows["notes"] = "; ".join(facts["scene"]["notes"]) or None
    if attempt.status == "done":
        rows["time"] = f"{seconds.total:.1f} s, {seconds.network:.1f} s of it in the network"
    else:
        rows["time"] = "finished by an earlier run with the same options"
    return rows | {"written": [str(attempt.result.folder / name) for name in facts["files"]]}


def _line(attempt: SceneAttempt) -> str:
    if attempt.result is None:
        return f"failed: {attempt.message}"
    time = f"{attempt.result.seconds.total:.1f} s" if attempt.status == "done" else "already finished"
    return f"{counted(attempt.result.num_ships, 'ship')}, {time}, {attempt.result.folder}"
