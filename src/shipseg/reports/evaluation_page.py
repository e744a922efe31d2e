"""The page of an evaluation."""

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
"""The page, beside the tables."""
PANEL_FILE = "panel.png"
"""The reference solution's 3 x 3 panel as a picture of its own, written beside the page."""
_KINDS = ("recall", "precision")
_OVERVIEW_PX = 320
_CLOSE_UP_PX = 420
_PANEL_PX = 300


def write_evaluation_report(
    evaluation: Evaluation, path: Path, *, predictor: GivesProbability, source: Source | Sequence[Labelled]
) -> Path:
    """Write an evaluation as one HTML page (and the 3 x 3 panel as PNG beside it) and return the page's path.

    The page holds every picture and style in itself. The few images it shows are read and predicted once more.

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
    pictures = _take_images(evaluation, predictor, source, [*groups, *panel])
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
        panel=_panel(panel, pictures),
        groups=_shown(groups, pictures),
        model=evaluation_rows.model_rows(evaluation.card),
        card_json=evaluation.card.model_dump_json(indent=1, exclude={"threshold_curve"}),
    )
    panel_rows = _panel_rows(panel, pictures)
    if panel_rows:
        figures.save_png(figures.three_by_three(panel_rows), path.parent / PANEL_FILE)
    return path


def _take_images(
    evaluation: Evaluation,
    predictor: GivesProbability,
    source: Source | Sequence[Labelled],
    groups: Sequence[ImageGroup],
) -> dict[str, ScoredImage]:
    """Return the pictures that groups show, by id; one that can no longer be read is left out with a warning."""
    wanted = {image_id for group in groups for image_id in group.image_ids}
    scores = {image.image_id: image for image in evaluation.images}
    names = ("threshold", "min_peak", "min_area_px", "separate", "rectangles")
    rules = {name: evaluation.metrics[name] for name in names}
    pictures = {}
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
        pictures[labelled.image_id] = ScoredImage(scores[labelled.image_id], image_hwc, true_hw, predicted_hw)
    return pictures


def _shown(groups: Sequence[ImageGroup], pictures: Mapping[str, ScoredImage]) -> list[dict[str, Any]]:
    """Return the groups with their pictures as the page takes them."""
    return [
        {
            "title": group.title,
            "rule": group.rule,
            "pictures": [
                {
                    "name": image_id,
                    "caption": evaluation_rows.caption(pictures[image_id]),
                    "overview": image_url(to_jpeg(overview(pictures[image_id], side=_OVERVIEW_PX))),
                    "close_up": image_url(to_jpeg(close_up(pictures[image_id], side=_CLOSE_UP_PX))),
                }
                for image_id in group.image_ids
                if image_id in pictures
            ],
        }
        for group in groups
    ]


def _panel(panel: Sequence[ImageGroup], pictures: Mapping[str, ScoredImage]) -> list[dict[str, Any]]:
    """Return the rows of the 3 x 3 panel as the page takes them."""
    shown = []
    for group in panel:
        for image_id in group.image_ids:
            if image_id in pictures:
                picture = pictures[image_id]
                masks = (picture.true_hw.astype(np.uint8) * 255, picture.predicted_hw.astype(np.uint8) * 255)
                shown.append(
                    {
                        "title": group.title,
                        "rule": group.rule,
                        "name": image_id,
                        "caption": evaluation_rows.caption(picture),
                        "columns": [image_url(to_jpeg(each, side=_PANEL_PX)) for each in (picture.image_hwc, *masks)],
                    }
                )
    return shown


def _panel_rows(panel: Sequence[ImageGroup], pictures: Mapping[str, ScoredImage]) -> list[figures.PanelRow]:
    return [
        figures.PanelRow(group.title, picture.image_hwc, picture.true_hw, picture.predicted_hw)
        for group in panel
        for image_id in group.image_ids
        if (picture := pictures.get(image_id)) is not None
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
