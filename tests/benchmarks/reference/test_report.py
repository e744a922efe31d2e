from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from benchmarks.reference.__main__ import main
from benchmarks.reference.report import ReferenceOptions, run_reference
from benchmarks.reference.side_by_side import PARTS, SideBySidePlan, compare

from shipseg.errors import ConfigError, TrainingError

SMALL = {
    "network.architecture": "compact", "network.widths": "[8, 8, 8]", "input.crop_size": 32, "train.batch_size": 4
}  # fmt: skip
FLAGS = [part for key, value in SMALL.items() for part in (f"--{key}", str(value))]


@pytest.fixture(scope="session")
def finished(dataset_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of the command; tests must not change it."""
    out = tmp_path_factory.mktemp("reference") / "out"
    assert main([str(out), "--dataset", str(dataset_folder), "--minutes", "0.01", "--quick", *FLAGS]) == 0
    return out


def test_the_command_writes_facts_and_a_page_with_every_part(finished: Path) -> None:
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
    # Our run was finished and is scored again; the reference's training starts again.
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
    assert not (tmp_path / "all").exists()  # refused before minutes of other parts
    with pytest.raises(ConfigError, match="--minutes must be above 0, got 0"):
        SideBySidePlan(dataset_folder, 0)
    with pytest.raises(ConfigError, match="written into the dataset"):
        run_reference(dataset_folder, ReferenceOptions(SideBySidePlan(dataset_folder)))


def test_without_a_dataset_the_page_has_no_side_by_side(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "parts", tmp_path / "parts")  # so that the small networks are not trained again
    facts = run_reference(tmp_path, ReferenceOptions(quick=True))
    assert facts["side_by_side"] is None
    assert facts["twins"] == json.loads((finished / "facts.json").read_text())["twins"]
    assert "Side by side" not in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("flags", "words"), [(["--minutes", "0"], "above 0, got 0"), ([], "shipseg prepare")], ids=["no time", "no dataset"]
)
def test_an_error_is_one_sentence(
    flags: list[str],
    words: str,
    dataset_folder: Path,
    airbus_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dataset = dataset_folder if flags else airbus_folder
    assert main([str(tmp_path / "out"), "--dataset", str(dataset), *flags]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
