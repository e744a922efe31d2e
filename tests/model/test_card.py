"""The card: read from a folder or an ONNX file, without torch, and refused in one sentence when it is none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

from shipseg.config import Decision, NetworkConfig
from shipseg.errors import ModelError
from shipseg.inference.locate import bundled_models
from shipseg.model.calibration import Calibration
from shipseg.model.card import (
    CARD_FILE,
    CARD_KEY,
    Card,
    CardChoice,
    CardCounts,
    CardInput,
    CardTraining,
    parse_card,
    read_card,
)
from shipseg.model.onnxfile import read_metadata, read_onnx

CARD = Card(
    name="one",
    network=NetworkConfig(architecture="compact", normalization="sqrt"),
    input=CardInput(mode="crops", scale=0.5),
    decision=Decision(threshold=0.25, min_peak=0.5, metric="ship_f1"),
    threshold_curve={"threshold": [0.0, 1.0], "ship_f1": [0.1, 0.0]},
    scores={"ship_f1": 0.7},
)


def onnx_file(path: Path, metadata: dict[str, str]) -> Path:
    """Write a graph that hands its input on, with that metadata."""
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "g", value[:1], value[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.helper.set_model_props(model, metadata)
    path.write_bytes(model.SerializeToString())
    return path


def test_a_card_survives_being_written_and_read() -> None:
    assert parse_card(CARD.model_dump_json(), "here") == CARD


def test_the_card_of_a_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / CARD_FILE).write_text(CARD.model_dump_json())
    assert read_card(tmp_path) == CARD


def test_the_card_of_an_onnx_file_is_read(tmp_path: Path) -> None:
    assert read_card(onnx_file(tmp_path / "m.onnx", {CARD_KEY: CARD.model_dump_json()})) == CARD


def test_reading_a_card_imports_neither_torch_nor_pandas(tmp_path: Path) -> None:
    (tmp_path / CARD_FILE).write_text(CARD.model_dump_json())
    program = (
        "import sys; from pathlib import Path; from shipseg.model.card import read_card;"
        "print(read_card(Path(sys.argv[1])).name, {'torch', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["one", "set()"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "here holds no usable model card: Expecting"),
        ("[]", "here holds no usable model card"),
        ('{"format": 2}', "format must be 1, got 2"),
        ('{"nam": "x"}', "unknown key nam in here, did you mean name"),
        ('{"decision": {"threshold": 1.5}}', "decision.threshold must be less than 1, got 1.5"),
        ('{"input": {"scale": 0}}', "input.scale must be greater than 0"),
    ],
)
def test_what_is_no_card_is_refused(text: str, words: str) -> None:
    with pytest.raises(ModelError, match="holds no usable model card") as caught:
        parse_card(text, "here")
    assert words in str(caught.value)


def test_a_folder_without_a_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is not a model \(it has no shipseg.json\)"):
        read_card(tmp_path)


def test_an_onnx_file_without_our_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no shipseg card in its metadata"):
        read_card(onnx_file(tmp_path / "m.onnx", {"author": "someone"}))


def test_a_file_that_is_not_onnx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"not a graph")
    with pytest.raises(ModelError, match="is not a readable ONNX file"):
        read_card(tmp_path / "m.onnx")


def test_a_missing_onnx_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no model file"):
        read_card(tmp_path / "m.onnx")


def test_a_card_holds_no_number_that_json_has_not() -> None:
    text = json.dumps({"scores": {"dice": float("nan")}})
    with pytest.raises(ModelError, match="holds no usable model card"):
        parse_card(text, "here")


def test_a_card_from_before_there_was_calibration_is_read() -> None:
    values = json.loads(CARD.model_dump_json())
    del values["calibration"], values["choice"]
    card = parse_card(json.dumps(values), "here")
    assert card.calibration is None
    assert card.network_threshold == card.decision.threshold


def test_a_calibration_is_stored_in_the_card() -> None:
    calibration = Calibration(method="temperature", temperature=2.0)
    card = CARD.model_copy(update={"calibration": calibration})
    assert parse_card(card.model_dump_json(), "here") == card
    # Odds of 3 to 1 are the square root of 9 to 1.
    halfway = card.model_copy(update={"decision": Decision(threshold=0.75)})
    assert halfway.network_threshold == pytest.approx(0.9)


def test_a_calibration_that_does_not_rise_is_refused() -> None:
    values = {**json.loads(CARD.model_dump_json()), "calibration": {"method": "isotonic", "knots": [[0, 1], [1, 0]]}}
    with pytest.raises(ModelError, match="rise strictly"):
        parse_card(json.dumps(values), "here")


# A card of another version: keys of its own everywhere in the record of how the model was made, most known ones absent.
OF_ANOTHER_VERSION: dict[str, Any] = {
    "choice": {"data": "tiles", "counts": {"images": 3, "clouds": 1}, "scores": {"ship_f1": None}, "by": ["a", None]},
    "data": {"train_images": 5, "synth": {"world_version": 1, "fog": {"share": 0.5}}, "tides": [1, 2.5]},
    "training": {"recipe": {"speed": 1000}, "started_from": {"name": "first", "epoch": 3}, "gpu": {"name": "T4"}},
    "tested": {"9 images": {"num_images": 9, "ship_f1": 0.5, "recall <100 px": None, "note": "by day"}},
}


def test_a_card_of_another_version_loses_nothing_when_it_is_copied() -> None:
    card = parse_card(json.dumps(OF_ANOTHER_VERSION), "here")
    assert (card.data.train_images, card.training.recipe, card.choice.counts.images) == (5, {"speed": 1000}, 3)
    copied = parse_card(card.model_copy(update={"decision": Decision(threshold=0.3)}).model_dump_json(), "here")
    for key, value in OF_ANOTHER_VERSION.items():
        assert copied.model_dump(mode="json")[key] == value
    assert (copied.data, copied.training) == (card.data, card.training)


def test_a_key_that_was_not_given_is_not_written() -> None:
    written = Card().model_dump(mode="json")
    assert [written[key] for key in ("choice", "data", "training", "tested")] == [{}, {}, {}, {}]
    choice = CardChoice(data="tiles", counts=CardCounts(images=2), held_out_scores=None)
    assert choice.model_dump(mode="json") == {"data": "tiles", "counts": {"images": 2}, "held_out_scores": None}
    assert CardTraining(seed=0).model_copy(update={"epochs": 2}).model_dump() == {"epochs": 2, "seed": 0}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"data": []}, "data must hold keys and values"),
        ({"data": {"train_images": "many"}}, "data.train_images must be a whole number, got 'many'"),
        ({"data": {"train_images": -1}}, "data.train_images must be at least 0, got -1"),
        ({"data": {"synth": 10}}, "data.synth must hold keys and values, got 10"),
        ({"choice": {"counts": {"images": True}}}, "choice.counts.images must be a number, not yes or no"),
        ({"choice": {"scores": {"ship_f1": "good"}}}, "choice.scores.ship_f1 must be a number, got 'good'"),
        ({"training": {"finished": "perhaps"}}, "training.finished must be true or false, got 'perhaps'"),
        ({"training": {"started_from": {"name": 3}}}, "training.started_from.name must be a string, got 3"),
        ({"tested": {"9 images": {"ship_f1": "good"}}}, "tested.9 images.ship_f1 must be a number, got 'good'"),
    ],
)
def test_a_wrong_type_in_the_record_is_refused_in_one_sentence(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match="here holds no usable model card: ") as caught:
        parse_card(json.dumps(values), "here")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", bundled_models())
def test_the_card_of_a_bundled_model_is_written_back_as_it_is(name: str) -> None:
    file = bundled_models()[name]
    text = read_metadata(read_onnx(file), file)[CARD_KEY]
    before, after = json.loads(text), parse_card(text, name).model_dump(mode="json")
    for key in OF_ANOTHER_VERSION:
        assert json.dumps(after[key]) == json.dumps(before[key])  # the order of the keys, too
