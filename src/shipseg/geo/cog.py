"""Writing cloud-optimised GeoTIFFs from windows in bounded memory, completely or not at all."""

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

__all__ = ["CogWriter", "RasterContent", "cog_writer"]

_BLOCK: Final = 256  # block side of the intermediate file; 512 would double the memory for a row of blocks
_COG_BLOCK: Final = 512
_FULL_BELOW: Final = 4 << 20  # free bytes below which a disk counts as full, before GDAL prints an error of its own
# Disk space for the COG and its temporary overviews, relative to the intermediate file; measured on noise: 1.7.
_COG_SPACE: Final = 2.0


@dataclass(frozen=True)
class RasterContent:
    """Type, no-data value and description of a raster's only band."""

    dtype: str
    nodata: int
    description: str
    resampling: str
    """Resampling method of the overviews."""
    scale: float = 1.0


class CogWriter:
    """Writes a raster window by window, from top to bottom.

    Keeps in memory only the rows of the current windows that do not fill a row of blocks (256 pixels high) yet.
    """

    def __init__(self, path: Path, dataset: DatasetWriter, shape: tuple[int, int], dtype: str) -> None:
        self._path = path
        self._dataset = dataset
        self._shape = shape
        self._pending = np.zeros((0, shape[1]), dtype)  # rows from `_written` on
        self._written = 0
        self._row = Window(0, 0, 0, 0)  # from column 0 to the end of the last window
        self.checksum = 0
        """CRC-32 of all rows written so far."""

    def add(self, window: Window, values_hw: NDArray[np.generic]) -> None:
        """Add the values (h, w) of the next window.

        Windows must come row by row, from left to right and without gaps. All windows of one row cover the same rows.
        """
        height, width = self._shape
        if self._row.width in (0, width):
            expected = Window(self._row.row0 + self._row.height, 0, window.height, window.width)
        else:
            expected = Window(self._row.row0, self._row.width, self._row.height, window.width)
        inside = window.row0 + window.height <= height and window.col0 + window.width <= width
        assert window == expected, f"expected {expected}, got {window}"
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
        self._pending = self._pending.copy()  # releases the rows that were written

    def check_complete(self) -> None:
        """Assert that all rows were added."""
        assert self._written == self._shape[0], f"{self._written} of {self._shape[0]} rows were added"


@contextlib.contextmanager
def cog_writer(path: Path, shape: tuple[int, int], georef: GeoReference, content: RasterContent) -> Iterator[CogWriter]:
    """Yield a writer; when the block ends, its raster becomes the file `path`. After an error there is no file.

    Args:
        path: File to write.
        shape: (height, width) in pixels.
        georef: Georeference of the raster.
        content: Description of its band.

    Raises:
        StorageError: The disk is full or `path` cannot be written.
    """
    with needing("geo"):
        import rasterio
        from rasterio.shutil import copy
    folder = path.with_name(f".{path.name}.rows.{os.getpid()}.part")
    files.ensure_folder(folder)
    rows_path, cog_path = folder / "rows.tif", folder / "whole.tif"
    try:
        with _writing(path):
            dataset = rasterio.open(rows_path, "w", **_profile(shape, georef, content))
            dataset.scales = (content.scale,)
            dataset.set_band_description(1, content.description)
        try:
            writer = CogWriter(path, dataset, shape, content.dtype)
            yield writer
            writer.check_complete()
        finally:
            with _writing(path):
                dataset.close()
        with _writing(path, int(_COG_SPACE * rows_path.stat().st_size)):
            copy(rows_path, cog_path, driver="COG", **_cog_options(content))
            # On a full disk GDAL can lose blocks without an error.
            if _checksum(cog_path) != writer.checksum:
                raise OSError("the file differs from what was written")
        with files.atomic_path(path) as temporary, files.storage_errors(path):
            cog_path.replace(temporary)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _profile(shape: tuple[int, int], georef: GeoReference, content: RasterContent) -> dict[str, Any]:
    """Return the creation options of the intermediate file, which is fast to write and deleted afterwards."""
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
    """Return the CRC-32 of the first band, as `CogWriter` computes it."""
    import rasterio

    checksum = 0
    with rasterio.open(path) as dataset:
        for row in range(0, dataset.height, _COG_BLOCK):
            rows = (row, min(row + _COG_BLOCK, dataset.height))
            checksum = zlib.crc32(dataset.read(1, window=(rows, (0, dataset.width))).data, checksum)
    return checksum


@contextlib.contextmanager
def _quiet_gdal() -> Iterator[None]:
    """Run GDAL in this thread without warnings about missing georeferences."""
    from rasterio.errors import NotGeoreferencedWarning

    with gdal_session(), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@contextlib.contextmanager
def _writing(path: Path, needed_bytes: int = 0) -> Iterator[None]:
    """Check the free disk space for a write of GDAL, and raise its errors as one StorageError."""
    from rasterio._err import CPLE_BaseError  # raised when a dataset is closed or copied; has no public name
    from rasterio.errors import RasterioError

    if shutil.disk_usage(path.parent).free < needed_bytes + _FULL_BELOW:
        raise files.no_space_left(path)
    try:
        with _quiet_gdal():
            yield
    except (RasterioError, CPLE_BaseError, OSError) as error:
        if shutil.disk_usage(path.parent).free < _FULL_BELOW:
            raise files.no_space_left(path) from error
        raise StorageError(
            f"{path} cannot be written ({reason_of(error, str(path))}): choose another folder"
        ) from error
