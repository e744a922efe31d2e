"""Which inputs are scenes and which are pictures.

A picture is looked at whole and comes back as a mask and an overlay; a scene is read in windows and comes back as ships
on the map. Scenes are addresses (https, s3 ...), files of kinds that only GDAL reads (JPEG 2000, VRT ...), and TIFFs
that say where on Earth they lie, have more than `MAX_PICTURE_PX` pixels, or hold what no picture does: more than four
bands, or other values than 8 and 16 bits.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from shipseg.geo.gdal import is_part_of_container, is_remote
from shipseg.inference.images import distinct_names
from shipseg.reading import IMAGE_SUFFIXES

__all__ = ["MAX_PICTURE_PX", "SCENE_SUFFIXES", "is_scene", "scene_names", "sort_inputs"]

_LOG = logging.getLogger(__name__)

MAX_PICTURE_PX: Final = 50_000_000
"""A larger TIFF is a scene: as a picture it would be held whole in memory, several times over."""
_TIFF: Final = frozenset({".tif", ".tiff"})
_OTHER_SUFFIXES: Final = frozenset({".jp2", ".j2k", ".vrt", ".img", ".ecw", ".ntf", ".nitf", ".gtiff", ".btf"})
"""Endings of rasters that only GDAL reads, in lower case."""
SCENE_SUFFIXES: Final = _TIFF | _OTHER_SUFFIXES
"""Endings of files that may be scenes."""
_PICTURE_BANDS: Final = 4
_PICTURE_DTYPES: Final = frozenset({"uint8", "uint16"})


def sort_inputs(
    inputs: Iterable[str], out: Path, *, recursive: bool = False, for_scenes: bool = False
) -> tuple[list[str], list[Path]]:
    """Return the scenes and the pictures (or folders of pictures) among files, folders and addresses.

    A folder that holds scenes is replaced by its files; what lies in `out` is never taken. Beside scenes, or where
    scenes are expected, a TIFF that is missing or cannot be opened counts as a scene that will fail, and does not stop
    the others.

    Args:
        inputs: As given on the command line.
        out: Folder of results.
        recursive: Look into folders inside folders, too, hidden ones aside.
        for_scenes: Something was asked for that only scenes have.
    """
    sorted_in: dict[str, bool] = {}  # whether each is a scene, in the order given
    for given in inputs:
        if is_remote(given) or not Path(given).is_dir():
            sorted_in.setdefault(given, is_scene(given))
            continue
        listed = {str(path): is_scene(str(path)) for path in _files_in(Path(given), out.resolve(), recursive=recursive)}
        if any(listed.values()):
            sorted_in |= listed
        else:
            sorted_in.setdefault(given, False)
    if for_scenes or any(sorted_in.values()):
        for path, scene in sorted_in.items():
            is_broken_tiff = not scene and _is_tiff(path) and not _opens(path)
            sorted_in[path] = scene or is_broken_tiff
    scenes = [path for path, scene in sorted_in.items() if scene]
    return scenes, [Path(path) for path, scene in sorted_in.items() if not scene]


def _is_tiff(path: str) -> bool:
    return Path(path).suffix.lower() in _TIFF and not Path(path).is_dir()


def _files_in(folder: Path, out: Path, *, recursive: bool) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        place = Path(root)
        folders[:] = sorted(
            name for name in folders if recursive and name[0] != "." and (place / name).resolve() != out
        )
        if place.resolve() != out:
            yield from (place / name for name in sorted(names) if name[0] != "." and _may_be_raster(name))


def _may_be_raster(name: str) -> bool:
    return Path(name).suffix.lower() in IMAGE_SUFFIXES | SCENE_SUFFIXES


def is_scene(path: str) -> bool:
    """Return whether a file or address is a scene; see the module.

    Without rasterio every TIFF is a picture, and a warning says so.
    """
    suffix = Path(path).suffix.lower()
    if is_remote(path) or suffix in _OTHER_SUFFIXES:
        return True
    if not Path(path).is_file():
        return is_part_of_container(path) and not Path(path).exists()
    if suffix not in _TIFF:
        return suffix not in IMAGE_SUFFIXES and _opens(path)
    return _opens(path) and _is_more_than_an_image(path)


def _opens(path: str) -> bool:
    try:
        return _with_raster(path, lambda dataset: bool(dataset.count))
    except ModuleNotFoundError:
        _LOG.warning("%s is taken for a picture: scenes need the extra geo, pip install -e '.[geo]'", path)
        return False


def _is_more_than_an_image(path: str) -> bool:
    def judge(dataset: Any) -> bool:
        is_placed = dataset.crs or dataset.gcps[0] or dataset.rpcs or not dataset.transform.is_identity
        is_large = dataset.height * dataset.width > MAX_PICTURE_PX
        is_unusual = dataset.count > _PICTURE_BANDS or not set(dataset.dtypes) <= _PICTURE_DTYPES
        return bool(is_placed or is_large or is_unusual)

    return _with_raster(path, judge)


def _with_raster(path: str, ask: Any) -> bool:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as dataset:
                return bool(ask(dataset))
    except (RasterioError, UnicodeEncodeError):  # of a name that is no UTF-8
        return False


def scene_names(paths: Sequence[str]) -> list[str]:
    """Return a different name for each scene: its file's name without ending, or with its folders where two share it.

    Raises:
        DataError: Several cannot be told apart.
    """
    places = [Path(re.split(r"[?#]", path)[0]) if is_remote(path) else Path(path) for path in paths]
    names = distinct_names(places)
    bare = [name.removesuffix(place.suffix) for name, place in zip(names, places, strict=True)]
    return bare if len(set(bare)) == len(bare) else names
