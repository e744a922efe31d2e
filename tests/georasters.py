"""Small rasters of every kind, written with rasterio."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

UTM = "EPSG:32631"
NORTH_UP = (1.5, 0.0, 500_000.0, 0.0, -1.5, 6_000_000.0)


def make_raster(
    path: Path,
    values_nhw: NDArray[Any],
    *,
    crs: str | None = UTM,
    transform: tuple[float, ...] | None = NORTH_UP,
    mask_hw: NDArray[np.bool_] | None = None,
    tags: dict[str, str] | None = None,
    descriptions: tuple[str, ...] = (),
    colours: tuple[str, ...] = (),
    palette: dict[int, tuple[int, int, int, int]] | None = None,
    **creation: Any,
) -> Path:
    """Write a GeoTIFF of (bands, H, W) values and return its path; `creation` goes to rasterio.open."""
    count, height, width = values_nhw.shape
    with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=height,
            width=width,
            count=count,
            dtype=values_nhw.dtype,
            crs=crs,
            transform=None if transform is None else rasterio.Affine(*transform),
            **creation,
        ) as file:
            if colours:
                file.colorinterp = [rasterio.enums.ColorInterp[name] for name in colours]
            if palette:
                file.write_colormap(1, palette)
            file.write(values_nhw)
            for band, description in enumerate(descriptions, 1):
                file.set_band_description(band, description)
            if mask_hw is not None:
                file.write_mask(mask_hw)
            file.update_tags(**(tags or {}))
    return path


def damaged(path: Path, *, share: float = 0.5, length: int = 2000) -> Path:
    """Overwrite some bytes of a file, beginning at a share of its length, with others; return the path."""
    data = bytearray(path.read_bytes())
    begin = int(len(data) * share)
    data[begin : begin + length] = np.random.default_rng(1).integers(0, 256, length, dtype=np.uint8).tobytes()
    path.write_bytes(data)
    return path
