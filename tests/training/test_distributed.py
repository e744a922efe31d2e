"""Processes that exchange numbers: real ones, over gloo on this machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shipseg.errors import StorageError
from shipseg.training.distributed import Processes, joined

WORK = """
import json, os, sys
import numpy as np
import torch
from shipseg.errors import ShipsegError, StorageError
from shipseg.training.distributed import joined

def refuse():
    raise StorageError("no space left")

with joined(torch.device("cpu")) as processes:
    rank = processes.rank
    found = {"world_size": processes.world_size}
    found["agreed"] = processes.agree(lambda: {"data": b"abc".hex(), "rank": rank})
    try:
        processes.agree(refuse)
    except ShipsegError as error:
        found["refused"] = str(error)
    found["gathered"] = processes.gather(rank * 10)
    found["integers"] = processes.add_up(np.array([[2**53 + 1, rank]])).tolist()
    found["floats"] = processes.add_up(np.array([0.5, rank])).tolist()
    weight, bias = torch.full((2, 3), float(rank)), torch.tensor(8.0 * rank)
    weight = weight.reshape(1, 2, 3, 1).to(memory_format=torch.channels_last)
    processes.average_([weight, bias], weight=(0.25, 0.75)[rank])
    found["averaged"] = [weight.unique().tolist(), bias.item(), weight.is_contiguous(memory_format=torch.channels_last)]
    processes.wait()
    if sys.argv[1] == "one dies":
        if rank == 1:
            os._exit(9)
        try:
            processes.wait()
        except ShipsegError as error:
            found["lost"] = f"{type(error).__name__}: {error}"
    print(json.dumps(found), flush=True)
    if sys.argv[1] == "one dies":
        os._exit(0)
"""


def run_two(how: str) -> list[dict[str, Any] | None]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORK, how],
            env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
                 "MASTER_PORT": str(port)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    found: list[dict[str, Any] | None] = []
    for process in processes:
        out, errors = process.communicate(timeout=120)
        assert out or process.returncode == 9, errors
        found.append(json.loads(out) if out else None)
    return found


def test_two_processes_agree_add_up_and_average() -> None:
    for found in run_two("all live"):
        assert found == {
            "world_size": 2,
            "agreed": {"data": "616263", "rank": 0},
            "refused": "no space left",
            "gathered": [0, 10],
            "integers": [[2**54 + 2, 1]],  # exact, beyond what a float holds
            "floats": [1.0, 1.0],
            "averaged": [[0.75], 6.0, True],  # 0.25 x 0 + 0.75 x 1, and 0.75 x 8
        }


def test_a_process_that_dies_ends_the_others_with_one_sentence() -> None:
    found, lost = run_two("one dies")
    assert lost is None
    assert found is not None
    assert found["lost"].startswith("LostProcessError: process 0 of 2 lost the connection, because another process")
    assert "--resume" in found["lost"]
    assert "\n" not in found["lost"]


def test_a_single_process_exchanges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined(torch.device("cpu")) as alone:
        assert alone == Processes(rank=0, world_size=1, device=torch.device("cpu"))
        assert alone.is_first
        assert alone.gather(3) == [3]
        assert alone.add_up(np.array([1.5])).tolist() == [1.5]
        weight = torch.ones(2)
        alone.average_([weight], weight=1.0)
        assert weight.tolist() == [1.0, 1.0]
        with pytest.raises(StorageError, match="no space left"):
            alone.agree(_refuse)


def _refuse() -> None:
    raise StorageError("no space left")


SCRIPT = """
import sys
from pathlib import Path
from shipseg.errors import ShipsegError
from shipseg.recipes import load_recipe
from shipseg.training.run import TrainAndTestModel
recipe, dataset, run = map(Path, sys.argv[1:])
try:
    TrainAndTestModel(load_recipe(recipe), dataset, run).train(resume=True)
except ShipsegError as error:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(1)
"""


@pytest.mark.slow
def test_sigterm_to_torchrun_stops_all_at_one_step_and_a_resume_is_exact(
    dataset_folder: Path, tiny: Any, tmp_path: Path
) -> None:
    import signal
    import time

    from shipseg.errors import TrainingError
    from shipseg.recipes import dump_recipe
    from shipseg.training.equality import run_differences
    from shipseg.training.run import TrainAndTestModel

    recipe = tiny(train={"epochs": 4}, sampling={"batches_per_epoch": 40})
    (tmp_path / "recipe.yaml").write_text(dump_recipe(recipe))
    (tmp_path / "train.py").write_text(SCRIPT)

    def start(run: Path) -> subprocess.Popen[str]:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(tmp_path / "train.py")]
        command = [sys.executable, *launcher, str(tmp_path / "recipe.yaml"), str(dataset_folder), str(run)]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    _finish(start(tmp_path / "uninterrupted"))
    stopped = start(tmp_path / "stopped")
    while not (tmp_path / "stopped" / "previous.ckpt").exists():
        time.sleep(0.01)
    time.sleep(1)
    stopped.send_signal(signal.SIGTERM)
    _, errors = stopped.communicate(timeout=100)
    assert stopped.returncode != 0
    assert errors.count("TrainingInterrupted: SIGTERM stopped the run after a checkpoint was saved") == 2
    with pytest.raises(TrainingError, match=r"was started with 2 process\(es\) and now there are 1: start it with 2"):
        TrainAndTestModel(recipe, dataset_folder, tmp_path / "stopped").train(resume=True)
    _finish(start(tmp_path / "stopped"))
    assert run_differences(tmp_path / "uninterrupted", tmp_path / "stopped") == []


def _finish(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
