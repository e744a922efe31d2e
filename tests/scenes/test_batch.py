"""Many scenes: lists, patterns, shards and the table of outcomes."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from shipseg.errors import ConfigError, DataError
from shipseg.scenes.batch import SceneAttempt, Shard, expand_inputs, work_of, write_archive
from shipseg.scenes.ships import SceneResult, Seconds

PATHS = [f"archive/2024/scene-{number:04d}.tif" for number in range(2000)]


def test_every_scene_is_in_exactly_one_shard_and_shards_are_about_equal() -> None:
    shards = [Shard(number, 8) for number in range(1, 9)]
    counts = Counter(shard.number for path in PATHS for shard in shards if shard.holds(path))
    assert sum(counts.values()) == len(PATHS)
    assert min(counts.values()) > 200
    assert max(counts.values()) < 300


def test_added_scenes_do_not_move_others_and_names_do_not_depend_on_the_shard() -> None:
    few = {work for number in (1, 2, 3) for work in work_of(PATHS[:50], Shard(number, 3))}
    third = set(work_of(PATHS[:50], Shard(3, 3)))
    assert {work.path for work in few} == set(PATHS[:50])
    assert third <= set(work_of(PATHS, Shard(3, 3)))
    same_names = ["a/scene.tif", "b/scene.tif", "c/scene.tif", "d/scene.tif"]
    names = [work.name for number in (1, 2) for work in work_of(same_names, Shard(number, 2))]
    assert len(set(names)) == 4


def test_a_single_shard_has_all_scenes() -> None:
    assert [work.path for work in work_of(PATHS, Shard())] == PATHS
    assert Shard.parse("3/8") == Shard(3, 8)


@pytest.mark.parametrize("text", ["0/4", "5/4", "3", "a/4", "1/", "-1/4", "1/0", ""])
def test_invalid_shards_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="shard must be I/N"):
        Shard.parse(text)


def test_lists_and_patterns_are_expanded(tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif", "c.png", "deep/er/d.tif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    listed = tmp_path / "list.txt"
    listed.write_text("# this year's\n\nb.tif\n  deep/er/*.tif  \nhttps://host/e.tif\n")
    found = expand_inputs([str(tmp_path / "c.png"), f"@{listed}", str(tmp_path / "*.tif"), "s3://bucket/x?.tif"])
    local = [str(tmp_path / name) for name in ("c.png", "b.tif", "deep/er/d.tif")]
    assert found == [*local, "https://host/e.tif", str(tmp_path / "a.tif"), "s3://bucket/x?.tif"]
    assert expand_inputs([str(tmp_path / "**" / "*.tif")]) == [
        str(tmp_path / n) for n in ("a.tif", "b.tif", "deep/er/d.tif")
    ]


def test_files_named_like_lists_or_patterns_are_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("@a.tif", "b[1].tif"):
        Path(name).touch()
    assert expand_inputs(["@a.tif", "b[1].tif"]) == ["@a.tif", "b[1].tif"]


def test_inputs_that_cannot_be_expanded_are_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing matches .*none\*.tif: check the pattern"):
        expand_inputs([str(tmp_path / "none*.tif")])
    with pytest.raises(DataError, match=r"list .*missing.txt cannot be read \(No such file"):
        expand_inputs([f"@{tmp_path / 'missing.txt'}"])
    (tmp_path / "empty.txt").write_text("\n# nothing\n")
    with pytest.raises(DataError, match="has no inputs"):
        expand_inputs([f"@{tmp_path / 'empty.txt'}"])
    (tmp_path / "nested.txt").write_text("@empty.txt\n")
    with pytest.raises(DataError, match="contains another list, @empty.txt"):
        expand_inputs([f"@{tmp_path / 'nested.txt'}"])
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not UTF-8 text"):
        expand_inputs([f"@{tmp_path / 'binary.txt'}"])


def test_the_table_has_the_outcome_of_each_scene(tmp_path: Path) -> None:
    facts = {"num_ships": 7, "num_cut": 1, "looked_at_km2": 12.34567, "tiles": {}, "dropped": [], "files": []}
    done = SceneResult("a", "in/a.tif", tmp_path / "a", "done", facts, None, Seconds(1.234))
    skipped = SceneResult("b", "in/b.tif", tmp_path / "b", "skipped", facts | {"looked_at_km2": None}, None)
    attempts = [
        SceneAttempt("a", "in/a.tif", done),
        SceneAttempt("b", "in/b.tif", skipped),
        SceneAttempt("c", "in/c.tif", None, "it is broken, badly: copy it again"),
    ]
    table, file = write_archive(tmp_path, attempts, Shard())
    assert (table.name, file.name) == ("archive.csv", "archive.json")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [(row["scene"], row["status"], row["ships"], row["seconds"]) for row in rows] == [
        ("a", "done", "7", "1.23"),
        ("b", "skipped", "7", ""),
        ("c", "failed", "", ""),
    ]
    assert rows[0]["looked_at_km2"] == "12.346"
    assert rows[2]["message"] == "it is broken, badly: copy it again"
    scenes = json.loads(file.read_text())["scenes"]
    assert scenes["c"] == {"path": "in/c.tif", "status": "failed", "message": "it is broken, badly: copy it again"}
    assert write_archive(tmp_path, attempts, Shard(3, 8))[0].name == "archive-3-of-8.csv"


def test_a_list_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfa.tif\r\n")
    assert expand_inputs([f"@{tmp_path / 'list.txt'}"]) == [str(tmp_path / "a.tif")]
