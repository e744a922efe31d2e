"""Flags that several commands share."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from shipseg.evaluation.labelled import Source

__all__ = ["LabelFlags", "RuleFlags"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class LabelFlags:
    """Which labelled images of a folder are meant.

    Args:
        split: Which split of a dataset: train, val or test; val unless given.
        csv: The CSV, where an Airbus folder holds several.
        images: The folder of images, where an Airbus folder holds several.
    """

    split: str | None = None
    csv: Path | None = None
    images: Path | None = None

    @property
    def given(self) -> list[str]:
        """Flags that were given, as they were written."""
        return [f"--{flag.name}" for flag in fields(self) if getattr(self, flag.name) is not None]

    def open(self, data: Path) -> Source:
        """Return the images.

        Raises:
            DataError: There are none.
        """
        from shipseg.evaluation.labelled import open_source

        return open_source(data, split=self.split, csv=self.csv, images=self.images)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RuleFlags:
    """How ships are made of probabilities, whatever the model's card says.

    Args:
        separate: Part ships that touch where that is clear, or do not; as the model's card says unless given.
        rectangles: Pictures: make ships filled rectangles where one fits, or do not; as the card says unless given.
    """

    separate: Annotated[bool | None, Parameter(negative="--no-separate")] = None
    rectangles: Annotated[bool | None, Parameter(negative="--no-rectangles")] = None

    @property
    def only_for_images(self) -> list[str]:
        """Flags that were given and are for pictures alone, as they were written."""
        return [] if self.rectangles is None else ["--rectangles" if self.rectangles else "--no-rectangles"]
