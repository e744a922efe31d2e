"""`shipseg predict` on scenes: one bad scene does not stop the others, and the summary has the status of each."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from run_scene import make_predictor, ships_image, write_scene
from shipseg.cli import run


@pytest.fixture(autouse=True)
def a_network_without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shipseg.inference.predictor.load_model", lambda *_, **__: make_predictor())
    monkeypatch.setattr("shipseg.inference.locate.find_model", Path)


def predict(*arguments: object) -> int:
    return run(["predict", *map(str, arguments), "--model", "red", "--no-quicklook"])


def test_one_bad_scene_does_not_stop_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = [write_scene(tmp_path / f"{name}.tif", ships_image(120, 200, seed)) for seed, name in enumerate("ac")]
    bad = tmp_path / "b.tif"
    bad.write_bytes(good[0].read_bytes()[:500])
    assert predict(good[0], bad, good[1], "--out", tmp_path / "out", "--json") == 1
    scenes = json.loads(capsys.readouterr().out)["scenes"]
    assert {name: facts["status"] for name, facts in scenes.items()} == {"a": "done", "b": "failed", "c": "done"}
    assert "b.tif" in scenes["b"]["message"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "archive.csv", "archive.json", "c"]
    assert json.loads((tmp_path / "out" / "archive.json").read_text())["scenes"] == scenes
    assert predict(*good, "--out", tmp_path / "out") == 0
    shown = capsys.readouterr().out
    assert "Ships in 2 scenes" in shown
    assert shown.count("already finished") == 2


def test_scenes_and_images_in_one_folder_are_both_predicted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    write_scene(tmp_path / "in" / "a.tif", ships_image(90, 90))
    cv2.imwrite(str(tmp_path / "in" / "p.png"), np.zeros((60, 60, 3), np.uint8))
    assert predict(tmp_path / "in", "--out", tmp_path / "out", "--format", "csv", "--format", "geojson") == 0
    assert "1 image and 1 scene" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"masks", "overlays", "ships.csv", "a"}
    assert {path.name for path in (tmp_path / "out" / "a").iterdir()} == {
        "ships.csv",
        "ships.geojson",
        "probability.tif",
        "scene.json",
    }


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--water", "w.gpkg"), "--water applies to scenes only, and no input is a scene"),
        (("--no-gate",), "--no-gate applies to scenes only"),
        (("--format", "gpkg"), "--format gpkg applies to scenes only"),
    ],
)
def test_flags_for_scenes_are_refused_for_images(
    flags: tuple[str, ...], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "p.png"), np.zeros((60, 60, 3), np.uint8))
    arguments = ["predict", str(tmp_path / "p.png"), "--out", str(tmp_path / "out"), "--model", "red", *flags]
    assert run(arguments) == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--submission", "s.csv"), "--submission applies to images only, and no input is an image"),
        (("--no-rectangles",), "--no-rectangles applies to images only, and no input is an image"),
        (("--bands", "red"), "bands must be comma-separated numbers such as 4,3,2, got 'red'"),
        (("--metres-per-pixel", "-1"), "metres-per-pixel must be above 0, got -1.0"),
        (("--batch", "0"), "batch must be at least 1, got 0"),
        (("--threshold", "1.5"), "threshold must be above 0 and at most 1, got 1.5"),
    ],
)
def test_an_invalid_value_is_one_sentence(
    flags: tuple[str, ...], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = write_scene(tmp_path / "a.tif", ships_image(60, 60))
    assert predict(scene, "--out", tmp_path / "out", *flags) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_missing_polygons_fail_the_scene_with_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = write_scene(tmp_path / "a.tif", ships_image(60, 60))
    assert predict(scene, "--out", tmp_path / "out", "--water", tmp_path / "w.gpkg", "--json") == 1
    assert "the polygons" in json.loads(capsys.readouterr().out)["scenes"]["a"]["message"]


def test_shards_divide_the_scenes_of_a_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(4):
        write_scene(tmp_path / f"{number}.tif", ships_image(60, 80, number))
    (tmp_path / "list.txt").write_text("\n".join(f"{number}.tif" for number in range(4)))
    names: list[str] = []
    for number in (1, 2, 3):
        assert predict(f"@{tmp_path / 'list.txt'}", "--out", tmp_path / "out", "--shard", f"{number}/3", "--json") == 0
        names += json.loads(capsys.readouterr().out)["scenes"]
        assert (tmp_path / "out" / f"archive-{number}-of-3.csv").is_file()
    assert sorted(names) == ["0", "1", "2", "3"]


def test_a_shard_without_scenes_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = write_scene(tmp_path / "a.tif", ships_image(60, 80))
    statuses = [predict(scene, "--out", tmp_path / "out", "--shard", f"{number}/2") for number in (1, 2)]
    assert statuses == [0, 0]
    assert "This shard has no scenes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--workers", "2"], "--workers requires --engine ray"),
        (["--shard", "3/2"], "shard must be I/N with I from 1 to N"),
        (["--engine", "ray", "--workers", "0"], "workers must be at least 1"),
    ],
)
def test_contradicting_flags_are_one_sentence(
    flags: list[str],
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scene = write_scene(tmp_path / "a.tif", ships_image(60, 80))
    assert predict(scene, "--out", tmp_path / "out", *flags) == 1
    assert sentence in capsys.readouterr().err


def test_flags_for_scenes_are_refused_without_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "p.png"), np.zeros((60, 60, 3), np.uint8))
    assert predict(tmp_path / "p.png", "--out", tmp_path / "out", "--shard", "1/2") == 1
    assert "applies to scenes only, and no input is a scene" in capsys.readouterr().err
    scene = write_scene(tmp_path / "a.tif", ships_image(60, 80))
    assert predict(scene, tmp_path / "p.png", "--out", tmp_path / "out", "--shard", "1/2") == 1
    assert "p.png is an image: give scenes only" in capsys.readouterr().err


def test_touching_ships_are_split_if_requested(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = np.full((96, 96, 3), 10, np.uint8)
    image[20:30, 10:70], image[31:41, 10:60] = 250, 250
    image[30, 10:60] = 150  # a valley that is still above the threshold
    scene = write_scene(tmp_path / "a.tif", image)
    counts: list[int] = []
    for flag in ("--mask", "--split-touching", "--no-split-touching", "--separate", "--no-separate"):
        assert predict(scene, "--out", tmp_path / f"out{len(counts)}", "--json", flag) == 0
        counts.append(json.loads(capsys.readouterr().out)["scenes"]["a"]["num_ships"])
    assert counts == [1, 2, 1, 2, 1]


def test_the_only_scene_that_fails_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = write_scene(tmp_path / "a.tif", ships_image(300, 300))
    scene.write_bytes(scene.read_bytes()[:200_000])
    assert predict(scene, "--out", tmp_path / "out") == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert [line for line in output.err.splitlines() if line.startswith("shipseg: ")] == [output.err.splitlines()[-1]]
    assert "cannot be read in rows" in output.err


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("text.tif", "the scene {}/text.tif cannot be opened (not recognized as being in a supported file format)"),
        ("a" * 300 + ".tif", ".tif is too long: choose a shorter one"),
        ("http://127.0.0.1:1/a.tif", "check the URL and the connection"),
    ],
)
def test_what_cannot_be_opened_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, sentence: str
) -> None:
    (tmp_path / "text.tif").write_text("no raster")
    path = name if "://" in name else tmp_path / name
    assert predict(path, "--out", tmp_path / "out") == 1
    shown = capsys.readouterr().err
    assert sentence.format(tmp_path) in shown
    assert shown.count("\n") == 1


def test_an_output_folder_whose_name_is_too_long_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = write_scene(tmp_path / "a.tif", ships_image(60, 60))
    assert predict(scene, "--out", tmp_path / ("a" * 300)) == 1
    assert "cannot be written (File name too long)" in capsys.readouterr().err


def test_a_name_that_is_not_utf8_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = write_scene(tmp_path / "a.tif", ships_image(60, 60)).rename(tmp_path / "a\udcffb.tif")
    assert predict(scene, "--out", tmp_path / "out") == 1
    assert r"a\udcffb.tif is not valid UTF-8: rename the file" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["{", "[]", "null", '{"identity": 3}', '{"identity": {"options": 3}}'])
def test_results_with_a_damaged_scene_json_are_in_the_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    scene = write_scene(tmp_path / "a.tif", ships_image(60, 60))
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "a" / "scene.json").write_text(damage)
    assert predict(scene, "--out", tmp_path / "out") == 1
    assert "is in the way and holds no finished results of a scene (no usable scene.json)" in capsys.readouterr().err
