"""Kills and resumes a training repeatedly, and compares the result with an uninterrupted run.

    python benchmarks/resume_trial.py --kills 20 --workers 2
    python benchmarks/resume_trial.py --kills 20 --processes 2 --crops

A network is trained on a small synthetic dataset without interruption, and then again in another folder, where all its
processes get SIGKILL at random moments: at any time, or while a checkpoint or the model is written, while validating,
or while the threshold is chosen. After each kill the same command is started again. If a run finishes before all kills
are done, another run is started. Weights, every tensor of last.ckpt, the threshold and history.csv (without its two
clock columns) must equal those of the uninterrupted run, bit for bit; otherwise the exit status is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECIPE = {
    "network": {"architecture": "compact", "widths": [8, 8, 8, 8, 8], "normalization": "airbus"},
    "input": {"crop_size": 64},
    "sampling": {"batches_per_epoch": 15, "zero_ships_ratio": 0.4},
    "augment": {"names": ["d4", "color-jitter", "gauss-noise", "elastic-transform"]},
    "train": {
        "batch_size": 4,
        "lr": 0.003,
        "schedule": {"name": "plateau", "patience": 0, "warmup_steps": 3},
        "ema_decay": 0.9,
        "checkpoint_every_steps": 4,
    },
    "phases": [{"epochs": 3}, {"epochs": 3, "lr": 0.001, "schedule": {"name": "cosine"}}],
    "threshold": {"metric": "airbus_score"},
}
AIMS = (
    "any time", "checkpoint", "half-written", "validating", "one process", "model", "starting", "choosing"
)  # fmt: skip
# Maximum delay of such a kill after the start of its stage: about the duration of the stage.
AIMED_AT_STAGE_S = {"checkpoint": 0.012, "validating": 0.06, "model": 0.015, "choosing": 0.3}


@dataclass(frozen=True)
class Kill:
    """One kill, and the stage at which it came."""

    run: int
    aim: str
    after_s: float
    stage: str
    unfinished: str


@dataclass
class Trial:
    """Folders and settings of one trial."""

    out: Path
    recipe: Path
    dataset: Path
    processes: int

    def start(self, run: Path) -> subprocess.Popen[bytes]:
        """Start or resume a training in `run`; its output goes to a log beside the folder."""
        for trace in (*self.out.glob("mark.*"), *self.out.glob("pid.*")):
            trace.unlink()
        launcher = []
        if self.processes > 1:
            launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={self.processes}"]
        child = [__file__, "--child", str(self.recipe), str(self.dataset), str(run), str(self.out)]
        with (self.out / f"{run.name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *launcher, *child],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )

    def stage(self) -> str:
        """Return stage and step of the first process, or an empty text before it has started."""
        try:
            return (self.out / "mark.0").read_text().strip()
        except OSError:
            return ""

    def wait_for(self, process: subprocess.Popen[bytes], stage: str) -> None:
        """Wait until the training has reached the stage, or ends."""
        while process.poll() is None and not self.stage().startswith(stage):
            time.sleep(0.0005)

    def finish(self, run: Path) -> float:
        """Run a training to its end; return the seconds from its first step to its last validation."""
        process = self.start(run)
        self.wait_for(process, "training")
        started_s = time.monotonic()
        self.wait_for(process, "choosing")
        lasted_s = time.monotonic() - started_s
        if process.wait() != 0:
            raise SystemExit(f"the training failed, see {self.out / run.name}.log")
        return lasted_s

    def kill(self, process: subprocess.Popen[bytes], *, rank: int | None = None) -> str:
        """Kill every process of the training, or one; return the stage of the first process."""
        for pid in self.out.glob("pid.*" if rank is None else f"pid.{rank}"):
            with contextlib.suppress(OSError, ValueError):
                os.killpg(int(pid.read_text()), signal.SIGKILL)
        stage = self.stage()
        if rank is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return stage


def child(recipe: Path, dataset: Path, run: Path, out: Path) -> int:
    """Train, and write the current stage to a file for the parent process."""
    from shipseg.errors import ShipsegError
    from shipseg.recipes import load_recipe
    from shipseg.training.run import TrainAndTestModel
    from shipseg.training.signals import STAGES

    rank = os.environ.get("RANK", "0")
    if os.getpgid(0) != os.getpid():
        os.setpgid(0, 0)  # so that a kill reaches the data-loading processes, too
    (out / f"pid.{rank}").write_text(str(os.getpid()))
    mark = os.open(out / f"mark.{rank}", os.O_WRONLY | os.O_CREAT)
    os.pwrite(mark, b"starting 0".ljust(32), 0)
    handler = logging.Handler()
    handler.emit = lambda record: void(os.pwrite(mark, record.getMessage().encode().ljust(32), 0))  # type: ignore[method-assign]
    STAGES.addHandler(handler)
    STAGES.setLevel(logging.DEBUG)
    STAGES.propagate = False
    try:
        TrainAndTestModel(load_recipe(recipe), dataset, run).train(resume=True)
    except ShipsegError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def void(_: object) -> None:
    """Return nothing."""


def kill_once(trial: Trial, run: Path, number: int, aim: str, *, lasts_s: float, rng: random.Random) -> Kill | None:
    """Start the training and kill it; return None if it finished before."""
    process = trial.start(run)
    trial.wait_for(process, "starting" if aim == "starting" else "training")
    started_s = time.monotonic()
    wait_for_moment(trial, process, run, aim, lasts_s=lasts_s, rng=rng)
    if process.poll() is not None:
        if process.returncode:
            raise SystemExit(f"the training failed without a kill, see {trial.out / run.name}.log")
        return None
    after_s = time.monotonic() - started_s
    stage = trial.kill(process, rank=trial.processes - 1 if aim == "one process" else None)
    return Kill(number, aim, after_s=after_s, stage=stage, unfinished=", ".join(unfinished_files(run)))


def wait_for_moment(
    trial: Trial, process: subprocess.Popen[bytes], run: Path, aim: str, *, lasts_s: float, rng: random.Random
) -> None:
    """Wait until the moment of the kill, or until the training ends."""
    if aim == "half-written":
        while process.poll() is None and not unfinished_files(run):
            pass
    elif aim in AIMED_AT_STAGE_S:
        seen, skipped = "", 0 if aim == "choosing" else rng.randrange(3)  # not always the first of its kind
        while process.poll() is None and skipped >= 0:
            before, seen = seen, trial.stage()
            skipped -= seen != before and seen.startswith(aim)
        time.sleep(rng.uniform(0, AIMED_AT_STAGE_S[aim]))
    else:
        until_s = time.monotonic() + rng.uniform(0, 3.0 if aim == "starting" else 0.3 * lasts_s)
        while time.monotonic() < until_s and process.poll() is None:
            time.sleep(0.0005)


def unfinished_files(run: Path) -> list[str]:
    """Return the names of partly written files."""
    return sorted(
        path.name.removesuffix(".part").lstrip(".") for path in (*run.glob(".*.part"), *run.glob("model/.*.part"))
    )


def prepare(out: Path, *, workers: int, crops: bool) -> tuple[Path, Path]:
    """Make the dataset and the recipe; return their paths."""
    import yaml

    from shipseg.data.prepare import PrepareOptions
    from shipseg.data.prepare import prepare as prepare_dataset
    from shipseg.synth import WorldConfig, write_airbus_folder

    write_airbus_folder(out / "airbus", images=24, seed=3, config=WorldConfig(size=128, empty_share=0.4), workers=1)
    options = PrepareOptions(size="native" if crops else 64, val_share=0.25, workers=1)
    prepare_dataset(out / "airbus", out / "dataset", options)
    recipe: dict[str, Any] = {**RECIPE, "train": {**RECIPE["train"], "workers": workers}}  # type: ignore[dict-item]
    recipe["input"] = {**RECIPE["input"], "mode": "crops" if crops else "resized"}  # type: ignore[dict-item]
    (out / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return out / "recipe.yaml", out / "dataset"


def run_trial(options: argparse.Namespace, out: Path) -> bool:
    """Kill and resume until all kills are done; print each, and whether all results are equal."""
    from shipseg.training.equality import run_differences

    recipe, dataset = prepare(out, workers=options.workers, crops=options.crops)
    trial = Trial(out=out, recipe=recipe, dataset=dataset, processes=options.processes)
    print(f"training uninterrupted ({options.processes} processes, {options.workers} data-loading processes each) ...")
    lasts_s = trial.finish(out / "uninterrupted")
    print(f"  {lasts_s:.1f} s\n\n{'kill':>4} {'run':>4}  {'aim':<12} {'after':>7}  {'stage':<16} half-written")
    rng = random.Random(options.seed)
    aims = [aim for aim in AIMS if aim != "one process" or options.processes > 1]
    kills: list[Kill] = []
    number, all_equal = 1, True
    while len(kills) < options.kills:
        run = out / f"killed-{number}"
        before = len(kills)
        while len(kills) < options.kills:
            aim = aims[len(kills) % len(aims)]
            kill = kill_once(trial, run, number, aim, lasts_s=lasts_s, rng=rng)
            if kill is None:
                break
            kills.append(kill)
            print(f"{len(kills):>4} {kill.run:>4}  {kill.aim:<12} {kill.after_s:>6.2f}s  {kill.stage:<16} "
                  f"{kill.unfinished or '-'}", flush=True)  # fmt: skip
        trial.finish(run)
        different = run_differences(out / "uninterrupted", run)
        all_equal &= not different
        verdict = "differs in " + "; ".join(different) if different else "equal bit for bit"
        print(f"  run {number}, killed {len(kills) - before} times: {verdict}", flush=True)
        number += 1
    print(f"\n{len(kills)} kills: {'all runs equal the uninterrupted one bit for bit' if all_equal else 'NOT EQUAL'}")
    return all_equal


def main() -> int:
    """Run the trial from the command line."""
    if sys.argv[1:2] == ["--child"]:
        return child(*(Path(argument) for argument in sys.argv[2:]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="how often to kill")
    parser.add_argument("--workers", type=int, default=0, help="data-loading processes of each training process")
    parser.add_argument("--processes", type=int, default=1, help="training processes; 2 and more by torchrun")
    parser.add_argument("--crops", action="store_true", help="train on native crops instead of resized images")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument("--out", type=Path, help="keep everything in this folder")
    options = parser.parse_args()
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=False)
        return 0 if run_trial(options, options.out.resolve()) else 1
    with tempfile.TemporaryDirectory(prefix="resume-trial-") as folder:
        return 0 if run_trial(options, Path(folder)) else 1


if __name__ == "__main__":
    sys.exit(main())
