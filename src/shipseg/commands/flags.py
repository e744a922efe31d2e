"""Flags that several commands share."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from shipseg.evaluation.labelled import Source

__all__ = ["DecisionFlags", "LabelFlags"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class LabelFlags:
    """Flags that select labelled images.

    Args:
        split: Split of a prepared dataset: train, val or test. Default: val.
        csv: CSV to use if an Airbus folder has several.
        images: Image folder to use if an Airbus folder has several.
    """

    split: str | None = None
    csv: Path | None = None
    images: Path | None = None

    @property
    def given(self) -> list[str]:
        """The flags that were given, as written on the command line."""
        return [f"--{flag.name}" for flag in fields(self) if getattr(self, flag.name) is not None]

    def open(self, data: Path) -> Source:
        """Return the labelled images.

        Raises:
            DataError: There are none.
        """
        from shipseg.evaluation.labelled import open_source

        return open_source(data, split=self.split, csv=self.csv, images=self.images)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DecisionFlags:
    """Flags that override the decision rule of a model.

    Args:
        split_touching: Split touching ships where the boundary is clear. Default: as in the model's card.
        rectangles: Images: replace ships by filled rectangles where one fits. Default: as in the model's card.
    """

    split_touching: Annotated[
        bool | None,
        Parameter(name=("--split-touching", "--separate"), negative=("--no-split-touching", "--no-separate")),
    ] = None
    rectangles: Annotated[bool | None, Parameter(negative="--no-rectangles")] = None

    @property
    def only_for_images(self) -> list[str]:
        """The flags that were given and apply to images only, as written on the command line."""
        return [] if self.rectangles is None else ["--rectangles" if self.rectangles else "--no-rectangles"]
