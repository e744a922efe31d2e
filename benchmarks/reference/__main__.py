"""The errors of the reference solution and their effects: `python -m benchmarks.reference OUT`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from benchmarks.reference.report import ReferenceOptions, run_reference
from benchmarks.reference.side_by_side import SideBySidePlan
from cyclopts import App, Parameter

from shipseg import cli, progress
from shipseg.commands.summary import show
from shipseg.commands.training import recipe_pairs

__all__ = ["main", "reference"]


def reference(
    out: Path,
    /,
    *,
    dataset: Path | None = None,
    minutes: float = 10.0,
    overrides: Annotated[list[str] | None, Parameter(name="--set")] = None,
    quick: bool = False,
    json: bool = False,
) -> int:
    """Write report.html and facts.json about the errors of the reference solution and their effects.

    With a dataset, also compare its training with ours in equal time. A killed command resumes when run again.

    Args:
        out: Output folder.
        dataset: Folder made by `shipseg prepare` with cached images (--size 256), for the comparison; scored on its
            test split, or on val if it has none.
        minutes: Minutes of training for each of the three networks of the comparison.
        overrides: SECTION.KEY=VALUE for all recipes of the comparison; also written --SECTION.KEY VALUE.
        quick: Run the other parts with few steps, as a test.
        json: Print all facts as JSON.
    """
    plan = None if dataset is None else SideBySidePlan(dataset, minutes, recipe_pairs(overrides or []))
    with progress.shown():
        facts = run_reference(out, ReferenceOptions(plan, quick))
    show("Reference solution", facts if json else _summary_rows(facts, out), as_json=json)
    return 0


def _summary_rows(facts: dict[str, Any], out: Path) -> dict[str, Any]:
    small = facts["ceilings"]["as_labelled"][3]
    short: dict[str, Any] = {
        "ship probability at threshold 0.0004": facts["sigmoid_twice"]["thresholds"][0]["meant"],
        "best threshold, loss of logits": facts["twins"]["logits"]["best_threshold"],
        "best threshold, loss of probabilities": facts["twins"]["probabilities"]["best_threshold"],
        f"best IoU of a {small['ship_px']} px ship at 256 px": (
            f"{small['hard, 256 px']} with hard masks, {small['coverage, 256 px']} with coverage"
        ),
        "images seen in an epoch": f"{facts['sampler']['reference']['single'][0]:.0%} with one ship",
    }
    if facts["side_by_side"] is not None:
        for part in facts["side_by_side"]["parts"].values():
            scores = part["scores"]
            short[f"{part['label']}, {part['minutes']:.1f} minutes"] = (
                f"Airbus score {scores['airbus_score']:.3f}, pooled Dice {scores['pooled_dice']:.3f}"
            )
    return {**short, "report": out / "report.html"}


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    app = App(name="python -m benchmarks.reference", default_parameter=Parameter(negative=()))
    app.default(reference)
    return cli.run(arguments, app)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
