"""A GeoTIFF that grows from top to bottom in bounded memory, and becomes a cloud-optimised one or nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from shipseg import files
from shipseg.errors import StorageError
from shipseg.extras import needing
from shipseg.geo.gdal import gdal_session, reason_of
from shipseg.geo.georef import GeoReference
from shipseg.tiling import Window

if TYPE_CHECKING:
    from rasterio.io import DatasetWriter

__all__ = ["RasterContent", "RasterRows", "growing_cog"]

_BLOCK: Final = 256  # side of the blocks of the file that grows; 512 would double the memory for a row of them
_COG_BLOCK: Final = 512
_FULL: Final = "no space left on the disk while writing {}: free some space and run again"
_FULL_BELOW: Final = 4 << 20  # bytes left on a disk: it is called full before GDAL finds out, which says so on its own
# Of the size of the file that grows: the COG and, for a moment, its smaller looks apart; measured on noise: 1.7.
_COG_NEEDS: Final = 2.0


@dataclass(frozen=True)
class RasterContent:
    """What a raster holds."""

    dtype: str
    nodata: int
    description: str
    resampling: str
    """How smaller looks at the raster are made."""
    scale: float = 1.0


class RasterRows:
    """A raster that grows from top to bottom.

    Holds the rows from the last whole row of the file's blocks (256 pixels high) to the end of the current windows.
    """

    def __init__(self, path: Path, dataset: DatasetWriter, shape: tuple[int, int], dtype: str) -> None:
        self._path = path
        self._dataset = dataset
        self._shape = shape
        self._pending = np.zeros((0, shape[1]), dtype)  # the rows from `_written` on
        self._written = 0
        self._row = Window(0, 0, 0, 0)  # from column 0 to the end of the last window
        self.checksum = 0
        """Of all rows written so far."""

    def add(self, window: Window, values_hw: NDArray[np.generic]) -> None:
        """Add the values (h, w) of the next window.

        Windows come row by row: those of one row have the same rows and follow each other from the left edge to the
        right one without gaps, and so do the rows.
        """
        height, width = self._shape
        if self._row.width in (0, width):
            expected = Window(self._row.row0 + self._row.height, 0, window.height, window.width)
        else:
            expected = Window(self._row.row0, self._row.width, self._row.height, window.width)
        inside = window.row0 + window.height <= height and window.col0 + window.width <= width
        assert window == expected, f"{window} comes where {expected} should"
        assert inside, f"{window} does not lie inside {height} x {width}"
        if window.col0 == 0:
            missing = window.row0 + window.height - self._written - len(self._pending)
            self._pending = np.concatenate([self._pending, np.zeros((missing, width), self._pending.dtype)])
        rows = slice(window.row0 - self._written, window.row0 - self._written + window.height)
        self._pending[rows, window.col0 : window.col0 + window.width] = values_hw
        self._row = Window(window.row0, 0, window.height, window.col0 + window.width)
        if self._row.width == width:
            self._write_whole_blocks()

    def _write_whole_blocks(self) -> None:
        height, width = self._shape
        end = self._written + len(self._pending)
        while self._written + _BLOCK <= end or self._written < end == height:
            count = min(_BLOCK, end - self._written)
            rows = ((self._written, self._written + count), (0, width))
            with _writing(self._path, self._pending[:count].nbytes):
                self._dataset.write(self._pending[None, :count], window=rows)
            self.checksum = zlib.crc32(self._pending[:count].data, self.checksum)
            self._pending = self._pending[count:]
            self._written += count
        self._pending = self._pending.copy()  # let go of the rows before

    def check_complete(self) -> None:
        """Make sure that every pixel was given."""
        assert self._written == self._shape[0], f"{self._written} of {self._shape[0]} rows were given"


@contextlib.contextmanager
def growing_cog(
    path: Path, shape: tuple[int, int], georef: GeoReference, content: RasterContent
) -> Iterator[RasterRows]:
    """Give a raster to add rows to; when the block ends it becomes the file `path`, on an error nothing is left.

    Args:
        path: File to write.
        shape: Height and width in pixels.
        georef: Where they lie.
        content: What the raster holds.

    Raises:
        StorageError: The disk is full or the place cannot be written.
    """
    with needing("geo"):
        import rasterio
        from rasterio.shutil import copy
    folder = path.with_name(f".{path.name}.rows.{os.getpid()}.part")
    files.ensure_folder(folder)
    grown, whole = folder / "rows.tif", folder / "whole.tif"
    try:
        with _writing(path):
            dataset = rasterio.open(grown, "w", **_profile(shape, georef, content))
            dataset.scales = (content.scale,)
            dataset.set_band_description(1, content.description)
        try:
            raster = RasterRows(path, dataset, shape, content.dtype)
            yield raster
            raster.check_complete()
        finally:
            with _writing(path):
                dataset.close()
        with _writing(path, int(_COG_NEEDS * grown.stat().st_size)):
            copy(grown, whole, driver="COG", **_cog_options(content))
            # On a full disk GDAL can lose blocks without a word.
            if _checksum(whole) != raster.checksum:
                raise OSError("the disk did not keep what was written")
        with files.atomic_path(path) as temporary, files.storage_errors(path):
            whole.replace(temporary)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _profile(shape: tuple[int, int], georef: GeoReference, content: RasterContent) -> dict[str, Any]:
    """Return how to create the file that grows: quick to write, thrown away."""
    from rasterio import Affine
    from rasterio.crs import CRS

    transform = Affine(*georef.transform)
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": shape[0],
        "width": shape[1],
        "count": 1,
        "dtype": content.dtype,
        "nodata": content.nodata,
        "tiled": True,
        "blockxsize": _BLOCK,
        "blockysize": _BLOCK,
        "compress": "zstd",
        "zstd_level": 1,
        "bigtiff": "if_safer",
    }
    if transform != Affine.identity():
        profile["transform"] = transform
    if georef.crs_wkt is not None:
        profile["crs"] = CRS.from_wkt(georef.crs_wkt)
    return profile


def _cog_options(content: RasterContent) -> dict[str, Any]:
    return {
        "compress": "DEFLATE",
        "predictor": "YES",
        "blocksize": _COG_BLOCK,
        "overviews": "AUTO",
        "overview_resampling": content.resampling,
        "bigtiff": "IF_SAFER",
        "num_threads": 2,
    }


def _checksum(path: Path) -> int:
    """Return that of the first band, as `RasterRows` counts it."""
    import rasterio

    checksum = 0
    with rasterio.open(path) as dataset:
        for row in range(0, dataset.height, _COG_BLOCK):
            rows = (row, min(row + _COG_BLOCK, dataset.height))
            checksum = zlib.crc32(dataset.read(1, window=(rows, (0, dataset.width))).data, checksum)
    return checksum


@contextlib.contextmanager
def _quiet_gdal() -> Iterator[None]:
    """Run GDAL in this thread, without a warning that a raster does not know where it lies."""
    from rasterio.errors import NotGeoreferencedWarning

    with gdal_session(), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@contextlib.contextmanager
def _writing(path: Path, needed_bytes: int = 0) -> Iterator[None]:
    """Let GDAL write so much for `path`; what goes wrong becomes one sentence."""
    from rasterio._err import CPLE_BaseError  # what GDAL says when a dataset is closed or copied; no public name
    from rasterio.errors import RasterioError

    if shutil.disk_usage(path.parent).free < needed_bytes + _FULL_BELOW:
        raise StorageError(_FULL.format(path))
    try:
        with _quiet_gdal():
            yield
    except (RasterioError, CPLE_BaseError, OSError) as error:
        if shutil.disk_usage(path.parent).free < _FULL_BELOW:
            raise StorageError(_FULL.format(path)) from error
        raise StorageError(
            f"{path} cannot be written ({reason_of(error, str(path))}): choose another folder"
        ) from error
