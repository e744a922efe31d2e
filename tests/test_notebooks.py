"""The notebooks run from top to bottom with small settings, and are committed without outputs."""

from __future__ import annotations

import csv
import itertools
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
EVERY = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
TINY = """
network: {architecture: compact, widths: [8, 8, 8]}
input: {mode: crops, crop_size: 64}
sampling: {batches_per_epoch: 4, zero_ships_ratio: 0.4}
train: {epochs: 2, batch_size: 4, lr: 3.0e-3, ema_decay: 0.9}
"""

Executed = dict[str, str]
"""What each cell printed, by its id; `[png]` stands for an image."""
Execute = Callable[..., Executed]


@pytest.fixture
def execute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Execute:
    """Run a notebook in a kernel of this interpreter, independent of the user's kernels and settings."""
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        (tmp_path / "jupyter" / name).mkdir(parents=True)
        monkeypatch.setenv(name, str(tmp_path / "jupyter" / name))
    monkeypatch.setenv("JUPYTER_PATH", str(Path(sys.prefix) / "share" / "jupyter"))

    def run(name: str, **settings: object) -> Executed:
        book = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
        environment = os.environ | {f"SHIPSEG_{key.upper()}": str(value) for key, value in settings.items()}
        client = NotebookClient(
            book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
        )
        client.execute(env=environment)
        return {cell.id: "".join(map(_shown, cell.outputs)) for cell in book.cells if cell.cell_type == "code"}

    return run


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A recipe that trains in a second; few layers, since the time of an export grows with their number."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


def _shown(output: nbformat.NotebookNode) -> str:
    if output.output_type == "stream":
        return str(output.text)
    return "[png]" if "image/png" in output.data else str(output.data.get("text/plain", ""))


@pytest.mark.parametrize("name", EVERY)
def test_what_is_committed_is_clean(name: str) -> None:
    path = NOTEBOOKS / f"{name}.ipynb"
    book = json.loads(path.read_text(encoding="utf-8"))
    assert path.read_text(encoding="utf-8") == json.dumps(book, indent=1, ensure_ascii=False) + "\n"
    nbformat.validate(book)
    ids = [cell["id"] for cell in book["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", each) for each in ids), "ids are words, the same in every commit"
    assert set(book["metadata"]) == {"kernelspec", "language_info"}
    for cell in book["cells"]:
        assert not cell["metadata"]
        if cell["cell_type"] == "code":
            assert not cell["outputs"]
            assert cell["execution_count"] is None
        assert not re.search(r"(?<![\w.])/(home|root|tmp|work|Users|kaggle)/", "".join(cell["source"]))


@pytest.mark.parametrize("name", EVERY)
def test_words_come_before_each_cell_of_code(name: str) -> None:
    kinds = [cell["cell_type"] for cell in json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())["cells"]]
    assert kinds[0] == "markdown"
    assert all(before == "markdown" for before, kind in itertools.pairwise(kinds) if kind == "code")


def test_the_exploration_shows_every_figure_and_writes_the_reference_s_table(execute: Execute, tmp_path: Path) -> None:
    shown = execute("EDA", work=tmp_path / "work", images=24, size=128)
    drawn = ["samples", "imbalance", "ships-per-image", "areas", "shapes", "headings", "positions", "files", "colours"]
    for cell in (*drawn, "cleaning", "groups", "split"):
        assert shown[cell].startswith("[png]"), cell
    assert "the same text when encoded again: True" in shown["rle"]
    with (tmp_path / "work" / "exploration" / "train_ship_segmentation_post_EDA.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == ["ImageId", "EncodedPixels", "Ships", "Size_kb"]
    files = {path.name for path in (tmp_path / "work" / "airbus" / "train_v2").iterdir()}
    assert {row["ImageId"] for row in rows} <= files
    assert len(rows) > len(files) / 2
    assert all((row["EncodedPixels"] == "0") == (row["Ships"] == "0") for row in rows)


def test_the_experiments_train_resume_choose_study_and_export(execute: Execute, tiny: Path, tmp_path: Path) -> None:
    small = {"images": 30, "size": 128, "crop": 64, "epochs": 3, "steps": 4, "seeds": 2}
    shown = execute("experiments", work=tmp_path / "work", recipe=tiny, **small)
    for cell in ("curves", "continue", "sizes", "panel", "curves-by-group", "reliability", "study-page"):
        assert shown[cell].startswith("[png]"), cell
    assert "ended by SIGKILL" in shown["kill"]
    assert re.search(r"resumed at step [48] of 12\ndifferences: none\n", shown["resume"])
    assert "best ship F1" in shown["targets"]  # twelve steps meet hardly any other target
    assert "model-2-stratified" in shown["recipes"]
    trials = {path.name for path in (tmp_path / "work" / "study" / "trials").iterdir()}
    assert trials >= {"none-seed0", "none-seed1", "a-third-seed0", "a-third-seed1"}
    assert (tmp_path / "work" / "ships.onnx").is_file()
    assert (tmp_path / "work" / "predictions" / "ships.csv").is_file()


def test_the_hosted_notebook_ends_with_a_sound_submission_though_its_first_session_is_too_short(
    execute: Execute, tiny: Path, tmp_path: Path
) -> None:
    folders = {"input": tmp_path / "input", "scratch": tmp_path / "scratch", "recipe": tiny}
    small = {"rehearsal": 1, "images": 24, "size": 96, "reserve_hours": 0}
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()

    shown = execute("hosted", **folders, **small, keep=first, session_hours=0)
    assert "this is the first session" in shown["previous"]
    assert shown["train"].endswith("the time is over: run the notebook again in another session\n")
    assert not (first / "shipseg-kept" / "submission.csv").exists()

    # The next session: the output of the first one is an input, everything else is lost.
    shutil.rmtree(tmp_path / "scratch")
    shutil.copytree(first, tmp_path / "input" / "first-session")
    second.mkdir()
    shown = execute("hosted", **folders, **small, keep=second)
    kept = second / "shipseg-kept"
    assert "dataset" in shown["previous"]
    assert "is already finished, nothing to do" in shown["prepare"]
    assert shown["train"].endswith("the run is finished\n")
    assert (shown["curves"], shown["evaluate"][-5:]) == ("[png]", "[png]")
    assert (kept / "run" / "model" / "shipseg.json").is_file()
    test_ids = {path.name for path in (tmp_path / "input" / "challenge" / "test_v2").iterdir()}
    with (kept / "submission.csv").open(newline="") as lines:
        header, *rows = csv.reader(lines)
    assert header == ["ImageId", "EncodedPixels"]
    assert {row[0] for row in rows} == test_ids
    assert re.search(r"SubmissionSummary\(num_images=4, ", shown["check"])
