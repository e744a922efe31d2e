"""Studies as YAML: a question, a recipe, its variants and their seeds; bundled ones by name, others by file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, model_validator

from shipseg.config import Frozen, validated
from shipseg.errors import ConfigError
from shipseg.recipes import read_yaml, yaml_names

__all__ = [
    "METRICS",
    "PrepareConfig",
    "QuickConfig",
    "QuickVariant",
    "Study",
    "Variant",
    "dump_study",
    "load_study",
    "study_names",
]

_FOLDER = "studies/specs"

Metric = Literal[
    "airbus_score",
    "pooled_dice",
    "image_dice",
    "ship_f1",
    "ship_precision",
    "ship_recall",
    "false_alarm_images",
    "seed_dice",
]
METRICS: dict[str, str] = {
    "airbus_score": "Airbus score",
    "pooled_dice": "pooled Dice",
    "image_dice": "image Dice",
    "ship_f1": "ship F1",
    "ship_precision": "ship precision",
    "ship_recall": "ship recall",
    "false_alarm_images": "images with a false alarm",
    "seed_dice": "the reference's Dice",
}
"""Scores that variants can be compared by, and their names; `shipseg.evaluation.bootstrap` defines them."""

Overrides = dict[str, Any]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.+_-]*$", max_length=60)]
Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]


class PrepareConfig(Frozen):
    """Options that differ from the dataset's own when it is prepared again from its source for a variant."""

    size: Annotated[int, Field(ge=16)] | Literal["native"]
    """Longest side of the cached images in pixels, or `native`."""


class Variant(Frozen):
    """One row of a study's table."""

    name: Name
    """Name of the variant and of the folders of its trials."""
    recipe: str | None = None
    """Name of a recipe or a YAML file; null uses the study's."""
    set: Overrides = Field(default_factory=dict)
    """Dotted keys of the recipe and their values; they override the study's."""
    prepare: PrepareConfig | None = None
    """Train and score on the dataset prepared at another size."""
    note: str = ""
    """A short remark for the table."""


class QuickVariant(Frozen):
    """Changes of one variant by `--quick`."""

    set: Overrides = Field(default_factory=dict)
    """Overrides the variant's own keys."""
    prepare: PrepareConfig | None = None
    """Replaces the variant's own; null keeps it."""
    note: str | None = None
    """Replaces the variant's own; null keeps it."""


class QuickConfig(Frozen):
    """Changes of a study by `--quick`."""

    recipe: str | None = None
    """Replaces the study's recipe and `set`; null keeps both."""
    set: Overrides = Field(default_factory=dict)
    """Keys for all variants; a variant's own keys override them."""
    baseline: str | None = None
    """Replaces the study's; null keeps it."""
    only: tuple[str, ...] | None = None
    """Names of the variants to keep; null keeps all."""
    seeds: Seeds = (0, 1, 2)
    """Replaces the study's."""
    variants: dict[str, QuickVariant] = Field(default_factory=dict)
    """Changes of single variants, by name."""


class Study(Frozen):
    """Variants of a recipe, the seeds to train them with, and the score to compare them by."""

    name: Name
    question: str
    """The question that the study answers, with a question mark."""
    about: str = ""
    """Notes on reading the table: what is held equal, what the budget is."""
    recipe: str
    """Name of a recipe or a YAML file."""
    set: Overrides = Field(default_factory=dict)
    """Dotted keys of the recipe and their values, for all variants."""
    seeds: Seeds = (0, 1, 2)
    """Seeds; each variant is trained once with each of them."""
    baseline: str
    """The variant that the others are compared with."""
    metric: Metric = "airbus_score"
    """The score that variants are compared by."""
    reference: dict[str, dict[str, float]] = Field(default_factory=dict)
    """Figures of the reference solution, by variant and name."""
    variants: Annotated[tuple[Variant, ...], Field(min_length=1)]
    """In the order of the table."""
    quick: QuickConfig | None = None
    """Changes by `--quick`; null: the study has no quick form."""

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        names = [variant.name for variant in self.variants]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"variants must have different names, {repeated[0]} is given twice")
        named: dict[str, Iterable[str]] = {"baseline": [self.baseline], "reference": self.reference}
        if self.quick is not None:
            named |= {"quick.variants": self.quick.variants, "quick.only": self.quick.only or ()}
        for key, used in named.items():
            unknown = [name for name in used if name not in names]
            if unknown:
                raise ValueError(f"{key} names {unknown[0]}, which is not one of the variants {', '.join(names)}")
        for key, seeds in (("seeds", self.seeds), ("quick.seeds", self.quick.seeds if self.quick else ())):
            if len(set(seeds)) < len(seeds):
                raise ValueError(f"{key} must be different from each other")
        return self

    def resolved(self, *, quick: bool = False, seeds: tuple[int, ...] | None = None) -> Study:
        """Return the study to run, with the changes of the quick form and the given seeds applied.

        Raises:
            ConfigError: It has no quick form, or the seeds are invalid.
        """
        values = self.model_dump(exclude={"quick"}, exclude_defaults=True)
        if quick:
            if self.quick is None:
                raise ConfigError(f"study {self.name} has no quick form: leave --quick out, or write its `quick:`")
            kept = [each for each in self.variants if self.quick.only is None or each.name in self.quick.only]
            values |= {"seeds": self.quick.seeds, "variants": [_quick(each, self.quick) for each in kept]}
            values["baseline"] = self.quick.baseline or self.baseline
            names = [each.name for each in kept]
            values["reference"] = {name: figures for name, figures in self.reference.items() if name in names}
            if self.quick.recipe is not None:
                values |= {"recipe": self.quick.recipe, "set": {}}
            values["set"] = {**values.get("set", {}), **self.quick.set}
        if seeds is not None:
            values["seeds"] = seeds
        return validated(Study, values, f"study {self.name}")


def study_names() -> list[str]:
    """Return the names of the bundled studies."""
    return yaml_names(_FOLDER)


def load_study(name_or_file: str | Path) -> Study:
    """Return the study of that name or in that YAML file.

    Args:
        name_or_file: One of `study_names()`, or a path to a YAML file.

    Raises:
        ConfigError: There is no such study, the file is not YAML, a key is unknown, or a value is out of range.

    Example:
        >>> load_study("losses").baseline
        'bce+dice'
    """
    origin, values = read_yaml("study", name_or_file, folder=_FOLDER, keys="`question:` and `variants:`")
    values.setdefault("name", Path(str(name_or_file)).stem)
    return validated(Study, values, origin)


def dump_study(study: Study) -> str:
    """Return the study as YAML, without default values; `load_study` reads it back."""
    values = study.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120)


def _quick(variant: Variant, quick: QuickConfig) -> Overrides:
    change = quick.variants.get(variant.name, QuickVariant())
    values = variant.model_dump(exclude_defaults=True)
    values["set"] = {**variant.set, **change.set}
    if change.prepare is not None:
        values["prepare"] = change.prepare.model_dump()
    if change.note is not None:
        values["note"] = change.note
    return values
