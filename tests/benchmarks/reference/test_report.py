from __future__ import annotations

import ast
import json
import re
import shutil
from pathlib import Path

import pytest
from benchmarks.reference.__main__ import ReferenceOptions, run_reference
from benchmarks.reference.side_by_side import PARTS, SideBySidePlan, compare

from shipseg.cli import run
from shipseg.errors import ConfigError, TrainingError

SMALL = {
    "network.architecture": "compact", "network.widths": "[8, 8, 8]", "input.crop_size": 32, "train.batch_size": 4
}  # fmt: skip
FLAGS = [part for key, value in SMALL.items() for part in (f"--{key}", str(value))]


@pytest.fixture(scope="session")
def finished(dataset_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command leaves; not to be changed."""
    out = tmp_path_factory.mktemp("reference") / "out"
    assert run(["reference", str(out), "--dataset", str(dataset_folder), "--minutes", "0.01", "--quick", *FLAGS]) == 0
    return out


def test_the_command_leaves_facts_and_a_page_with_every_part(finished: Path) -> None:
    facts = json.loads((finished / "facts.json").read_text())
    assert set(facts) == {
        "sigmoid_twice", "twins", "ceilings", "shift", "sampler", "learning_rate", "side_by_side"
    }  # fmt: skip
    page = (finished / "report.html").read_text()
    assert page.count("<svg") == 6
    assert re.findall(r"https?://|@import|url\((?!#)", page.replace("http://www.w3.org", "")) == []
    for words in ("A sigmoid applied twice", "The shift of one pixel", "The sampler", "Side by side", "0.5003"):
        assert words in page


def test_all_parts_are_scored_on_the_same_images_by_the_same_evaluation(finished: Path, dataset_folder: Path) -> None:
    side = json.loads((finished / "facts.json").read_text())["side_by_side"]
    assert list(side["parts"]) == list(PARTS)
    assert side["split"] == "val"  # there is no test split
    of_val = json.loads((dataset_folder / "report.json").read_text())["splits"]["val"]["images"]
    assert {part["scores"]["num_images"] for part in side["parts"].values()} == {of_val}
    assert side["parts"]["original"]["scores"]["threshold"] == 4e-4
    assert side["parts"]["original-refitted"]["steps"] == side["parts"]["original"]["steps"]
    for name, part in side["parts"].items():
        metrics = json.loads((finished / "beside" / name / "scores" / "metrics.json").read_text())
        assert metrics["airbus_score"] == part["scores"]["airbus_score"]
        assert part["steps"] >= 1
        assert part["minutes"] > 0


def test_run_again_only_what_is_missing_is_made(finished: Path, dataset_folder: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(finished / "beside", tmp_path / "beside"))
    before = compare(SideBySidePlan(dataset_folder, 0.01, SMALL), out)
    for name in ("original", "base"):
        (out / name / "result.json").unlink()
    resized = (out / "resized-256" / "result.json").stat().st_mtime_ns
    after = compare(SideBySidePlan(dataset_folder, 0.01, SMALL), out)
    assert (out / "resized-256" / "result.json").stat().st_mtime_ns == resized
    # Our run was finished and is scored anew; the reference's way starts over.
    assert after["parts"]["base"]["scores"] == before["parts"]["base"]["scores"]
    assert after["parts"]["base"]["steps"] == before["parts"]["base"]["steps"]


def test_a_folder_with_other_settings_and_a_dataset_without_a_cache_are_refused(
    finished: Path, dataset_folder: Path, airbus_folder: Path, tmp_path: Path
) -> None:
    from shipseg.data.prepare import PrepareOptions, prepare

    with pytest.raises(TrainingError, match="another dataset, time or recipe: choose another folder"):
        compare(SideBySidePlan(dataset_folder, 0.02, SMALL), finished / "beside")
    prepare(airbus_folder, tmp_path / "native", PrepareOptions(size="native", workers=1))
    with pytest.raises(ConfigError, match="native size: prepare it with --size 256"):
        compare(SideBySidePlan(tmp_path / "native"), tmp_path / "out")
    with pytest.raises(ConfigError, match="native size: prepare it with --size 256"):
        run_reference(tmp_path / "all", ReferenceOptions(SideBySidePlan(tmp_path / "native")))
    assert not (tmp_path / "all").exists()  # said before minutes of other parts
    with pytest.raises(ConfigError, match="--minutes must be above 0, got 0"):
        SideBySidePlan(dataset_folder, 0)
    with pytest.raises(ConfigError, match="written into the dataset"):
        run_reference(dataset_folder, ReferenceOptions(SideBySidePlan(dataset_folder)))


def test_without_a_dataset_the_page_has_no_side_by_side(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "parts", tmp_path / "parts")  # the small networks need not be trained again
    facts = run_reference(tmp_path, ReferenceOptions(quick=True))
    assert facts["side_by_side"] is None
    assert facts["twins"] == json.loads((finished / "facts.json").read_text())["twins"]
    assert "Side by side" not in (tmp_path / "report.html").read_text()


def test_nothing_but_its_command_leans_on_this_room() -> None:
    source = Path(__file__).parents[2] / "src" / "shipseg"
    leaning = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("benchmarks.reference")
    }
    assert {name for name in leaning if not name.startswith("reference/")} == {"commands/reference.py"}
