"""Which bands of a raster are looked at, and which of its pixels hold data."""

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
    """How the bands of a raster become red, green, blue and "there is data".

    Args:
        bands: One band (grey) or three, counted from 1.
        alpha: The band of opacity, or None: no data where it is 0.
        has_mask: The raster has a mask for all bands: no data where it is 0.
        nodata: The value of each chosen band that means no data, or None.
        palette: uint8 (N, 4), red, green, blue and opacity of each value of the one band, or None.
        note: What was chosen and why, in words.
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
        """Return which pixels hold data, bool (H, W).

        No data is where all chosen bands hold their no-data value, where one is NaN or infinite, where the opacity or
        the mask is 0, and where the palette is transparent.

        Args:
            values_nhw: (bands, H, W), as in the file.
            alpha_hw: Of the band of opacity.
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
        """Return the palette's colours, uint8 (H, W, 4), of values (H, W); those beyond the palette are transparent."""
        assert self.palette is not None
        return self.palette[np.clip(values_hw.astype(np.int64), 0, len(self.palette) - 1)]


def choose_bands(dataset: Any, wanted: Sequence[int] | None) -> BandChoice:
    """Return which bands of an open rasterio dataset to look at.

    Args:
        dataset: Open.
        wanted: One band or three, from 1; None takes what the file calls red, green and blue, else the first three, or
            the first as grey when there are fewer.

    Raises:
        ConfigError: There are no such bands, or not one or three of them.
    """
    from rasterio.enums import ColorInterp, MaskFlags

    alphas = [number for number, what in enumerate(dataset.colorinterp, 1) if what == ColorInterp.alpha]
    bands, note = _default(dataset, alphas) if wanted is None else _checked(wanted, dataset)
    alpha = next((number for number in alphas if number not in bands), None)
    flags = dataset.mask_flag_enums[bands[0] - 1]
    has_palette = len(bands) == 1 and dataset.colorinterp[bands[0] - 1] == ColorInterp.palette
    return BandChoice(
        bands=bands,
        alpha=alpha,
        has_mask=MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags,
        nodata=tuple(_usable(dataset.nodatavals[band - 1]) for band in bands),
        palette=_palette(dataset.colormap(bands[0])) if has_palette else None,
        note=note
        + (", the colours of its palette" if has_palette else "")
        + ("" if alpha is None else f"; band {alpha} is opacity"),
    )


def _default(dataset: Any, alphas: list[int]) -> tuple[tuple[int, ...], str]:
    candidates = [number for number in dataset.indexes if number not in alphas] or list(dataset.indexes)
    named = {what.name: number for number, what in reversed(list(enumerate(dataset.colorinterp, 1)))}
    described = {(text or "").lower(): number for number, text in enumerate(dataset.descriptions, 1)}
    for names in (named, described):
        if all(colour in names for colour in _COLOURS):
            bands = tuple(names[colour] for colour in _COLOURS)
            return bands, f"bands {_list(bands)}, which the file calls red, green and blue"
    if len(candidates) < _RGB:
        return (candidates[0],), f"band {candidates[0]} as grey"
    bands = tuple(candidates[:_RGB])
    return bands, f"bands {_list(bands)} as red, green and blue (the file does not say which they are)"


def _checked(wanted: Sequence[int], dataset: Any) -> tuple[tuple[int, ...], str]:
    bands = tuple(int(band) for band in wanted)
    if len(bands) not in (1, _RGB):
        raise ConfigError(
            f"bands must be one (grey) or three (red, green, blue) numbers, got {len(bands)}: {_list(bands)}"
        )
    outside = [band for band in bands if not 1 <= band <= dataset.count]
    if outside:
        raise ConfigError(f"there is no band {outside[0]} in {dataset.name}: its bands are 1 to {dataset.count}")
    return bands, f"band {bands[0]} as grey, as asked" if len(bands) == 1 else f"bands {_list(bands)}, as asked"


def _list(bands: Sequence[int]) -> str:
    return ", ".join(str(band) for band in bands)


def _usable(nodata: float | None) -> float | None:
    return None if nodata is None or not np.isfinite(nodata) else nodata  # NaN is no data whatever the file says


def _palette(colours: dict[int, tuple[int, int, int, int]]) -> NDArray[np.uint8]:
    table = np.zeros((max(colours) + 2, 4), np.uint8)  # the last is for values beyond
    for value, colour in colours.items():
        table[value] = colour
    return table
