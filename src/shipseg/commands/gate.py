"""`gate`: a cheap first look that lets empty tiles of scenes be skipped, measured on labelled images."""

from __future__ import annotations

from pathlib import Path

from shipseg.commands.summary import show
from shipseg.errors import ConfigError

__all__ = ["gate"]


def gate(
    model: str,
    data: Path,
    /,
    *,
    out: Path,
    loss: float = 0.005,
    reduction: int = 4,
    split: str | None = None,
    csv: Path | None = None,
    images: Path | None = None,
    max_images: int = 4000,
    seed: int = 0,
    json: bool = False,
) -> int:
    """Give a model a gate: a cheap first look by which `predict` skips empty tiles of scenes.

    Args:
        model: A run, a model folder, an ONNX file or the name of a bundled model; it is not changed.
        data: A prepared dataset, or an Airbus folder (CSV and images), of images like the scenes to come.
        out: Folder to write: model/ (or model.onnx), a copy with the gate in its card.
        loss: Share of the ships that may be lost.
        reduction: The first look is at 1/reduction of the network's resolution.
        split: Which split of a dataset: train, val or test; val unless given.
        csv: The CSV, where an Airbus folder holds several.
        images: The folder of images, where an Airbus folder holds several.
        max_images: Look at no more than this many images, drawn with their shares of no, one and several ships.
        seed: Decides that draw.
        json: Print the gate as JSON.
    """
    from shipseg import progress
    from shipseg.evaluation.labelled import open_source
    from shipseg.inference.copying import copy_model, copy_target
    from shipseg.inference.predictor import load_model
    from shipseg.scenes.gating import GateOptions, choose_gate

    options = GateOptions(loss=loss, reduction=reduction, max_images=max_images, seed=seed)
    copy_target(model, out)  # refuses to write over the model, before any work
    if out.resolve() == data.resolve():
        raise ConfigError(f"the model would be written among the data in {data}: choose another folder for it")
    predictor = load_model(model)
    with progress.shown():
        source = open_source(data, split=split, csv=csv, images=images)
        chosen = choose_gate(predictor, source, options)
        written = copy_model(model, out, predictor.card.model_copy(update={"gate": chosen}))
    empty = f"{chosen.num_empty_tiles:,} ({chosen.tile_px} px)"
    lost = f"{100 * chosen.lost_recall:.2g} % of {chosen.num_ships:,}, below {100 * chosen.lost_recall_at_most:.2g} %"
    short = {
        "skips a tile with less contrast than": f"{chosen.threshold:.4g} grey values at 1/{chosen.reduction}",
        "ships lost": f"{lost} with 95 % confidence",
        "empty tiles skipped": f"{100 * chosen.skipped_share:.3g} % of {empty}",
        "time of the first look": f"{100 * chosen.time_share:.2g} % of the network's",
        "model": written,
    }
    facts = chosen.model_dump() | {"model": str(written)}
    show(f"Gate of {model}, measured on {data}", facts if json else short, as_json=json)
    return 0
