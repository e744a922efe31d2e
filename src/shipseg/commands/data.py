"""`synth`, `prepare`, `explore` and `demo`: make, prepare and inspect data."""

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
    """Generate synthetic images in Airbus format, or GeoTIFF scenes, with their true ships.

    Args:
        out: Output folder: train_v2/*.jpg and train_ship_segmentations_v2.csv; scene-000.tif and scene-000.ships.gpkg.
        images: Number of images. Default: 100, or 0 with --scenes.
        scenes: Number of scenes.
        seed: Random seed; the same seed gives the same images and scenes.
        size: Size of an image in pixels: SIDE or HEIGHTxWIDTH.
        empty_share: Share of images without ships, from 0 to 1.
        overlap: Share of images that overlap others, cut from common scenes as in the challenge's data, from 0 to 1.
        scene_size: Size of a scene in pixels: SIDE or HEIGHTxWIDTH. Default: 4096.
        scene_kind: Content of a scene. Default: mixed, a coast with harbours, an anchorage off it, and open sea.
        metres_per_pixel: Ground sample distance of images and scenes, in metres.
        sparse: Paint only an eighth of a scene and leave the rest black, to test speed and memory on large scenes.
        label: Shape of a mask: a rectangle around the ship, as in the challenge's labels, or its hull.
        workers: Number of worker processes. Default: the number of CPU cores.
        json: Print the summary as JSON.
    """
    from dataclasses import asdict

    from shipseg import progress
    from shipseg.synth import WorldConfig, write_airbus_folder, write_scenes

    config = WorldConfig(size=sides(size), empty_share=empty_share, label=label, metres_per_pixel=metres_per_pixel)
    if not scenes:
        _refuse_scene_flags({"--scene-size": scene_size, "--scene-kind": scene_kind, "--sparse": sparse or None})
    shape = sides(scene_size or "4096", flag="--scene-size")
    images = (0 if scenes else 100) if images is None else images
    facts, rows = dict[str, Any](), dict[str, Any]()  # the JSON summary, and the rows of the table
    with progress.shown():
        if images or not scenes:
            folder = write_airbus_folder(out, images=images, seed=seed, config=config, overlap=overlap, workers=workers)
            facts |= asdict(folder)
            rows |= _image_rows(folder)
        if scenes:
            options: dict[str, Any] = {"shape": shape, "kind": scene_kind or "mixed", "sparse": sparse}
            written = write_scenes(out, scenes=scenes, seed=seed, workers=workers, config=config, **options)
            facts |= {"scenes": asdict(written)}
            rows |= _scene_rows(written)
    show(f"Synthetic data in {out}", facts if json else rows, as_json=json)
    return 0


def _refuse_scene_flags(flags: Mapping[str, object]) -> None:
    """Raise if a flag that applies to scenes only was given."""
    if given := [flag for flag, value in flags.items() if value is not None]:
        raise ConfigError(f"{given[0]} applies to scenes only: add --scenes 1, or leave it out")


def _image_rows(folder: FolderSummary) -> dict[str, Any]:
    return {
        "images": folder.num_images,
        "without ships": folder.num_empty,
        "ships": folder.num_ships,
        "generated now": folder.num_made,
        "generated before": folder.num_kept,
        "next": f"shipseg prepare {folder.folder} DATASET",
    }


def _scene_rows(written: ScenesSummary) -> dict[str, Any]:
    return {
        "scenes": f"{written.num_scenes}, {written.num_made} of them generated now with {written.num_ships:,} ships",
        "next": f"shipseg evaluate {written.folder} SCORES --model MODEL",
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
    """Check, clean, group, split and cache an Airbus folder as a dataset.

    The folder holds images and a CSV with the columns ImageId and EncodedPixels. To resume a command that was killed,
    run it again.

    Args:
        airbus_dir: Folder with the CSV, and the images beside it or in one subfolder.
        dataset: Output folder.
        size: Longest side of the cached images in pixels; `native` caches none and trains on crops of the files.
        csv: CSV to use if the folder has several.
        images: Image folder to use if there are several.
        val_share: Share of the images for validation, from 0 to 1; groups of overlapping images are not split.
        test_share: Share of the images for testing, from 0 to 1.
        seed: Random seed of the split and of --keep-empty.
        drop_list: Text file of images to leave out, one ImageId per line.
        min_kb: Leave out files of this size in kB or smaller (reference solution: 52). Default: none.
        keep_empty: Share of the images without ships to keep, from 0 to 1 (reference solution: 0.3). Default: all.
        any_size: Keep images whose size differs from the most common one.
        workers: Number of worker processes. Default: the number of CPU cores.
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
    show(f"Dataset {dataset}", report.summary if json else _dataset_rows(report.summary), as_json=json)
    return 0


def _dataset_rows(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rows of the summary; report.json has the rest."""
    kept, groups = summary["kept"], summary["groups"]
    rows = {
        "in the CSV": f"{summary['images']:,} images, {summary['ships']:,} ships",
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
    leak = {"groups in two splits": summary["leak"]["groups_on_two_sides"]}
    return rows | splits | leak | {"details": "report.json, problems.csv, split.json"}


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
    """Report statistics of a dataset, an Airbus folder or a CSV, with hints for training.

    To resume a command that was killed, run it again: files that were read are not read again.

    Args:
        source: Prepared dataset, Airbus folder (CSV and images), folder with a CSV only, or CSV.
        out: Output folder: report.html, facts.json, ships.csv (one row per ship) and the reference's index,
            train_ship_segmentation_post_EDA.csv.
        csv: CSV to use if an Airbus folder has several.
        images: Image folder to use if an Airbus folder has several.
        labels_size: Size of the images in pixels, SIDE or HEIGHTxWIDTH, if there are labels only.
        drop_list: Text file with one ImageId per line: report what leaving these images out would cost.
        workers: Number of worker processes. Default: the number of CPU cores.
        json: Print facts.json.
    """
    import shutil

    from shipseg import progress
    from shipseg.exploration.explore import ExploreOptions, write_exploration
    from shipseg.exploration.explore import explore as run_explore

    if out.resolve() == source.resolve():
        raise ConfigError(f"the report cannot be written into the data folder {source}: choose another folder")
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
    facts = exploration.facts
    show(f"Statistics of {source}", facts if json else _exploration_rows(facts, page), as_json=json)
    return 0


def _exploration_rows(facts: Mapping[str, Any], page: Path) -> dict[str, Any]:
    """Return the rows of the summary; facts.json has the rest."""
    imbalance, ships, lost = facts["imbalance"], facts["ships"], facts["cleaning"]["own"]["lost"]
    rows: dict[str, Any] = {
        "images": f"{imbalance['images']:,}, {100 * imbalance['empty_share']:.1f} % of them empty",
        "ships": f"{imbalance['ships']:,}, {imbalance['several']:,} images have several",
    }
    if ships["measured"]:
        area = ships["area_px"]["quantiles"]
        rows["ship area"] = f"median {area['50']:,.0f} px, 5 % below {area['5']:,.0f}, 5 % above {area['95']:,.0f}"
    rows["cleaning would leave out"] = f"{lost['images']:,} images with {lost['ships']:,} ships"
    if facts["groups"]:
        rows["overlap with another image"] = f"{facts['groups']['images_in_groups_of_several']:,} images"
    rows |= {f"hint {number}": hint["finding"] for number, hint in enumerate(facts["hints"], start=1)}
    return rows | {"report": page}


def demo(
    out: Path = Path("demo"),
    /,
    *,
    quick: bool = False,
    seed: int = 0,
    json: bool = False,
) -> int:
    """Run every step on a small synthetic set: generate, prepare, train, evaluate, predict, report.

    Args:
        out: Output folder; open OUT/report.html.
        quick: Run for about a minute only, to check the installation; the network learns little.
        seed: Random seed of the images and of the training.
        json: Print the summary as JSON.
    """
    from shipseg import progress
    from shipseg.demo import run_demo

    with progress.shown():
        report = run_demo(out, quick=quick, seed=seed)
    show("shipseg demo", report, as_json=json)
    return 0


def sides(text: str, *, flag: str = "--size") -> tuple[int, int]:
    """Return the height and width given by a flag as SIDE or HEIGHTxWIDTH, in pixels.

    Raises:
        ConfigError: The text is neither.
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
    """Return whether a text consists of the digits 0 to 9; `isdecimal` alone accepts those of other alphabets."""
    return text.isascii() and text.isdecimal()
