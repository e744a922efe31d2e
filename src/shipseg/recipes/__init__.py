"""Recipes: complete training configurations as YAML, bundled ones (in this folder) by name, others by file.

Unknown keys are rejected, with the nearest valid key. `--train.lr 3e-4` on the command line overrides a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from shipseg.config import Recipe, validated
from shipseg.errors import ConfigError, unknown_name

__all__ = ["dump_recipe", "load_recipe", "read_yaml", "recipe_names", "yaml_names"]

_FOLDER = "recipes"
_MAX_SHOWN = 60


def recipe_names() -> list[str]:
    """Return the names of the bundled recipes."""
    return yaml_names(_FOLDER)


def yaml_names(folder: str) -> list[str]:
    """Return the names of the YAML files in a folder of the package, without suffix."""
    names = [item.name for item in (resources.files("shipseg") / folder).iterdir()]
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def read_yaml(kind: str, name_or_file: str | Path, *, folder: str, keys: str) -> tuple[str, dict[str, Any]]:
    """Return where a YAML file comes from, in words for messages, and its keys and values.

    Args:
        kind: What it holds, for messages.
        name_or_file: The name of one of the files in `folder`, or a path.
        folder: Folder of the package.
        keys: Some of its keys, for messages.

    Raises:
        ConfigError: No such file, or it does not hold keys and values.
    """
    name, names = str(name_or_file), yaml_names(folder)
    path = resources.files("shipseg") / folder / f"{name}.yaml" if name in names else Path(name)
    origin = f"{kind} {name}" if name in names else name
    if name not in names and Path(name).suffix not in (".yaml", ".yml") and not Path(name).exists():
        raise unknown_name(kind, name, names)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        detail = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(
            f"{kind} file {name} cannot be read ({detail}): give a YAML file or one of {', '.join(names)}"
        ) from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date or a number that Python cannot hold
        raise ConfigError(f"{origin} is not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise ConfigError(f"{origin} is nested too deeply for a {kind}") from error
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigError(f"{origin} must hold keys and values such as {keys}, got {type(values).__name__}")
    return origin, values


def load_recipe(name_or_file: str | Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Return the recipe of that name or in that YAML file, with the overrides applied.

    Args:
        name_or_file: One of `recipe_names()`, or a path to a YAML file.
        overrides: Values by dotted key, e.g. `{"train.lr": 3e-4, "augment.names": "[d4, color-jitter]"}`; strings are
            parsed as YAML.

    Raises:
        ConfigError: There is no such recipe, the file is not YAML, a key is unknown, a value is out of range, or
            `train.epochs` is set for a recipe with phases.

    Example:
        >>> load_recipe("base", {"train.epochs": 2}).train.epochs
        2
    """
    origin, values = read_yaml("recipe", name_or_file, folder=_FOLDER, keys="`train: {lr: 0.001}`")
    values.setdefault("name", Path(str(name_or_file)).stem)
    for key, value in (overrides or {}).items():
        _override(values, key, value)
    given = overrides or {}
    if values.get("phases") and "train.epochs" in given and "phases" not in given:
        raise ConfigError(
            f"train.epochs has no effect on {origin}, whose phases have epochs of their own: give phases instead, as "
            "in --phases '[{epochs: 2, lr: 1.0e-4}]', or --phases '[]' to use train.epochs"
        )
    return validated(Recipe, values, origin)


def dump_recipe(recipe: Recipe) -> str:
    """Return the recipe as YAML with every value written out; `load_recipe` reads it back."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)


def _override(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = parts = key.split(".")
    if not all(parts):
        raise ConfigError(f"--{key} is not a recipe key, one of its parts is empty: write --SECTION.KEY VALUE")
    node = values
    for place, parent in enumerate(parents, start=1):
        child = node.get(parent)
        if child is None:
            child = node[parent] = {}
        if not isinstance(child, dict):
            section = ".".join(parts[:place])
            raise ConfigError(f"--{key} cannot be set, {section} is not a section: give {section} as a whole")
        node = child
    node[last] = _read_value(key, value) if isinstance(value, str) else value


def _read_value(key: str, text: str) -> Any:
    shown = repr(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}...")
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date or a number that Python cannot hold
        raise ConfigError(f"--{key} cannot be read as a value: {shown}") from error
    except RecursionError as error:
        raise ConfigError(f"--{key} is nested too deeply: {shown}") from error
