"""Scores against the threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shipseg.config import Decision
from shipseg.evaluation.scores import ImageScore
from shipseg.evaluation.sweep import SWEEP_PEAKS, DecisionSweep
from shipseg.masks.metrics import ProbabilityHistogram
from shipseg.masks.ships import Ship

__all__ = ["CurveTally"]


class CurveTally:
    """Gathers, image by image, what the curves are made of; its size does not grow with the number of images.

    Args:
        decision: Its smallest peak and area hold for the ship scores.
    """

    def __init__(self, decision: Decision) -> None:
        self._decision = decision
        self._histograms = {name: ProbabilityHistogram() for name in ("none", "single", "multiple")}
        self._sweep = DecisionSweep(
            peaks=sorted({*SWEEP_PEAKS, decision.min_peak}),
            min_area_px=decision.min_area_px,
        )

    def add(
        self,
        image: ImageScore,
        probability_hw: NDArray[np.float32],
        true_hw: NDArray[np.bool_],
        truth: Sequence[Ship],
    ) -> None:
        """Add an image: its counts, probabilities, true pixels and true ships."""
        self._histograms[image.stratum].add(probability_hw, true_hw)
        self._sweep.add(probability_hw, truth)

    def pixel_curve(self, images: Sequence[ImageScore]) -> dict[str, NDArray[np.float64]]:
        """Return pooled pixel scores of all images at every threshold; pooled Dice also by number of ships.

        Args:
            images: The counts of all images that were added.

        Returns:
            Columns threshold, pooled_dice, pooled_iou, precision, recall, and where there are such images
            pooled_dice_single, pooled_dice_multiple, empty_images_left_empty.
        """
        none, single, multiple = self._histograms.values()
        curves = (none + single + multiple).curves()
        columns = {
            "threshold": curves["threshold"],
            "pooled_dice": curves["dice"],
            "pooled_iou": curves["iou"],
            "precision": curves["precision"],
            "recall": curves["recall"],
        }
        strata = {image.stratum for image in images}
        for name in ("single", "multiple"):
            if name in strata:
                columns[f"pooled_dice_{name}"] = self._histograms[name].curves()["dice"]
        if "none" in strata:
            highest = np.sort([image.max_probability for image in images if image.stratum == "none"])
            below = np.searchsorted(highest, columns["threshold"].astype(np.float32), side="left")
            columns["empty_images_left_empty"] = below / len(highest)
        return columns

    def ship_curve(self) -> dict[str, NDArray[np.float64]]:
        """Return ship scores at some thresholds, with the decision's smallest peak and area; NaN where undefined.

        Returns:
            Columns threshold, airbus_score, ship_precision, ship_recall, ship_f1.
        """
        sweep = self._sweep
        peak = int(np.searchsorted(sweep.peaks, self._decision.min_peak))
        return {
            "threshold": sweep.thresholds,
            "airbus_score": sweep.airbus_score[:, peak],
            "ship_precision": sweep.ship_precision[:, peak],
            "ship_recall": sweep.ship_recall[:, peak],
            "ship_f1": sweep.ship_f1[:, peak],
        }

    def in_hindsight(self) -> dict[str, Any]:
        """Return the best Airbus score that any threshold and smallest peak would have given on these very images."""
        scores = self._sweep.airbus_score
        row, col = np.unravel_index(int(scores.argmax()), scores.shape)
        return {
            "airbus_score": float(scores[row, col]),
            "threshold": float(self._sweep.thresholds[row]),
            "min_peak": float(self._sweep.peaks[col]),
        }
