"""GDAL sessions: a bounded cache, retries over networks, nothing on standard error, and readable error messages."""

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

__all__ = ["gdal_name", "gdal_session", "is_part_of_container", "is_remote", "ogr_path", "reason_of"]

_FOLDER_OF_SCHEME = {
    "http": "/vsicurl/http://",
    "https": "/vsicurl/https://",
    "s3": "/vsis3/",
    "gs": "/vsigs/",
    "az": "/vsiaz/",
}
_PART_OF_CONTAINER = re.compile(r"/vsi|[A-Za-z0-9_]{2,}:")
_SETTINGS: dict[str, str | int] = {
    "GDAL_CACHEMAX": 192 * 2**20,  # bytes of decoded blocks; GDAL's default is 5 % of the machine's memory
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "1",  # seconds, doubled after each retry
    "GDAL_HTTP_CONNECTTIMEOUT": "15",
    "GDAL_HTTP_LOW_SPEED_TIME": "30",  # seconds without data after which a connection is closed
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
}
# With CPL_VSIL_CURL_NON_CACHED GDAL forgets a file's data when the file is closed. Otherwise it would keep the first
# half of a block when the connection is lost, and not request the rest.
_SETTINGS_REMOTE: dict[str, str | int] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"
}  # does not list the server's folder or look for sidecar files
_UNSAFE_NAME = re.compile(r"!|[\x00-\x1f]|[\ud800-\udfff]")
"""Characters of a file name that pyogrio takes for a path inside an archive, drops, or cannot encode."""
_LOGGER = "rasterio._err"  # receives the warnings of GDAL


def is_remote(path: str) -> bool:
    """Return whether a path is a URL such as https://... or s3://..., or a network path of GDAL such as /vsicurl/..."""
    return path.partition("://")[0] in _FOLDER_OF_SCHEME or path.startswith(tuple(_FOLDER_OF_SCHEME.values()))


def is_part_of_container(path: str) -> bool:
    """Return whether a path names a dataset inside another file, such as /vsizip/... or NETCDF:file:variable."""
    return _PART_OF_CONTAINER.match(path) is not None


def gdal_name(path: str) -> str:
    """Return the GDAL name of a path or URL.

    Example:
        >>> gdal_name("s3://bucket/scene.tif")
        '/vsis3/bucket/scene.tif'
    """
    scheme, separator, rest = path.partition("://")
    return _FOLDER_OF_SCHEME[scheme] + rest if separator and scheme in _FOLDER_OF_SCHEME else path


@contextlib.contextmanager
def gdal_session(path: str = "") -> Iterator[list[str]]:
    """Run GDAL through rasterio with our settings in this thread, and yield a list that collects its warnings.

    Settings in the environment of the process take precedence.

    Args:
        path: Path or URL that is opened; a remote one gets settings of its own.

    Raises:
        MissingExtraError: rasterio is not installed.
    """
    with needing("geo"):
        import rasterio
    settings = _SETTINGS
    if is_remote(path):
        settings = settings | _SETTINGS_REMOTE | {"CPL_VSIL_CURL_NON_CACHED": gdal_name(path)}
    collector = _WarningCollector()
    logger = logging.getLogger(_LOGGER)
    logger.addHandler(collector)
    try:
        with rasterio.Env(**{name: value for name, value in settings.items() if name not in os.environ}):
            yield collector.messages
    finally:
        logger.removeHandler(collector)


@contextlib.contextmanager
def ogr_path(path: Path) -> Iterator[Path]:
    """Yield a path of a file that pyogrio can read and write.

    This is the file's own path if all its characters are safe. Else it is a path through a temporary symbolic link to
    its folder, or, if its own name is unsafe, to the file itself, which can then only be read.
    """
    if not _UNSAFE_NAME.search(str(path)):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="shipseg-") as folder:
        link = Path(folder) / f"link{path.suffix}"
        if _UNSAFE_NAME.search(path.name):
            link.symlink_to(path.resolve())
            yield link
        else:
            link.symlink_to(path.resolve().parent, target_is_directory=True)
            yield link / path.name


class _WarningCollector(logging.Handler):
    """Collects the messages of the thread that created it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.messages.append(record.getMessage())


def reason_of(error: BaseException, path: str) -> str:
    """Return the message of the innermost cause of a rasterio error in one line, without the file's name."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error.args[-1] if error.args else error).split())
    text = text.partition(" (this error can be turned")[0]  # advice about settings of GDAL
    for name in filter(None, (gdal_name(path), path, Path(path).name)):
        text = re.sub(rf"[`'\"]?{re.escape(name)}[`'\"]?[:,]? *", "", text)
    return text.strip(" .:,") or type(error).__name__
