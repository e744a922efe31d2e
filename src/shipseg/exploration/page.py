"""The HTML page of an exploration."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shipseg.exploration.results import KIND_NAMES, Exploration
from shipseg.exploration.samples import Sample
from shipseg.extras import needing
from shipseg.number_formats import formatted
from shipseg.reports.examples import close_up, overview, to_jpeg
from shipseg.reports.page import drawing, image_url, write_page

with needing("train"):
    from markupsafe import Markup, escape

__all__ = ["write_exploration_page"]

_OVERVIEW_PX = 320
_SOURCE_NAMES = {"dataset": "prepared dataset", "folder": "Airbus folder", "labels": "label table"}
_MEASURES = (
    ("area_px", "Area, pixels", 0),
    ("length_px", "Length, pixels", 1),
    ("width_px", "Width, pixels", 1),
    ("aspect", "Length / width", 2),
)
_QUANTILES = ("5", "25", "50", "75", "95", "99")
_REASONS = {
    "no-file": "a row without an image",
    "no-row": "an image without a row",
    "unreadable": "the file is damaged",
    "truncated": "the file is truncated",
    "unsupported": "the file format is not supported",
    "wrong-size": "not the most common size",
    "solid": "one colour: no-data, white cloud",
    "malformed-mask": "malformed run-length text",
    "listed": "in the drop list",
    "small-file": "at or below the limit of the file size",
    "empty-undersampled": "without ships, not in the sample",
}


class _Example(NamedTuple):
    """A sample in the form that `reports.examples` draws, with an empty prediction."""

    image_hwc: NDArray[np.uint8]
    true_hw: NDArray[np.bool_]
    predicted_hw: NDArray[np.bool_]


def write_exploration_page(exploration: Exploration, path: Path) -> Path:
    """Write an exploration as one HTML page with embedded images, and return the path of the page.

    Raises:
        StorageError: The file cannot be written.
    """
    facts = exploration.facts
    figures = exploration.figures()
    return write_page(
        path,
        "exploration.html",
        facts=facts,
        name=exploration.path.resolve().name,
        kind=_SOURCE_NAMES[facts["source"]["kind"]],
        headline=_headline(facts),
        hints=[{name: _code_as_html(text) for name, text in hint.items()} for hint in facts["hints"]],
        measures=_measures(facts["ships"]),
        reasons=_REASONS,
        drawings={name: drawing(figure) for name, figure in figures.items() if name != "samples"},
        missing=_missing(facts),
        samples=_samples(exploration.samples),
    )


def _code_as_html(text: str) -> Markup:
    """Return an escaped text with `code` in backticks as <code> elements."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704  (escaped before)


def _headline(facts: Mapping[str, Any]) -> tuple[str, ...]:
    imbalance, ships = facts["imbalance"], facts["ships"]
    images, empty = imbalance["images"], imbalance["empty"]
    sentences = [f"{images:,} images, {empty:,} of them ({100 * imbalance['empty_share']:.1f} %) without a ship."]
    if imbalance["with_ships"]:
        sentences.append(
            f"{imbalance['ships']:,} ships in the other {imbalance['with_ships']:,}: {imbalance['one']:,} have one, "
            f"{imbalance['several']:,} several."
        )
    if ships["measured"]:
        area, length = (ships[name]["quantiles"]["50"] for name in ("area_px", "length_px"))
        sentences.append(
            f"The median ship is {length:.0f} px long and covers {area:,.0f} px; "
            f"{100 * ships['sizes'][0]['share']:.0f} % of the ships are smaller than 100 px."
        )
    return tuple(sentences)


def _measures(ships: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Return the rows of the table of measures: a name, then mean, minimum, quantiles and maximum as text."""
    rows = []
    for key, name, digits in _MEASURES:
        column = ships[key]
        values = [column["mean"], column["min"], *(column["quantiles"][q] for q in _QUANTILES), column["max"]]
        rows.append((name, [formatted(value, f",.{digits}f") for value in values]))
    return rows


def _missing(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the missing sections for each reason, except the split of an Airbus folder."""
    names = {
        "images": "image sizes",
        "files": "file sizes",
        "colours": "colours",
        "duplicates": "identical files",
        "groups": "overlapping images",
        "split": "the split",
        "samples": "sample images",
    }
    reasons: dict[str, list[str]] = {}
    for section, reason in facts["not_known"].items():
        if section != "split" or facts["source"]["kind"] == "labels":
            reasons.setdefault(reason, []).append(names[section])
    return [(_enumerate(sections), reason) for reason, sections in reasons.items()]


def _enumerate(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _samples(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """Return the samples by kind for the template."""
    groups = []
    for kind, title in KIND_NAMES.items():
        images = []
        for sample in samples:
            if sample.kind != kind:
                continue
            example = _Example(sample.image_hwc, sample.mask_hw, np.zeros_like(sample.mask_hw))
            images.append(
                {
                    "name": sample.image_id,
                    "ships": sample.num_ships,
                    "overview": image_url(to_jpeg(overview(example, side=_OVERVIEW_PX))),
                    "close_up": image_url(to_jpeg(close_up(example, side=_OVERVIEW_PX))) if sample.num_ships else "",
                }
            )
        if images:
            groups.append({"title": title.capitalize(), "images": images})
    return groups
