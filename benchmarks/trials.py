"""Shared by the benchmarks that train many networks: recipe values of the command line, a folder of finished trials.

WORK/NAME.json has the counts of each scored image of one trial, WORK/settings.json the settings of the trials. A killed
run resumes. A run with other settings is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from shipseg.errors import ConfigError
from shipseg.evaluation.scores import ImageScore
from shipseg.files import ensure_folder, write_json

__all__ = ["kept_scores", "open_work", "parse_overrides"]

SETTINGS = "settings.json"


def parse_overrides(rest: Sequence[str]) -> dict[str, Any]:
    """Return the recipe values among the arguments of a benchmark: `--SECTION.KEY VALUE` ..."""
    if len(rest) % 2 or not all(key.startswith("--") for key in rest[::2]):
        raise ConfigError(f"recipe values are given as --SECTION.KEY VALUE, got {' '.join(rest)}")
    return {key.removeprefix("--"): value for key, value in zip(rest[::2], rest[1::2], strict=True)}


def open_work(work: Path, settings: Mapping[str, Any]) -> Path:
    """Return the folder for trials of these settings, made if it does not exist.

    Raises:
        ConfigError: It has trials with other settings.
    """
    file = ensure_folder(work) / SETTINGS
    if file.is_file():
        before = json.loads(file.read_text(encoding="utf-8"))
        if other := [key for key in {**before, **settings} if before.get(key) != settings.get(key)]:
            raise ConfigError(
                f"{work} holds trials with {other[0]} {before.get(other[0])}, not {settings.get(other[0])}: "
                "choose another folder"
            )
    else:
        write_json(file, dict(settings))
    return work


def kept_scores(file: Path, make: Callable[[], Sequence[ImageScore]]) -> list[ImageScore]:
    """Return the counts in a file, which is written first if it does not exist."""
    if not file.is_file():
        write_json(file, [asdict(score) for score in make()])
    return [_read_score(values) for values in json.loads(file.read_text(encoding="utf-8"))]


def _read_score(values: Mapping[str, Any]) -> ImageScore:
    plain: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return ImageScore(**plain)
