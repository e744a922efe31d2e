"""Figures of a data exploration: counts, sizes, colours, groups, cleaning and split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shipseg.extras import needing
from shipseg.reports.figures.ships import THOUSANDS, count_in_whole
from shipseg.reports.figures.style import BLUE, GREEN, INK, STYLE, VERMILION, draw_lines, note_at_top, show_images

with needing("train"):
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

__all__ = [
    "SampleImage",
    "cleaning_cost",
    "colour_histogram",
    "file_sizes",
    "group_sizes",
    "imbalances",
    "sample_panel",
    "ships_per_image",
    "split_balance",
]

_CLIPPED = 5  # grey levels at both ends that no-data and clipping can inflate; ignored for the axis limit


class SampleImage(NamedTuple):
    """A row of the sample panel."""

    title: str
    image_hwc: NDArray[np.uint8]
    mask_hw: NDArray[np.bool_]


def ships_per_image(images: Mapping[int, int]) -> Figure:
    """Return a bar chart of images by number of ships, each bar with its count; the scale is logarithmic.

    Args:
        images: Number of ships -> images.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.8), layout="constrained")
        axes = figure.subplots()
        numbers = list(images)
        axes.set(yscale="log", ylim=(0.5, 4 * max(1, *images.values())))
        bars = axes.bar(numbers, [images[number] for number in numbers], color=BLUE, width=0.78)
        _write_counts(axes, bars, list(images.values()))
        axes.set(xlabel="ships in the image", ylabel="images")
        axes.set_title("Images by number of ships (logarithmic)")
        axes.yaxis.set_major_formatter(THOUSANDS)
        axes.set_xticks(numbers if len(numbers) <= 24 else numbers[:: max(1, len(numbers) // 12)])
        axes.grid(visible=False, axis="x")
    return figure


def _write_counts(axes: Axes, bars: Any, counts: Sequence[int]) -> None:
    labels = [f"{count:,}" if count else "" for count in counts]
    axes.bar_label(bars, labels, padding=2, fontsize=8, rotation=90 if len(counts) > 24 else 0)


def imbalances(*, empty: int, one: int, several: int) -> Figure:
    """Return both class imbalances as stacked bars: images without and with ships, one and several ships.

    Args:
        empty: Images without ships.
        one: Images with one.
        several: Images with more.
    """
    rows = (
        ("images with ships", (("one ship", one, GREEN), ("several ships", several, VERMILION))),
        ("all images", (("no ship", empty, BLUE), ("ships", one + several, GREEN))),
    )
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 2.4), layout="constrained")
        axes = figure.subplots()
        for place, (_, parts) in enumerate(rows):
            total, left = max(1, sum(count for _, count, _ in parts)), 0.0
            for (name, count, color), side in zip(parts, ("left", "right"), strict=True):
                axes.barh(place, count / total, left=left, height=0.5, color=color)
                label = f"{name}: {count:,} ({100 * count / total:.1f} %)"
                axes.text(0 if side == "left" else 1, place + 0.3, label, ha=side, va="bottom", fontsize=9)
                left += count / total
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.set(xlim=(0, 1), ylim=(-0.4, 1.75), title="Class imbalance of images")
        axes.xaxis.set_major_formatter(PercentFormatter(1, 0))
        axes.grid(visible=False, axis="y")
    return figure


def file_sizes(sizes_kb: ArrayLike, *, line_kb: float, num_below: int) -> Figure:
    """Return a histogram of file sizes with the limit below which the reference solution dropped files.

    Args:
        sizes_kb: Size of each file, in kB of 1024 bytes.
        line_kb: The limit.
        num_below: Number of files at or below it.
    """
    sizes = np.asarray(sizes_kb, np.float64)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.4), layout="constrained")
        axes = figure.subplots()
        most = max(float(np.quantile(sizes, 0.999)) if len(sizes) else 0.0, 2 * line_kb)
        step = max(1.0, round(most / 80))
        counts, edges = np.histogram(np.minimum(sizes, most), np.arange(0, most + step, step))
        colors = [VERMILION if left < line_kb else BLUE for left in edges[:-1]]
        axes.bar(edges[:-1], counts, width=step, align="edge", color=colors)
        axes.axvline(line_kb, color=INK, linewidth=1, linestyle=":")
        note_at_top(axes, line_kb, f"{line_kb:g} kB: {num_below:,} at or below", right_pt=5)
        axes.set(title="File sizes", xlabel="kB of 1024 bytes", ylabel="images", xlim=(0, edges[-1]))
        axes.set_ylim(0, 1.15 * max(1, *counts.tolist()))
        count_in_whole(axes)
    return figure


def colour_histogram(channels: Mapping[str, ArrayLike]) -> Figure:
    """Return the histogram of pixel values, one line per channel.

    Args:
        channels: red, green and blue -> share of the pixels at each value, 0 to 255.
    """
    levels = np.arange(256)
    shares = {name: np.asarray(values, np.float64) for name, values in channels.items()}
    most = max(float(values[_CLIPPED:-_CLIPPED].max()) for values in shares.values())
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 3.8), layout="constrained")
        axes = figure.subplots()
        draw_lines(axes, levels, shares, (VERMILION, GREEN, BLUE))
        axes.set(title="Pixel values by channel", xlabel="value", ylabel="share of the pixels")
        axes.set(xlim=(0, 255), ylim=(0, 1.08 * max(most, 1e-6)))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10]))  # without steps of 2.5
        axes.yaxis.set_major_formatter(PercentFormatter(1, 1))
        axes.legend()
    return figure


def group_sizes(groups: Mapping[str, int]) -> Figure:
    """Return a bar chart of groups of overlapping images by number of images; the scale is logarithmic.

    Args:
        groups: Images in a group (`1`, `2`, `3-5` ...) -> groups.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 3.4), layout="constrained")
        axes = figure.subplots()
        axes.set(yscale="log", ylim=(0.5, 4 * max(1, *groups.values())), title="Groups of overlapping images")
        bars = axes.bar(range(len(groups)), list(groups.values()), color=BLUE, width=0.7)
        _write_counts(axes, bars, list(groups.values()))
        axes.set_xticks(range(len(groups)), list(groups))
        axes.set(xlabel="images in the group", ylabel="groups (logarithmic)")
        axes.yaxis.set_major_formatter(THOUSANDS)
        axes.grid(visible=False, axis="x")
    return figure


def cleaning_cost(images: Mapping[str, int], ships: Mapping[str, int]) -> Figure:
    """Return a bar chart of the images that cleaning removes, and the ships in them, by reason.

    Args:
        images: Reason -> images removed for it.
        ships: The same reasons -> ships in these images.
    """
    places = np.arange(len(images))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 1.4 + 0.55 * len(images)), layout="constrained")
        axes = figure.subplots()
        for name, counts, color, shift in (("images", images, BLUE, -0.19), ("ships", ships, VERMILION, 0.19)):
            values = [counts[reason] for reason in images]
            bars = axes.barh(places + shift, values, height=0.36, color=color, label=name)
            axes.bar_label(bars, [f"{value:,}" for value in values], padding=3, fontsize=9)
        axes.set_yticks(places, list(images))
        axes.invert_yaxis()
        axes.set(title="Images removed by cleaning, and the ships in them")
        axes.margins(x=0.1)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.xaxis.set_major_formatter(THOUSANDS)
        axes.grid(visible=False, axis="y")
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0)
    return figure


def split_balance(splits: Mapping[str, Mapping[str, float]]) -> Figure:
    """Return a grouped bar chart of the share of images by number of ships, for each split.

    Args:
        splits: Name of a split -> number of ships (`0`, `1`, `2`, `3-5`, `6+`) -> share of its images.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 3.4), layout="constrained")
        axes = figure.subplots()
        width = 0.8 / len(splits)
        names = list(next(iter(splits.values())))
        for number, ((split, shares), color) in enumerate(zip(splits.items(), (BLUE, VERMILION, GREEN), strict=False)):
            shift = (number - (len(splits) - 1) / 2) * width
            axes.bar(np.arange(len(names)) + shift, list(shares.values()), width=0.92 * width, color=color, label=split)
        axes.set_xticks(range(len(names)), names)
        axes.set(title="Ships per image by split", xlabel="ships in the image", ylabel="share of images")
        axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
        axes.grid(visible=False, axis="x")
        axes.legend()
    return figure


def sample_panel(rows: Sequence[SampleImage]) -> Figure:
    """Return images beside their masks, one row per image.

    Args:
        rows: At least one; images of any size.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.2 * len(rows)), layout="constrained")
        for axes_of_row, row in zip(figure.subplots(len(rows), 2, squeeze=False), rows, strict=True):
            show_images(axes_of_row, (row.image_hwc, row.mask_hw), row.title)
    return figure
