"""`synth`, `prepare`, `demo`: making and preparing data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shipseg.commands.summary import show
from shipseg.errors import ConfigError

if TYPE_CHECKING:
    from shipseg.synth import FolderSummary, ScenesSummary

__all__ = ["demo", "explore", "prepare", "sides", "synth"]


def synth(
    out: Path,
    /,
    *,
    images: int | None = None,
    scenes: int = 0,
    seed: int = 0,
    size: str = "768",
    empty_share: float = 0.5,
    overlap: float = 0.0,
    scene_size: str | None = None,
    scene_kind: Literal["mixed", "coast", "harbour", "anchorage", "open-sea"] | None = None,
    metres_per_pixel: float = 1.5,
    sparse: bool = False,
    label: Literal["rectangle", "hull"] = "rectangle",
    workers: int | None = None,
    json: bool = False,
) -> int:
    """Make synthetic images in an Airbus-format folder, or GeoTIFF scenes, with their true ships.

    Args:
        out: Folder to write: train_v2/*.jpg and train_ship_segmentations_v2.csv; or scene-000.tif, scene-000.ships.gpkg
            and so on.
        images: Number of images; 100 unless given, none where scenes are asked for.
        scenes: Number of scenes.
        seed: The same seed gives the same images and scenes.
        size: Side of an image in pixels, or HEIGHTxWIDTH.
        empty_share: Share of images without a ship, 0 to 1.
        overlap: Share of images that are cut, overlapping, from common scenes, as in the challenge's data.
        scene_size: Side of a scene in pixels, or HEIGHTxWIDTH; 4096 unless given.
        scene_kind: What is on a scene; mixed, unless given: a coast with harbours, an anchorage before them, open sea.
        metres_per_pixel: Ground sample distance of images and scenes.
        sparse: Paint only an eighth of a scene, the rest stays black: very large scenes for trials of speed and memory.
        label: What a mask covers: the ship's rectangle (the challenge's habit) or its hull.
        workers: Processes; as many as there are cores unless given.
        json: Print the summary as JSON.
    """
    from dataclasses import asdict

    from shipseg import progress
    from shipseg.synth import WorldConfig, write_airbus_folder, write_scenes

    config = WorldConfig(size=sides(size), empty_share=empty_share, label=label, metres_per_pixel=metres_per_pixel)
    if not scenes:
        _refuse({"--scene-size": scene_size, "--scene-kind": scene_kind, "--sparse": sparse or None})
    shape = sides(scene_size or "4096", flag="--scene-size")
    images = (0 if scenes else 100) if images is None else images
    facts, short = dict[str, Any](), dict[str, Any]()
    with progress.shown():
        if images or not scenes:
            made = write_airbus_folder(out, images=images, seed=seed, config=config, overlap=overlap, workers=workers)
            facts |= asdict(made)
            short |= _images_dataset_summary(made)
        if scenes:
            how: dict[str, Any] = {"shape": shape, "kind": scene_kind or "mixed", "config": config, "sparse": sparse}
            written = write_scenes(out, scenes=scenes, seed=seed, workers=workers, **how)
            facts |= {"scenes": asdict(written)}
            short |= _scenes_dataset_summary(written)
    show(f"Synthetic data in {out}", facts if json else short, as_json=json)
    return 0


def _refuse(of_scenes: Mapping[str, object]) -> None:
    """Refuse flags that only scenes have."""
    if alone := [flag for flag, value in of_scenes.items() if value is not None]:
        raise ConfigError(f"{alone[0]} is about scenes and none are asked for: add --scenes 1, or leave it out")


def _images_dataset_summary(made: FolderSummary) -> dict[str, Any]:
    return {
        "images": made.num_images,
        "without ships": made.num_empty,
        "ships": made.num_ships,
        "made now": made.num_made,
        "already there": made.num_kept,
        "next": f"shipseg prepare {made.folder} DATASET",
    }


def _scenes_dataset_summary(written: ScenesSummary) -> dict[str, Any]:
    return {
        "scenes": f"{written.num_scenes}, {written.num_made} of them made now with {written.num_ships:,} ships",
        "score a model": f"shipseg evaluate {written.folder} SCORES --model MODEL",
    }


def prepare(
    airbus_dir: Path,
    dataset: Path,
    /,
    *,
    size: str = "256",
    csv: Path | None = None,
    images: Path | None = None,
    val_share: float = 0.2,
    test_share: float = 0.0,
    seed: int = 42,
    drop_list: Path | None = None,
    min_kb: float | None = None,
    keep_empty: float | None = None,
    any_size: bool = False,
    workers: int | None = None,
    json: bool = False,
) -> int:
    """Check, clean, group, split and cache an Airbus folder (a CSV of ImageId, EncodedPixels, and its images).

    Args:
        airbus_dir: Folder with the CSV, and the images beside it or in one subfolder.
        dataset: Folder to write. Killed and run again, the command goes on where it stopped.
        size: Longest side of the cached images in pixels, or `native`: cache no pixels, train on crops of the files.
        csv: The CSV, where the folder holds several.
        images: The folder of images, where there are several.
        val_share: Share of the images for validation; whole groups of overlapping images.
        test_share: Share of the images for a test split.
        seed: Decides the split and which empty images are kept.
        drop_list: File with one ImageId a line to leave out.
        min_kb: Leave out files of this many kB or fewer (the reference solution: 52).
        keep_empty: Share of the images without ships to keep (the reference solution: 0.3).
        any_size: Keep images that have another size than most.
        workers: Processes; as many as there are cores unless given.
        json: Print the report as JSON.
    """
    from shipseg import progress
    from shipseg.data.prepare import PrepareOptions
    from shipseg.data.prepare import prepare as run_prepare

    options = PrepareOptions(
        size=_cache_size(size),
        csv=csv,
        images=images,
        val_share=val_share,
        test_share=test_share,
        seed=seed,
        drop_list=drop_list,
        min_kb=min_kb,
        keep_empty=keep_empty,
        any_size=any_size,
        workers=workers,
    )
    with progress.shown():
        report = run_prepare(airbus_dir, dataset, options)
    show(f"Dataset {dataset}", report.summary if json else _dataset_summary(report.summary), as_json=json)
    return 0


def demo(
    out: Path = Path("demo"),
    /,
    *,
    quick: bool = False,
    seed: int = 0,
    json: bool = False,
) -> int:
    """Go the whole way on a small synthetic set: make it, prepare, train, evaluate, predict, report.

    Args:
        out: Folder to write; the page to open is OUT/report.html.
        quick: A minute's worth only, to see that everything runs; the network learns little.
        seed: Decides the images and the network.
        json: Print the summary as JSON.
    """
    from shipseg import progress
    from shipseg.demo import run_demo

    with progress.shown():
        report = run_demo(out, quick=quick, seed=seed)
    show("shipseg demo", report, as_json=json)
    return 0


def _dataset_summary(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return what people want to know of a prepared dataset; the rest stands in report.json."""
    kept, groups = summary["kept"], summary["groups"]
    shown = {
        "in the table": f"{summary['images']:,} images, {summary['ships']:,} ships",
        "kept": f"{kept['images']:,} images, {kept['without_ships']:,} of them without ships; {kept['ships']:,} ships",
        "left out": ", ".join(
            f"{lost['images']:,} {reason} ({lost['ships']:,} ships)" for reason, lost in summary["left_out"].items()
        )
        or "none",
        "sizes": ", ".join(f"{count:,} of {size} px" for size, count in summary["image_sizes_px"].items()),
        "overlapping": f"{groups['overlapping_pairs']:,} pairs of images",
        "groups": f"{groups['groups']:,}, {groups['groups_of_several']:,} of several, the largest {groups['largest']}",
    }
    splits = {
        f"split {name}": f"{part['images']:,} images, {part['ships']:,} ships, {part['groups']:,} groups"
        for name, part in summary["splits"].items()
    }
    proof = {"groups that stand on two sides": summary["leak"]["groups_on_two_sides"]}
    return shown | splits | proof | {"more in": "report.json, problems.csv, split.json"}


def sides(text: str, *, flag: str = "--size") -> tuple[int, int]:
    """Return the height and width that a flag gives as one number of pixels or as HEIGHTxWIDTH.

    Raises:
        ConfigError: It gives neither.
    """
    parts = text.lower().split("x")
    if len(parts) not in (1, 2) or not all(_is_number(part) and int(part) > 0 for part in parts):
        raise ConfigError(f"{flag} must be a number of pixels or HEIGHTxWIDTH, got {text!r}")
    return int(parts[0]), int(parts[-1])


def _cache_size(text: str) -> int | Literal["native"]:
    if text == "native":
        return "native"
    if not _is_number(text) or int(text) == 0:
        raise ConfigError(f"--size must be a number of pixels or `native`, got {text!r}")
    return int(text)


def _is_number(text: str) -> bool:
    """Return whether a text is a whole number in the digits 0 to 9: other alphabets have digits too."""
    return text.isascii() and text.isdecimal()


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
    show(
        f"What is in {source}",
        exploration.facts if json else _exploration_summary(exploration.facts, page),
        as_json=json,
    )
    return 0


def _exploration_summary(facts: Mapping[str, Any], page: Path) -> dict[str, Any]:
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
