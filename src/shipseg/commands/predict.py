"""`predict`: ships in pictures and scenes."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from shipseg.commands.flags import RuleFlags
from shipseg.commands.scenes import ArchiveFlags, SceneFlags, in_short, predict_scenes_here
from shipseg.commands.summary import show
from shipseg.errors import ConfigError, ShipsegError

if TYPE_CHECKING:
    from shipseg.inference.images import PredictReport
    from shipseg.inference.predictor import Predictor
    from shipseg.model.card import TtaViews
    from shipseg.scenes.batch import SceneAttempt

__all__ = ["predict"]

Format = Literal["csv", "coco", "gpkg", "geojson", "parquet"]
_IMAGE_FORMATS = ("csv", "coco")


def predict(
    first: str,
    /,
    *others: str,
    out: Path,
    model: str | None = None,
    format: tuple[Format, ...] | None = None,  # noqa: A002  (the flag is called --format)
    recursive: bool = False,
    submission: Path | None = None,
    threshold: float | None = None,
    views: Literal[1, 2, 4, 8] | None = None,
    overlays: Annotated[bool, Parameter(negative="--no-overlays")] = True,
    backend: Literal["auto", "torch", "onnx"] = "auto",
    rules: RuleFlags | None = None,
    scene: SceneFlags | None = None,
    archive: ArchiveFlags | None = None,
    json: bool = False,
) -> int:
    """Find ships in pictures, scenes and folders of them.

    Scenes are TIFFs that say where on Earth they lie or have more than 50 megapixels, other rasters that GDAL reads
    (JPEG 2000, VRT ...) and addresses (https://..., s3://...): ships come out in metres, on the map. All else is a
    picture: masks, overlays, ships in pixels.

    Args:
        first: A picture, a scene, or a folder of them; a pattern in quotes ('2024/*.tif'); @FILE, a list of these.
        others: More of them.
        out: Folder to write. For pictures: masks/, overlays/, ships.csv (one row per ship); for each scene a folder of
            its name: ships.gpkg, ships.csv, probability.tif, quicklook.png, report.html, scene.json.
        model: A run, a model folder, an ONNX file or the name of a bundled model; the best of those unless given.
        format: Files of ships. Pictures: csv (always written), coco. Scenes: gpkg, csv (these two unless given),
            geojson, parquet, coco. Repeat the flag for several.
        recursive: Look into folders inside the given folders, too.
        submission: Pictures: also write the challenge's submission CSV to this file.
        threshold: Use this threshold instead of the model's own.
        views: Average over so many mirror images, whatever the model's card says; 1 is fastest.
        overlays: Pictures: write them with the ships drawn on them.
        backend: What runs the network.
        rules: Flags for what makes a ship.
        scene: Flags for scenes.
        archive: Flags for many scenes.
        json: Print the summary as JSON.
    """
    from shipseg import progress
    from shipseg.inference.images import PredictOptions, predict_images
    from shipseg.scenes.batch import expand_inputs
    from shipseg.scenes.inputs import sort_inputs

    flags, many, rules = scene or SceneFlags(), archive or ArchiveFlags(), rules or RuleFlags()
    asked = _only_for_scenes([*flags.given, *many.given], format or ())
    scenes, pictures = sort_inputs(expand_inputs((first, *others)), out, recursive=recursive, for_scenes=bool(asked))
    _refuse_what_has_no_use(asked, _only_for_images(submission, rules), scenes, pictures)
    for_scenes = flags.options(format, threshold)
    image_options = PredictOptions(_image_formats(format or ("csv",)), overlays, threshold, submission, recursive)
    load = functools.partial(_load, _found(model), backend, rules, views)
    with progress.shown():
        report = predict_images(pictures, out, load(), image_options) if pictures else None
        attempts = predict_scenes_here(scenes, out, load, for_scenes, many) if scenes else ()
    show(*_summary_rows(report, attempts, in_full=json), as_json=json)
    return 0 if (report is None or report.ok) and all(attempt.result is not None for attempt in attempts) else 1


def _found(model: str | None) -> str:
    """Return which model is meant; one that is not there is found missing here, before other machines begin."""
    from shipseg.inference.locate import default_model, find_model

    model = default_model() if model is None else model
    find_model(model)
    return model


def _load(
    model: str,
    backend: str,
    rules: RuleFlags,
    views: TtaViews | None,
    *,
    threads: int | None = None,
) -> Predictor:
    """Return the model; this is also called by workers in other processes."""
    from shipseg.inference.predictor import load_model

    predictor = load_model(model, backend=backend, threads=threads)
    predictor = predictor if views is None else predictor.with_tta(views)
    return predictor.with_decision(separate=rules.separate, rectangles=rules.rectangles)


def _only_for_scenes(flags: Sequence[str], formats: Sequence[str]) -> list[str]:
    """Return what was given that only scenes have, as it was written."""
    return [f"--{name}" for name in flags] + [f"--format {n}" for n in formats if n not in _IMAGE_FORMATS]


def _only_for_images(submission: Path | None, rules: RuleFlags) -> list[str]:
    return rules.only_for_images + ([] if submission is None else ["--submission"])


def _image_formats(formats: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in formats if name in _IMAGE_FORMATS)


def _refuse_what_has_no_use(
    only_scenes: Sequence[str], only_images: Sequence[str], scenes: Sequence[str], pictures: Sequence[Path]
) -> None:
    """Refuse flags that nothing among the inputs is for, of those given that are for scenes or for pictures alone.

    Raises:
        ConfigError: There is one.
    """
    if only_scenes and not scenes:
        raise ConfigError(f"{only_scenes[0]} is for scenes, and none of the inputs is one: leave it out")
    if "--shard" in only_scenes and pictures:
        raise ConfigError(f"--shard is for scenes, and {pictures[0]} is none: give scenes alone")
    if only_images and not pictures:
        raise ConfigError(f"{only_images[0]} is for pictures, and none of the inputs is one: leave it out")


def _summary_rows(
    report: PredictReport | None, attempts: tuple[SceneAttempt, ...], *, in_full: bool
) -> tuple[str, Mapping[str, Any]]:
    """Return the title and the rows of the summary.

    Raises:
        ShipsegError: All there was is one scene, and it failed.
    """
    if report is None and len(attempts) == 1 and attempts[0].result is None and not in_full:
        raise ShipsegError(attempts[0].message)
    titles, facts = [], dict[str, Any]()
    if report is not None:
        titles.append("1 picture" if report.num_images == 1 else f"{report.num_images} pictures")
        facts |= report.as_dict() if in_full else _short(report)
    if attempts:
        titles.append("1 scene" if len(attempts) == 1 else f"{len(attempts)} scenes")
        facts["scenes"] = {attempt.name: attempt.as_dict() for attempt in attempts} if in_full else in_short(attempts)
    elif report is None:
        return "No scene is in this shard", {"scenes": {}}
    if report is None and not in_full:
        facts = facts["scenes"]
    return f"Ships in {' and '.join(titles)}", facts


def _short(report: PredictReport) -> dict[str, Any]:
    facts = report.as_dict()
    return {
        "pictures": report.num_images,
        "with ships": report.num_images_with_ships,
        "ships": report.num_ships,
        "could not be used": len(report.failed),
        "time": f"{report.elapsed_s:.1f} s",
        "written": facts["written"],
        "failures": facts["failures"],
    }
