"""Facts and page about the errors of the reference solution, part by part."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.reference import double_sigmoid, double_sigmoid_trial, figures, resolution, sampler, side_by_side
from shipseg import files
from shipseg.errors import ConfigError
from shipseg.reports.page import drawing, image_url, write_page

__all__ = ["ReferenceOptions", "run_reference"]


FACTS_FILE, PAGE_FILE = "facts.json", "report.html"
_TEMPLATE = Path(__file__).with_name("reference.html")
_QUICK_PLAN = double_sigmoid_trial.DoubleSigmoidPlan(
    images=24, test_images=8, size=64, steps=6, batch_size=8, widths=(8, 8, 16)
)


@dataclass(frozen=True)
class ReferenceOptions:
    """Parts and their size."""

    side_by_side: side_by_side.SideBySidePlan | None = None
    """The comparison on a dataset; None leaves it out."""
    quick: bool = False
    """Few ships and steps, as a test."""


def run_reference(out: Path, options: ReferenceOptions | None = None) -> dict[str, Any]:
    """Write report.html and facts.json, and return the facts; parts that are finished in `out` are kept.

    Raises:
        ConfigError: `out` is the dataset itself.
        TrainingError: `out` has a comparison with other settings.
        DataError: The dataset cannot be read, or has nothing to train or to score on.
        StorageError: `out` cannot be written.
    """
    options = options or ReferenceOptions()
    out = Path(out)
    if options.side_by_side is not None and out.resolve() == options.side_by_side.dataset.resolve():
        raise ConfigError(f"the report would be written into the dataset {out}: choose another folder")
    if options.side_by_side is not None:
        side_by_side.check(options.side_by_side)  # before minutes of other parts
    files.ensure_folder(out)
    ships = 20 if options.quick else 300
    plan = _QUICK_PLAN if options.quick else double_sigmoid_trial.DoubleSigmoidPlan()
    facts: dict[str, Any] = {
        "sigmoid_twice": _sigmoid_twice(),
        "twins": _kept(out, "twins", asdict(plan), lambda: double_sigmoid_trial.train_both(plan)),
        "ceilings": {
            "as_labelled": resolution.ceilings(ships=ships),
            "with_outline": resolution.ceilings(ships=ships, outline_px=1.0),
        },
        "shift": resolution.one_pixel_shift(ships=ships),
        "sampler": sampler.covered_shares(epochs=2 if options.quick else 6),
        "learning_rate": {"1e-10": sampler.moved_by(1e-10), "1e-6": sampler.moved_by(1e-6)},
        "side_by_side": None
        if options.side_by_side is None
        else side_by_side.compare(options.side_by_side, out / "beside"),
    }
    files.write_json(out / FACTS_FILE, facts)
    write_page(out / PAGE_FILE, _TEMPLATE, facts=facts, drawings=_drawings(facts), examples=_examples(facts, out))
    return facts


def _kept(out: Path, name: str, settings: dict[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the facts of a part, from its file if that was made with the same settings."""
    path = out / "parts" / f"{name}.json"
    settings = json.loads(json.dumps(settings))
    if path.is_file():
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if stored["settings"] == settings:
            return dict(stored["facts"])
    facts = make()
    files.write_json(path, {"settings": settings, "facts": facts})
    return facts


def _sigmoid_twice() -> dict[str, Any]:
    thresholds = (4e-4, 1e-2, 0.5)
    implied = double_sigmoid.implied_probability(thresholds, loss="focal", input_kind="probabilities")
    return {
        "printed_losses": double_sigmoid.reported_losses(),
        "thresholds": [
            {
                "threshold": value,
                "seen": round(float(double_sigmoid.probability_seen(value, input_kind="probabilities")), 4),
                "meant": round(float(meant), 4),
            }
            for value, meant in zip(thresholds, implied, strict=True)
        ],
        "dice_turning_point": round(double_sigmoid.dice_switch_probability(input_kind="probabilities"), 5),
        "lowest_lovasz": round(double_sigmoid.best_losses()["lovasz"], 5),
    }


def _drawings(facts: dict[str, Any]) -> dict[str, Any]:
    q = np.linspace(0, 1, 401)
    outputs = {
        input_kind: {loss: double_sigmoid.minimiser(q, loss=loss, input_kind=input_kind) for loss in ("bce", "focal")}
        | {"dice": (q > double_sigmoid.dice_switch_probability(input_kind=input_kind)).astype(float)}
        for input_kind in ("logits", "probabilities")
    }
    made = {
        "best_outputs": figures.best_outputs(q, outputs),
        "twins": figures.double_sigmoid_curves(facts["twins"]),
        "ceilings": figures.resolution_ceilings(facts["ceilings"]["as_labelled"], tuple(resolution.ROUND_TRIPS)),
        "shift": figures.shifted_mask(*resolution.shift_example()),
        "sampler": figures.images_seen(facts["sampler"]),
    }
    if facts["side_by_side"] is not None:
        made["side_by_side"] = figures.side_by_side(facts["side_by_side"]["parts"])
    return {name: drawing(figure) for name, figure in made.items()}


def _examples(facts: dict[str, Any], out: Path) -> list[dict[str, Any]]:
    """Return the example images of the comparison: a row for each kind of image, a column for each part."""
    if facts["side_by_side"] is None:
        return []
    rows = []
    for kind, title in (("none", "No ship"), ("one", "One ship"), ("several", "Several ships")):
        paths = {name: out / "beside" / name / "pictures" / f"{kind}-close.jpg" for name in side_by_side.PARTS}
        if all(path.is_file() for path in paths.values()):
            shown = [
                {
                    "label": side_by_side.PARTS[name],
                    "overview": image_url(path.with_name(f"{kind}.jpg").read_bytes()),
                    "close_up": image_url(path.read_bytes()),
                }
                for name, path in paths.items()
            ]
            rows.append({"kind": title, "shown": shown})
    return rows
