"""Every error that a user of shipseg can cause.

    ShipsegError
    ├── ConfigError            a value in a recipe, on the command line or in a call
    ├── MissingExtraError      an optional dependency is not installed
    ├── StorageError           a full disk, a folder that cannot be written, a file in the way
    ├── DataError              a file that the user gave: CSV, folder, dataset
    │   ├── RleError           a run-length text
    │   └── ImageError         an image file; `reason` gives the cause in one word
    ├── ModelError             a model folder, an ONNX file, encoder weights
    └── TrainingError          a run
        ├── CheckpointError    a checkpoint that cannot be used
        ├── NonFiniteLossError the loss became NaN or infinite
        └── TrainingInterrupted  stopped by a signal, after a checkpoint was saved

A message is one sentence: what is wrong with which value, where, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "ImageError",
    "MissingExtraError",
    "ModelError",
    "NonFiniteLossError",
    "RleError",
    "ShipsegError",
    "StorageError",
    "TrainingError",
    "TrainingInterrupted",
    "unknown_name",
]

ImageFault = Literal["unreadable", "truncated", "unsupported", "missing"]


class ShipsegError(Exception):
    """Base of all errors that a user can cause."""


class ConfigError(ShipsegError):
    """A value in a recipe, on the command line or in a call is wrong."""


class MissingExtraError(ShipsegError):
    """An optional dependency is not installed."""


class StorageError(ShipsegError):
    """A file or folder cannot be written."""


class DataError(ShipsegError):
    """A file or folder that the user gave is missing or invalid."""


class RleError(DataError):
    """A run-length text is malformed."""


class ImageError(DataError):
    """An image file cannot be used.

    Args:
        message: One sentence for the user.
        reason: The cause in one word, as in a dataset's index.
    """

    def __init__(self, message: str, *, reason: ImageFault) -> None:
        super().__init__(message)
        self.reason: ImageFault = reason


class ModelError(ShipsegError):
    """A model cannot be built, read or run."""


class TrainingError(ShipsegError):
    """A run cannot start or continue."""


class CheckpointError(TrainingError):
    """A checkpoint cannot be used."""


class NonFiniteLossError(TrainingError):
    """The loss became NaN or infinite; the message names the batch."""


class TrainingInterrupted(TrainingError):  # noqa: N818  (an interruption, not a fault)
    """A signal stopped the run; a checkpoint was saved."""


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> ConfigError:
    """Return the error for an unknown name, with the nearest valid name and all of them.

    Example:
        >>> str(unknown_name("loss", "dise", ["bce", "dice"]))
        "unknown loss 'dise', did you mean 'dice'? Valid: bce, dice"
    """
    names = sorted(valid)
    nearest = difflib.get_close_matches(name, names, n=1)
    hint = f", did you mean {nearest[0]!r}?" if nearest else "."
    return ConfigError(f"unknown {kind} {name!r}{hint} Valid: {', '.join(names)}")
