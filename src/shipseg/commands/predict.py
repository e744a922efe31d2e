"""`predict`: detect ships in images and scenes."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from shipseg.commands.flags import DecisionFlags
from shipseg.commands.scenes import ArchiveFlags, SceneFlags, predict_shard, scene_rows
from shipseg.commands.summary import show
from shipseg.errors import ConfigError, ShipsegError
from shipseg.number_formats import counted

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
    tta_views: Annotated[Literal[1, 2, 4, 8] | None, Parameter(name=("--tta-views", "--views"))] = None,
    overlays: Annotated[bool, Parameter(negative="--no-overlays")] = True,
    backend: Literal["auto", "torch", "onnx"] = "auto",
    decision: DecisionFlags | None = None,
    scene: SceneFlags | None = None,
    archive: ArchiveFlags | None = None,
    json: bool = False,
) -> int:
    """Detect ships in images and scenes.

    Scenes are georeferenced TIFFs, TIFFs above 50 megapixels, other rasters that GDAL reads (JPEG 2000, VRT ...) and
    URLs (https://, s3://); their ships are located on the map, in metres. All other inputs are images, in pixels.

    Args:
        first: Image, scene or folder of them, quoted pattern ('2024/*.tif'), or @FILE, a text file that lists inputs.
        others: More inputs.
        out: Output folder. Images: masks/, overlays/, ships.csv (one row per ship). Scenes: one folder each, with
            ships.gpkg, ships.csv, probability.tif, quicklook.png, report.html, scene.json.
        model: Run, model folder, ONNX file or name of a bundled model. Default: the best bundled model.
        format: Output formats of the ships; repeat the flag for several. Images: csv (always written), coco. Scenes:
            gpkg, csv (both by default), geojson, parquet, coco.
        recursive: Also search the subfolders of the given folders.
        submission: Images: also write the challenge's submission CSV to this file.
        threshold: Probability threshold. Default: the model's own.
        tta_views: Number of flipped and rotated views to average (test-time augmentation). Default: the model's own.
        overlays: Images: write overlays, the images with their ships drawn in.
        backend: Library that runs the network.
        decision: Flags that override the decision rule.
        scene: Flags for scenes.
        archive: Flags for many scenes.
        json: Print the summary as JSON.
    """
    from shipseg import progress
    from shipseg.inference.images import PredictOptions, predict_images
    from shipseg.scenes.batch import expand_inputs
    from shipseg.scenes.inputs import sort_inputs

    scene, archive, decision = scene or SceneFlags(), archive or ArchiveFlags(), decision or DecisionFlags()
    only_scenes = _only_for_scenes([*scene.given, *archive.given], format or ())
    inputs = expand_inputs((first, *others))
    scenes, images = sort_inputs(inputs, out, recursive=recursive, for_scenes=bool(only_scenes))
    _refuse_unused_flags(only_scenes, _only_for_images(submission, decision), scenes, images)
    scene_options = scene.options(format, threshold)
    image_options = PredictOptions(_image_formats(format or ("csv",)), overlays, threshold, submission, recursive)
    load = functools.partial(_load, _existing_model(model), backend, decision, tta_views)
    with progress.shown():
        report = predict_images(images, out, load(), image_options) if images else None
        attempts = predict_shard(scenes, out, load, scene_options, archive) if scenes else ()
    show(*_summary_rows(report, attempts, in_full=json), as_json=json)
    return 0 if (report is None or report.ok) and all(attempt.result is not None for attempt in attempts) else 1


def _existing_model(model: str | None) -> str:
    """Return the model to use; a missing one raises here, before workers start."""
    from shipseg.inference.locate import default_model, find_model

    model = default_model() if model is None else model
    find_model(model)
    return model


def _load(
    model: str,
    backend: str,
    decision: DecisionFlags,
    tta_views: TtaViews | None,
    *,
    threads: int | None = None,
) -> Predictor:
    """Return the model; worker processes call this, too."""
    from shipseg.inference.predictor import load_model

    predictor = load_model(model, backend=backend, threads=threads)
    predictor = predictor if tta_views is None else predictor.with_tta(tta_views)
    return predictor.with_decision(separate=decision.split_touching, rectangles=decision.rectangles)


def _only_for_scenes(flags: Sequence[str], formats: Sequence[str]) -> list[str]:
    """Return the given flags that apply to scenes only, as written on the command line."""
    return [f"--{name}" for name in flags] + [f"--format {n}" for n in formats if n not in _IMAGE_FORMATS]


def _only_for_images(submission: Path | None, decision: DecisionFlags) -> list[str]:
    return decision.only_for_images + ([] if submission is None else ["--submission"])


def _image_formats(formats: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in formats if name in _IMAGE_FORMATS)


def _refuse_unused_flags(
    only_scenes: Sequence[str], only_images: Sequence[str], scenes: Sequence[str], images: Sequence[Path]
) -> None:
    """Check that every flag that applies to scenes or to images only has such an input.

    Raises:
        ConfigError: One has none.
    """
    if only_scenes and not scenes:
        raise ConfigError(f"{only_scenes[0]} applies to scenes only, and no input is a scene: leave it out")
    if "--shard" in only_scenes and images:
        raise ConfigError(f"--shard applies to scenes only, and {images[0]} is an image: give scenes only")
    if only_images and not images:
        raise ConfigError(f"{only_images[0]} applies to images only, and no input is an image: leave it out")


def _summary_rows(
    report: PredictReport | None, attempts: tuple[SceneAttempt, ...], *, in_full: bool
) -> tuple[str, Mapping[str, Any]]:
    """Return the title and the rows of the summary; all facts with `in_full`.

    Raises:
        ShipsegError: The only input is a scene, and it failed.
    """
    if report is None and len(attempts) == 1 and attempts[0].result is None and not in_full:
        raise ShipsegError(attempts[0].message)
    titles, facts = [], dict[str, Any]()
    if report is not None:
        titles.append(counted(report.num_images, "image", form="d"))
        facts |= report.as_dict() if in_full else _image_rows(report)
    if attempts:
        titles.append(counted(len(attempts), "scene", form="d"))
        facts["scenes"] = {attempt.name: attempt.as_dict() for attempt in attempts} if in_full else scene_rows(attempts)
    elif report is None:
        return "This shard has no scenes", {"scenes": {}}
    if report is None and not in_full:
        facts = facts["scenes"]
    return f"Ships in {' and '.join(titles)}", facts


def _image_rows(report: PredictReport) -> dict[str, Any]:
    facts = report.as_dict()
    return {
        "images": report.num_images,
        "with ships": report.num_images_with_ships,
        "ships": report.num_ships,
        "failed": len(report.failed),
        "time": f"{report.elapsed_s:.1f} s",
        "written": facts["written"],
        "failures": facts["failures"],
    }
