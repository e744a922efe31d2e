"""Selecting the bands of a raster that become RGB, and finding its valid pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError

__all__ = ["BandChoice", "choose_bands"]

_COLOURS = ("red", "green", "blue")
_RGB = 3


@dataclass(frozen=True, eq=False)
class BandChoice:
    """The bands of a raster that become red, green and blue, and how its valid pixels are found.

    Args:
        bands: One band (grey) or three, counted from 1.
        alpha: The alpha band, or None. Pixels where it is 0 have no data.
        has_mask: Whether the raster has a per-dataset mask. Pixels where it is 0 have no data.
        nodata: The no-data value of each selected band, or None.
        palette: uint8 (N, 4), RGBA of each value of a single paletted band, or None.
        note: Which bands were selected and why, as text.
    """

    bands: tuple[int, ...]
    alpha: int | None
    has_mask: bool
    nodata: tuple[float | None, ...]
    palette: NDArray[np.uint8] | None
    note: str

    def valid(
        self, values_nhw: NDArray[np.generic], alpha_hw: NDArray[np.generic] | None, mask_hw: NDArray[np.uint8] | None
    ) -> NDArray[np.bool_]:
        """Return the valid pixels, bool (H, W).

        A pixel has no data if all selected bands have their no-data value, if any of them is NaN or infinite, if the
        alpha band or the mask is 0, or if its palette colour is transparent.

        Args:
            values_nhw: (bands, H, W), as stored in the file.
            alpha_hw: Values of the alpha band.
            mask_hw: The raster's mask.
        """
        valid_hw = np.ones(values_nhw.shape[1:], bool)
        if values_nhw.dtype.kind == "f":
            valid_hw &= np.isfinite(values_nhw).all(axis=0)
        if all(value is not None for value in self.nodata):
            pairs = zip(values_nhw, self.nodata, strict=True)
            valid_hw &= ~np.logical_and.reduce([band_hw == value for band_hw, value in pairs])
        if alpha_hw is not None:
            valid_hw &= alpha_hw > 0  # type: ignore[operator]
        if mask_hw is not None:
            valid_hw &= mask_hw > 0
        if self.palette is not None:
            valid_hw &= self.colours(values_nhw[0])[..., 3] > 0
        return valid_hw

    def colours(self, values_hw: NDArray[np.generic]) -> NDArray[np.uint8]:
        """Return the palette colours of values (H, W), RGBA uint8 (H, W, 4); transparent beyond the palette."""
        assert self.palette is not None
        return self.palette[np.clip(values_hw.astype(np.int64), 0, len(self.palette) - 1)]


def choose_bands(dataset: Any, requested: Sequence[int] | None) -> BandChoice:
    """Return the bands to read from a rasterio dataset.

    Args:
        dataset: An open dataset.
        requested: One band or three, counted from 1. None selects the bands that the file calls red, green and blue,
            else the first three, or the first as grey if there are fewer than three.

    Raises:
        ConfigError: A requested band does not exist, or the number of bands is neither one nor three.
    """
    from rasterio.enums import ColorInterp, MaskFlags

    alphas = [number for number, colour in enumerate(dataset.colorinterp, 1) if colour == ColorInterp.alpha]
    bands, note = _default_bands(dataset, alphas) if requested is None else _requested_bands(requested, dataset)
    alpha = next((number for number in alphas if number not in bands), None)
    flags = dataset.mask_flag_enums[bands[0] - 1]
    has_palette = len(bands) == 1 and dataset.colorinterp[bands[0] - 1] == ColorInterp.palette
    return BandChoice(
        bands=bands,
        alpha=alpha,
        has_mask=MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags,
        nodata=tuple(_finite_nodata(dataset.nodatavals[band - 1]) for band in bands),
        palette=_palette(dataset.colormap(bands[0])) if has_palette else None,
        note=note
        + (" with the colours of its palette" if has_palette else "")
        + ("" if alpha is None else f"; band {alpha} is alpha"),
    )


def _default_bands(dataset: Any, alphas: list[int]) -> tuple[tuple[int, ...], str]:
    candidates = [number for number in dataset.indexes if number not in alphas] or list(dataset.indexes)
    named = {colour.name: number for number, colour in reversed(list(enumerate(dataset.colorinterp, 1)))}
    described = {(text or "").lower(): number for number, text in enumerate(dataset.descriptions, 1)}
    for names in (named, described):
        if all(colour in names for colour in _COLOURS):
            bands = tuple(names[colour] for colour in _COLOURS)
            return bands, f"bands {_list(bands)}, which the file calls red, green and blue"
    if len(candidates) < _RGB:
        return (candidates[0],), f"band {candidates[0]} as grey"
    bands = tuple(candidates[:_RGB])
    return bands, f"bands {_list(bands)} as red, green and blue (the file does not name its bands)"


def _requested_bands(requested: Sequence[int], dataset: Any) -> tuple[tuple[int, ...], str]:
    bands = tuple(int(band) for band in requested)
    if len(bands) not in (1, _RGB):
        raise ConfigError(
            f"bands must be one (grey) or three (red, green, blue) numbers, got {len(bands)}: {_list(bands)}"
        )
    outside = [band for band in bands if not 1 <= band <= dataset.count]
    if outside:
        raise ConfigError(f"there is no band {outside[0]} in {dataset.name}: its bands are 1 to {dataset.count}")
    return bands, f"band {bands[0]} as grey, as requested" if len(bands) == 1 else f"bands {_list(bands)}, as requested"


def _list(bands: Sequence[int]) -> str:
    return ", ".join(str(band) for band in bands)


def _finite_nodata(nodata: float | None) -> float | None:
    return None if nodata is None or not np.isfinite(nodata) else nodata  # NaN is always no data


def _palette(colours: dict[int, tuple[int, int, int, int]]) -> NDArray[np.uint8]:
    table = np.zeros((max(colours) + 2, 4), np.uint8)  # the last entry is for values beyond the palette
    for value, colour in colours.items():
        table[value] = colour
    return table
