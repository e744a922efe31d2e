"""GDAL on a short lead: bounded cache, patient with networks, silent on standard error, its complaints as sentences."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from shipseg.extras import needing

__all__ = ["gdal_name", "gdal_session", "is_part_of_container", "is_remote", "known_to_ogr", "reason_of"]

_FOLDER_OF_SCHEME = {
    "http": "/vsicurl/http://",
    "https": "/vsicurl/https://",
    "s3": "/vsis3/",
    "gs": "/vsigs/",
    "az": "/vsiaz/",
}
_PART_OF_CONTAINER = re.compile(r"/vsi|[A-Za-z0-9_]{2,}:")
_SETTINGS: dict[str, str | int] = {
    "GDAL_CACHEMAX": 192 * 2**20,  # bytes of decoded blocks; GDAL's own rule is 5 % of the machine's memory
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "1",  # seconds, doubled each time
    "GDAL_HTTP_CONNECTTIMEOUT": "15",
    "GDAL_HTTP_LOW_SPEED_TIME": "30",  # a connection that gives nothing for so long is given up
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
}
# Of a file that was opened with CPL_VSIL_CURL_NON_CACHED what was read is forgotten when it is closed: GDAL also keeps
# the half of a block after which the connection was lost, and would not ask for the rest.
_SETTINGS_REMOTE: dict[str, str | int] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"
}  # no listing of the server's folder, no side files
_TAKEN_APART = re.compile(r"!|[\x00-\x1f]|[\ud800-\udfff]")
"""In the name of a file: pyogrio takes it for the way into an archive, leaves it out, or cannot pass it on."""
_LOGGER = "rasterio._err"  # where rasterio passes on what GDAL warns of


def is_remote(path: str) -> bool:
    """Return whether a path is an address, such as https://... or s3://..., or one of GDAL's for networks."""
    return path.partition("://")[0] in _FOLDER_OF_SCHEME or path.startswith(tuple(_FOLDER_OF_SCHEME.values()))


def is_part_of_container(path: str) -> bool:
    """Return whether a path is one of GDAL's for what lies in another file: /vsizip/..., NETCDF:file:variable."""
    return _PART_OF_CONTAINER.match(path) is not None


def gdal_name(path: str) -> str:
    """Return the name by which GDAL knows a path or address.

    Example:
        >>> gdal_name("s3://bucket/scene.tif")
        '/vsis3/bucket/scene.tif'
    """
    scheme, separator, rest = path.partition("://")
    return _FOLDER_OF_SCHEME[scheme] + rest if separator and scheme in _FOLDER_OF_SCHEME else path


@contextlib.contextmanager
def gdal_session(path: str = "") -> Iterator[list[str]]:
    """Run GDAL (through rasterio) with our settings in this thread; gives a list that is filled with its warnings.

    A setting that stands in the process's environment is left as it is.

    Args:
        path: What is opened, if its being behind a network matters.

    Raises:
        MissingExtraError: rasterio is not installed.
    """
    with needing("geo"):
        import rasterio
    settings = _SETTINGS
    if is_remote(path):
        settings = settings | _SETTINGS_REMOTE | {"CPL_VSIL_CURL_NON_CACHED": gdal_name(path)}
    listener = _Listener()
    logger = logging.getLogger(_LOGGER)
    logger.addHandler(listener)
    try:
        with rasterio.Env(**{name: value for name, value in settings.items() if name not in os.environ}):
            yield listener.messages
    finally:
        logger.removeHandler(listener)


@contextlib.contextmanager
def known_to_ogr(path: Path) -> Iterator[Path]:
    """Give a name of a file that pyogrio understands as it is, read or written: the file's own where that is one.

    Else the file is reached by a link to its folder. Its own name, without folders, must be a plain one to be written.
    """
    if not _TAKEN_APART.search(str(path)):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="shipseg-") as folder:
        link = Path(folder) / f"link{path.suffix}"
        if _TAKEN_APART.search(path.name):
            link.symlink_to(path.resolve())
            yield link
        else:
            link.symlink_to(path.resolve().parent, target_is_directory=True)
            yield link / path.name


class _Listener(logging.Handler):
    """Keeps the messages of the thread that made it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.messages.append(record.getMessage())


def reason_of(error: BaseException, path: str) -> str:
    """Return the innermost complaint behind one of rasterio's errors in one line, without the file's name."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error.args[-1] if error.args else error).split())
    text = text.partition(" (this error can be turned")[0]  # GDAL's advice about its own settings
    for name in filter(None, (gdal_name(path), path, Path(path).name)):
        text = re.sub(rf"[`'\"]?{re.escape(name)}[`'\"]?[:,]? *", "", text)
    return text.strip(" .:,") or type(error).__name__
