from __future__ import annotations

import io
import logging
import os
import pickle
import resource
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from shipseg.errors import CheckpointError, StorageError
from shipseg.training.checkpoint import (
    LAST,
    PREVIOUS,
    find_checkpoint,
    holds_checkpoint,
    read_checkpoint,
    save_checkpoint,
)


def content(step: int) -> dict[str, Any]:
    return {"state": f'{{"step": {step}}}', "network": {"weight": torch.full((40, 40), float(step))}}


def found_step(run: Path) -> int:
    stored = find_checkpoint(run)
    assert stored is not None
    values = read_checkpoint(stored.data, origin=run / stored.name)
    step = int(values["network"]["weight"][0, 0])
    assert torch.equal(values["network"]["weight"], content(step)["network"]["weight"])
    return step


def test_a_folder_without_a_checkpoint_holds_none(tmp_path: Path) -> None:
    assert find_checkpoint(tmp_path) is None
    assert not holds_checkpoint(tmp_path)


def test_saved_tensors_are_read_back_with_their_strides(tmp_path: Path) -> None:
    weight = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    optimizer = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999)}]}
    save_checkpoint(tmp_path, {"network": {"weight": weight}, "optimizer": optimizer, "best": None, "state": "{}"})
    stored = find_checkpoint(tmp_path)
    assert stored is not None
    values = read_checkpoint(stored.data, origin=tmp_path)
    assert torch.equal(values["network"]["weight"], weight)
    assert values["network"]["weight"].stride() == weight.stride()
    assert values["optimizer"] == optimizer
    assert values["best"] is None


def test_the_old_checkpoint_is_kept_as_the_previous(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, content(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == [LAST, PREVIOUS]
    assert found_step(tmp_path) == 3
    (tmp_path / LAST).unlink()
    assert found_step(tmp_path) == 2


@pytest.mark.parametrize("damage", ["cut", "emptied", "one bit", "other file"])
def test_a_damaged_checkpoint_is_reported_and_the_previous_used(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_checkpoint(tmp_path, content(1))
    save_checkpoint(tmp_path, content(2))
    data = bytearray((tmp_path / LAST).read_bytes())
    if damage == "one bit":
        place = data.find(torch.tensor([2.0]).numpy().tobytes() * 100)
        assert place > 0
        data[place + 50] ^= 1
    damaged = {
        "cut": bytes(data[: len(data) // 2]),
        "emptied": b"",
        "one bit": bytes(data),
        "other file": b"hello" * 100,
    }[damage]
    (tmp_path / LAST).write_bytes(damaged)
    with caplog.at_level(logging.WARNING):
        assert found_step(tmp_path) == 1
    assert "last.ckpt is damaged" in caplog.text
    assert "resuming from" in caplog.text


def test_two_damaged_checkpoints_are_an_error_that_names_both(tmp_path: Path) -> None:
    (tmp_path / LAST).write_bytes(b"x")
    (tmp_path / PREVIOUS).write_bytes(b"y")
    with pytest.raises(CheckpointError, match=r"last\.ckpt is damaged .* and .*previous\.ckpt is damaged"):
        find_checkpoint(tmp_path)


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("trapped",)


def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"format": 1, "state": Trap()}, LAST)
    with pytest.raises(CheckpointError, match="is not a shipseg checkpoint"):
        find_checkpoint(tmp_path)
    assert not Path("trapped").exists()
    pickle.loads(pickle.dumps(Trap()))  # unpickling it does execute code
    assert Path("trapped").exists()


def test_a_checkpoint_of_another_version_is_refused() -> None:
    data = io.BytesIO()
    torch.save({"format": 99}, data)
    with pytest.raises(CheckpointError, match="another version"):
        read_checkpoint(data.getvalue(), origin=Path("last.ckpt"))


def test_a_full_disk_is_one_sentence_and_the_last_checkpoint_remains(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, content(1))
    before = (tmp_path / LAST).read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # a file of 1000 bytes is all that fits
        with pytest.raises(StorageError, match=r"last\.ckpt cannot be written"):
            save_checkpoint(tmp_path, content(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert (tmp_path / LAST).read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [LAST]
    assert found_step(tmp_path) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_file_system_is_named_as_the_cause(tmp_path: Path) -> None:
    import subprocess

    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let even root mount a disk")
    try:
        small = {"network": {"weight": torch.ones(100)}}
        save_checkpoint(disk, small)
        with pytest.raises(StorageError, match=r"no space left on the disk while writing .*last\.ckpt"):
            save_checkpoint(disk, {"network": {"weight": torch.ones(100_000)}})
        assert sorted(path.name for path in disk.iterdir()) == [LAST]
        assert find_checkpoint(disk) is not None
    finally:
        subprocess.run(["umount", str(disk)], check=True)
