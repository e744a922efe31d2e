"""Frozen pydantic models that reject unknown keys, and validation errors as one sentence.

`shipseg.config` defines the configurations; everything read from YAML or JSON is validated here.
"""

from __future__ import annotations

import difflib
import functools
import reprlib
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from shipseg.errors import ConfigError

__all__ = ["Frozen", "check_count", "validated"]

Model = TypeVar("Model", bound=BaseModel)

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 2, 60, 60, 40
# pydantic's error types, in our wording.
_PROBLEMS = {
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "string_type": "must be a string",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list, as in [a, b]",
    "list_type": "must be a list, as in [a, b]",
    "dict_type": "must hold keys and values",
    "model_type": "must hold keys and values",
    "invalid_key": "is a key that is not a string",
    "recursion_loop": "contains itself",
}


class Frozen(BaseModel):
    """Base of configurations: immutable; rejects unknown keys, NaN, infinity, and booleans in place of numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    @field_validator("*", mode="before")
    @classmethod
    def _reject_booleans(cls, value: Any, info: ValidationInfo) -> Any:
        """Reject YAML's `yes`, `on` and `true` for a number: Python takes them for 1."""
        if _is_numeric(cls, str(info.field_name)) and _holds_boolean(value):
            raise ValueError("must be a number, not yes or no")
        return value


@functools.cache
def _is_numeric(kind: type[BaseModel], field: str) -> bool:
    """Return whether a field holds numbers, alone or in lists and dicts, and no booleans."""
    leaves = _leaves(kind.model_fields[field].annotation)
    return bool(leaves & {int, float}) and not leaves & {bool, Any}


def _leaves(annotation: Any) -> set[Any]:
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        arguments = arguments[:1]
    return set().union(*map(_leaves, arguments)) if arguments else {annotation}


def _holds_boolean(value: Any) -> bool:
    if isinstance(value, Mapping):
        value = list(value.values())
    return any(isinstance(item, bool) for item in (value if isinstance(value, list | tuple) else [value]))


def validated(kind: type[Model], values: Any, origin: str) -> Model:
    """Return `values` as a `kind`.

    Raises:
        ConfigError: An unknown key, a missing key or a value out of range; one sentence on the first, with `origin`.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_sentence(kind, error, origin)) from error


def check_count(name: str, value: int, *, most: int) -> None:
    """Check that a count is from 1 to `most`.

    Raises:
        ConfigError: It is not.
    """
    if value < 1:
        raise ConfigError(f"{name} must be at least 1, got {value}")
    if value > most:
        raise ConfigError(f"{name} must be at most {most}, got {value}")


def _sentence(kind: type[BaseModel], error: ValidationError, origin: str) -> str:
    first = error.errors()[0]
    is_key = first["loc"][-1:] == ("[key]",)
    place = ".".join(str(part) for part in (first["loc"][:-2] if is_key else first["loc"]))
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(place, _known_keys(kind), n=1)
        hint = f"did you mean {near[0]}?" if near else f"valid keys: {', '.join(_siblings(kind, place))}"
        return f"unknown key {place} in {origin}, {hint}"
    if first["type"] == "missing":
        return f"{place} is missing in {origin}"
    problem = _problem(first["type"], first["msg"], first.get("ctx", {}))
    if is_key:
        problem = problem.replace("must be", "must name")
    # A contradiction within a section names its keys itself; the value of the whole section is not shown.
    got = "" if first["type"] == "value_error" and isinstance(first.get("input"), dict) else _shown(first.get("input"))
    return f"{place} {problem}{', got ' * bool(got)}{got} ({origin})".lstrip()


def _problem(error: str, message: str, context: Mapping[str, Any]) -> str:
    if error == "too_short":
        least = context["min_length"]
        return "must not be empty" if least == 1 else f"must hold at least {least} entries"
    plain = _PROBLEMS.get(error, message.removeprefix("Value error, ").replace("Input should be", "must be"))
    return plain.replace("less than or equal to", "at most").replace("greater than or equal to", "at least")


def _shown(value: Any) -> str:
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python does not format integers of more than 4300 digits
        return "a number of thousands of digits"


def _known_keys(kind: type[BaseModel], prefix: str = "") -> list[str]:
    keys = []
    for name, field in kind.model_fields.items():
        keys.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += _known_keys(field.annotation, f"{prefix}{name}.")
    return keys


def _siblings(kind: type[BaseModel], place: str) -> list[str]:
    parent = place.rpartition(".")[0]
    depth = place.count(".")
    return [key for key in _known_keys(kind) if key.rpartition(".")[0] == parent and key.count(".") == depth]
