"""Layout of a study's folder, and checks that the folder belongs to the study."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shipseg import files
from shipseg.data.prepared import PreparedDataset
from shipseg.errors import ConfigError, StorageError
from shipseg.identity import first_difference
from shipseg.recipes import dump_recipe, load_recipe
from shipseg.studies.spec import Study, dump_study, load_study
from shipseg.studies.trials import Trial

__all__ = [
    "begin",
    "dataset_folder",
    "existing_seeds",
    "leases_folder",
    "log_file",
    "read_result",
    "result_file",
    "run_folder",
    "scores_folder",
    "study_file",
    "trial_folder",
    "write_result",
]

_DATASET_FILE = "dataset.json"
_RECIPE_FILE = "recipe.yaml"


def study_file(out: Path) -> Path:
    """Return the file with the resolved study."""
    return out / "study.yaml"


def leases_folder(out: Path) -> Path:
    """Return the folder of the leases on trials."""
    return out / "claims"


def dataset_folder(out: Path, size: int | str) -> Path:
    """Return the folder of the dataset prepared at another size."""
    return out / "datasets" / f"size-{size}"


def trial_folder(out: Path, trial: Trial) -> Path:
    """Return a trial's folder."""
    return out / "trials" / trial.name


def run_folder(out: Path, trial: Trial) -> Path:
    """Return the folder of a trial's training run."""
    return trial_folder(out, trial) / "run"


def scores_folder(out: Path, trial: Trial) -> Path:
    """Return the folder of a trial's scores."""
    return trial_folder(out, trial) / "scores"


def log_file(out: Path, trial: Trial) -> Path:
    """Return the log file of a trial."""
    return trial_folder(out, trial) / "log.txt"


def result_file(out: Path, trial: Trial) -> Path:
    """Return the file with the result of a trial; it exists once the trial is finished."""
    return trial_folder(out, trial) / "result.json"


def read_result(out: Path, trial: Trial) -> dict[str, Any] | None:
    """Return a trial's result, or None if it has none yet.

    Raises:
        ConfigError: The file is not the result of a trial.
    """
    path = result_file(out, trial)
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is not the result of a trial ({error}): remove it to run the trial again") from error
    return dict(result)


def write_result(out: Path, trial: Trial, result: Mapping[str, Any]) -> None:
    """Write a trial's result, which marks it as finished.

    Raises:
        StorageError: It cannot be written.
    """
    files.write_json(result_file(out, trial), dict(result))


def begin(out: Path, study: Study, trials: Sequence[Trial], data: PreparedDataset) -> None:
    """Create the study's folder, or check that an existing one belongs to it.

    Raises:
        ConfigError: It holds another study, or this one on another dataset or with other recipes.
        StorageError: It holds other files, or cannot be written.
    """
    _refuse_other_files(out)
    files.ensure_folder(out)
    if study_file(out).is_file():
        _check_same_study(load_study(study_file(out)), study, out)
    files.write_text(study_file(out), dump_study(study))
    known = _known_dataset(out)
    if known is not None and known["fingerprint"] != data.fingerprint:
        raise ConfigError(
            f"{out} holds the study on another dataset ({known['dataset']}, fingerprint {known['fingerprint'][:12]}) "
            f"than {data.root} ({data.fingerprint[:12]}): give that dataset, or choose another folder"
        )
    files.write_json(out / _DATASET_FILE, {"dataset": str(data.root), "fingerprint": data.fingerprint})
    for trial in trials:
        path = trial_folder(out, trial) / _RECIPE_FILE
        # Compared as recipes: a key that a later version of shipseg added with a default does not change the training.
        if path.is_file() and load_recipe(path) != trial.recipe:
            raise ConfigError(
                f"{path} differs from the recipe {trial.recipe_name}, which was changed since the study started: "
                "choose another folder"
            )
        files.write_text(path, dump_recipe(trial.recipe))


def existing_seeds(out: Path) -> tuple[int, ...]:
    """Return the seeds of the study in the folder; empty if it holds none."""
    return load_study(study_file(out)).seeds if study_file(out).is_file() else ()


def _refuse_other_files(out: Path) -> None:
    if out.is_dir() and not study_file(out).is_file():
        names = sorted(path.name for path in out.iterdir() if not path.name.startswith("."))
        if names:
            raise StorageError(f"{out} is not empty and holds no study (found: {names[0]}): choose another folder")


def _check_same_study(before: Study, now: Study, out: Path) -> None:
    if before.name != now.name:
        raise ConfigError(f"{out} holds the study {before.name}, not {now.name}: choose another folder")
    if difference := first_difference(_identity(before), _identity(now)):
        raise ConfigError(
            f"{out} holds a study {before.name} with {difference}: choose another folder (more seeds may be added to "
            "the same one)"
        )


def _identity(study: Study) -> dict[str, Any]:
    """Return what decides the trials, without the seeds: more of them may be added."""
    variants = {
        f"variants.{each.name}": each.model_dump(mode="json", exclude={"name", "note"}, exclude_defaults=True)
        for each in study.variants
    }
    return {"recipe": study.recipe, "set": study.set, "variants": [each.name for each in study.variants], **variants}


def _known_dataset(out: Path) -> dict[str, str] | None:
    try:
        return dict(json.loads((out / _DATASET_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
