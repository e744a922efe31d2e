"""Metadata of an ONNX file, and the hash that detects every change of its graph."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from shipseg.errors import ModelError
from shipseg.model.onnxfile import HASH_KEY, check_graph, graph_hash, read_metadata, read_onnx

PATH = Path("ships.onnx")


def file_bytes(metadata: dict[str, str], *, weight: float = 1.5) -> bytes:
    """Return an ONNX file that multiplies by a weight."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    weights = [numpy_helper.from_array(np.array([weight], np.float32), "w")]
    graph = helper.make_graph([helper.make_node("Mul", ["x", "w"], ["y"])], "g", value[:1], value[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, metadata)
    return bytes(model.SerializeToString())


def test_the_metadata_are_what_onnx_itself_reads() -> None:
    data = file_bytes({"author": "jemand \u00f6", "empty": "", "long": "x" * 1000})
    entries = {entry.key: entry.value for entry in onnx.load_from_string(data).metadata_props}
    assert read_metadata(data, PATH) == entries == {"author": "jemand \u00f6", "empty": "", "long": "x" * 1000}


def test_the_hash_is_of_the_graph_and_not_of_the_metadata() -> None:
    assert graph_hash(file_bytes({})) == graph_hash(file_bytes({"a": "b"}))
    assert graph_hash(file_bytes({}, weight=1.5)) != graph_hash(file_bytes({}, weight=1.25))


def test_any_changed_byte_outside_the_metadata_is_found() -> None:
    whole = file_bytes({})
    for place in range(len(whole)):
        changed = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        with pytest.raises(ModelError, match=r"ships\.onnx is not the file that was exported|not a readable ONNX file"):
            read_metadata(changed, PATH)
            check_graph(changed, {HASH_KEY: graph_hash(whole)}, PATH)


def test_a_file_without_a_hash_passes() -> None:
    data = file_bytes({"author": "shipseg 0.1"})
    check_graph(data, read_metadata(data, PATH), PATH)


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_file_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(ModelError, match=r"ships\.onnx is not a readable ONNX file \(no ONNX, damaged or cut short\)"):
        read_metadata(file_bytes({"author": "somebody"})[:-cut], PATH)


@pytest.mark.parametrize(
    "data", [b"\x80" * 20, b"\x0b", b"\x72\x02\x0a\x05", b"\x72\x03\x0a\x01\xff", b"\xff\xd8\xff\xe0 a JPEG"]
)
def test_what_is_no_onnx_is_refused(data: bytes) -> None:
    with pytest.raises(ModelError, match="not a readable ONNX file"):
        read_metadata(data, PATH)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=re.escape(f"there is no model file {tmp_path / 'a.onnx'}")):
        read_onnx(tmp_path / "a.onnx")
