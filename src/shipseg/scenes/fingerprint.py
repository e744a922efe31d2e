"""What tells one version of a scene's file from another, cheaply: a run that goes on compares it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from shipseg.errors import DataError
from shipseg.geo.gdal import gdal_session, reason_of

__all__ = ["fingerprint_of_file", "fingerprint_of_raster"]

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
