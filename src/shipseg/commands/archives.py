"""What `predict` does with several scenes: where they are looked at, which of them, and the table that is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from shipseg.errors import ConfigError

if TYPE_CHECKING:
    from shipseg.inference.predictor import Predictor
    from shipseg.scenes.options import SceneOptions
    from shipseg.scenes.several import Attempt

__all__ = ["ArchiveFlags", "look_at_scenes"]


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


def look_at_scenes(
    scenes: Sequence[str], out: Path, load: Callable[..., Predictor], options: SceneOptions, flags: ArchiveFlags
) -> tuple[Attempt, ...]:
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
    from shipseg.scenes.batch import Shard, work_of, write_archive
    from shipseg.scenes.several import predict_scenes

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
