"""Prediction of image files and folders: which images the inputs stand for, and the masks, overlays and tables."""

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


_LOG = logging.getLogger(__name__)

OUTPUT_FOLDERS: Final = ("masks", "overlays")
"""Folders of images inside an output folder."""


@dataclass(frozen=True)
class ImageFile:
    """An image to predict."""

    path: Path
    name: str
    """Name of its output files without suffix; unique among the images."""
    label: str
    """Its name in tables: the file name where it is unique among the images, else the path."""


def find_images(inputs: Sequence[Path], out: Path, *, recursive: bool = False) -> list[ImageFile]:
    """Return the images in the inputs, each once, in the order given; those of a folder sorted by name.

    A folder stands for the images directly inside it; with `recursive` also for those in its subfolders, except hidden
    and linked ones. Without `recursive` a warning counts the subfolders with images that are skipped. Images in `out`'s
    own masks/ and overlays/ are left out: a shell's `*` may include the output folder. Output files are named after the
    image's stem or, where several images share it, after the file name and as many parent folders as make it unique.

    Raises:
        ConfigError: No input is given, or `out` is one of the folders and holds images.
        DataError: An input does not exist, a folder holds no image, or the inputs hold only earlier results.
    """
    if not inputs:
        raise ConfigError("nothing to predict: give images or folders of images")
    for given in inputs:
        if given.is_dir() and given.resolve() == out.resolve() and list_images(given):
            raise ConfigError(f"the results would be written among the images in {out}: choose another folder for them")
    own_places = {(out / name).resolve() for name in OUTPUT_FOLDERS}
    paths: dict[Path, Path] = {}
    for path in (path for given in inputs for path in _listed(Path(given), out, recursive=recursive)):
        folder = path.parent.resolve()
        if folder not in own_places:
            paths.setdefault(folder / path.name, path)
    if not paths:
        raise DataError(f"the inputs hold nothing but results of an earlier run ({out}): give the images themselves")
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
        raise DataError(f"there is no image or folder {given}: check the path")
    listed = list_images(given)
    if recursive:
        listed += [path for folder in _subfolders(given) for path in list_images(folder)]
    if not listed and not given.resolve().is_relative_to(out.resolve()):
        suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
        hint = "" if recursive else "; subfolders are not searched: give --recursive"
        raise DataError(f"folder {given} holds no image ({suffixes}){hint}")
    if listed and not recursive:
        _warn_of_subfolders(given, out)
    return listed


def _subfolders(given: Path) -> list[Path]:
    """Return all subfolders at any depth, sorted, without hidden and linked ones."""
    found = []
    for root, folders, _ in os.walk(given):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(root) / name for name in folders if not (Path(root) / name).is_symlink()]
    return found


def _warn_of_subfolders(given: Path, out: Path) -> None:
    """Log how many subfolders with images are skipped, except those of the results."""
    results = out.resolve()
    skipped = [
        folder for folder in _subfolders(given) if not folder.resolve().is_relative_to(results) and list_images(folder)
    ]
    if skipped:
        count = counted(len(skipped), "subfolder")
        _LOG.warning("skipping %s with images in %s: give --recursive to include them", count, given)


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Return a unique name for each of the different absolute paths: its stem, or file name and parent folders.

    Raises:
        DataError: No unique names exist.
    """
    names = [path.stem for path in paths]
    depth = 1
    while duplicates := {name for name, count in Counter(names).items() if count > 1}:
        if depth > max(len(path.parts) for path in paths):
            raise DataError(f"several images would be written as {min(duplicates)}: rename one of them")
        names = [
            "__".join(path.parts[-depth:]).replace("/", "") if name in duplicates else name
            for path, name in zip(paths, names, strict=True)
        ]
        depth += 1
    return names


def _printable(name: str) -> str:
    """Return the name as valid UTF-8; file names on Linux can be any bytes."""
    return name.encode("utf-8", "backslashreplace").decode()


_JPEG_QUALITY: Final = 92
# JPEG is limited to 65,535 pixels a side, and an overlay of that size is of no use as one image.
_MAX_OVERLAY_SIDE_PX: Final = 8192
_SHOWN_FAILURES: Final = 10


@dataclass(frozen=True)
class PredictOptions:
    """Options of `predict_images`.

    Raises:
        ConfigError: An unknown format, or a threshold outside 0-1.
    """

    formats: tuple[str, ...] = ("csv",)
    """Tables of ships, from `formats.FORMATS`; ships.csv is always written."""
    overlays: bool = True
    """Write images with the ships drawn on them."""
    threshold: float | None = None
    """In 0-1; None uses the card's."""
    submission: Path | None = None
    """Also write the challenge's submission CSV to this file."""
    recursive: bool = False
    """Include the images in subfolders of the given folders."""

    def __post_init__(self) -> None:
        for name in self.formats:
            if name not in FORMATS:
                raise unknown_name("format", name, FORMATS)
        if self.threshold is not None:
            checked_threshold(self.threshold)


@dataclass(frozen=True)
class Failure:
    """An image that could not be read."""

    path: Path
    reason: str
    """One word: missing, unreadable, truncated, unsupported."""
    message: str
    """The error message."""


@dataclass(frozen=True)
class PredictReport:
    """Result of `predict_images`: counts, failures and output paths."""

    num_images: int
    """All images, including those that failed."""
    num_ships: int
    num_images_with_ships: int
    failed: tuple[Failure, ...]
    """Images that could not be read, also listed in failed.csv."""
    written: tuple[Path, ...]
    """Output folders and files."""
    elapsed_s: float = field(compare=False)

    @property
    def ok(self) -> bool:
        """Whether every image could be read."""
        return not self.failed

    def as_dict(self) -> dict[str, Any]:
        """Return the summary as plain data, with the messages of the first failures."""
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
    """Predict images and folders of images, write the results to `out` and return a report.

    Writes `masks/NAME.png` (uint8, 255 is ship), `overlays/NAME.jpg`, `ships.csv` (one row per ship) and the tables
    requested in the options. An image that cannot be read is reported and skipped (in a submission it has no ship).
    Files are written atomically; after an interruption, run the same call again.

    Args:
        inputs: Image files and folders of images.
        out: Output folder, created if missing. Files in its masks/ and overlays/ are never used as input.
        predictor: The model.
        options: What to write; None writes masks, overlays and ships.csv.

    Raises:
        DataError: An input does not exist, or a folder holds no image.
        ConfigError: There is no input, or two images of a submission have the same file name.
        StorageError: `out` cannot be written.
    """
    started = time.monotonic()
    options = options or PredictOptions()
    images = find_images(inputs, out, recursive=options.recursive)
    if options.submission is not None:
        check_unique_ids([image.path.name for image in images])
        if options.submission.resolve() in {image.path.resolve() for image in images}:
            raise ConfigError(
                f"the submission {options.submission} would replace one of the images: choose another name"
            )
    folders = [ensure_folder(out / "masks")] + ([ensure_folder(out / "overlays")] if options.overlays else [])
    for folder in (out, *folders):
        remove_leftovers(folder)
    found: list[ImageShips] = []
    failed: list[Failure] = []
    for image in track(images, "predicting"):
        try:
            image_hwc = read_image(image.path)
        except ImageError as error:
            failed.append(Failure(image.path, error.reason, str(error)))
            continue
        prediction = predictor.predict(image_hwc, threshold=options.threshold)
        _write_images(image_hwc, prediction, image, out, overlay=options.overlays)
        found.append(ImageShips(image.label, prediction.mask.shape, prediction.ships))
    tables = _write_tables(images, found, failed, out, options)
    return PredictReport(
        num_images=len(images),
        num_ships=sum(len(image.ships) for image in found),
        num_images_with_ships=sum(bool(image.ships) for image in found),
        failed=tuple(failed),
        written=(*folders, *tables),
        elapsed_s=time.monotonic() - started,
    )


def _write_images(
    image_hwc: NDArray[np.uint8], prediction: Prediction, image: ImageFile, out: Path, *, overlay: bool
) -> None:
    mask_hw = prediction.mask.astype(np.uint8) * 255
    write_bytes(out / "masks" / f"{image.name}.png", _encoded(".png", mask_hw, []))
    if not overlay:
        return
    drawn_hwc = draw_ships(image_hwc, prediction.ships)
    shrink = _MAX_OVERLAY_SIDE_PX / max(drawn_hwc.shape[:2])
    if shrink < 1:
        height, width = (max(1, round(side * shrink)) for side in drawn_hwc.shape[:2])
        drawn_hwc = cv2.resize(drawn_hwc, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    # 4:4:4 sampling: JPEG's default chroma subsampling blurs thin coloured lines.
    settings = [
        cv2.IMWRITE_JPEG_QUALITY,
        _JPEG_QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    drawn_bgr_hwc = cv2.cvtColor(drawn_hwc, cv2.COLOR_RGB2BGR)
    write_bytes(out / "overlays" / f"{image.name}.jpg", _encoded(".jpg", drawn_bgr_hwc, settings))


def _encoded(suffix: str, image: NDArray[Any], settings: list[int]) -> bytes:
    written, data = cv2.imencode(suffix, image, settings)
    assert written
    return data.tobytes()


def _write_tables(
    images: Sequence[ImageFile],
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
        by_label = {ships.image: ships for ships in found}
        every = [by_label.get(image.label, ImageShips(image.label, (1, 1), ())) for image in images]
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
