"""Studies that take seconds: a network of few weights, a few steps, 20 small images."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shipseg.config import validated
from shipseg.studies.spec import Study
from shipseg.studies.tables import StudyTable, tabulate
from shipseg.studies.trials import SCORE_COLUMNS, expand

StudyMaker = Callable[..., Study]

TINY = {
    "network.architecture": "compact",
    "network.widths": [8, 8, 8, 8, 8],
    "input.mode": "resized",
    "sampling.batches_per_epoch": 3,
    "train.epochs": 2,
    "train.batch_size": 4,
    "train.schedule": {"name": "constant"},
    "train.ema_decay": 0.5,
    "threshold.max_images": 4,
}


@pytest.fixture(scope="session")
def tiny_study() -> StudyMaker:
    """Make a study of two variants and two seeds; keys replace its own."""

    def make(**changes: Any) -> Study:
        values: dict[str, Any] = {
            "name": "tiny",
            "question": "Does Dice do as well as both?",
            "recipe": "base",
            "set": TINY,
            "seeds": [0, 1],
            "baseline": "both",
            "metric": "seed_dice",
            "variants": [{"name": "both"}, {"name": "dice", "set": {"loss.weights": {"dice": 1.0}}}],
        }
        return validated(Study, values | changes, "a test")

    return make


@pytest.fixture(scope="session")
def finished_study(dataset_folder: Path, tiny_study: StudyMaker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of that study, run without interruption; not to be changed."""
    from shipseg.studies.run import run_study

    out = tmp_path_factory.mktemp("studies") / "uninterrupted"
    run_study(tiny_study(), dataset_folder, out)
    return out


@pytest.fixture(scope="session")
def numbers() -> Callable[[Path], dict[str, dict[str, Any]]]:
    """Read the results of a study by trial, without times and paths."""

    def read(out: Path) -> dict[str, dict[str, Any]]:
        results = {path.parent.name: json.loads(path.read_text()) for path in out.glob("trials/*/result.json")}
        return {
            name: {key: value for key, value in result.items() if key not in ("minutes", "commands")}
            for name, result in results.items()
        }

    return read


@pytest.fixture(scope="session")
def begun() -> Callable[[Path], list[str]]:
    """Read the names of the trials of a study that were started, sorted, one for each start."""

    def read(out: Path) -> list[str]:
        logs = "".join(path.read_text() for path in out.glob("trials/*/log.txt"))
        return sorted(re.findall(r"trial (\S+) begins", logs))

    return read


def made_result(variant: str, seed: int, score: float | None) -> dict[str, Any]:
    scores = dict.fromkeys(SCORE_COLUMNS, 0.5) | {
        "seed_dice": score,
        "false_alarm_images": score,
        "recall <100": None,
    }
    return {
        "variant": variant,
        "seed": seed,
        "failed": "",
        **scores,
        "minutes": 2.0 + seed,
        "images_seen": 100,
        "steps": 10,
        "parameters": 7,
        "commands": [f"train {variant} {seed}", "evaluate"],
    }


@pytest.fixture(scope="session")
def table_of() -> Callable[[Study, dict[str, list[float | None]]], StudyTable]:
    """Make the table in which the seeds 0, 1, ... of each variant have these scores."""

    def make(study: Study, scores: dict[str, list[float | None]]) -> StudyTable:
        results = {
            f"{name}-seed{seed}": made_result(name, seed, score)
            for name, values in scores.items()
            for seed, score in enumerate(values)
        }
        return tabulate(study, expand(study), results)

    return make
