"""Sorting inputs into scenes and images.

An image is predicted whole and gives a mask and an overlay; a scene is read in windows and gives ships on a map. Scenes
are URLs (https, s3 ...), formats that only GDAL reads (JPEG 2000, VRT ...), and TIFFs that are georeferenced, have more
than `MAX_IMAGE_PX` pixels, have more than four bands, or have other values than unsigned 8 or 16 bits.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from shipseg.geo.gdal import is_part_of_container, is_remote
from shipseg.inference.images import distinct_names
from shipseg.reading import IMAGE_SUFFIXES

__all__ = ["MAX_IMAGE_PX", "SCENE_SUFFIXES", "is_scene", "scene_names", "sort_inputs"]

_LOG = logging.getLogger(__name__)

MAX_IMAGE_PX: Final = 50_000_000
"""A larger TIFF is a scene: as an image it would be in memory whole, several times."""
_TIFF: Final = frozenset({".tif", ".tiff"})
_OTHER_SUFFIXES: Final = frozenset({".jp2", ".j2k", ".vrt", ".img", ".ecw", ".ntf", ".nitf", ".gtiff", ".btf"})
"""Suffixes of rasters that only GDAL reads, in lower case."""
SCENE_SUFFIXES: Final = _TIFF | _OTHER_SUFFIXES
"""Suffixes of files that may be scenes."""
_IMAGE_BANDS: Final = 4
_IMAGE_DTYPES: Final = frozenset({"uint8", "uint16"})


def sort_inputs(
    inputs: Iterable[str], out: Path, *, recursive: bool = False, for_scenes: bool = False
) -> tuple[list[str], list[Path]]:
    """Return the scenes and the images (or folders of images) among files, folders and URLs.

    A folder with scenes is replaced by its files, without those in `out`. If there are scenes, or scenes are expected,
    a TIFF that is missing or cannot be opened counts as a scene: it fails later, and does not stop the others.

    Args:
        inputs: Files, folders and URLs as given on the command line.
        out: Folder of results.
        recursive: Whether to search subfolders, except hidden ones.
        for_scenes: Whether scenes are expected, because an option for scenes was given.
    """
    scene_of: dict[str, bool] = {}  # whether each input is a scene, in the given order
    for given in inputs:
        if is_remote(given) or not Path(given).is_dir():
            scene_of.setdefault(given, is_scene(given))
            continue
        listed = {str(path): is_scene(str(path)) for path in _files_in(Path(given), out.resolve(), recursive=recursive)}
        if any(listed.values()):
            scene_of |= listed
        else:
            scene_of.setdefault(given, False)
    if for_scenes or any(scene_of.values()):
        for path, scene in scene_of.items():
            is_broken_tiff = not scene and _is_tiff(path) and not _opens(path)
            scene_of[path] = scene or is_broken_tiff
    scenes = [path for path, scene in scene_of.items() if scene]
    return scenes, [Path(path) for path, scene in scene_of.items() if not scene]


def _is_tiff(path: str) -> bool:
    return Path(path).suffix.lower() in _TIFF and not Path(path).is_dir()


def _files_in(folder: Path, out: Path, *, recursive: bool) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        parent = Path(root)
        folders[:] = sorted(
            name for name in folders if recursive and name[0] != "." and (parent / name).resolve() != out
        )
        if parent.resolve() != out:
            yield from (parent / name for name in sorted(names) if name[0] != "." and _may_be_raster(name))


def _may_be_raster(name: str) -> bool:
    return Path(name).suffix.lower() in IMAGE_SUFFIXES | SCENE_SUFFIXES


def is_scene(path: str) -> bool:
    """Return whether a file or URL is a scene, by the rule in the module's docstring.

    Without rasterio every TIFF counts as an image, with a warning.
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
        _LOG.warning("%s is read as an image: scenes need the extra geo, pip install -e '.[geo]'", path)
        return False


def _is_more_than_an_image(path: str) -> bool:
    def check(dataset: Any) -> bool:
        has_georef = dataset.crs or dataset.gcps[0] or dataset.rpcs or not dataset.transform.is_identity
        is_large = dataset.height * dataset.width > MAX_IMAGE_PX
        is_unusual = dataset.count > _IMAGE_BANDS or not set(dataset.dtypes) <= _IMAGE_DTYPES
        return bool(has_georef or is_large or is_unusual)

    return _with_raster(path, check)


def _with_raster(path: str, check: Callable[[Any], bool]) -> bool:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as dataset:
                return bool(check(dataset))
    except (RasterioError, UnicodeEncodeError):  # the latter for a name that is not valid UTF-8
        return False


def scene_names(paths: Sequence[str]) -> list[str]:
    """Return a unique name for each scene: its file name without suffix, with folders if two have the same.

    Raises:
        DataError: The names cannot be made unique.
    """
    files = [Path(re.split(r"[?#]", path)[0]) if is_remote(path) else Path(path) for path in paths]
    names = distinct_names(files)
    bare = [name.removesuffix(file.suffix) for name, file in zip(names, files, strict=True)]
    return bare if len(set(bare)) == len(bare) else names
