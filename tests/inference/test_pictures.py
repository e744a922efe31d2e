"""Which pictures are meant, and what their results are called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shipseg.errors import ConfigError, DataError
from shipseg.inference.pictures import find_pictures


def make(root: Path, *names: str) -> list[Path]:
    """Make files (their content does not matter here) and return their paths."""
    paths = [root / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return paths


def called(inputs: list[Path], out: Path) -> dict[str, str]:
    return {picture.label: picture.name for picture in find_pictures(inputs, out)}


def test_a_folder_stands_for_the_images_directly_in_it_sorted_by_name(tmp_path: Path) -> None:
    make(tmp_path, "in/b.JPG", "in/a.png", "in/.hidden.png", "in/notes.txt", "in/deeper/c.png")
    assert called([tmp_path / "in"], tmp_path / "out") == {"a.png": "a", "b.JPG": "b"}


def test_files_are_taken_in_the_order_given_whatever_their_ending(tmp_path: Path) -> None:
    files = make(tmp_path, "z.png", "a.picture")
    assert list(called(files, tmp_path / "out")) == ["z.png", "a.picture"]


def test_a_picture_given_twice_is_taken_once(tmp_path: Path) -> None:
    (file,) = make(tmp_path, "in/a.png")
    again = tmp_path / "in" / ".." / "in" / "a.png"
    assert called([tmp_path / "in", file, again], tmp_path / "out") == {"a.png": "a"}


def test_two_links_to_one_file_are_two_pictures_under_their_own_names(tmp_path: Path) -> None:
    (file,) = make(tmp_path, "store/0123.png")
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "in" / name).symlink_to(file)
    assert called([tmp_path / "in"], tmp_path / "out") == {"a.png": "a", "b.png": "b"}


def test_one_stem_with_two_endings_gives_two_names(tmp_path: Path) -> None:
    make(tmp_path, "in/a.png", "in/a.jpg", "in/b.png")
    assert called([tmp_path / "in"], tmp_path / "out") == {"a.jpg": "a.jpg", "a.png": "a.png", "b.png": "b"}


def test_one_file_name_in_two_folders_is_told_apart_by_the_folder(tmp_path: Path) -> None:
    north, south, other = make(tmp_path, "north/a.png", "south/a.png", "south/b.png")
    assert called([tmp_path / "north", tmp_path / "south"], tmp_path / "out") == {
        str(north): "north__a.png",
        str(south): "south__a.png",
        other.name: "b",
    }


def test_as_many_folders_as_needed_tell_pictures_apart(tmp_path: Path) -> None:
    files = make(tmp_path, "x/day/a.png", "y/day/a.png", "y/night/a.png")
    names = [picture.name for picture in find_pictures(files, tmp_path / "out")]
    assert names == ["x__day__a.png", "y__day__a.png", "night__a.png"]


def test_a_name_made_from_folders_does_not_meet_a_file_that_is_called_so(tmp_path: Path) -> None:
    files = make(tmp_path, "north/a.png", "south/a.png", "south/north__a.png.jpg")
    names = [picture.name for picture in find_pictures(files, tmp_path / "out")]
    assert len(set(names)) == 3


def test_earlier_results_are_never_taken_for_input(tmp_path: Path) -> None:
    """Neither with the output folder inside the input folder nor with a shell's star."""
    make(tmp_path, "in/a.png", "in/out/masks/a.png", "in/out/overlays/a.jpg", "in/masks/a.png")
    assert called([tmp_path / "in"], tmp_path / "in" / "out") == {"a.png": "a"}
    star = sorted((tmp_path / "in").iterdir())
    assert called(star, tmp_path / "in")["a.png"] == "a"
    assert len(called(star, tmp_path / "in")) == 1


def test_only_earlier_results_are_no_input(tmp_path: Path) -> None:
    make(tmp_path, "out/masks/a.png")
    with pytest.raises(DataError, match="nothing but results of an earlier run"):
        find_pictures([tmp_path / "out" / "masks"], tmp_path / "out")


def test_no_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to predict"):
        find_pictures([], tmp_path / "out")


def test_an_input_that_is_not_there_is_named_before_any_work(tmp_path: Path) -> None:
    files = make(tmp_path, "a.png")
    with pytest.raises(DataError, match=r"there is no picture or folder .*b\.png"):
        find_pictures([*files, tmp_path / "b.png"], tmp_path / "out")


def test_a_folder_without_pictures_is_refused_with_what_would_be_one(tmp_path: Path) -> None:
    make(tmp_path, "in/notes.txt", "in/deeper/a.png")
    with pytest.raises(
        DataError, match=r"in holds no picture \(.*\.jpg.*\); folders inside it are not looked into, --recursive does"
    ):
        find_pictures([tmp_path / "in"], tmp_path / "out")


def test_a_file_name_that_is_not_unicode_is_shown_readably(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Path(os.fsdecode(path)).write_bytes(b"")
    (label,) = called([tmp_path], tmp_path / "out")
    assert label.encode("utf-8") == b"caf\\udce9.png"


def test_folders_inside_are_looked_into_only_when_asked_and_otherwise_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, "in/a.png", "in/b/a.png", "in/b/c/d.png", "in/.hidden/e.png", "in/notes/f.txt", "in/out/masks/a.png")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    inputs, out = [tmp_path / "in"], tmp_path / "in" / "out"
    assert [picture.name for picture in find_pictures(inputs, out)] == ["a"]
    assert caplog.messages == [f"2 folders with pictures inside {tmp_path / 'in'} not looked into: --recursive does"]
    caplog.clear()
    assert [picture.name for picture in find_pictures(inputs, out, recursive=True)] == ["in__a.png", "b__a.png", "d"]
    assert caplog.messages == []


def test_results_are_not_written_among_the_pictures(tmp_path: Path) -> None:
    make(tmp_path, "in/a.png", "in/masks/a.png")
    with pytest.raises(ConfigError, match=r"among the pictures in .*in: choose another folder"):
        find_pictures([tmp_path / "in"], tmp_path / "in" / ".")
