"""`explore`: what is in a dataset, an Airbus folder or a label table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shipseg.commands.summary import show
from shipseg.errors import ConfigError

__all__ = ["explore"]


def explore(
    source: Path,
    out: Path,
    /,
    *,
    csv: Path | None = None,
    images: Path | None = None,
    labels_size: str = "768",
    drop_list: Path | None = None,
    workers: int | None = None,
    json: bool = False,
) -> int:
    """Show what is in a dataset, an Airbus folder or a label table, and what follows for training.

    Args:
        source: A prepared dataset, an Airbus folder (CSV and images), a folder with a CSV alone, or a CSV.
        out: Folder to write: report.html, facts.json, ships.csv (one row per ship) and the reference's index,
            train_ship_segmentation_post_EDA.csv. Killed and run again, the command goes on where it stopped reading.
        csv: The CSV, where an Airbus folder holds several.
        images: The folder of images, where an Airbus folder holds several.
        labels_size: Side of the images in pixels, or HEIGHTxWIDTH, where there are only labels.
        drop_list: File with one ImageId a line: see what leaving these out would cost.
        workers: Processes; as many as there are cores unless given.
        json: Print facts.json.
    """
    import shutil

    from shipseg import progress
    from shipseg.commands.data import sides
    from shipseg.exploration.explore import ExploreOptions, write_exploration
    from shipseg.exploration.explore import explore as run_explore

    if out.resolve() == source.resolve():
        raise ConfigError(f"the page would be written among the data in {source}: choose another folder for it")
    store = out / ".explore"
    options = ExploreOptions(
        csv=csv,
        images=images,
        labels_size=sides(labels_size, flag="--labels-size"),
        drop_list=drop_list,
        workers=workers,
        store=store,
    )
    with progress.shown():
        exploration = run_explore(source, options)
        page = write_exploration(exploration, out)
    shutil.rmtree(store, ignore_errors=True)
    show(f"What is in {source}", exploration.facts if json else _in_short(exploration.facts, page), as_json=json)
    return 0


def _in_short(facts: Mapping[str, Any], page: Path) -> dict[str, Any]:
    """Return what people want to know at once."""
    imbalance, ships, lost = facts["imbalance"], facts["ships"], facts["cleaning"]["own"]["lost"]
    shown: dict[str, Any] = {
        "images": f"{imbalance['images']:,}, {100 * imbalance['empty_share']:.1f} % of them empty",
        "ships": f"{imbalance['ships']:,}, {imbalance['several']:,} images have several",
    }
    if ships["measured"]:
        area = ships["area_px"]["quantiles"]
        shown["ship area"] = f"median {area['50']:,.0f} px, 5 % below {area['5']:,.0f}, 5 % above {area['95']:,.0f}"
    shown["cleaning would leave out"] = f"{lost['images']:,} images with {lost['ships']:,} ships"
    if facts["groups"]:
        shown["share ground with another"] = f"{facts['groups']['images_in_groups_of_several']:,} images"
    shown |= {f"hint {number}": hint["finding"] for number, hint in enumerate(facts["hints"], start=1)}
    return shown | {"report": page}
