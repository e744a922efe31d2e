"""The trials of a study: one for each variant and seed, with its recipe and the commands that repeat it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from shipseg.config import Recipe
from shipseg.data.prepared import PreparedDataset
from shipseg.errors import ConfigError
from shipseg.evaluation.scores import SIZE_BINS
from shipseg.recipes import load_recipe
from shipseg.studies.spec import METRICS, Study, Variant

__all__ = [
    "SCORE_COLUMNS",
    "Trial",
    "as_yaml",
    "empty_share",
    "expand",
    "failure",
    "repeat_commands",
    "scored_split",
]


@dataclass(frozen=True)
class Trial:
    """A variant trained with one seed."""

    variant: str
    seed: int
    recipe_name: str
    """Name or file of the recipe, as on the command line."""
    overrides: Mapping[str, Any]
    """Dotted keys that override the recipe's, including the seed."""
    recipe: Recipe
    """The recipe with the overrides applied."""
    size: int | Literal["native"] | None = None
    """Size of the dataset's cached images if the variant sets it."""

    @property
    def name(self) -> str:
        """Name of the trial's folder."""
        return f"{self.variant}-seed{self.seed}"


def expand(study: Study) -> list[Trial]:
    """Return the trials of a resolved study: all variants with the first seed, then with the next, and so on.

    An unfinished study thus compares all variants on the seeds finished so far.

    Raises:
        ConfigError: A recipe is unknown, or a key or value is invalid; the message names the variant.
    """
    return [_trial(study, variant, seed) for seed in study.seeds for variant in study.variants]


def repeat_commands(trial: Trial, data: PreparedDataset, *, split: str, threads: int) -> list[str]:
    """Return the shell commands that repeat a single trial in an empty folder, with the same results.

    Args:
        trial: The trial.
        data: The study's dataset, with its source and its options.
        split: Split that the trial was scored on.
        threads: Number of threads that the trial used; it affects the last bits of sums.
    """
    commands, dataset = [], data.root
    if trial.size is not None and trial.size != data.report["options"]["size"]:
        dataset = Path(trial.name) / "dataset"
        commands.append(_command("prepare", data.report["source"]["root"], dataset, *_prepare_flags(trial, data)))
    run = Path(trial.name) / "run"
    flags = [word for key, value in trial.overrides.items() for word in _override_flags(key, value)]
    commands.append(_command("train", dataset, run, "--recipe", trial.recipe_name, *flags, "--resume"))
    commands.append(_command("evaluate", dataset, Path(trial.name) / "scores", "--model", run, "--split", split))
    return [f"OMP_NUM_THREADS={threads} {command}" for command in commands]


def as_yaml(value: Any) -> str:
    """Return a value of a recipe as one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1_000_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _trial(study: Study, variant: Variant, seed: int) -> Trial:
    recipe_name = variant.recipe or study.recipe
    overrides = {**study.set, **variant.set, "train.seed": seed}
    try:
        # As on the command line; a string that looks like another type stays a string.
        recipe = load_recipe(recipe_name, {key: as_yaml(value) for key, value in overrides.items()})
    except ConfigError as error:
        raise ConfigError(f"variant {variant.name} of study {study.name}: {error}") from error
    size = None if variant.prepare is None else variant.prepare.size
    return Trial(variant.name, seed, recipe_name, overrides, recipe, size)


def _command(name: str, *words: object) -> str:
    return shlex.join(["shipseg", name, *map(str, words)])


def _override_flags(key: str, value: Any) -> tuple[str, ...]:
    text = as_yaml(value)
    return (f"--{key}", text) if "." in key else ("--set", f"{key}={text}")


def _prepare_flags(trial: Trial, data: PreparedDataset) -> list[str]:
    options, source = data.report["options"], data.report["source"]
    flags = ["--size", str(trial.size)]
    for name in ("val_share", "test_share", "seed", "min_kb", "keep_empty"):
        if options[name] is not None:
            flags += [f"--{name.replace('_', '-')}", str(options[name])]
    flags += ["--any-size"] if options["any_size"] else []
    return [*flags, "--csv", source["csv"], "--images", source["images"]]


# Results of trials, as in result.json.

SCORE_COLUMNS = (*METRICS, *(f"recall {size}" for size in SIZE_BINS))
"""Scores in a result."""


def failure(trial: Trial, reason: str) -> dict[str, Any]:
    """Return the result of a trial that failed."""
    return {"variant": trial.variant, "seed": trial.seed, "failed": " ".join(reason.split())}


def scored_split(data: PreparedDataset) -> str:
    """Return the split that trials are scored on: test if there is one, else val."""
    return "val" if data.rows("test").empty else "test"


def empty_share(data: PreparedDataset) -> float:
    """Return the share of images without ships in the scored split."""
    return float((data.rows(scored_split(data))["Ships"] == 0).mean())
