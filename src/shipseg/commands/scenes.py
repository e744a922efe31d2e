"""What `predict` does with scenes: its flags, the work, the table at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from shipseg.errors import ConfigError

if TYPE_CHECKING:
    from shipseg.inference.predictor import Predictor
    from shipseg.scenes.batch import SceneAttempt
    from shipseg.scenes.options import SceneOptions

__all__ = ["ArchiveFlags", "SceneFlags", "in_short", "predict_scenes_here"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SceneFlags:
    """Flags of `predict` that are for scenes.

    Args:
        water: Scenes: polygons of water (GeoPackage, GeoJSON, Shapefile ...); land is not looked at.
        area: Scenes: polygons of interest; what lies outside is not looked at.
        bands: Scenes: bands to take for red, green and blue, such as 4,3,2; or one band.
        stretch: Scenes: how values become 8 bits: none, LOW,HIGH or percent:LOW,HIGH.
        metres_per_pixel: Scenes: size of a pixel on the ground, where the file does not say it or says it wrong;
            lengths in metres follow the file's coordinates where it has some, else this.
        probability: Scenes: write probability.tif.
        mask: Scenes: write mask.tif.
        quicklook: Scenes: write quicklook.png and report.html.
        gate: Scenes: skip tiles that the model's gate calls empty, where it has a gate.
        batch: Scenes: tiles given to the network at once; as many as suit it unless given.
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
        """Names of the flags that are not as they are unless given, such as water or no-gate."""
        given = [
            (flag.name, getattr(self, flag.name)) for flag in fields(self) if getattr(self, flag.name) != flag.default
        ]
        return [f"{'no-' if value is False else ''}{name.replace('_', '-')}" for name, value in given]

    def options(self, formats: tuple[str, ...] | None, threshold: float | None) -> SceneOptions:
        """Return what is asked for.

        Raises:
            ConfigError: A value that makes no sense.
        """
        from shipseg.scenes.options import SceneOptions

        values = {flag.name: getattr(self, flag.name) for flag in fields(self)}
        bands = None if self.bands is None else _numbers(self.bands)
        wanted = {} if formats is None else {"formats": formats}
        return SceneOptions(**(values | {"bands": bands, "threshold": threshold} | wanted))


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError as error:
        raise ConfigError(f"bands must be numbers with commas between them, such as 4,3,2, got {text!r}") from error


def in_short(attempts: Sequence[SceneAttempt]) -> dict[str, Any]:
    """Return the rows of the table at the end: in detail for one scene, a row each for several."""
    if len(attempts) == 1:
        return _details(attempts[0])
    return {attempt.name: _line(attempt) for attempt in attempts} | {
        "ships": sum(attempt.result.num_ships for attempt in attempts if attempt.result is not None),
        "could not be used": sum(attempt.result is None for attempt in attempts),
    }


def _details(attempt: SceneAttempt) -> dict[str, Any]:
    if attempt.result is None:
        return {"failed": attempt.message}
    facts, seconds = attempt.result.facts, attempt.result.seconds
    rows: dict[str, Any] = {"ships": facts["num_ships"], "of them cut by an edge": facts["num_cut"]}
    if facts["looked_at_km2"] is not None:
        rows["looked at"] = f"{facts['looked_at_km2']:,.1f} km2"
    rows["tiles"] = ", ".join(f"{count:,} {_FATE_WORDS[fate]}" for fate, count in facts["tiles"].items() if count)
    if facts["dropped"]:
        rows["left out"] = f"{len(facts['dropped'])} regions too large for a ship, see scene.json"
    rows["notes"] = "; ".join(facts["scene"]["notes"]) or None
    if attempt.status == "done":
        rows["time"] = f"{seconds.total:.1f} s, {seconds.network:.1f} s of it in the network"
    else:
        rows["time"] = "finished by an earlier run with the same options"
    return rows | {"written": [str(attempt.result.folder / name) for name in facts["files"]]}


_FATE_WORDS = {
    "network": "shown to the network",
    "no data": "without data",
    "outside": "outside the area",
    "gate": "empty by the gate",
}


def _line(attempt: SceneAttempt) -> str:
    if attempt.result is None:
        return f"failed: {attempt.message}"
    how = f"{attempt.result.seconds.total:.1f} s" if attempt.status == "done" else "finished before"
    ships = attempt.result.num_ships
    return f"{ships:,} {'ship' if ships == 1 else 'ships'}, {how}, {attempt.result.folder}"


# What `predict` does with several scenes: where they are looked at, which of them, and the table that is written.


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ArchiveFlags:
    """Flags of `predict` that are for many scenes.

    Args:
        engine: Scenes: local looks at one after the other; ray at several side by side, on this machine or on the
            cluster that RAY_ADDRESS names.
        workers: Scenes, with ray: how many side by side; one for each GPU, or for each two cores, unless given.
        shard: Scenes: look only at share I of N, such as 3/8; run all N to look at all.
    """

    engine: Literal["local", "ray"] = "local"
    workers: Annotated[int | None, Parameter(name="--workers")] = None
    shard: str | None = None

    @property
    def given(self) -> list[str]:
        """Names of the flags that are not as they are unless given."""
        return [flag.name for flag in fields(self) if getattr(self, flag.name) != flag.default]


def predict_scenes_here(
    scenes: Sequence[str], out: Path, load: Callable[..., Predictor], options: SceneOptions, flags: ArchiveFlags
) -> tuple[SceneAttempt, ...]:
    """Look for ships in this shard's scenes, write the table of several, and return what became of each.

    Args:
        scenes: Files and addresses.
        out: Folder of results.
        load: Returns the model, for a number of `threads` where one is given.
        options: For all of them.
        flags: Where, and which.

    Raises:
        ConfigError: Flags that do not go together, or a shard that there is not.
    """
    from shipseg.scenes.batch import Shard, predict_scenes, work_of, write_archive

    if flags.workers is not None and flags.engine != "ray":
        raise ConfigError("--workers is for --engine ray: give that too, or leave --workers out")
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
