"""Optional dependencies: which extra installs which package, and the error that names it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from shipseg.errors import MissingExtraError

__all__ = ["explain_missing", "needing"]

_EXTRA_OF_PACKAGE = {
    "torch": "train",
    "torchvision": "train",
    "segmentation_models_pytorch": "train",
    "timm": "train",
    "albumentations": "train",
    "pandas": "train",
    "pyarrow": "train",
    "sklearn": "train",
    "pycocotools": "train",
    "PIL": "train",
    "matplotlib": "train",
    "jinja2": "train",
    "tensorboard": "train",
    "safetensors": "train",
    "onnx": "train",
    "onnxscript": "train",
    "rasterio": "geo",
    "pyogrio": "geo",
    "geopandas": "geo",
    "pyproj": "geo",
    "ray": "cluster",
}


def explain_missing(error: ModuleNotFoundError) -> MissingExtraError | None:
    """Return the error that names the pip command, or None if the module belongs to no extra."""
    package = (error.name or "").partition(".")[0]
    extra = _EXTRA_OF_PACKAGE.get(package)
    if extra is None:
        return None
    return _missing(package, extra)


@contextlib.contextmanager
def needing(extra: str) -> Iterator[None]:
    """Turn a failed import inside the block into the error that names the pip command for `extra`.

    The outermost of nested blocks decides which extra is named.

    Example:
        >>> with needing("train"):
        ...     import json
    """
    try:
        yield
    except (ModuleNotFoundError, MissingExtraError) as error:
        missing = error.__cause__ if isinstance(error, MissingExtraError) else error
        if not isinstance(missing, ModuleNotFoundError):
            raise
        raise _missing((missing.name or "").partition(".")[0], extra) from missing


def _missing(package: str, extra: str) -> MissingExtraError:
    return MissingExtraError(
        f"{package} is needed for this and is not installed: run  pip install -e '.[{extra}]'  in shipseg's folder"
    )
