"""Exploring as a whole: options, files, the page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from shipseg.cli import run
from shipseg.data.labels import read_table
from shipseg.errors import ConfigError
from shipseg.exploration.explore import (
    FACTS_FILE,
    INDEX_FILE,
    PAGE_FILE,
    SHIPS_FILE,
    ExploreOptions,
    explore,
    write_exploration,
)
from shipseg.exploration.results import Exploration
from shipseg.masks.rle import area_px
from shipseg.synth import WorldConfig, write_airbus_folder


@pytest.fixture(scope="module")
def written(known: Exploration, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the known exploration was written into."""
    out = tmp_path_factory.mktemp("written")
    assert write_exploration(known, out) == out / PAGE_FILE
    return out


def test_the_references_table_holds_the_images_that_cleaning_keeps(written: Path) -> None:
    index = pd.read_csv(written / INDEX_FILE, dtype={"EncodedPixels": str})
    assert index.columns.tolist() == ["ImageId", "EncodedPixels", "Ships", "Size_kb"]
    assert index["ImageId"].tolist() == ["a.png", "b.png", "c.png", "d.png"]
    assert index["Ships"].tolist() == [1, 3, 0, 0]
    assert index["EncodedPixels"].tolist()[2:] == ["0", "0"]
    assert area_px(index["EncodedPixels"][1]) == 172
    assert index["Size_kb"].between(1, 52).all()
    assert read_table(written / INDEX_FILE).frame["Ships"].tolist() == [1, 1, 0, 0]  # joined: one text an image


def test_facts_and_ships_are_written_as_they_are(known: Exploration, written: Path) -> None:
    assert json.loads((written / FACTS_FILE).read_text()) == known.facts
    ships = pd.read_csv(written / SHIPS_FILE)
    assert ships["area_px"].tolist() == known.ships["area_px"].tolist() == [48, 100, 36, 36, 1200]


def test_the_page_needs_no_other_file_and_shows_the_facts(known: Exploration, written: Path) -> None:
    page = (written / PAGE_FILE).read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page)
    assert page.count("<svg") == len(known.figures()) - 1  # the samples are images
    assert "6 images, 3 of them (50.0 %) without a ship." in page
    assert "c.png = d.png" in page
    assert page.count("data:image/jpeg") == 1 + 2 + 2  # an empty image alone, the others with a close-up


def test_the_page_of_labels_gives_the_reason_for_missing_sections(labels_alone: Exploration, tmp_path: Path) -> None:
    page = write_exploration(labels_alone, tmp_path).read_text()
    assert "there are no images, only labels" in page
    assert "assuming images of 96 x 96 px" in page
    for heading in ("<h2>Images</h2>", "<h2>The split</h2>", "Duplicate and overlapping images"):
        assert heading not in page


def test_names_from_the_data_are_escaped_on_the_page(tmp_path: Path) -> None:
    rows = ["ImageId,EncodedPixels", "<script>.jpg,1 3", "other.jpg,1 3"]
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    page = write_exploration(explore(tmp_path / "labels.csv"), tmp_path / "out").read_text()
    assert "&lt;script&gt;.jpg" in page
    assert "<script>" not in page


@pytest.mark.parametrize("empty_share", [0.0, 1.0])
def test_a_folder_of_one_image_gets_a_page(tmp_path: Path, empty_share: float) -> None:
    config = WorldConfig(size=64, empty_share=empty_share)
    write_airbus_folder(tmp_path / "airbus", images=1, seed=1, config=config, workers=1)
    exploration = explore(tmp_path / "airbus", ExploreOptions(workers=1))
    page = write_exploration(exploration, tmp_path / "out").read_text()
    assert ("There is no ship to measure." in page) == (empty_share == 1.0)


def test_scan_results_are_kept_in_the_store(known_folder: Path, tmp_path: Path) -> None:
    explore(known_folder, ExploreOptions(workers=1, store=tmp_path / "store"))
    assert list((tmp_path / "store").rglob("*.npz"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (lambda: ExploreOptions(labels_size=0), "labels_size must be at least 1 pixel in height and width, got 0"),
        (lambda: ExploreOptions(labels_size=(768, 0)), r"got \(768, 0\)"),
        (lambda: ExploreOptions(seed=-1), "seed must be at least 0, got -1"),
        (lambda: ExploreOptions(workers=0), "workers must be at least 1, got 0"),
    ],
)
def test_options_out_of_their_range_are_refused(options: Callable[[], ExploreOptions], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        options()


def test_the_command_writes_the_page_and_removes_its_store(
    known_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(["explore", str(known_folder), str(out), "--workers", "1"]) == 0
    assert "5, 1 images have several" in " ".join(capsys.readouterr().out.split())
    assert {path.name for path in out.iterdir()} == {PAGE_FILE, FACTS_FILE, SHIPS_FILE, INDEX_FILE}


def test_the_command_prints_the_facts_as_json(
    known_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["explore", str(known_folder / "labels.csv"), str(tmp_path), "--labels-size", "96x96", "--json"]
    assert run(arguments) == 0
    assert json.loads(capsys.readouterr().out)["imbalance"]["ships"] == 5


def test_the_command_refuses_to_write_among_the_data(known_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explore", str(known_folder), str(known_folder)]) == 1
    assert "choose another folder" in capsys.readouterr().err
