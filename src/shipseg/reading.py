"""Reading of image files: every format becomes an RGB array, every damaged file an error.

OpenCV decodes many damaged files silently (libjpeg fills missing data with grey and prints to standard error), so the
end of the file is checked before decoding, and the decoders' messages are captured and checked afterwards.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
import tempfile
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.errors import DataError, ImageError

__all__ = ["IMAGE_SUFFIXES", "list_images", "read_image"]

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"})
"""Suffixes of image files, in lower case."""

_FULL_SCALES_16BIT = (255, 1023, 4095, 16383, 65535)  # 8, 10, 12, 14 and 16 bits of a sensor in a 16-bit file
_FLAGS = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR  # keeps 16 bits, drops alpha, converts CMYK, applies EXIF rotation

_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # BigTIFF
    b"MM\0+": "TIFF",
    b"BM": "BMP",
}
_START_OF_SCAN = 0xDA
_END_OF_IMAGE = b"\xff\xd9"
_FROM_DECODERS = re.compile(r"jpeg|libpng|tiff|webp|imdecode|\[ ?(?:warn|error|info):", re.IGNORECASE)
_CUT_SHORT = re.compile(
    r"premature end|seek error|read error|unexpected end|incomplete|got \d+ bytes, expected", re.IGNORECASE
)
_DAMAGED = re.compile(r"corrupt jpeg data: [^\n]*|tiff_error [^\n]*|libpng error: [^\n]*", re.IGNORECASE)


def list_images(folder: Path) -> list[Path]:
    """Return the image files directly inside `folder`, sorted by name, without hidden files.

    Raises:
        DataError: `folder` is not a folder or cannot be listed.
    """
    folder = Path(folder)
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".") and Path(entry.path).is_file()]
    except OSError as error:
        raise DataError(
            f"{folder} cannot be listed as a folder of images ({error.strerror}): check the path"
        ) from error
    return [folder / name for name in sorted(names) if Path(name).suffix.lower() in IMAGE_SUFFIXES]


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """Return an image file as uint8 (H, W, 3) in RGB order, 0-255.

    Reads JPEG, PNG, TIFF (first page), BMP and WebP. Grey becomes three equal channels; alpha is dropped (libtiff
    blends it with black: transparent pixels of a TIFF are black); EXIF rotation is applied. 16-bit values are divided
    by the smallest of 255, 1023, 4095, 16383 and 65535 (8 to 16 bits of a sensor) that is not below the file's largest
    value, and scaled to 0-255.

    Raises:
        ImageError: The file is missing, truncated, otherwise unreadable, or of an unsupported format; see `reason`. A
            JPEG with corrupt data counts as damaged even if libjpeg can fill the gap.
    """
    path = Path(path)
    data = _read_bytes(path)
    kind = _kind_of(data, path)
    if kind == "JPEG":
        _check_jpeg_is_whole(data, path)
    elif kind == "PNG":
        _check_png_is_whole(data, path)
    elif kind == "WebP" and len(data) < struct.unpack("<I", data[4:8])[0] + 8:
        raise _truncated(path, "the RIFF header announces more bytes than the file has")
    decoded, messages = _decode(data, path)
    if messages:
        _check_messages(messages, has_pixels=decoded is not None, path=path)
    if decoded is None:
        raise ImageError(f"{path} cannot be decoded as {kind}: save it again", reason="unreadable")
    return _to_rgb(_to_uint8(decoded, path), path)


def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise ImageError(f"there is no image file {path}: check the path", reason="missing") from error
    except OSError as error:
        raise ImageError(f"{path} cannot be opened ({error.strerror})", reason="unreadable") from error
    if not data:
        raise _truncated(path, "it is empty")
    return data


def _kind_of(data: bytes, path: Path) -> str:
    for magic, kind in _MAGIC.items():
        if data.startswith(magic):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    raise ImageError(
        f"{path} is not a JPEG, PNG, TIFF, BMP or WebP file: convert it or leave it out", reason="unsupported"
    )


def _truncated(path: Path, how: str) -> ImageError:
    return ImageError(f"{path} is truncated ({how}): copy it again", reason="truncated")


def _check_jpeg_is_whole(data: bytes, path: Path) -> None:
    """Skip the segments before the first scan; behind it, an end marker cannot be data, in which it is escaped."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker == _START_OF_SCAN:
            if data.find(_END_OF_IMAGE, position) < 0:
                raise _truncated(path, "the JPEG has no end marker")
            return
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    if position + 4 > len(data):
        raise _truncated(path, "the JPEG ends in its header")


def _check_png_is_whole(data: bytes, path: Path) -> None:
    position = 8
    while position + 12 <= len(data):
        length, name = struct.unpack(">I4s", data[position : position + 8])
        end = position + 12 + length
        if end > len(data):
            break
        if zlib.crc32(data[position + 4 : end - 4]) != struct.unpack(">I", data[end - 4 : end])[0]:
            raise ImageError(f"{path} is damaged (checksum of PNG chunk {name!r}): save it again", reason="unreadable")
        if name == b"IEND":
            return
        position = end
    raise _truncated(path, "the PNG has no end chunk")


def _decode(data: bytes, path: Path) -> tuple[NDArray[Any] | None, str]:
    with _caught_messages() as messages:
        try:
            decoded = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS)
        except cv2.error as error:
            raise ImageError(
                f"{path} has a size, number of channels or type that is not supported ({error.err or error.code}): "
                "convert it to 8-bit RGB",
                reason="unsupported",
            ) from error
    return decoded, "".join(messages)


_STDERR = 2
_stderr_lock = threading.Lock()


@contextlib.contextmanager
def _caught_messages() -> Iterator[list[str]]:
    """Capture what decoders write to standard error inside the block; pass on what other threads write there.

    Through OpenCV, libjpeg and libpng report damage in no other way. File descriptor 2 belongs to the whole process, so
    only one thread decodes at a time (4 ms for a 768 px tile).
    """
    messages: list[str] = []
    with _stderr_lock, tempfile.TemporaryFile() as sink:
        try:
            saved = os.dup(_STDERR)
        except OSError:  # a daemon without standard error: nothing to capture
            yield messages
            return
        try:
            os.dup2(sink.fileno(), _STDERR)
            try:
                yield messages
            finally:
                os.dup2(saved, _STDERR)
            sink.seek(0)
            caught = sink.read()
            text = caught.decode("utf-8", "replace")
            if _FROM_DECODERS.search(text):
                messages.append(text)
            elif caught:
                os.write(_STDERR, caught)
        finally:
            os.close(saved)


def _check_messages(messages: str, *, has_pixels: bool, path: Path) -> None:
    damage = _DAMAGED.search(messages)
    if damage is None and has_pixels:
        return  # warnings such as an unknown colour profile
    if _CUT_SHORT.search(messages):
        raise _truncated(path, "its data ends too early")
    if damage is not None:
        raise ImageError(f"{path} is damaged ({damage.group().strip()}): save it again", reason="unreadable")


def _to_uint8(decoded: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    if decoded.dtype == np.uint8:
        return decoded
    if decoded.dtype != np.uint16:
        raise ImageError(
            f"{path} holds {decoded.dtype} values, only 8-bit and unsigned 16-bit images are supported: "
            "convert it, scaled to 0-255",
            reason="unsupported",
        )
    largest = int(decoded.max())
    full_scale = next(scale for scale in _FULL_SCALES_16BIT if largest <= scale)
    return np.asarray(cv2.convertScaleAbs(decoded, alpha=255 / full_scale), np.uint8)


def _to_rgb(decoded: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    if decoded.ndim == 2 or decoded.shape[2] == 1:
        code = cv2.COLOR_GRAY2RGB
    elif decoded.shape[2] == 3:
        code = cv2.COLOR_BGR2RGB
    else:
        raise ImageError(
            f"{path} has {decoded.shape[2]} channels, only grey, RGB and RGBA are supported: convert it",
            reason="unsupported",
        )
    return np.asarray(cv2.cvtColor(decoded, code), np.uint8)
