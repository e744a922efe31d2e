"""Errors form the tree in the docstring of the module, and missing packages name the command that installs them."""

from __future__ import annotations

import inspect
import re

import pytest

from shipseg import errors, extras


def test_the_tree_in_the_docstring_is_the_tree_in_the_code() -> None:
    drawn = re.findall(r"(?:├──|└──|^ {4})\s*(\w+(?:Error|Interrupted))", errors.__doc__ or "", re.MULTILINE)
    defined = [n for n, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.ShipsegError)]
    assert sorted(drawn) == sorted(defined)


def test_an_unknown_name_gives_the_nearest_and_all_valid_ones() -> None:
    assert str(errors.unknown_name("loss", "dise", ["dice", "bce"])) == (
        "unknown loss 'dise', did you mean 'dice'? Valid: bce, dice"
    )
    assert str(errors.unknown_name("loss", "zzz", ["dice"])) == "unknown loss 'zzz'. Valid: dice"


def test_a_missing_package_names_the_pip_command() -> None:
    with pytest.raises(errors.MissingExtraError, match=r"pip install -e '.\[geo\]'"), extras.needing("geo"):
        raise ModuleNotFoundError("no", name="rasterio.windows")
    with (
        pytest.raises(errors.MissingExtraError, match=r"jinja2 .*\[geo\]"),
        extras.needing("geo"),
        extras.needing("train"),
    ):
        raise ModuleNotFoundError("no", name="jinja2")
    assert extras.explain_missing(ModuleNotFoundError("no", name="somebody_elses")) is None
