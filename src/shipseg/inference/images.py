"""Pictures and folders of pictures in; masks, overlays and tables of ships out."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError, DataError, ImageError, unknown_name
from shipseg.files import csv_text, ensure_folder, remove_leftovers, storage_errors, write_bytes, write_text
from shipseg.inference.formats import FORMATS, ImageShips, check_unique_ids, write_submission
from shipseg.inference.overlay import draw_ships
from shipseg.inference.predictor import Prediction, Predictor, checked_threshold
from shipseg.number_formats import counted
from shipseg.progress import track
from shipseg.reading import IMAGE_SUFFIXES, list_images, read_image

__all__ = [
    "OUTPUT_FOLDERS",
    "Failure",
    "ImageFile",
    "PredictOptions",
    "PredictReport",
    "distinct_names",
    "find_images",
    "predict_images",
]


# Which pictures are meant by files and folders, and under which names their results are written.

_LOG = logging.getLogger(__name__)

OUTPUT_FOLDERS: Final = ("masks", "overlays")
"""Folders of pictures inside an output folder."""


@dataclass(frozen=True)
class ImageFile:
    """A picture to look at."""

    path: Path
    name: str
    """Of the files written about it, without suffix; no two pictures share one."""
    label: str
    """What it is called in tables: its file name where no other picture has the same, else its path."""


def find_images(inputs: Sequence[Path], out: Path, *, recursive: bool = False) -> list[ImageFile]:
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
        ImageFile(path, name, _printable(path.name if shared[path.name] == 1 else str(path)))
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
        folders = counted(len(passed), "folder")
        _LOG.warning("%s with pictures inside %s not looked into: --recursive does", folders, given)


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


_JPEG_QUALITY: Final = 92
# JPEG cannot hold more than 65,535 pixels a side, and no one looks at an overlay of that size as one picture.
_MAX_OVERLAY_SIDE_PX: Final = 8192
_SHOWN_FAILURES: Final = 10


@dataclass(frozen=True)
class PredictOptions:
    """What to write about the pictures.

    Raises:
        ConfigError: An unknown format, or a threshold outside 0-1.
    """

    formats: tuple[str, ...] = ("csv",)
    """Tables of ships, of `tables.FORMATS`; ships.csv is written in any case."""
    overlays: bool = True
    """Write pictures with the ships drawn on them."""
    threshold: float | None = None
    """In 0-1; None takes the model's own."""
    submission: Path | None = None
    """Also write the challenge's submission CSV to this file."""
    recursive: bool = False
    """Take the pictures in folders inside the given folders, too."""

    def __post_init__(self) -> None:
        for name in self.formats:
            if name not in FORMATS:
                raise unknown_name("format", name, FORMATS)
        if self.threshold is not None:
            checked_threshold(self.threshold)


@dataclass(frozen=True)
class Failure:
    """A picture that could not be used."""

    path: Path
    reason: str
    """One word: missing, unreadable, truncated, unsupported."""
    message: str
    """The same in a sentence."""


@dataclass(frozen=True)
class PredictReport:
    """What was found and written."""

    num_images: int
    """Pictures given, those that failed included."""
    num_ships: int
    num_images_with_ships: int
    failed: tuple[Failure, ...]
    """Pictures that could not be used, also in failed.csv."""
    written: tuple[Path, ...]
    """Folders and files."""
    elapsed_s: float = field(compare=False)

    @property
    def ok(self) -> bool:
        """Whether every picture could be used."""
        return not self.failed

    def as_dict(self) -> dict[str, Any]:
        """Return the summary of a command: plain data, the first failures in words."""
        return {
            "pictures": self.num_images,
            "with_ships": self.num_images_with_ships,
            "ships": self.num_ships,
            "failed": len(self.failed),
            "elapsed_s": round(self.elapsed_s, 2),
            "written": [str(path) for path in self.written],
            "failures": {failure.path.name: failure.message for failure in self.failed[:_SHOWN_FAILURES]},
        }


def predict_images(
    inputs: Sequence[Path], out: Path, predictor: Predictor, options: PredictOptions | None = None
) -> PredictReport:
    """Find the ships in pictures and folders of pictures, and write what was found to the folder `out`.

    `masks/NAME.png` (uint8, 255 is ship), `overlays/NAME.jpg`, `ships.csv` (one row per ship) and what the options ask
    for. A picture that cannot be read is reported and left out (in a submission it stands without a ship); it does not
    stop the others. Each file is written whole or not at all, and a run that was killed is simply started again.

    Args:
        inputs: Image files, and folders whose images are taken.
        out: Folder to write, made when missing. What lies in its masks/ and overlays/ is never taken as input.
        predictor: The model.
        options: What to write; None writes masks, overlays and ships.csv.

    Raises:
        DataError: An input does not exist, or a folder holds no image.
        ConfigError: No input; or two pictures of one name in a submission.
        StorageError: `out` cannot be written.
    """
    started = time.monotonic()
    options = options or PredictOptions()
    pictures = find_images(inputs, out, recursive=options.recursive)
    if options.submission is not None:
        check_unique_ids([picture.path.name for picture in pictures])
        if options.submission.resolve() in {picture.path.resolve() for picture in pictures}:
            raise ConfigError(
                f"the submission {options.submission} would replace one of the pictures: choose another name"
            )
    folders = [ensure_folder(out / "masks")] + ([ensure_folder(out / "overlays")] if options.overlays else [])
    for folder in (out, *folders):
        remove_leftovers(folder)
    found: list[ImageShips] = []
    failed: list[Failure] = []
    for picture in track(pictures, "finding ships"):
        try:
            image_hwc = read_image(picture.path)
        except ImageError as error:
            failed.append(Failure(picture.path, error.reason, str(error)))
            continue
        prediction = predictor.predict(image_hwc, threshold=options.threshold)
        _write_images(image_hwc, prediction, picture, out, overlay=options.overlays)
        found.append(ImageShips(picture.label, prediction.mask.shape, prediction.ships))
    tables = _write_tables(pictures, found, failed, out, options)
    return PredictReport(
        num_images=len(pictures),
        num_ships=sum(len(picture.ships) for picture in found),
        num_images_with_ships=sum(bool(picture.ships) for picture in found),
        failed=tuple(failed),
        written=(*folders, *tables),
        elapsed_s=time.monotonic() - started,
    )


def _write_images(
    image_hwc: NDArray[np.uint8], prediction: Prediction, picture: ImageFile, out: Path, *, overlay: bool
) -> None:
    mask_hw = prediction.mask.astype(np.uint8) * 255
    write_bytes(out / "masks" / f"{picture.name}.png", _encoded(".png", mask_hw, []))
    if not overlay:
        return
    drawn_hwc = draw_ships(image_hwc, prediction.ships)
    shrink = _MAX_OVERLAY_SIDE_PX / max(drawn_hwc.shape[:2])
    if shrink < 1:
        height, width = (max(1, round(side * shrink)) for side in drawn_hwc.shape[:2])
        drawn_hwc = cv2.resize(drawn_hwc, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    # Colour at full resolution: JPEG's usual halving of it smears thin coloured lines.
    settings = [
        cv2.IMWRITE_JPEG_QUALITY,
        _JPEG_QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    drawn_bgr_hwc = cv2.cvtColor(drawn_hwc, cv2.COLOR_RGB2BGR)
    write_bytes(out / "overlays" / f"{picture.name}.jpg", _encoded(".jpg", drawn_bgr_hwc, settings))


def _encoded(suffix: str, image: NDArray[Any], settings: list[int]) -> bytes:
    written, data = cv2.imencode(suffix, image, settings)
    assert written
    return data.tobytes()


def _write_tables(
    pictures: Sequence[ImageFile],
    found: Sequence[ImageShips],
    failed: Sequence[Failure],
    out: Path,
    options: PredictOptions,
) -> list[Path]:
    """Write the tables and return their paths."""
    written = []
    for name, (file_name, write) in FORMATS.items():
        if name == "csv" or name in options.formats:
            write(out / file_name, found)
            written.append(out / file_name)
    if options.submission is not None:
        by_label = {picture.image: picture for picture in found}
        every = [by_label.get(picture.label, ImageShips(picture.label, (1, 1), ())) for picture in pictures]
        write_submission(options.submission, every)
        written.append(options.submission)
    failures = out / "failed.csv"
    if failed:
        rows = [(failure.path, failure.reason, failure.message) for failure in failed]
        write_text(failures, csv_text(("image", "reason", "message"), rows))
        written.append(failures)
    else:
        with storage_errors(failures):
            failures.unlink(missing_ok=True)
    return written
