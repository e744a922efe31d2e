"""The page of an exploration."""

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
from shipseg.reports.examples import close_up, overview, to_jpeg
from shipseg.reports.page import drawing, image_url, write_page

with needing("train"):
    from markupsafe import Markup, escape

__all__ = ["write_exploration_page"]

_OVERVIEW_PX = 320
_KIND_WORDS = {"dataset": "prepared dataset", "folder": "Airbus folder", "labels": "label table"}
_MEASURES = (
    ("area_px", "Area, pixels", 0),
    ("length_px", "Length, pixels", 1),
    ("width_px", "Width, pixels", 1),
    ("aspect", "Length / width", 2),
)
_QUANTILES = ("5", "25", "50", "75", "95", "99")
_REASONS = {
    "no-file": "a row without its image",
    "no-row": "an image without a row",
    "unreadable": "the file is broken",
    "truncated": "the file is cut short",
    "unsupported": "a kind of file that is not read",
    "wrong-size": "another size than most",
    "solid": "one colour: no-data, white cloud",
    "malformed-mask": "run-length text that cannot be right",
    "listed": "named by the drop list",
    "small-file": "at or below the line of the file size",
    "empty-undersampled": "without ships, not among those drawn",
}


class _Shown(NamedTuple):
    """A sample as `reports.pictures` draws it: nothing was predicted."""

    image_hwc: NDArray[np.uint8]
    true_hw: NDArray[np.bool_]
    predicted_hw: NDArray[np.bool_]


def write_exploration_page(exploration: Exploration, path: Path) -> Path:
    """Write an exploration as one HTML page that holds every picture in itself, and return the page's path.

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
        kind=_KIND_WORDS[facts["source"]["kind"]],
        headline=_headline(facts),
        hints=[{name: _marked(text) for name, text in hint.items()} for hint in facts["hints"]],
        measures=_measures(facts["ships"]),
        reasons=_REASONS,
        drawings={name: drawing(figure) for name, figure in figures.items() if name != "samples"},
        missing=_missing(facts),
        samples=_samples(exploration.samples),
    )


def _marked(text: str) -> Markup:
    """Return a text of ours with `code` as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704  (escaped before)


def _headline(facts: Mapping[str, Any]) -> tuple[str, ...]:
    imbalance, ships = facts["imbalance"], facts["ships"]
    images, empty = imbalance["images"], imbalance["empty"]
    sentences = [f"{images:,} images, {empty:,} of them ({100 * imbalance['empty_share']:.1f} %) without a ship."]
    if imbalance["with_ships"]:
        sentences.append(
            f"{imbalance['ships']:,} ships in the other {imbalance['with_ships']:,}: {imbalance['one']:,} show one, "
            f"{imbalance['several']:,} several."
        )
    if ships["measured"]:
        area, length = (ships[name]["quantiles"]["50"] for name in ("area_px", "length_px"))
        sentences.append(
            f"The ship in the middle is {length:.0f} px long and covers {area:,.0f} px; "
            f"{100 * ships['sizes'][0]['share']:.0f} % of the ships are smaller than 100 px."
        )
    return tuple(sentences)


def _measures(ships: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Return the table of the ships' measures: a name, then mean, smallest, quantiles and largest as text."""
    rows = []
    for key, name, digits in _MEASURES:
        column = ships[key]
        values = [column["mean"], column["min"], *(column["quantiles"][q] for q in _QUANTILES), column["max"]]
        rows.append((name, ["–" if value is None else f"{value:,.{digits}f}" for value in values]))
    return rows


def _missing(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what the page cannot show, and why, one line for each reason; that folders have no split goes unsaid."""
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
    return [(_listed(sections), reason) for reason, sections in reasons.items()]


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _samples(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """Return the samples by kind as the page takes them."""
    groups = []
    for kind, title in KIND_NAMES.items():
        pictures = []
        for sample in samples:
            if sample.kind != kind:
                continue
            shown = _Shown(sample.image_hwc, sample.mask_hw, np.zeros_like(sample.mask_hw))
            pictures.append(
                {
                    "name": sample.image_id,
                    "ships": sample.num_ships,
                    "overview": image_url(to_jpeg(overview(shown, side=_OVERVIEW_PX))),
                    "close_up": image_url(to_jpeg(close_up(shown, side=_OVERVIEW_PX))) if sample.num_ships else "",
                }
            )
        if pictures:
            groups.append({"title": title.capitalize(), "pictures": pictures})
    return groups
