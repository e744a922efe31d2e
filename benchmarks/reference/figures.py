"""Figures about the errors of the reference solution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shipseg.extras import needing
from shipseg.reports.figures.style import BLUE, COLORS, GREEN, INK, PURPLE, STYLE, VERMILION, Curve, draw_lines

with needing("train"):
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

__all__ = [
    "best_outputs",
    "double_sigmoid_curves",
    "images_seen",
    "resolution_ceilings",
    "shifted_mask",
    "side_by_side",
]

_INPUTS = {"logits": "loss of logits (correct)", "probabilities": "loss of probabilities"}


def best_outputs(probability: NDArray[np.float64], outputs: Mapping[str, Curve]) -> Figure:
    """Return the best output for each loss, against a pixel's true ship probability, for both inputs of the loss.

    Args:
        probability: True ship probability, ascending.
        outputs: By input of the loss (`logits`, `probabilities`): outputs by loss (`bce`, `focal`, `dice`).
    """
    names = {"bce": "BCE", "focal": "Focal", "dice": "Dice"}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.9), layout="constrained")
        for axes, (input_kind, title) in zip(figure.subplots(1, 2, sharey=True), _INPUTS.items(), strict=True):
            for (loss, name), color in zip(names.items(), (BLUE, VERMILION, GREEN), strict=True):
                draw_lines(axes, probability, {name: outputs[input_kind][loss]}, (color,))
            axes.set(title=title.capitalize(), xlabel="probability that the pixel is ship", xlim=(0, 1))
            axes.set(ylim=(-0.03, 1.03))
            if input_kind == "logits":
                axes.set(ylabel="output with the lowest loss")
                axes.legend(loc="upper left")
    return figure


def double_sigmoid_curves(networks: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Return scores against the threshold of the two networks that differ only in the input of their loss.

    Args:
        networks: By input of the loss: threshold, pooled_dice, airbus_score (of equal length), best_threshold.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 4.1), layout="constrained")
        panels = figure.subplots(1, 2)
        for axes, (score, title) in zip(
            panels, {"pooled_dice": "Pooled Dice", "airbus_score": "Airbus score"}.items(), strict=True
        ):
            for (input_kind, name), color in zip(_INPUTS.items(), (BLUE, VERMILION), strict=True):
                draw_lines(axes, networks[input_kind]["threshold"], {name: networks[input_kind][score]}, (color,))
                if score == "pooled_dice":
                    axes.axvline(networks[input_kind]["best_threshold"], color=color, linewidth=1, linestyle=":")
                    _name_threshold(axes, networks[input_kind]["best_threshold"])
            axes.set(title=title, xlabel="threshold", xscale="log", xlim=(8e-6, 1.2), ylim=(0, None))
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _name_threshold(axes: Axes, value: float) -> None:
    axes.annotate(
        f"{value:.2g}", (value, 1), xycoords=("data", "axes fraction"), xytext=(-4, -10), textcoords="offset points",
        ha="right",
    )  # fmt: skip


def resolution_ceilings(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Figure:
    """Return the best IoU that a perfect model can reach, against the size of the ship.

    Args:
        rows: One for each ship size: ship_px, and an IoU for each of `names`.
        names: At most five kinds of masks.
    """
    strokes = dict(zip(names, (VERMILION, INK, BLUE, PURPLE, GREEN), strict=False))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 4.2), layout="constrained")
        axes = figure.subplots()
        places = range(len(rows))
        for name, color in strokes.items():
            values = [row[name] for row in rows]
            if color in COLORS:
                draw_lines(axes, places, {name: values}, (color,))
            else:
                axes.plot(places, values, color=color, linewidth=1, marker=".", label=name)
        axes.set_xticks(places, [f"{row['ship_px']} px" for row in rows])
        axes.set(title="IoU of a perfect model, at 768 px", xlabel="length and width of the ship", ylim=(0.3, 1.01))
        axes.legend(loc="lower right")
    return figure


def shifted_mask(image_hw: NDArray[np.floating], mask_hw: NDArray[np.bool_]) -> Figure:
    """Return a ship in the reference's input image, with the outline of its target mask.

    Args:
        image_hw: 0 to 1.
        mask_hw: Of the same shape.
    """
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(5.4, 4.4), layout="constrained")
        axes = figure.subplots()
        axes.imshow(image_hw, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        for start, stop in _borders(mask_hw):
            axes.plot((start[0], stop[0]), (start[1], stop[1]), color=VERMILION, linewidth=2, solid_capstyle="round")
        rows, cols = np.nonzero(np.maximum(image_hw, mask_hw) > 0)
        axes.set(xlim=(cols.min() - 2.5, cols.max() + 2.5), ylim=(rows.max() + 2.5, rows.min() - 2.5))
        axes.set(title="Image (grey) and mask (line) at 256 px", xticks=[], yticks=[])
    return figure


def _borders(mask_hw: NDArray[np.bool_]) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Return the edges between mask and background as (x, y) pairs, in coordinates of imshow."""
    padded = np.pad(mask_hw, 1)
    down = np.argwhere(padded[1:] != padded[:-1]) + np.array([0, -1])
    across = np.argwhere(padded[:, 1:] != padded[:, :-1]) + np.array([-1, 0])
    lines = [((col - 0.5, row - 0.5), (col + 0.5, row - 0.5)) for row, col in down.tolist()]
    lines += [((col - 0.5, row - 0.5), (col - 0.5, row + 0.5)) for row, col in across.tolist()]
    return lines


def images_seen(facts: Mapping[str, Any]) -> Figure:
    """Return the share of ship images that were used at least once, by epoch, for the reference's sampler and ours.

    Args:
        facts: epoch; reference and ours: `single` and `multiple`, shares after each epoch.
    """
    lines = {
        "ours: every image": facts["ours"]["single"],
        "reference: one ship": facts["reference"]["single"],
        "reference: several ships": facts["reference"]["multiple"],
    }
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.4), layout="constrained")
        axes = figure.subplots()
        draw_lines(axes, facts["epoch"], lines, (BLUE, VERMILION, PURPLE))
        axes.set(title="Training images used at least once", xlabel="epochs", ylim=(0, 1.04), xticks=facts["epoch"])
        axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
        axes.legend(loc="lower right")
    return figure


def side_by_side(parts: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Return bars of the main scores of the comparison, with their intervals.

    Args:
        parts: By name: label, and scores with their intervals.
    """
    names = {
        "airbus_score": "Airbus score", "pooled_dice": "pooled Dice", "image_dice": "image Dice", "ship_f1": "ship F1",
        "false_alarm_images": "empty images with\na false alarm",
    }  # fmt: skip
    width = 0.8 / len(parts)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 4.2), layout="constrained")
        axes = figure.subplots()
        for number, (part, color) in enumerate(zip(parts.values(), (VERMILION, PURPLE, GREEN, BLUE), strict=False)):
            scores = part["scores"]
            for place, name in enumerate(names):
                if scores[name] is None:
                    continue
                x = place + (number - (len(parts) - 1) / 2) * width
                axes.bar(
                    x, scores[name], width=width * 0.92, color=color, alpha=0.85, label=None if place else part["label"]
                )
                interval = scores["intervals"][name]
                if interval:
                    axes.plot((x, x), interval, color=INK, linewidth=1.2)
        nothing = next(iter(parts.values()))["scores"]["airbus_score_of_predicting_nothing"]
        axes.plot(
            (-0.45, 0.45), (nothing, nothing), color=INK, linewidth=1.4, linestyle=":", label="predicting nothing"
        )
        axes.set_xticks(range(len(names)), list(names.values()))
        axes.tick_params(axis="x", length=0)
        axes.grid(visible=False, axis="x")
        axes.set(title="Scores at full resolution, equal training time", ylim=(0, 1.02))
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)
    return figure
