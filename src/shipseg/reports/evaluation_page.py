"""The HTML report of an evaluation."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shipseg.errors import DataError
from shipseg.evaluation.evaluate import GivesProbability
from shipseg.evaluation.labelled import Labelled, Source
from shipseg.evaluation.results import Evaluation
from shipseg.evaluation.scores import true_ships, union_mask
from shipseg.evaluation.sweep import ALL_IMAGES
from shipseg.extras import needing
from shipseg.masks.ships import keep_confident
from shipseg.reports import evaluation_rows, figures
from shipseg.reports.examples import ImageGroup, ScoredImage, choose_groups, choose_panel, close_up, overview, to_jpeg
from shipseg.reports.page import drawing, image_url, write_page

with needing("train"):
    from markupsafe import Markup

__all__ = ["PANEL_FILE", "REPORT_FILE", "write_evaluation_report"]

_LOG = logging.getLogger(__name__)

REPORT_FILE = "report.html"
"""File name of the HTML report."""
PANEL_FILE = "panel.png"
"""File name of the reference solution's 3 x 3 panel, written beside the report."""
_KINDS = ("recall", "precision")
_OVERVIEW_PX = 320
_CLOSE_UP_PX = 420
_PANEL_PX = 300


def write_evaluation_report(
    evaluation: Evaluation, path: Path, *, predictor: GivesProbability, source: Source | Sequence[Labelled]
) -> Path:
    """Write an evaluation as one HTML page (and the 3 x 3 panel as PNG beside it) and return the page's path.

    The page is self-contained. The few images that it shows are read and predicted again.

    Args:
        evaluation: What `evaluate` returned.
        path: File to write, e.g. report.html.
        predictor: The model that was evaluated.
        source: The images that it was evaluated on.

    Raises:
        StorageError: The file cannot be written.
    """
    path = Path(path)
    groups, panel = choose_groups(evaluation.images), choose_panel(evaluation.images)
    examples = _predict_examples(evaluation, predictor, source, [*groups, *panel])
    write_page(
        path,
        "evaluation.html",
        evaluation=evaluation,
        metrics=evaluation.metrics,
        headline=evaluation_rows.headline(evaluation.metrics),
        scores=evaluation_rows.score_rows(evaluation.metrics),
        by_group=evaluation_rows.group_rows(evaluation.metrics),
        by_size={
            kind: evaluation_rows.estimates_by_size(evaluation.metrics, evaluation.images, kind) for kind in _KINDS
        },
        drawings=_drawings(evaluation),
        panel=_panel_values(panel, examples),
        groups=_group_values(groups, examples),
        model=evaluation_rows.model_rows(evaluation.card),
        card_json=evaluation.card.model_dump_json(indent=1, exclude={"threshold_curve"}),
    )
    panel_rows = _panel_rows(panel, examples)
    if panel_rows:
        figures.save_png(figures.three_by_three(panel_rows), path.parent / PANEL_FILE)
    return path


def _predict_examples(
    evaluation: Evaluation,
    predictor: GivesProbability,
    source: Source | Sequence[Labelled],
    groups: Sequence[ImageGroup],
) -> dict[str, ScoredImage]:
    """Return the example images of the groups, by id; one that can no longer be read is skipped with a warning."""
    wanted = {image_id for group in groups for image_id in group.image_ids}
    scores = {image.image_id: image for image in evaluation.images}
    names = ("threshold", "min_peak", "min_area_px", "separate", "rectangles")
    rules = {name: evaluation.metrics[name] for name in names}
    examples = {}
    for labelled in source:
        if labelled.image_id not in wanted:
            continue
        try:
            image_hwc = labelled.read()
            truth = true_ships(labelled.rles, image_hwc.shape[:2])
        except DataError as error:
            _LOG.warning("%s is not shown in the report: %s", labelled.image_id, error)
            continue
        predicted_hw = keep_confident(predictor.probability(image_hwc), **rules)
        true_hw = union_mask(truth, (image_hwc.shape[0], image_hwc.shape[1]))
        examples[labelled.image_id] = ScoredImage(scores[labelled.image_id], image_hwc, true_hw, predicted_hw)
    return examples


def _group_values(groups: Sequence[ImageGroup], examples: Mapping[str, ScoredImage]) -> list[dict[str, Any]]:
    """Return the template's values for the groups of example images."""
    return [
        {
            "title": group.title,
            "rule": group.rule,
            "images": [
                {
                    "name": image_id,
                    "caption": evaluation_rows.caption(examples[image_id]),
                    "overview": image_url(to_jpeg(overview(examples[image_id], side=_OVERVIEW_PX))),
                    "close_up": image_url(to_jpeg(close_up(examples[image_id], side=_CLOSE_UP_PX))),
                }
                for image_id in group.image_ids
                if image_id in examples
            ],
        }
        for group in groups
    ]


def _panel_values(panel: Sequence[ImageGroup], examples: Mapping[str, ScoredImage]) -> list[dict[str, Any]]:
    """Return the template's values for the rows of the 3 x 3 panel."""
    rows = []
    for group in panel:
        for image_id in group.image_ids:
            if image_id in examples:
                example = examples[image_id]
                masks = (example.true_hw.astype(np.uint8) * 255, example.predicted_hw.astype(np.uint8) * 255)
                rows.append(
                    {
                        "title": group.title,
                        "rule": group.rule,
                        "name": image_id,
                        "caption": evaluation_rows.caption(example),
                        "columns": [image_url(to_jpeg(each, side=_PANEL_PX)) for each in (example.image_hwc, *masks)],
                    }
                )
    return rows


def _panel_rows(panel: Sequence[ImageGroup], examples: Mapping[str, ScoredImage]) -> list[figures.PanelRow]:
    return [
        figures.PanelRow(group.title, example.image_hwc, example.true_hw, example.predicted_hw)
        for group in panel
        for image_id in group.image_ids
        if (example := examples.get(image_id)) is not None
    ]


def _drawings(evaluation: Evaluation) -> dict[str, Markup]:
    """Return the figures as svg elements."""
    chosen = evaluation.metrics["threshold"]
    pixels, ships = figures.threshold_curves(
        evaluation.pixel_curves[ALL_IMAGES], evaluation.ship_curves[ALL_IMAGES], chosen=chosen
    )
    sizes = [evaluation_rows.estimates_by_size(evaluation.metrics, evaluation.images, kind) for kind in _KINDS]
    kinds = {"pixels": evaluation.pixel_reliability, "predicted ships": evaluation.ship_reliability}
    drawn = {
        "sizes": figures.scores_by_size(sizes[0], sizes[1]),
        "pixel_curve": pixels,
        "ship_curve": ships,
        "group_curves": figures.group_curves(evaluation_rows.titled_groups(evaluation.ship_curves), chosen=chosen),
        "reliability": figures.reliability_diagram(evaluation_rows.reliability_points(kinds)),
    }
    return {name: drawing(figure) for name, figure in drawn.items()}
