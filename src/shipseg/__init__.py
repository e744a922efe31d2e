"""shipseg finds ships in optical satellite images.

    >>> import shipseg
    >>> model = shipseg.load_model("run/")            # a run, a model folder or an ONNX file   # doctest: +SKIP
    >>> prediction = model.predict("harbour.jpg")     # or a uint8 array (H, W, 3), RGB         # doctest: +SKIP
    >>> prediction.mask.shape, [ship.length_px for ship in prediction.ships]                    # doctest: +SKIP

What is heavy is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shipseg import masks
    from shipseg.inference.predictor import Prediction, Predictor, load_model

__all__ = ["Prediction", "Predictor", "__version__", "load_model", "masks"]

__version__ = "0.1.0"

_LAZY = {
    "Prediction": "shipseg.inference.predictor",
    "Predictor": "shipseg.inference.predictor",
    "load_model": "shipseg.inference.predictor",
    "masks": "shipseg.masks",
}
# So that `shipseg.masks.metrics.airbus_score(...)` works after `import shipseg` alone. They come with every lazy name:
# once some module of theirs is imported, Python knows `shipseg.masks` and asks here no more.
_MASKS_MODULES = ("shipseg.masks.metrics", "shipseg.masks.rle", "shipseg.masks.ships")


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'shipseg' has no attribute {name!r}")
    for module in _MASKS_MODULES:
        importlib.import_module(module)
    source = importlib.import_module(_LAZY[name])
    return source if name == "masks" else getattr(source, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
