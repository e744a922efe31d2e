"""The commands, their flags, accepted values and defaults: users' scripts depend on them.

A renamed flag keeps its old name as an alias. So the flags are parsed here, not compared with --help.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from cyclopts import CycloptsError

from shipseg.cli import app, run

# By command with its arguments: each flag, a value or all its choices, and its default in brackets.
FLAGS = {
    "synth OUT": """
        --images 3
        --scenes 2 [0]
        --seed 7 [0]
        --size 96x64 [768]
        --empty-share 0.1 [0.5]
        --overlap 0.1 [0.0]
        --scene-size 512x600
        --scene-kind mixed|coast|harbour|anchorage|open-sea
        --metres-per-pixel 3 [1.5]
        --sparse [False]
        --label rectangle|hull [rectangle]
        --workers 2
        --json [False]
    """,
    "prepare AIRBUS DATASET": """
        --size 128|native [256]
        --csv labels.csv
        --images folder
        --val-share 0.1 [0.2]
        --test-share 0.1 [0.0]
        --seed 7 [42]
        --drop-list list.txt
        --min-kb 52
        --keep-empty 0.3
        --any-size [False]
        --workers 2
        --json [False]
    """,
    "explore SOURCE OUT": """
        --csv labels.csv
        --images folder
        --labels-size 96x64 [768]
        --drop-list list.txt
        --workers 2
        --json [False]
    """,
    "train DATASET RUN": """
        --recipe demo [base]
        --from shipseg-small
        --resume [False]
        --set train.lr=3e-4
        --json [False]
    """,
    "continue DATASET RUN --epochs 1": """
        --lr 3e-4
        --resume [False]
        --json [False]
    """,
    "continue DATASET RUN": """
        --epochs 2
    """,
    "recipes": """
        --json [False]
    """,
    "evaluate DATA OUT": """
        --model run
        --split train|val|test
        --csv labels.csv
        --images folder
        --predicted folder
        --threshold 0.5
        --rectangles
        --no-rectangles
        --backend auto|torch|onnx [auto]
        --json [False]
    """,
    "threshold MODEL DATA": """
        --out out
    """,
    "threshold MODEL DATA --out OUT": """
        --split train|val|test
        --csv labels.csv
        --images folder
        --metric airbus_score|ship_f1|pooled_dice|pooled_iou
        --precision 0.9
        --pixel-precision 0.9
        --false-alarms 0.02
        --false-alarms-per-1000km2 3
        --calibrate none|temperature|isotonic
        --views 1|2|4|8
        --rectangles
        --no-rectangles
        --max-images 100 [2000]
        --seed 7 [0]
        --json [False]
    """,
    "gate MODEL DATA": """
        --out out
    """,
    "gate MODEL DATA --out OUT": """
        --loss 0.01 [0.005]
        --reduction 8 [4]
        --split train|val|test
        --csv labels.csv
        --images folder
        --max-images 100 [4000]
        --seed 7 [0]
        --json [False]
    """,
    "predict FIRST OTHER": """
        --out out
    """,
    "predict FIRST OTHER --out OUT": """
        --model run
        --format csv|coco|gpkg|geojson|parquet
        --recursive [False]
        --submission submission.csv
        --threshold 0.5
        --views 1|2|4|8
        --overlays [True]
        --no-overlays [True]
        --backend auto|torch|onnx [auto]
        --separate
        --no-separate
        --rectangles
        --no-rectangles
        --water water.gpkg
        --area area.gpkg
        --bands 4,3,2
        --stretch percent:2,98
        --metres-per-pixel 3
        --probability [True]
        --no-probability [True]
        --mask [False]
        --quicklook [True]
        --no-quicklook [True]
        --gate [True]
        --no-gate [True]
        --batch 4
        --overwrite [False]
        --engine local|ray [local]
        --workers 2
        --shard 3/8
        --json [False]
    """,
    "export MODEL OUT": """
        --format onnx [onnx]
        --json [False]
    """,
    "models FOLDER": """
        --json [False]
    """,
    "study NAME DATASET OUT": """
        --quick [False]
        --workers 2
        --seeds 0,1,2
        --json [False]
    """,
    "demo OUT": """
        --quick [False]
        --seed 7 [0]
        --json [False]
    """,
}
REQUIRED = ("--out", "--epochs")
LINE = re.compile(r"(--\S+)(?: ([^\[\s]\S*))?(?: \[(.*)\])?")


def rows() -> Iterator[tuple[str, str, str | None, str | None]]:
    """Yield for each flag: the command with its arguments, the flag, its values, its default."""
    for command, lines in FLAGS.items():
        for line in lines.split("\n"):
            if line.strip():
                match = LINE.fullmatch(line.strip())
                assert match is not None, line
                yield command, match[1], match[2], match[3]


def parsed(command_line: str) -> dict[str, Any]:
    """Return the arguments that the command would be called with, without defaults."""
    _, bound, _ = app.parse_args(command_line.split(), exit_on_error=False, print_error=False)
    return dict(bound.arguments)


def test_these_are_the_commands() -> None:
    assert {name for name in app if not name.startswith("-")} == {command.partition(" ")[0] for command in FLAGS}


@pytest.mark.parametrize(("command", "flag", "values"), [row[:3] for row in rows()])
def test_a_flag_accepts_these_values(command: str, flag: str, values: str | None) -> None:
    if flag in REQUIRED:
        with pytest.raises(CycloptsError):
            parsed(command)
    lines = [flag] if values is None else [f"{flag} {value}" for value in values.split("|")]
    calls = [parsed(f"{command} {line}") for line in lines]
    assert flag in REQUIRED or parsed(command) not in calls
    assert all(first != second for first, second in pairwise(calls))


@pytest.mark.parametrize(("command", "flag", "default"), [(row[0], row[1], row[3]) for row in rows()])
def test_a_flag_has_this_default(command: str, flag: str, default: str | None) -> None:
    arguments = app[command.partition(" ")[0]].assemble_argument_collection()
    (value,) = (each.field_info.default for each in arguments if flag in each.names)
    assert flag in REQUIRED or str(value) == str(default)


@pytest.mark.parametrize("command", ["synth OUT --imagez 3", "predict IMAGE --out OUT --views 3", "demo OUT --no-json"])
def test_other_flags_and_values_are_refused(command: str) -> None:
    with pytest.raises(CycloptsError):
        parsed(command)


@pytest.mark.parametrize(
    "command", ["recipes", "recipes NAME", "models", "study", "study NAME", "demo", "predict A B C --out OUT"]
)
def test_a_command_accepts_these_arguments(command: str) -> None:
    given = [str(part) for value in parsed(command).values() for part in (value if type(value) is tuple else [value])]
    assert given == [word for word in command.split()[1:] if word != "--out"]


def test_a_recipe_key_is_accepted_as_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    for flags in (["--train.lrr", "1"], ["--train.lrr=1"], ["--set", "train.lrr=1"]):
        assert run(["train", "DATASET", "RUN", *flags]) == 1
        assert "unknown key train.lrr in recipe base, did you mean train.lr?" in capsys.readouterr().err


@pytest.mark.parametrize("command", sorted({command.partition(" ")[0] for command in FLAGS}))
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    assert f"Usage: shipseg {command}" in capsys.readouterr().out
