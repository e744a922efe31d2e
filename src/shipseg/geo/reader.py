"""Opening a scene of any kind, and reading windows of it as RGB."""

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

__all__ = ["Scene", "acquisition_time", "fingerprint_of_file", "fingerprint_of_raster", "open_scene", "probe_places"]


# Where to look at a scene to learn what its values are like, without reading all of it.

_LOOK_PX = 1024  # side of a look at the whole scene
_PLACES, _PLACE_PX = 8, 128  # without small overviews: so many places a side, each so large: 1024 px together
_OVERVIEW_AT_MOST_PX = 4096  # side; larger ones are as slow to read as the scene


def probe_places(height: int, width: int, overviews: Sequence[int]) -> list[tuple[Window, tuple[int, int]]]:
    """Return the windows to look at and the (h, w) to read each in: the whole scene reduced, or places all over it.

    Args:
        height: Rows of the scene.
        width: Columns of the scene.
        overviews: By how much the reduced copies in the file are smaller.
    """
    longest = max(height, width)
    if longest / max([1, *overviews]) <= _OVERVIEW_AT_MOST_PX:
        reduction = max(1.0, longest / _LOOK_PX)
        return [(Window(0, 0, height, width), (max(1, round(height / reduction)), max(1, round(width / reduction))))]
    shape = min(_PLACE_PX, height), min(_PLACE_PX, width)
    return [(Window(row, col, *shape), shape) for row in _starts(height) for col in _starts(width)]


def _starts(side: int) -> list[int]:
    """Return where places begin along a side: in the middle of equal parts."""
    starts = [int(side * (part + 0.5) / _PLACES - _PLACE_PX / 2) for part in range(_PLACES)]
    return sorted({min(max(start, 0), max(side - _PLACE_PX, 0)) for start in starts})


# When a scene was taken, as far as its file says.

# The most trustworthy first: GDAL's own name for what it reads beside scenes of known satellites, then what others
# write, last the TIFF's date, which some programs set to when the file was made.
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
    """Return the time in ISO 8601 from a file's metadata (several name-value tables, the first wins), or None.

    Seconds and the zone are there only where the file states them.

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


# What tells one version of a scene's file from another, cheaply: a run that goes on compares it.

_HEADER_BYTES = 65536


def fingerprint_of_file(path: Path) -> dict[str, int | str]:
    """Return a file's size, the time of its last change and a hash of its first 64 KB.

    Raises:
        DataError: The file cannot be read any more.
    """
    try:
        facts = path.stat()
        with path.open("rb") as stream:
            header = hashlib.sha256(stream.read(_HEADER_BYTES)).hexdigest()
    except OSError as error:
        raise DataError(f"the scene {path} cannot be read any more ({error.strerror}): check the path") from error
    return {"size": facts.st_size, "modified_ns": facts.st_mtime_ns, "header": header}


def fingerprint_of_raster(dataset: Any, path: str) -> dict[str, int | str]:
    """Return the same for what is no file here: a hash of what GDAL knows of an open rasterio dataset.

    That is its layout, its metadata, the pixels of the block in its middle and, of a TIFF, where its last block lies:
    in a compressed file that moves with nearly every change.

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
            place = [dataset.get_tag_item(f"BLOCK_{what}_{last}", "TIFF", bidx=1) for what in ("OFFSET", "SIZE")]
    except RasterioError as error:
        raise DataError(
            f"the scene {path} cannot be read any more ({reason_of(error, path)}): check the address and the connection"
        ) from error
    known = repr(
        (sorted(dataset.profile.items(), key=str), sorted(dataset.tags().items()), dataset.overviews(1), place)
    )
    return {"header": hashlib.sha256(known.encode() + pixels).hexdigest()}


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
    requested = None if stretch is None else parse_stretch(stretch)
    if metres_per_pixel is not None and not 0 < metres_per_pixel < float("inf"):
        raise ConfigError(f"metres_per_pixel must be above 0, got {metres_per_pixel}")
    with gdal_session(path):
        dataset = _opened(path)
        try:
            choice = choose_bands(dataset, bands)
            dtype = _common_dtype(dataset, choice)
            chosen = choose_stretch(requested, dtype, lambda: _look(dataset, choice, path))
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
