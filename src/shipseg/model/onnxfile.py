"""Metadata and graph hash of an ONNX file, read without the onnx package.

An ONNX file is one protobuf message. Its top-level fields are read one by one: field 14 holds the metadata, everything
else (graph, weights, operator sets) is hashed. A card can be changed without changing the hash, and a changed weight,
which ONNX Runtime would use silently, is detected.

Source: the wire format in protobuf's documentation; `ModelProto` in onnx.proto.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from shipseg.errors import ModelError

__all__ = [
    "COUNTERS_KEY",
    "HASH_KEY",
    "STATE_PREFIX",
    "check_graph",
    "check_state_dict",
    "graph_hash",
    "read_metadata",
    "read_onnx",
]

HASH_KEY: Final = "shipseg-graph-sha256"
"""Key of the graph's hash in the metadata; missing in files exported by shipseg 0.1."""
COUNTERS_KEY: Final = "shipseg-counters"
"""Key of the state dict's integers that no graph uses (batch norm's `num_batches_tracked`), as JSON by name.

A file that has it holds the whole state dict. Older files do not: their batch norms are folded into the convolutions.
"""
STATE_PREFIX: Final = "network.body."
"""What the names of the initialisers have before those of the state dict."""
_METADATA_FIELD: Final = 14
_FIXED_BYTES: Final = {1: 8, 5: 4}


def read_onnx(path: Path) -> bytes:
    """Return the bytes of an ONNX file.

    Raises:
        ModelError: The file does not exist or cannot be read.
    """
    if not path.is_file():
        raise ModelError(f"there is no model file {path}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror or error}): copy it again") from error


def read_metadata(data: bytes, path: Path) -> dict[str, str]:
    """Return the metadata of an ONNX file's bytes; `path` is named in errors.

    Raises:
        ModelError: It is not an ONNX file, or it is damaged.
    """
    try:
        entries = (
            {number: data[start:end].decode() for number, start, end in _fields(data, *span)}
            for number, *span in _fields(data, 0, len(data))
            if number == _METADATA_FIELD
        )
        return {entry.get(1, ""): entry.get(2, "") for entry in entries}
    except (ValueError, IndexError) as error:
        raise ModelError(
            f"{path} is not a readable ONNX file (no ONNX, damaged or cut short): export the model again"
        ) from error


def graph_hash(data: bytes) -> str:
    """Return the SHA-256 of all but the metadata of an ONNX file's bytes, as hex digits.

    Raises:
        ValueError: They are not those of an ONNX file.
    """
    digest, rest = hashlib.sha256(), memoryview(data)
    for number, start, end in _fields(data, 0, len(data)):
        if number != _METADATA_FIELD:
            digest.update(b"%d:%d;" % (number, end - start))
            digest.update(rest[start:end])
    return digest.hexdigest()


def check_graph(data: bytes, metadata: dict[str, str], path: Path) -> None:
    """Check that graph and weights of an ONNX file are those that were exported; `path` is named in the error.

    Raises:
        ModelError: The hash in its metadata differs. A file without a hash passes.
    """
    if HASH_KEY in metadata and metadata[HASH_KEY] != graph_hash(data):
        raise ModelError(
            f"{path} is not the file that was exported (SHA-256 of its graph differs: damaged or changed): "
            "copy it again or export the model again"
        )


def check_state_dict(metadata: dict[str, str], path: Path) -> None:
    """Refuse an ONNX file that does not hold the whole state dict; `path` is named in the error.

    Raises:
        ModelError: Its metadata have no `COUNTERS_KEY`.
    """
    if COUNTERS_KEY not in metadata:
        raise ModelError(
            f"{path} predicts, but holds no weights for torch (an older file, or of a network whose weights change in "
            "an export): give the run or the model folder that it was made from, or predict with backend onnx"
        )


def _fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of the content of each field of the message in data[start:end]."""
    while start < end:
        tag, begin = _varint(data, start)
        kind = tag & 7
        if kind == 0:
            start = _varint(data, begin)[1]
        elif kind == 2:
            length, begin = _varint(data, begin)
            start = begin + length
        elif kind in _FIXED_BYTES:
            start = begin + _FIXED_BYTES[kind]
        else:
            raise ValueError(f"wire type {kind}")
        if start > end:
            raise ValueError("the message ends inside a field")
        yield tag >> 3, begin, start


def _varint(data: bytes, start: int) -> tuple[int, int]:
    """Return the varint at `start` (seven bits a byte, lowest first) and the offset of its end."""
    value = 0
    for place in range(10):
        byte = data[start + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, start + place + 1
    raise ValueError("a number of more than ten bytes")
