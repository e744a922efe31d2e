"""Each kind of input is recognised, and facts that cannot be known have a reason."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from shipseg.data.prepare import PrepareOptions, prepare
from shipseg.errors import ConfigError, DataError
from shipseg.exploration.explore import ExploreOptions, explore
from shipseg.exploration.results import Exploration


@pytest.fixture(scope="module")
def dataset(known_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the known folder and, beside it, the dataset prepared from that."""
    folder = tmp_path_factory.mktemp("prepared")
    shutil.copytree(known_folder, folder / "airbus")
    prepare(folder / "airbus", folder / "dataset", PrepareOptions(size="native", val_share=0.4, workers=1))
    return folder / "dataset"


def test_labels_alone_give_the_reason_for_missing_facts(labels_alone: Exploration) -> None:
    facts = labels_alone.facts
    assert facts["source"]["kind"] == "labels"
    missing = ["images", "files", "colours", "duplicates", "groups", "split", "samples"]
    assert facts["not_known"] == dict.fromkeys(missing, "there are no images, only labels")
    assert all(facts[name] is None for name in missing if name != "samples")
    assert labels_alone.samples == ()
    assert labels_alone.images["Size_kb"].isna().all()


def test_a_folder_without_images_is_a_label_table(known_folder: Path, tmp_path: Path) -> None:
    shutil.copy(known_folder / "labels.csv", tmp_path)
    assert explore(tmp_path, ExploreOptions(labels_size=96)).facts["source"]["kind"] == "labels"


def test_masks_that_do_not_fit_the_stated_size_are_malformed(known_folder: Path) -> None:
    facts = explore(known_folder / "labels.csv", ExploreOptions(labels_size=(20, 96))).facts
    assert facts["rows"]["malformed_masks"] > 0
    assert facts["cleaning"]["own"]["left_out"]["malformed-mask"]["ships"] > 0


def test_a_dataset_gives_the_facts_of_its_folder_and_its_split(dataset: Path, known: Exploration) -> None:
    facts = explore(dataset, ExploreOptions(workers=1)).facts
    assert facts["source"]["kind"] == "dataset"
    same = ("ships_per_image", "imbalance", "pixels", "files", "duplicates", "groups", "rows", "cleaning", "images")
    for name in same:
        assert facts[name] == known.facts[name], name
    assert facts["ships"] == known.facts["ships"]
    assert {name: row["images"] for name, row in facts["split"]["splits"].items()}.keys() == {"train", "val"}
    assert facts["split"]["leak"]["groups_on_two_sides"] == 0
    assert facts["not_known"] == {}


def test_a_dataset_whose_images_are_missing_is_explored_without_them(dataset: Path, tmp_path: Path) -> None:
    copy = tmp_path / "dataset"
    shutil.copytree(dataset, copy)
    report = (copy / "report.json").read_text()
    (copy / "report.json").write_text(report.replace(str(dataset.parent), str(tmp_path / "gone")))
    exploration = explore(copy)
    assert set(exploration.facts["not_known"]) == {"colours", "duplicates", "samples"}
    assert exploration.facts["groups"]["largest"] == 2


def test_faulty_rows_are_counted(tmp_path: Path) -> None:
    rows = ["ImageId,EncodedPixels", "a.jpg,1 3", "a.jpg,1 3", "b.jpg,", "b.jpg,5 2", "c.jpg,7", "d.jpg,1 3"]
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    found = explore(tmp_path / "labels.csv").facts["rows"]
    assert (found["rows"], found["per_image"]) == (6, {"1": 2, "2": 2})
    assert (found["duplicate_rows"], found["empty_rows_of_images_with_ships"], found["malformed_masks"]) == (1, 1, 1)
    assert found["masks_in_several_images"] == {"masks": 1, "images": 2, "examples": [["a.jpg", "d.jpg"]]}


def test_a_folder_without_readable_images_still_gives_the_facts_of_its_labels(
    known_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(known_folder, folder)
    for path in (folder / "images").iterdir():
        path.write_bytes(b"\x89PNG\r\n\x1a\n")
    facts = explore(folder, ExploreOptions(workers=1)).facts
    assert facts["ships"]["measured"] == 5
    assert facts["cleaning"]["own"]["lost"]["images"] == 6
    assert facts["not_known"]["colours"] == "no image can be read"


def test_a_path_without_labels_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file or folder .*nowhere: check the path"):
        explore(tmp_path / "nowhere")
    with pytest.raises(DataError, match="has no CSV file"):
        explore(tmp_path)


def test_options_of_folders_are_refused_for_anything_else(known_folder: Path, dataset: Path) -> None:
    options = ExploreOptions(csv=Path("labels.csv"))
    for path in (known_folder / "labels.csv", dataset):
        with pytest.raises(ConfigError, match="--csv and --images are for Airbus folders"):
            explore(path, options)
