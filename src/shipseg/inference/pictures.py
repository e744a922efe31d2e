"""Which pictures are meant by files and folders, and under which names their results are written."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shipseg.errors import ConfigError, DataError
from shipseg.reading import IMAGE_SUFFIXES, list_images

__all__ = ["OUTPUT_FOLDERS", "Picture", "distinct_names", "find_pictures"]

_LOG = logging.getLogger(__name__)

OUTPUT_FOLDERS: Final = ("masks", "overlays")
"""Folders of pictures inside an output folder."""


@dataclass(frozen=True)
class Picture:
    """A picture to look at."""

    path: Path
    name: str
    """Of the files written about it, without suffix; no two pictures share one."""
    label: str
    """What it is called in tables: its file name where no other picture has the same, else its path."""


def find_pictures(inputs: Sequence[Path], out: Path, *, recursive: bool = False) -> list[Picture]:
    """Return the pictures that the inputs stand for, each once, in the order given; those of a folder sorted by name.

    A folder stands for the images directly inside it; with `recursive` also for those in the folders inside it, hidden
    and linked ones aside. Without, the folders with pictures that are passed over are counted in a warning. Pictures in
    `out`'s own masks/ and overlays/ are left out: a shell's `*` may include the output folder. Results are called after
    a picture's stem, or, where several share it, after its file name and as many of its folders as tell them apart.

    Raises:
        ConfigError: No input is given, or `out` is one of the folders and holds pictures.
        DataError: An input does not exist, a folder holds no image, or nothing but earlier results is left.
    """
    if not inputs:
        raise ConfigError("nothing to predict: give pictures or folders of pictures")
    for given in inputs:
        if given.is_dir() and given.resolve() == out.resolve() and list_images(given):
            raise ConfigError(
                f"the results would be written among the pictures in {out}: choose another folder for them"
            )
    own_places = {(out / name).resolve() for name in OUTPUT_FOLDERS}
    paths: dict[Path, Path] = {}
    for path in (path for given in inputs for path in _listed(Path(given), out, recursive=recursive)):
        folder = path.parent.resolve()
        if folder not in own_places:
            paths.setdefault(folder / path.name, path)
    if not paths:
        raise DataError(f"the inputs hold nothing but results of an earlier run ({out}): give the pictures themselves")
    names = distinct_names(list(paths))
    shared = Counter(path.name for path in paths.values())
    return [
        Picture(path, name, _printable(path.name if shared[path.name] == 1 else str(path)))
        for path, name in zip(paths.values(), names, strict=True)
    ]


def _listed(given: Path, out: Path, *, recursive: bool) -> list[Path]:
    if given.is_file():
        return [given]
    if not given.is_dir():
        raise DataError(f"there is no picture or folder {given}: check the path")
    listed = list_images(given)
    if recursive:
        listed += [path for folder in _folders_inside(given) for path in list_images(folder)]
    if not listed and not given.resolve().is_relative_to(out.resolve()):
        suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
        deeper = "" if recursive else "; folders inside it are not looked into, --recursive does"
        raise DataError(f"folder {given} holds no picture ({suffixes}){deeper}")
    if listed and not recursive:
        _warn_of_folders(given, out)
    return listed


def _folders_inside(given: Path) -> list[Path]:
    """Return all folders inside a folder at any depth, in order, without hidden and linked ones."""
    found = []
    for root, folders, _ in os.walk(given):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(root) / name for name in folders if not (Path(root) / name).is_symlink()]
    return found


def _warn_of_folders(given: Path, out: Path) -> None:
    """Say how many folders with pictures are passed over, those of our own results aside."""
    results = out.resolve()
    passed = [
        folder
        for folder in _folders_inside(given)
        if not folder.resolve().is_relative_to(results) and list_images(folder)
    ]
    if passed:
        count = "1 folder" if len(passed) == 1 else f"{len(passed):,} folders"
        _LOG.warning("%s with pictures inside %s not looked into: --recursive does", count, given)


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Return a different name for each of the different absolute paths: its stem, or as much more as it takes.

    Raises:
        DataError: Several paths cannot be told apart.
    """
    names = [path.stem for path in paths]
    depth = 1
    while doubled := {name for name, count in Counter(names).items() if count > 1}:
        if depth > max(len(path.parts) for path in paths):
            raise DataError(f"several pictures would be written as {min(doubled)}: rename one of them")
        names = [
            "__".join(path.parts[-depth:]).replace("/", "") if name in doubled else name
            for path, name in zip(paths, names, strict=True)
        ]
        depth += 1
    return names


def _printable(name: str) -> str:
    """Return a name that can be written as UTF-8; file names on Linux are any bytes."""
    return name.encode("utf-8", "backslashreplace").decode()
