"""Opening a scene of any kind, and reading windows of it as RGB."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError, DataError
from shipseg.geo.bands import BandChoice, choose_bands
from shipseg.geo.gdal import gdal_name, gdal_session, is_part_of_container, is_remote, reason_of
from shipseg.geo.georef import GeoReference
from shipseg.geo.stretch import Stretch, choose_stretch, parse_stretch
from shipseg.scenes.acquired import acquisition_time
from shipseg.scenes.fingerprint import fingerprint_of_file, fingerprint_of_raster
from shipseg.scenes.placing import georeference_of
from shipseg.scenes.probes import probe_places
from shipseg.scenes.resizing import resize_valid
from shipseg.tiling import Window

__all__ = ["Scene", "open_scene"]

_EXACT_AT_MOST_PX = 8192**2  # read whole into memory: 200 MB of 8-bit RGB, more of wider types
_PAUSES_S = (1.0, 4.0, 15.0)  # before reading again what was lost on its way; GDAL repeats only what a server refused
_TAIL_BYTES = 4096
_BROKEN_JPEG = re.compile(r"corrupt jpeg|premature end", re.IGNORECASE)  # only warned of, filled with grey


class Scene:
    """A scene that is open for reading; `open_scene` makes one. Reads from several threads take turns.

    Attributes:
        name: The file's name without folder and ending.
        path: The path or address as it was given.
        height: Rows.
        width: Columns.
        bands: Which bands (from 1) become red, green and blue; one for grey.
        dtype: Of the file's values, such as "uint16".
        georef: Where the pixels are.
        metres_per_pixel_rc: Metres of one row step and of one column step: as stated by the caller, else at the scene's
            centre, else None.
        acquired: When the picture was taken, ISO 8601, where the file says so.
        stretch: How values become 0-255.
        notes: Sentences about how the scene is read that people should see beside the result.
    """

    def __init__(
        self, dataset: Any, path: str, choice: BandChoice, stretch: Stretch, metres_per_pixel: float | None
    ) -> None:
        self._dataset = dataset
        self._choice = choice
        self._lock = threading.Lock()
        self._remote = is_remote(path)
        self.path = path
        self.name = Path(re.split(r"[?#]", path)[0] if self._remote else path).stem
        self.height, self.width = int(dataset.height), int(dataset.width)
        self.bands = choice.bands
        self.dtype = str(_common_dtype(dataset, choice))
        placed = georeference_of(dataset)
        self.georef: GeoReference = placed.with_stated_pixel(metres_per_pixel) if metres_per_pixel else placed
        size_m = self.georef.pixel_size_m()
        self.metres_per_pixel_rc = (
            (metres_per_pixel, metres_per_pixel) if metres_per_pixel else None if size_m is None else size_m[::-1]
        )
        tags = [dataset.tags(ns="IMAGERY"), dataset.tags(), *(dataset.tags(band) for band in choice.bands)]
        self.acquired = acquisition_time(tags)
        self.stretch = stretch
        self.notes = tuple(
            note for note in (choice.note, "" if choice.palette is not None else str(stretch), self.georef.note) if note
        )

    def read(
        self, window: Window, out_shape: tuple[int, int] | None = None, *, from_overviews: bool = False
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return RGB uint8 (h, w, 3) and where there is data bool (h, w); black where there is none.

        Args:
            window: Inside the scene.
            out_shape: (h, w) to resize to, edges to edges: area means when shrinking, bilinear when growing, as
                `Predictor` does; None gives the window's own pixels.
            from_overviews: Take reduced copies in the file where there are some (else GDAL's means of the pixels, in
                bounded memory): for a first look, not the exact pixels.

        Raises:
            DataError: The file is damaged there, or the connection was lost.
            ConfigError: The window does not lie inside the scene, or has too many pixels to be read at once.
        """
        if not (0 <= window.row0 < window.row0 + window.height <= self.height) or not (
            0 <= window.col0 < window.col0 + window.width <= self.width
        ):
            raise ConfigError(f"{window} does not lie inside {self.path}, {self.height} x {self.width} pixels")
        if from_overviews and out_shape is not None:
            read_shape = min(out_shape[0], window.height), min(out_shape[1], window.width)
        else:
            read_shape = window.height, window.width
        if read_shape[0] * read_shape[1] > _EXACT_AT_MOST_PX:
            raise ConfigError(f"{window} of {self.path} has too many pixels to be read at once: read smaller windows")
        with self._lock:
            values_nhw, valid_hw = self._read_patiently(window, read_shape)
        if self._choice.palette is not None:
            rgb_hwc = self._choice.colours(values_nhw[0])[..., :3]
        else:
            rgb_hwc = np.moveaxis(self.stretch.apply(values_nhw), 0, -1)
        rgb_hwc = np.repeat(rgb_hwc, 3, axis=2) if rgb_hwc.shape[2] == 1 else np.ascontiguousarray(rgb_hwc)
        rgb_hwc[~valid_hw] = 0
        return resize_valid(rgb_hwc, valid_hw, out_shape or read_shape)

    def _read_patiently(self, window: Window, shape: tuple[int, int]) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Return the file's values and where they are data; over a network, after losing it, in several attempts."""
        lost: DataError | None = None
        for pause_s in (0.0, *(_PAUSES_S if self._remote else ())):
            try:
                if lost is not None:
                    time.sleep(pause_s)
                    self._dataset.close()
                    with gdal_session(self.path):
                        self._dataset = _opened(self.path)
                return _read_values(self._dataset, self._choice, self.path, window, shape)
            except DataError as error:
                lost = lost or error  # the first one names the window
        assert lost is not None
        raise lost

    def fingerprint(self) -> dict[str, int | str]:
        """Return what tells this file from another version of it, as JSON takes it.

        Raises:
            DataError: The file or the connection is gone.
        """
        file = Path(self.path)
        if file.is_file() and not self._remote:
            return fingerprint_of_file(file)
        with self._lock:
            return fingerprint_of_raster(self._dataset, self.path)

    def close(self) -> None:
        """Close the file."""
        self._dataset.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_scene(
    path_or_url: str | Path,
    *,
    bands: Sequence[int] | None = None,
    stretch: str | None = None,
    metres_per_pixel: float | None = None,
) -> Scene:
    """Return a scene, open for reading.

    Args:
        path_or_url: A file, or an address that starts with http://, https://, s3://, gs:// or az://.
        bands: One band (grey) or three (red, green, blue), counted from 1; None chooses by what the file says.
        stretch: "LOW,HIGH", "none" or "percent:LOW,HIGH"; None takes 8 bits as they are and chooses for others.
        metres_per_pixel: What a pixel measures; None takes it from the georeference.

    Raises:
        DataError: There is no such raster, or it cannot be read.
        ConfigError: A band, stretch or pixel size that does not fit.
        MissingExtraError: rasterio is not installed.
    """
    path = str(path_or_url)
    wish = None if stretch is None else parse_stretch(stretch)
    if metres_per_pixel is not None and not 0 < metres_per_pixel < float("inf"):
        raise ConfigError(f"metres_per_pixel must be above 0, got {metres_per_pixel}")
    with gdal_session(path):
        dataset = _opened(path)
        try:
            choice = choose_bands(dataset, bands)
            dtype = _common_dtype(dataset, choice)
            chosen = choose_stretch(wish, dtype, lambda: _look(dataset, choice, path))
            return Scene(dataset, path, choice, chosen, metres_per_pixel)
        except BaseException:
            dataset.close()
            raise


def _opened(path: str) -> Any:
    import warnings

    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    if not is_remote(path) and not is_part_of_container(path):
        _refuse_other_than_whole(Path(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # said in the scene's notes
            dataset = rasterio.open(gdal_name(path))
    except UnicodeEncodeError as error:
        raise DataError(f"the name of the scene {_printable(path)} is no text in UTF-8: rename the file") from error
    except RasterioError as error:
        check = "check the address and the connection" if is_remote(path) else "is it a whole GeoTIFF?"
        raise DataError(f"the scene {path} cannot be opened ({reason_of(error, path)}): {check}") from error
    if not dataset.count:
        inside = ", ".join(dataset.subdatasets[:3])
        dataset.close()
        raise DataError(
            f"{path} holds no picture itself" + (f": name one of those inside, such as {inside}" if inside else "")
        )
    return dataset


def _printable(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()


def _refuse_other_than_whole(file: Path) -> None:
    if not file.exists():
        raise DataError(f"there is no scene {file}: check the path")
    if not file.is_file():
        return  # a folder can be a scene, for some formats
    with file.open("rb") as stream:
        begin = stream.read(4)
        stream.seek(max(0, file.stat().st_size - _TAIL_BYTES))
        end = stream.read()
    if not begin:
        raise DataError(f"the scene {file} is empty (0 bytes): copy it again")
    if begin == b"\x89PNG" and b"IEND" not in end:  # GDAL fills the rest without a word
        raise DataError(f"the scene {file} is cut off (the PNG has no end): copy it again")


def _common_dtype(dataset: Any, choice: BandChoice) -> np.dtype[Any]:
    names = [dataset.dtypes[band - 1] for band in choice.bands]
    if any(name.startswith("complex") for name in names):
        raise DataError(f"{dataset.name} holds complex numbers ({names[0]}), not a picture: convert it to intensities")
    return np.result_type(*names)


def _read_values(
    dataset: Any, choice: BandChoice, path: str, window: Window, shape: tuple[int, int]
) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Return the file's values (bands, h, w) and where they are data (h, w), reduced to `shape` by GDAL."""
    from rasterio.enums import Resampling
    from rasterio.errors import RasterioError
    from rasterio.windows import Window as Place

    how = Resampling.nearest if choice.palette is not None else Resampling.average
    place = Place(window.col0, window.row0, window.width, window.height)
    reading: dict[str, Any] = {"window": place, "out_shape": shape}
    try:
        with gdal_session(path) as messages:
            dtype = _common_dtype(dataset, choice)
            reading_values = reading | {"out_shape": (len(choice.bands), *shape), "resampling": how, "out_dtype": dtype}
            values_nhw = dataset.read(list(choice.bands), **reading_values)
            alpha_hw = dataset.read(choice.alpha, **reading) if choice.alpha else None
            mask_hw = dataset.read_masks(choice.bands[0], **reading) if choice.has_mask else None
    except RasterioError as error:
        raise _unreadable(path, window, reason_of(error, path)) from error
    broken = [message for message in messages if _BROKEN_JPEG.search(message)]
    if broken:
        raise _unreadable(path, window, broken[0].rpartition("JPEGLib:")[2])
    return values_nhw, choice.valid(values_nhw, alpha_hw, mask_hw)


def _unreadable(path: str, window: Window, reason: str) -> DataError:
    where = (
        f"rows {window.row0}-{window.row0 + window.height - 1}, columns {window.col0}-{window.col0 + window.width - 1}"
    )
    advice = (
        "the connection was lost or the file is damaged there, run again"
        if is_remote(path)
        else "the file is damaged there, copy it again"
    )
    return DataError(f"{path} cannot be read in {where} ({reason}): {advice}")


def _look(dataset: Any, choice: BandChoice, path: str) -> NDArray[np.generic]:
    """Return values of pixels with data from all over the scene, (N,), of all chosen bands together."""
    seen = []
    for window, shape in probe_places(dataset.height, dataset.width, dataset.overviews(choice.bands[0])):
        values_nhw, valid_hw = _read_values(dataset, choice, path, window, shape)
        seen.append(values_nhw[:, valid_hw].ravel())
    return np.concatenate(seen)
