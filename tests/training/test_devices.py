from __future__ import annotations

import os

import pytest
import torch

from shipseg.errors import ConfigError, TrainingError
from shipseg.training.devices import explained_failures, numerics, resolve_device

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


@NO_GPU
def test_without_a_gpu_auto_is_the_cpu() -> None:
    assert resolve_device("auto") == resolve_device("cpu") == torch.device("cpu")


@NO_GPU
def test_a_missing_gpu_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match=r"train\.device cuda:1 needs GPU 1, and torch finds 0 GPUs"):
        resolve_device("cuda:1")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", ""])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"train\.device must be auto, cpu, cuda or cuda:N"):
        resolve_device(name)


@pytest.mark.parametrize(("available", "name", "rank", "expected"), [
    (2, "auto", 1, "cuda:1"), (2, "cuda", 0, "cuda:0"), (2, "cuda:1", 0, "cuda:1"), (2, "cpu", 1, "cpu"),
])  # fmt: skip
def test_each_process_of_a_machine_uses_its_own_gpu(
    available: int, name: str, rank: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: available)
    assert resolve_device(name, local_rank=rank) == torch.device(expected)


def test_torchs_settings_and_generator_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = torch.get_rng_state()
    with numerics(deterministic=True):
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.benchmark
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        torch.manual_seed(1)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), r"too little memory.*lower train\.batch_size"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes"), "too little memory"),
        (RuntimeError("put_ does not have a deterministic implementation, but"), r"needs put_.*train\.deterministic"),
    ],
)
def test_a_failure_on_the_device_is_one_sentence(error: RuntimeError, sentence: str) -> None:
    with pytest.raises(TrainingError, match=sentence), explained_failures():
        raise error


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="something else"), explained_failures():
        raise RuntimeError("something else")
