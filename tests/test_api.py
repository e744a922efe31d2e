"""The public names of `import shipseg`, and what it imports."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import shipseg

HEAVY = ("torch", "pandas", "onnxruntime", "cv2", "numpy", "pydantic", "pycocotools", "matplotlib", "scipy")


def python(code: str) -> str:
    """Run code in a new interpreter and return its output."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_shipseg_imports_nothing_heavy() -> None:
    assert python(f"import sys, shipseg; print([name for name in {HEAVY} if name in sys.modules])") == "[]"


def test_every_public_name_exists_and_is_listed() -> None:
    for name in shipseg.__all__:
        assert getattr(shipseg, name) is not None
        assert name in dir(shipseg)


def test_the_version_is_a_plain_literal_that_the_build_can_read() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.\w+)?", shipseg.__version__)
    assert f'__version__ = "{shipseg.__version__}"' in Path(str(shipseg.__file__)).read_text()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'shipseg' has no attribute 'find_boats'"):
        shipseg.find_boats  # noqa: B018


@pytest.mark.parametrize("first", ["shipseg", "shipseg.load_model", "shipseg.Prediction"])
def test_the_airbus_score_is_available_from_the_package_alone(first: str) -> None:
    assert python(f"import shipseg\n{first}\nprint(callable(shipseg.masks.metrics.airbus_score))") == "True"


def test_the_example_of_the_readme(model_folder: Path) -> None:
    model = shipseg.load_model(model_folder)
    prediction = model.predict(np.zeros((50, 70, 3), np.uint8))
    assert isinstance(prediction, shipseg.Prediction)
    assert prediction.probability.shape == prediction.mask.shape == (50, 70)
    assert isinstance(prediction.ships, tuple)
