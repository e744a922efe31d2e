"""Opening a raster as a scene, reading windows of it as RGB, its acquisition time and its fingerprint."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError, DataError
from shipseg.geo.bands import BandChoice, choose_bands
from shipseg.geo.gdal import gdal_name, gdal_session, is_part_of_container, is_remote, reason_of
from shipseg.geo.georef import GeoReference, georeference_of
from shipseg.geo.stretch import Stretch, choose_stretch, parse_stretch
from shipseg.resizing import resize_valid
from shipseg.tiling import Window

__all__ = ["Scene", "acquisition_time", "fingerprint_of_file", "fingerprint_of_raster", "open_scene", "sample_windows"]


# Sampling the values of a scene without reading all of it.

_SAMPLE_PX = 1024  # longer side of the whole scene when it is sampled as one window
_GRID, _WINDOW_PX = 8, 128  # without small overviews: windows per side and their side, 1024 px together
_MAX_OVERVIEW_PX = 4096  # longer side; larger overviews are as slow to read as the scene


def sample_windows(height: int, width: int, overviews: Sequence[int]) -> list[tuple[Window, tuple[int, int]]]:
    """Return windows to sample a scene in, each with the (h, w) to read it at.

    This is the whole scene at reduced size, or a grid of small windows at full size.

    Args:
        height: Rows of the scene.
        width: Columns of the scene.
        overviews: Reduction factors of the overviews in the file.
    """
    longest = max(height, width)
    if longest / max([1, *overviews]) <= _MAX_OVERVIEW_PX:
        reduction = max(1.0, longest / _SAMPLE_PX)
        return [(Window(0, 0, height, width), (max(1, round(height / reduction)), max(1, round(width / reduction))))]
    shape = min(_WINDOW_PX, height), min(_WINDOW_PX, width)
    return [(Window(row, col, *shape), shape) for row in _starts(height) for col in _starts(width)]


def _starts(side: int) -> list[int]:
    """Return the starts of the windows along a side, each centred in one of `_GRID` equal parts."""
    starts = [int(side * (part + 0.5) / _GRID - _WINDOW_PX / 2) for part in range(_GRID)]
    return sorted({min(max(start, 0), max(side - _WINDOW_PX, 0)) for start in starts})


# Acquisition time. The most reliable tags come first: the one that GDAL sets from the metadata of known satellites,
# then tags of other programs, then the TIFF's date, which some programs set to the time when the file was written.
_KEYS = (
    "ACQUISITIONDATETIME",
    "ACQUISITION_DATETIME",
    "ACQUISITION_DATE",
    "ACQUIRED",
    "DATETIME",
    "SENSING_TIME",
    "PRODUCT_START_TIME",
    "NITF_IDATIM",
    "EXIF_DATETIMEORIGINAL",
    "TIFFTAG_DATETIME",
)
_DATE = re.compile(
    r"(\d{4})[-:/]?(\d{2})[-:/]?(\d{2})"
    r"(?:[T ]?(\d{2}):?(\d{2})(?::?(\d{2})(?:\.(\d+))?)? ?(Z|[+-]\d{2}:?\d{2})?)?"
)


def acquisition_time(tags: Iterable[Mapping[str, str]]) -> str | None:
    """Return the acquisition time in ISO 8601 from a file's metadata, or None.

    Seconds and the time zone are included only if the file has them.

    Args:
        tags: Tables of names and values, in order of precedence.

    Example:
        >>> acquisition_time([{"TIFFTAG_DATETIME": "2026:05:04 10:11:12"}])
        '2026-05-04T10:11:12'
    """
    tables = [{key.upper(): value for key, value in table.items()} for table in tags]
    for key in _KEYS:
        for table in tables:
            found = _iso(table.get(key, ""))
            if found:
                return found
    return None


def _iso(text: str) -> str | None:
    match = _DATE.fullmatch(text.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31 and int(year) > 1900):
        return None
    date = f"{year}-{month}-{day}"
    if hour is None:
        return date
    seconds = "" if second is None else f":{second}" + ("" if fraction is None else f".{fraction}")
    return f"{date}T{hour}:{minute}{seconds}{zone or ''}"


# Fingerprints identify the version of a scene's file cheaply; a run that resumes compares them.

_HEADER_BYTES = 65536


def fingerprint_of_file(path: Path) -> dict[str, int | str]:
    """Return a file's size, its modification time and a SHA-256 of its first 64 KB.

    Raises:
        DataError: The file can no longer be read.
    """
    try:
        facts = path.stat()
        with path.open("rb") as stream:
            header = hashlib.sha256(stream.read(_HEADER_BYTES)).hexdigest()
    except OSError as error:
        raise DataError(f"the scene {path} can no longer be read ({error.strerror}): check the path") from error
    return {"size": facts.st_size, "modified_ns": facts.st_mtime_ns, "header": header}


def fingerprint_of_raster(dataset: Any, path: str) -> dict[str, int | str]:
    """Return the fingerprint of an open rasterio dataset that is no local file.

    It is a SHA-256 of the dataset's profile, metadata, the pixels of its middle block and, for a TIFF, the offset and
    size of its last block, which change with nearly every edit of a compressed file.

    Raises:
        DataError: The connection was lost.
    """
    from rasterio.errors import RasterioError
    from rasterio.windows import Window

    rows, cols = dataset.block_shapes[0]
    row, col = dataset.height // 2 // rows * rows, dataset.width // 2 // cols * cols
    middle = Window(col, row, min(cols, dataset.width - col), min(rows, dataset.height - row))
    last = f"{(dataset.width - 1) // cols}_{(dataset.height - 1) // rows}"
    try:
        with gdal_session(path):
            pixels = dataset.read(1, window=middle).tobytes()
            last_block = [dataset.get_tag_item(f"BLOCK_{name}_{last}", "TIFF", bidx=1) for name in ("OFFSET", "SIZE")]
    except RasterioError as error:
        raise DataError(
            f"the scene {path} can no longer be read ({reason_of(error, path)}): check the URL and the connection"
        ) from error
    known = repr(
        (sorted(dataset.profile.items(), key=str), sorted(dataset.tags().items()), dataset.overviews(1), last_block)
    )
    return {"header": hashlib.sha256(known.encode() + pixels).hexdigest()}


_MAX_READ_PX = 8192**2  # read into memory at once: 200 MB of 8-bit RGB, more of wider types
_RETRY_PAUSES_S = (1.0, 4.0, 15.0)  # after a lost connection; GDAL itself retries only requests that a server refused
_TAIL_BYTES = 4096
_BROKEN_JPEG = re.compile(r"corrupt jpeg|premature end", re.IGNORECASE)  # GDAL only warns of these and fills with grey


class Scene:
    """A scene open for reading, as `open_scene` returns it. Reads from several threads are serialised.

    Attributes:
        name: File name without folder and extension.
        path: Path or URL as given.
        height: Rows.
        width: Columns.
        bands: Bands (from 1) that become red, green and blue; one for grey.
        dtype: Type of the file's values, such as "uint16".
        georef: Georeference of the scene.
        metres_per_pixel_rc: Metres per row step and per column step: as given by the caller, else at the scene's
            centre, else None.
        acquired: Acquisition time in ISO 8601, or None.
        stretch: Stretch of the values to 0-255.
        notes: Sentences about how the scene is read, to be shown with the result.
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
        georef = georeference_of(dataset)
        self.georef: GeoReference = georef.with_pixel_size(metres_per_pixel) if metres_per_pixel else georef
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
        """Return a window as RGB uint8 (h, w, 3), black where it has no data, and its valid pixels, bool (h, w).

        Args:
            window: Window inside the scene.
            out_shape: (h, w) to resize to, edges to edges: by area when shrinking, bilinearly when growing, as
                `Predictor` does. None keeps the window's own pixels.
            from_overviews: Read the file's overviews if it has any, else means computed by GDAL in bounded memory.
                For previews: the result is not exact.

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
        if read_shape[0] * read_shape[1] > _MAX_READ_PX:
            raise ConfigError(f"{window} of {self.path} has too many pixels to be read at once: read smaller windows")
        with self._lock:
            values_nhw, valid_hw = self._read_with_retries(window, read_shape)
        if self._choice.palette is not None:
            rgb_hwc = self._choice.colours(values_nhw[0])[..., :3]
        else:
            rgb_hwc = np.moveaxis(self.stretch.apply(values_nhw), 0, -1)
        rgb_hwc = np.repeat(rgb_hwc, 3, axis=2) if rgb_hwc.shape[2] == 1 else np.ascontiguousarray(rgb_hwc)
        rgb_hwc[~valid_hw] = 0
        return resize_valid(rgb_hwc, valid_hw, out_shape or read_shape)

    def _read_with_retries(
        self, window: Window, shape: tuple[int, int]
    ) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Return the file's values and valid pixels; reopen a remote file and read again after a lost connection."""
        first_error: DataError | None = None
        for pause_s in (0.0, *(_RETRY_PAUSES_S if self._remote else ())):
            try:
                if first_error is not None:
                    time.sleep(pause_s)
                    self._dataset.close()
                    with gdal_session(self.path):
                        self._dataset = _open_dataset(self.path)
                return _read_values(self._dataset, self._choice, self.path, window, shape)
            except DataError as error:
                first_error = first_error or error  # this one names the window
        assert first_error is not None
        raise first_error

    def fingerprint(self) -> dict[str, int | str]:
        """Return a fingerprint of this version of the file, as plain data for JSON.

        Raises:
            DataError: The file can no longer be read, or the connection was lost.
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
    """Return a scene open for reading.

    Args:
        path_or_url: A file, or a URL that starts with http://, https://, s3://, gs:// or az://.
        bands: One band (grey) or three (red, green, blue), counted from 1; None selects them by the file's metadata.
        stretch: "LOW,HIGH", "none" or "percent:LOW,HIGH"; None keeps 8-bit values and chooses a stretch for others.
        metres_per_pixel: Pixel size; None takes it from the georeference.

    Raises:
        DataError: There is no such raster, or it cannot be read.
        ConfigError: A band does not exist, or the stretch or the pixel size is invalid.
        MissingExtraError: rasterio is not installed.
    """
    path = str(path_or_url)
    requested = None if stretch is None else parse_stretch(stretch)
    if metres_per_pixel is not None and not 0 < metres_per_pixel < float("inf"):
        raise ConfigError(f"metres_per_pixel must be above 0, got {metres_per_pixel}")
    with gdal_session(path):
        dataset = _open_dataset(path)
        try:
            choice = choose_bands(dataset, bands)
            dtype = _common_dtype(dataset, choice)
            chosen = choose_stretch(requested, dtype, lambda: _sample_values(dataset, choice, path))
            return Scene(dataset, path, choice, chosen, metres_per_pixel)
        except BaseException:
            dataset.close()
            raise


def _open_dataset(path: str) -> Any:
    import warnings

    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    if not is_remote(path) and not is_part_of_container(path):
        _check_file(Path(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # the scene's notes say so
            dataset = rasterio.open(gdal_name(path))
    except UnicodeEncodeError as error:
        raise DataError(f"the name of the scene {_printable(path)} is not valid UTF-8: rename the file") from error
    except RasterioError as error:
        check = "check the URL and the connection" if is_remote(path) else "is it a complete GeoTIFF?"
        raise DataError(f"the scene {path} cannot be opened ({reason_of(error, path)}): {check}") from error
    if not dataset.count:
        subdatasets = ", ".join(dataset.subdatasets[:3])
        dataset.close()
        raise DataError(
            f"{path} has no bands" + (f": give one of its subdatasets, such as {subdatasets}" if subdatasets else "")
        )
    return dataset


def _printable(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()


def _check_file(file: Path) -> None:
    if not file.exists():
        raise DataError(f"there is no scene {file}: check the path")
    if not file.is_file():
        return  # in some formats a scene is a folder
    with file.open("rb") as stream:
        begin = stream.read(4)
        stream.seek(max(0, file.stat().st_size - _TAIL_BYTES))
        end = stream.read()
    if not begin:
        raise DataError(f"the scene {file} is empty (0 bytes): copy it again")
    if begin == b"\x89PNG" and b"IEND" not in end:  # GDAL fills the rest without a warning
        raise DataError(f"the scene {file} is truncated (the PNG has no end): copy it again")


def _common_dtype(dataset: Any, choice: BandChoice) -> np.dtype[Any]:
    names = [dataset.dtypes[band - 1] for band in choice.bands]
    if any(name.startswith("complex") for name in names):
        raise DataError(f"{dataset.name} has complex values ({names[0]}): convert it to intensities")
    return np.result_type(*names)


def _read_values(
    dataset: Any, choice: BandChoice, path: str, window: Window, shape: tuple[int, int]
) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Return the file's values (bands, h, w), resampled by GDAL to `shape`, and its valid pixels (h, w)."""
    from rasterio.enums import Resampling
    from rasterio.errors import RasterioError
    from rasterio.windows import Window as RasterWindow

    resampling = Resampling.nearest if choice.palette is not None else Resampling.average
    raster_window = RasterWindow(window.col0, window.row0, window.width, window.height)
    options: dict[str, Any] = {"window": raster_window, "out_shape": shape}
    try:
        with gdal_session(path) as messages:
            dtype = _common_dtype(dataset, choice)
            out_shape = (len(choice.bands), *shape)
            values_options = options | {"out_shape": out_shape, "resampling": resampling, "out_dtype": dtype}
            values_nhw = dataset.read(list(choice.bands), **values_options)
            alpha_hw = dataset.read(choice.alpha, **options) if choice.alpha else None
            mask_hw = dataset.read_masks(choice.bands[0], **options) if choice.has_mask else None
    except RasterioError as error:
        raise _read_error(path, window, reason_of(error, path)) from error
    broken = [message for message in messages if _BROKEN_JPEG.search(message)]
    if broken:
        raise _read_error(path, window, broken[0].rpartition("JPEGLib:")[2])
    return values_nhw, choice.valid(values_nhw, alpha_hw, mask_hw)


def _read_error(path: str, window: Window, reason: str) -> DataError:
    where = (
        f"rows {window.row0}-{window.row0 + window.height - 1}, columns {window.col0}-{window.col0 + window.width - 1}"
    )
    advice = (
        "the connection was lost or the file is damaged there, run again"
        if is_remote(path)
        else "the file is damaged there, copy it again"
    )
    return DataError(f"{path} cannot be read in {where} ({reason}): {advice}")


def _sample_values(dataset: Any, choice: BandChoice, path: str) -> NDArray[np.generic]:
    """Return a sample of the scene's valid values, (N,), of all selected bands together."""
    samples = []
    for window, shape in sample_windows(dataset.height, dataset.width, dataset.overviews(choice.bands[0])):
        values_nhw, valid_hw = _read_values(dataset, choice, path, window, shape)
        samples.append(values_nhw[:, valid_hw].ravel())
    return np.concatenate(samples)
