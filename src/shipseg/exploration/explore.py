"""Exploring a prepared dataset, an Airbus folder or a label table, and writing the result."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shipseg import files
from shipseg.data.cleaning import read_drop_list
from shipseg.errors import ConfigError, DataError
from shipseg.exploration.file_facts import (
    cleaning_facts,
    colour_facts,
    duplicate_facts,
    file_size_facts,
    group_facts,
    size_facts,
    split_facts,
)
from shipseg.exploration.hints import find_hints
from shipseg.exploration.inputs import Inputs, read_inputs
from shipseg.exploration.label_facts import (
    imbalance_facts,
    pixel_facts,
    row_facts,
    ship_facts,
    ships_per_image,
    to_json_types,
)
from shipseg.exploration.page import write_exploration_page
from shipseg.exploration.results import Exploration
from shipseg.exploration.samples import draw_samples
from shipseg.exploration.ships import measure_each_ship
from shipseg.extras import needing
from shipseg.processes import available_workers

with needing("train"):
    import pandas as pd

__all__ = [
    "FACTS_FILE",
    "INDEX_FILE",
    "PAGE_FILE",
    "SHIPS_FILE",
    "Exploration",
    "ExploreOptions",
    "explore",
    "write_exploration",
]

PAGE_FILE = "report.html"
"""The HTML page, with all images embedded."""
FACTS_FILE = "facts.json"
"""`Exploration.facts`."""
SHIPS_FILE = "ships.csv"
"""`Exploration.ships`."""
INDEX_FILE = "train_ship_segmentation_post_EDA.csv"
"""The table that the reference writes: ImageId, EncodedPixels, Ships, Size_kb of the images that cleaning keeps."""

_INDEX_COLUMNS = ["ImageId", "EncodedPixels", "Ships", "Size_kb"]
_IMAGE_COLUMNS = [*_INDEX_COLUMNS, "height", "width", "ship_px", "group", "split", "reason"]
_NO_IMAGES = "there are no images, only labels"
_NO_SPLIT = "an Airbus folder has no splits until it is prepared"
_NONE_READABLE = "no image can be read"
_IMAGES_MOVED = "the folder of images that the dataset was prepared from is missing"


@dataclass(frozen=True, kw_only=True)
class ExploreOptions:
    """Options of `explore`.

    Args:
        csv: The label table, if an Airbus folder has several.
        images: The folder of images, if there are several.
        labels_size: Side of the images in pixels, or (height, width); used for images whose size is not known.
        drop_list: File with one ImageId per line, e.g. the reference's list of corrupted images, to count what it
            would leave out.
        seed: Seed of the sampling of images, where not all are used.
        workers: Number of processes, by default one per core.
        store: Folder for the scan results, so that an interrupted exploration resumes; by default a temporary one.

    Raises:
        ConfigError: A value is out of range.
    """

    csv: Path | None = None
    images: Path | None = None
    labels_size: int | tuple[int, int] = 768
    drop_list: Path | None = None
    seed: int = 42
    workers: int | None = None
    store: Path | None = None

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise ConfigError(f"labels_size must be at least 1 pixel in height and width, got {self.labels_size}")
        if self.seed < 0:
            raise ConfigError(f"seed must be at least 0, got {self.seed}")
        available_workers(self.workers)

    @property
    def size(self) -> tuple[int, int]:
        """`labels_size` as (height, width)."""
        return (self.labels_size, self.labels_size) if isinstance(self.labels_size, int) else self.labels_size


def explore(source: Path, options: ExploreOptions | None = None) -> Exploration:
    """Return the facts about a prepared dataset, an Airbus folder, a folder with only a label table, or a label table.

    Args:
        source: Path of one of these.
        options: Options; the defaults unless given.

    Raises:
        DataError: The source does not exist or cannot be read.
        ConfigError: An option does not apply to the kind of source.
        StorageError: The disk of the store is full.

    Example:
        `explore(Path("airbus")).facts["imbalance"]["empty_share"]`
    """
    options = options or ExploreOptions()
    listed = read_drop_list(options.drop_list) if options.drop_list is not None else frozenset()
    with tempfile.TemporaryDirectory(prefix="shipseg-explore-") as temporary:
        inputs = read_inputs(
            Path(source),
            csv=options.csv,
            images=options.images,
            labels_size=options.size,
            store=options.store or Path(temporary),
            workers=available_workers(options.workers),
        )
    if listed and not inputs.images["ImageId"].isin(listed).any():
        raise DataError(
            f"none of the {len(listed)} ids in the drop list {options.drop_list} (first: {min(listed)}) is an image of "
            f"{source}: check the list"
        )
    ships = measure_each_ship(inputs.images, assumed_size=inputs.assumed_size)
    facts = _facts(inputs, ships, options, listed)
    facts["hints"] = find_hints(facts)
    return Exploration(
        Path(source), to_json_types(facts), _image_table(inputs), ships, draw_samples(inputs, seed=options.seed)
    )


def _facts(inputs: Inputs, ships: pd.DataFrame, options: ExploreOptions, listed: frozenset[str]) -> dict[str, Any]:
    images = inputs.images
    labelled = images[images["has_row"]]["Ships"].to_numpy()
    any_size = bool(inputs.report and inputs.report["options"]["any_size"])
    not_known = _not_known(inputs)
    # Sections that need more than labels; each is computed only if its inputs are known.
    of_files: dict[str, Callable[[], dict[str, Any]]] = {
        "images": lambda: size_facts(images),
        "files": lambda: file_size_facts(images[images["has_file"]]),
        "colours": lambda: _colours(inputs, options),
        "duplicates": lambda: duplicate_facts(images, inputs.folder or Path()),
        "groups": lambda: group_facts(inputs),
        "split": lambda: split_facts(inputs.report or {}),
    }
    return {
        "source": _source(inputs),
        "rows": row_facts(inputs),
        "ships_per_image": ships_per_image(labelled),
        "imbalance": imbalance_facts(labelled),
        "pixels": pixel_facts(inputs),
        "ships": ship_facts(ships, num_labelled=int(images["Ships"].sum())),
        "cleaning": cleaning_facts(images, listed=listed, any_size=any_size, seed=options.seed),
        **{name: None if name in not_known else compute() for name, compute in of_files.items()},
        "not_known": not_known,
    }


def _not_known(inputs: Inputs) -> dict[str, str]:
    """Return the reason for each section of the facts (or the samples) that cannot be computed."""
    if inputs.kind == "labels":
        return dict.fromkeys(("images", "files", "colours", "duplicates", "groups", "split", "samples"), _NO_IMAGES)
    not_known = {} if inputs.kind == "dataset" else {"split": _NO_SPLIT}
    if inputs.folder is None:
        return dict.fromkeys(("colours", "duplicates", "samples"), _IMAGES_MOVED)
    if not (inputs.images["height"] > 0).any():
        not_known |= dict.fromkeys(("images", "colours", "groups", "samples"), _NONE_READABLE)
    return not_known


def _source(inputs: Inputs) -> dict[str, Any]:
    height, width = inputs.assumed_size
    return {
        "kind": inputs.kind,
        "path": str(inputs.path),
        "csv": str(inputs.csv),
        "images_folder": None if inputs.folder is None else str(inputs.folder),
        "images": len(inputs.images),
        "images_of_unknown_size": len(inputs.images)
        if inputs.kind == "labels"
        else int((inputs.images["height"] == 0).sum()),
        "their_size_taken_for_px": f"{width} x {height}",
    }


def _colours(inputs: Inputs, options: ExploreOptions) -> dict[str, Any]:
    readable = inputs.images["ImageId"][inputs.images["height"] > 0]
    workers = available_workers(options.workers)
    return colour_facts(readable, inputs.folder or Path(), seed=options.seed, workers=workers)


def _image_table(inputs: Inputs) -> pd.DataFrame:
    images = inputs.images
    encoded = [" ".join(rles) if rles else "0" for rles in images["rles"]]
    return images.assign(EncodedPixels=encoded)[_IMAGE_COLUMNS]


def write_exploration(exploration: Exploration, out: Path) -> Path:
    """Write the page, facts, ships and the reference's table into the folder `out` and return the path of the page.

    Raises:
        StorageError: A file cannot be written.
    """
    out = files.ensure_folder(Path(out))
    kept = exploration.images[exploration.images["reason"] == ""]
    files.write_text(out / INDEX_FILE, kept[_INDEX_COLUMNS].to_csv(index=False, float_format="%.4f"))
    files.write_text(out / SHIPS_FILE, exploration.ships.to_csv(index=False, float_format="%.3f"))
    files.write_json(out / FACTS_FILE, exploration.facts)
    return write_exploration_page(exploration, out / PAGE_FILE)
