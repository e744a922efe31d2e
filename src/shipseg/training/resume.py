"""Checks before a resume: recipe, dataset and number of processes must be those of the run."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from shipseg import __version__
from shipseg.config import Recipe
from shipseg.data.prepared import PreparedDataset
from shipseg.errors import TrainingError
from shipseg.identity import first_difference
from shipseg.training.distributed import Processes
from shipseg.training.state import RunState

__all__ = ["check_same_run", "environment"]

LOG = logging.getLogger(__name__)

_FREE_TO_CHANGE = ("name", "description", "train.workers", "train.checkpoint_every_steps", "train.device")
"""Recipe keys that do not change the result (for the device, see `environment`)."""


def environment(device: torch.device) -> dict[str, str]:
    """Return what else must be equal for a resumed run to be bit-for-bit equal."""
    return {
        "shipseg": __version__,
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": str(torch.get_num_threads()),
    }


def check_same_run(state: RunState, recipe: Recipe, data: PreparedDataset, *, processes: Processes, run: Path) -> None:
    """Check that recipe, dataset and number of processes are those that the run was started with.

    Differences that change only the last bits (versions, threads, device type) are logged.

    Raises:
        TrainingError: Something differs; the message names it with both values.
    """
    ignored = {*_FREE_TO_CHANGE}
    if recipe.resolved_phases() in (state.phases, state.recipe.resolved_phases()):
        ignored |= {"phases", "train.epochs"}
    difference = first_difference(state.recipe.model_dump(mode="json"), recipe.model_dump(mode="json"), ignored=ignored)
    if difference is not None:
        raise TrainingError(
            f"run {run} was started with {difference} in the recipe: resume with the same recipe, or start another run "
            "in another folder (more epochs: `shipseg continue`)"
        )
    if state.dataset != data.fingerprint:
        raise TrainingError(
            f"run {run} was started on another dataset (fingerprint {state.dataset[:12]}) than {data.root} "
            f"({data.fingerprint[:12]}): give the dataset of the run, or start a new run in another folder"
        )
    if state.world_size != processes.world_size:
        raise TrainingError(
            f"run {run} was started with {state.world_size} process(es) and now there are {processes.world_size}: "
            f"start it with {state.world_size}, or start a new run in another folder"
        )
    now_here = environment(processes.device)
    changed = [f"{name} {state.environment.get(name)} -> {value}" for name, value in now_here.items()
               if state.environment.get(name) != value]  # fmt: skip
    if changed and processes.is_first:
        LOG.warning(
            "the run resumes in another environment (%s): its result will equal that of an uninterrupted run up to "
            "rounding, not bit for bit",
            ", ".join(changed),
        )
