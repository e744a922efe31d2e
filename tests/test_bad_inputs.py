"""User errors on the command line: one sentence each, no traceback, the right exit status.

`python tests/test_bad_inputs.py` writes docs/bad-inputs.md from this table; a test checks that the page is current.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

import made
import run_scene
from shipseg.cli import run

PAGE = Path(__file__).parents[1] / "docs" / "bad-inputs.md"


@dataclass(frozen=True)
class Bench:
    """Inputs to damage: copies of a synthetic Airbus folder, a dataset and a model, and a scratch folder."""

    airbus: Path
    dataset: Path
    model: Path
    scratch: Path


def no_csv(bench: Bench) -> None:
    for csv in bench.airbus.glob("*.csv"):
        csv.unlink()


def two_csvs(bench: Bench) -> None:
    (bench.airbus / "other.csv").write_text("ImageId,EncodedPixels\n")


def scene(*, cut: bool = False, in_the_way: bool = False, truth: str | None = None) -> Callable[[Bench], None]:
    def spoil(bench: Bench) -> None:
        path = run_scene.write_scene(bench.scratch / "a.tif", run_scene.ships_image(300, 400))
        if cut:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        if in_the_way:
            (bench.scratch / "ships" / "a").mkdir(parents=True)
        if truth is not None:
            (bench.scratch / "a.ships.gpkg").write_text(truth)

    return spoil


def write_csv(text: str | bytes) -> Callable[[Bench], None]:
    def spoil(bench: Bench) -> None:
        for csv in bench.airbus.glob("*.csv"):
            csv.unlink()
        data = text.encode() if isinstance(text, str) else text
        (bench.airbus / "labels.csv").write_bytes(data)

    return spoil


def beside_truth(text: str | bytes) -> Callable[[Bench], None]:
    def spoil(bench: Bench) -> None:
        write_csv(text)(bench)
        (bench.airbus / "truth.csv").write_text("ImageId,scene,row0,col0\n")

    return spoil


def no_images(bench: Bench) -> None:
    shutil.rmtree(bench.airbus / "train_v2")


def only_broken_images(bench: Bench) -> None:
    for image in (bench.airbus / "train_v2").glob("*.jpg"):
        image.write_bytes(b"not an image")


def no_ship_anywhere(bench: Bench) -> None:
    names = sorted(image.name for image in (bench.airbus / "train_v2").glob("*.jpg"))
    write_csv("ImageId,EncodedPixels\n" + "".join(f"{name},\n" for name in names))(bench)
    assert run(["prepare", str(bench.airbus), str(bench.scratch / "empty-dataset"), "--size", "64"]) == 0


def native_dataset(bench: Bench) -> None:
    assert run(["prepare", str(bench.airbus), str(bench.scratch / "native"), "--size", "native"]) == 0


def tiny_dataset(bench: Bench) -> None:
    assert run(["prepare", str(bench.airbus), str(bench.scratch / "tiny"), "--size", "32"]) == 0


def a_file_in_the_way(bench: Bench) -> None:
    (bench.scratch / "out").write_text("I was here first")


def a_foreign_folder(bench: Bench) -> None:
    (bench.scratch / "out").mkdir()
    (bench.scratch / "out" / "thesis.doc").write_text("years of work")


def scratch_file(name: str, data: bytes) -> Callable[[Bench], None]:
    return lambda bench: void((bench.scratch / name).write_bytes(data))


def void(_: object) -> None:
    return None


def encoded(suffix: str, image: np.ndarray) -> bytes:
    return bytes(cv2.imencode(suffix, image)[1])


def noise(dtype: type, *, size: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (size, size, 3)).astype(dtype)


def no_card(bench: Bench) -> None:
    (bench.model / "shipseg.json").unlink()


def broken_card(bench: Bench) -> None:
    (bench.model / "shipseg.json").write_text('{"name": ')


def card_from_the_future(bench: Bench) -> None:
    card = bench.model / "shipseg.json"
    card.write_text(card.read_text().replace('"format": 1', '"format": 2'))


def no_weights(bench: Bench) -> None:
    (bench.model / "model.safetensors").unlink()


def truncated_weights(bench: Bench) -> None:
    weights = bench.model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def changed_weights(bench: Bench) -> None:
    weights = bench.model / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)


def absurd_card(bench: Bench) -> None:
    card = bench.model / "shipseg.json"
    values = json.loads(card.read_text())
    values["network"]["widths"] = [2048] * 6
    card.write_text(json.dumps(values))


def other_card(bench: Bench) -> None:
    card = bench.model / "shipseg.json"
    card.write_text(card.read_text().replace('"compact"', '"unet"'))


def foreign_graph(metadata: dict[str, str]) -> bytes:
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1])
    other = helper.make_tensor_value_info("probability", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["image"], ["probability"])], "g", [value], [other])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, metadata)
    return bytes(model.SerializeToString())


def onnx_without_card(bench: Bench) -> None:
    (bench.scratch / "bare.onnx").write_bytes(foreign_graph({}))


def changed_onnx(bench: Bench) -> None:
    from shipseg.model.card import CARD_KEY, Card
    from shipseg.model.onnxfile import HASH_KEY, graph_hash

    metadata = {CARD_KEY: Card().model_dump_json(), HASH_KEY: graph_hash(foreign_graph({}))}
    data = foreign_graph(metadata)
    (bench.scratch / "changed.onnx").write_bytes(data.replace(b"Identity", b"identity"))


def pickle_with_code(bench: Bench) -> None:
    import os

    import torch

    class Evil:
        def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
            return os.system, (f"touch {bench.scratch / 'executed'}",)

    torch.save({"conv1.weight": Evil()}, bench.scratch / "encoder.pth")


def an_image_and_a_file_in_the_way(bench: Bench) -> None:
    a_file_in_the_way(bench)
    (bench.scratch / "a.jpg").write_bytes(JPEG)


@dataclass(frozen=True)
class Case:
    """One mistake: its description, the command, a pattern of its message, and how the inputs are damaged before."""

    mistake: str
    command: str
    sentence: str
    spoil: Callable[[Bench], None] = void
    status: int = 1


TRAIN = "train {dataset} {scratch}/run --recipe resized-256"
PREDICT = "predict {scratch}/a.jpg --model {model} --out {scratch}/ships"
SCENE = "predict {scratch}/a.tif --model {model} --out {scratch}/ships"
SCORE = "evaluate {scratch}/a.tif {scratch}/scores"
JPEG = encoded(".jpg", noise(np.uint8))

CASES = [
    # Airbus folders and CSVs
    Case("the folder does not exist", "prepare {scratch}/nowhere {scratch}/ds", "nowhere"),
    Case("no CSV in the folder", "prepare {airbus} {scratch}/ds", "CSV", no_csv),
    Case("several CSVs in the folder", "prepare {airbus} {scratch}/ds", "--csv", two_csvs),
    Case("an empty CSV", "prepare {airbus} {scratch}/ds", "empty", write_csv("")),
    Case("a wrong column", "prepare {airbus} {scratch}/ds", "ImageId", write_csv("image,rle\na.jpg,\n")),
    Case("a CSV that is not text", "prepare {airbus} {scratch}/ds", "UTF-8", write_csv(b"ImageId,EncodedPixels\n\xff\xfe,\n")),
    Case("a CSV with semicolons beside another one", "prepare {airbus} {scratch}/ds", "comma", beside_truth("ImageId;EncodedPixels\na.jpg;\n")),
    Case("a CSV in UTF-16 beside another one", "prepare {airbus} {scratch}/ds", "UTF-16", beside_truth("ImageId,EncodedPixels\na.jpg,\n".encode("utf-16"))),
    Case("an id with a path in it", "prepare {airbus} {scratch}/ds", "path", write_csv("ImageId,EncodedPixels\n../../etc/passwd,\n")),
    Case("a row without an id", "prepare {airbus} {scratch}/ds", "row", write_csv("ImageId,EncodedPixels\n,1 2\n")),
    Case("no images", "prepare {airbus} {scratch}/ds", "image", no_images),
    Case("only unreadable images", "prepare {airbus} {scratch}/ds", "image", only_broken_images),
    Case("a size of 0", "prepare {airbus} {scratch}/ds --size 0", "--size"),
    Case("a size in words", "prepare {airbus} {scratch}/ds --size big", "--size .*'big'"),
    Case("a share above one", "prepare {airbus} {scratch}/ds --keep-empty 2", "keep.empty"),
    Case("more validation than images", "prepare {airbus} {scratch}/ds --val-share 1.5", "val.share"),
    Case("a missing drop list", "prepare {airbus} {scratch}/ds --drop-list {scratch}/no.txt", "no.txt"),
    Case("a dataset made with other options", "prepare {airbus} {dataset} --size 32", "size"),
    Case("a file where the dataset should go", "prepare {airbus} {scratch}/out", "out", a_file_in_the_way),
    # Synthetic data
    Case("no images requested", "synth {scratch}/world --images 0", "images"),
    Case("more images than any disk holds", "synth {scratch}/world --images 100000000000", "images must be at most"),
    Case("more processes than any machine has", "synth {scratch}/world --workers 100000", "workers must be at most 256"),
    Case("an impossible share of images without ships", "synth {scratch}/world --empty-share 1.5", "empty.share"),
    Case("an invalid size", "synth {scratch}/world --size 0x10", "--size"),
    Case("a folder with other files in it", "synth {scratch}/out --images 2", "out", a_foreign_folder),
    Case("a scene larger than any satellite's", "synth {scratch}/world --scenes 1 --scene-size 1000000", "from 16 to 200,000"),
    Case("a scene of pixels in millimetres", "synth {scratch}/world --scenes 1 --metres-per-pixel 0.333", "two decimals"),
    Case("a flag for scenes without a scene", "synth {scratch}/world --sparse", "--sparse applies to scenes only"),
    Case("a scene of an unknown kind", "synth {scratch}/world --scenes 1 --scene-kind port", "port", status=2),
    # Training
    Case("a missing dataset", "train {scratch}/nowhere {scratch}/run", "nowhere"),
    Case("an Airbus folder instead of a dataset", "train {airbus} {scratch}/run", "prepare"),
    Case("a recipe nested too deeply", "train {dataset} {scratch}/run --recipe {scratch}/deep.yaml", "nested", scratch_file("deep.yaml", b"a: " + b"[" * 2000)),
    Case("a run in its dataset's folder", "train {dataset} {dataset}", "into the dataset"),
    Case("an unknown recipe", "train {dataset} {scratch}/run --recipe bas", "did you mean 'base'"),
    Case("fine-tuning without a model", "train {dataset} {scratch}/run --recipe fine-tune", "--from MODEL"),
    Case("a recipe of another network than the model's", "train {dataset} {scratch}/run --recipe base --from {model}", "network.architecture"),
    Case("fine-tuning from a missing model", "train {dataset} {scratch}/run --recipe fine-tune --from {scratch}/no", "no model"),
    Case("a negative learning rate", TRAIN + " --train.lr -0.1", "train.lr must be greater than 0, got -0.1"),
    Case("an unknown key", TRAIN + " --train.lrr 1", "did you mean train.lr"),
    Case("a key without a value", TRAIN + " --train.lr", "--train.lr needs a value"),
    Case("a key with an empty part", TRAIN + " --set train..lr=1", "one of its parts is empty"),
    Case("a number in place of a section", TRAIN + " --set train=3", "train must hold keys and values, got 3"),
    Case("a yes in place of a number", TRAIN + " --train.lr yes", "not yes or no, got True"),
    Case("a fraction of epochs", TRAIN + " --train.epochs 1.5", "must be a whole number, got 1.5"),
    Case("too many epochs", TRAIN + " --train.epochs 1000000000", "at most 100000"),
    Case("more workers than any machine has", TRAIN + " --train.workers 100000", "at most 256"),
    Case("a batch larger than any memory", TRAIN + " --train.batch_size 1000000", "at most 16384"),
    Case("no loss at all", TRAIN + " --loss.weights {{}}", "loss.weights must not be empty"),
    Case("an unknown loss", TRAIN + " --set loss.weights.focall=1", "must name 'bce'"),
    Case("a value that is not YAML", TRAIN + " --train.lr [[[[", "cannot be read as a value"),
    Case("an unknown augmentation", TRAIN + " --augment.names [flip]", "unknown augmentation 'flip'"),
    Case("an unknown encoder", TRAIN + " --network.encoder resnet19", "resnet1"),
    Case("an unknown architecture", TRAIN + " --network.architecture unett", "did you mean 'unet'"),
    Case("missing encoder weights", TRAIN + " --network.encoder_weights {scratch}/no.pth", "no.pth"),
    Case("encoder weights with code inside", TRAIN + " --network.encoder_weights {scratch}/encoder.pth", "encoder.pth", pickle_with_code),
    Case("whole images from a dataset without a cache", "train {scratch}/native {scratch}/run --recipe resized-256", "native", native_dataset),
    Case("a training set without ships", "train {scratch}/empty-dataset {scratch}/run --recipe resized-256", "ship", no_ship_anywhere),
    Case("a batch that batch normalisation cannot use", "train {scratch}/tiny {scratch}/run --recipe resized-256 --train.batch_size 1", "raise train.batch_size", tiny_dataset),
    Case("more memory than there is", "synth {scratch}/world --images 1 --size 10000000", "memory|disk"),
    # Models
    Case("a missing model", "evaluate {airbus} {scratch}/scores --model {scratch}/no", "no"),
    Case("a model folder without its card", PREDICT, "shipseg.json", no_card),
    Case("a card cut short", PREDICT, "card", broken_card),
    Case("a card of a later version", PREDICT, "format", card_from_the_future),
    Case("a model folder without weights", PREDICT, "model.safetensors", no_weights),
    Case("weights cut short", PREDICT, "model.safetensors", truncated_weights),
    Case("weights changed since they were saved", PREDICT, "model.safetensors", changed_weights),
    Case("a card of another architecture", PREDICT, "does not fit", other_card),
    Case("a card with absurd widths", PREDICT, "does not fit", absurd_card),
    Case("an invalid ONNX file", "predict {scratch}/a.jpg --model {scratch}/a.onnx --out {scratch}/o", "a.onnx", scratch_file("a.onnx", b"no")),
    Case("an ONNX file without a card", "predict {scratch}/a.jpg --model {scratch}/bare.onnx --out {scratch}/o", "bare.onnx", onnx_without_card),
    Case("an ONNX file changed since it was exported", "predict {scratch}/a.jpg --model {scratch}/changed.onnx --out {scratch}/o", "SHA-256", changed_onnx),
    Case("exporting a folder without a model", "export {scratch} {scratch}/a.onnx", "shipseg.json"),
    # Evaluating
    Case("data that are neither a dataset nor an Airbus folder", "evaluate {scratch} {scratch}/scores --model {model}", "scratch|CSV|dataset"),
    Case("a split that does not exist", "evaluate {dataset} {scratch}/scores --model {model} --split tset", "'?test'?"),
    Case("a split without images", "evaluate {dataset} {scratch}/scores --model {model} --split test", "test"),
    Case("an impossible threshold", "evaluate {dataset} {scratch}/scores --model {model} --threshold 2", "threshold"),
    Case("a scene without its true ships", SCORE + " --model {model}", "put them into .*a.ships.gpkg", scene()),
    Case("true ships that are not a GeoPackage", SCORE + " --model {model}", "a.ships.gpkg cannot be read", scene(truth="ships")),
    Case("a split of scenes", SCORE + " --model {model} --split val", "--split applies to images only", scene(truth="")),
    Case("a model beside finished results", SCORE + " --model {model} --predicted {scratch}/ships", "give only one", scene(truth="")),
    Case("scores among the data", "evaluate {airbus} {airbus} --model {model}", "another folder"),
    # Exploring, studies, thresholds
    Case("exploring a missing folder", "explore {scratch}/nowhere {scratch}/out", "nowhere"),
    Case("exploring a table of other columns", "explore {scratch}/t.csv {scratch}/out", "no column ImageId", scratch_file("t.csv", b"a,b\n1,2\n")),
    Case("exploring a table without rows", "explore {scratch}/t.csv {scratch}/out", "no rows", scratch_file("t.csv", b"ImageId,EncodedPixels\n")),
    Case("a page among the data", "explore {airbus} {airbus}", "into the data folder"),
    Case("an unknown study", "study losse {dataset} {scratch}/out", "did you mean 'losses'"),
    Case("a study without a folder", "study losses {dataset}", "DATASET OUT"),
    Case("a study on a folder that is no dataset", "study losses {airbus} {scratch}/out --quick", "shipseg prepare"),
    Case("a study in its dataset's folder", "study losses {dataset} {dataset}", "into the dataset"),
    Case("invalid seeds", "study losses {dataset} {scratch}/out --seeds one", "such as 0,1,2"),
    Case("a study file without a question", "study {scratch}/s.yaml {dataset} {scratch}/out", "question is missing", scratch_file("s.yaml", b"name: x")),
    Case("a study in a folder with other files in it", "study losses {dataset} {scratch}/out", "holds no study", a_foreign_folder),
    Case("epochs of a recipe that has phases", "train {dataset} {scratch}/run --recipe model-1-simple --train.epochs 3", "phases have epochs of their own"),
    Case("two targets for one threshold", "threshold {model} {dataset} --out {scratch}/o --precision 0.9 --false-alarms 0.1", "two targets"),
    Case("an impossible precision", "threshold {model} {dataset} --out {scratch}/o --precision 2", "at most 1"),
    Case("a new threshold over the model itself", "threshold {model} {dataset} --out {scratch}/../ --precision 0.9", "choose another folder"),
    Case("a gate that may lose all ships", "gate {model} {dataset} --out {scratch}/o --loss 2", "from 0 to 0.5"),
    Case("a gate over the model itself", "gate {model} {dataset} --out {scratch}/../", "choose another folder"),
    # Predicting
    Case("nothing to predict", "predict --model {model} --out {scratch}/ships", "FIRST", status=2),
    Case("a missing image", PREDICT, "a.jpg"),
    Case("an empty file", PREDICT, "a.jpg", scratch_file("a.jpg", b"")),
    Case("a file that is not an image", PREDICT, "a.jpg", scratch_file("a.jpg", b"hello, I am a text")),
    Case("a truncated JPEG", PREDICT, "a.jpg.*truncated", scratch_file("a.jpg", JPEG[: len(JPEG) // 2])),
    Case("a GeoTIFF cut short", SCENE, r"a.tif cannot be", scene(cut=True)),
    Case("bands that a scene does not have", SCENE + " --bands 7,3,2", "band", scene()),
    Case("bands that are not numbers", SCENE + " --bands red", "4,3,2", scene()),
    Case("a stretch that is not a range", SCENE + " --stretch wide", "stretch", scene()),
    Case("missing polygons", SCENE + " --water {scratch}/w.gpkg", "polygons .*w.gpkg", scene()),
    Case("pixels too large for a model", SCENE + " --metres-per-pixel 100", "too large for this model", scene()),
    Case("an invalid shard", SCENE + " --shard 3/2", "I from 1 to N", scene()),
    Case("workers without --engine ray", SCENE + " --workers 2", "--engine ray", scene()),
    Case("an unknown engine", SCENE + " --engine dask", "dask", scene(), status=2),
    Case("a missing list of scenes", "predict @{scratch}/list.txt --model {model} --out {scratch}/ships", "list.txt cannot be read"),
    Case("a pattern that matches nothing", "predict {scratch}/*.tif --model {model} --out {scratch}/ships", "check the pattern"),
    Case("other files where results should go", SCENE, "is in the way", scene(in_the_way=True)),
    Case("a flag for scenes with an image", PREDICT + " --water w.gpkg", "--water applies to scenes only", scratch_file("a.jpg", JPEG)),
    Case("a folder without images", "predict {scratch} --model {model} --out {scratch}/ships", "picture|image"),
    Case("results among the images", "predict {scratch} --model {model} --out {scratch}", "another folder", scratch_file("a.jpg", JPEG)),
    Case("a file where the output should go", "predict {scratch}/a.jpg --model {model} --out {scratch}/out", "out", an_image_and_a_file_in_the_way),
    Case("a submission in place of an image", PREDICT + " --submission {scratch}/a.jpg", "replace", scratch_file("a.jpg", JPEG)),
    Case("an unknown format", PREDICT + " --format shapefile", "shapefile", status=2),
    Case("an unknown flag", PREDICT + " --fast", "--fast", status=2),
    Case("an unknown command", "predikt", "predikt", status=2),
    Case("a missing folder of models", "models {scratch}/nowhere", "nowhere"),
]  # fmt: skip


@contextlib.contextmanager
def spoiled(case: Case, airbus: Path, dataset: Path, model: Path) -> Iterator[list[str]]:
    """Give the command of a case, on damaged copies of the inputs."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        bench = Bench(*(root / name for name in ("airbus", "dataset", "model", "scratch")))
        for good, copy in ((airbus, bench.airbus), (dataset, bench.dataset), (model, bench.model)):
            shutil.copytree(good, copy)
        bench.scratch.mkdir()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            case.spoil(bench)
        places = {name: str(getattr(bench, name)) for name in ("airbus", "dataset", "model", "scratch")}
        yield [word.format(**places) for word in case.command.split()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.mistake)
def test_a_mistake_gets_the_sentence_of_the_page_and_the_right_status(
    case: Case, airbus_folder: Path, dataset_folder: Path, model_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with spoiled(case, airbus_folder, dataset_folder, model_folder) as command:
        status = run(command)
        scratch = Path(command[-1]).parent if "encoder" in case.mistake else None
        assert scratch is None or not (scratch / "executed").exists()
    said = capfd.readouterr()
    assert status == case.status
    assert re.search(case.sentence, said.err + said.out)
    assert "Traceback" not in said.err
    errors = [line for line in said.err.splitlines() if line.startswith("shipseg: ")]
    assert len(errors) <= 1
    assert row_of(case, said.err, said.out, command) in PAGE.read_text(encoding="utf-8").splitlines(), UPDATE


def test_the_page_lists_every_case() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows if row != TABLE_HEAD[0]] == [
        case.mistake for _, cases in by_command() for case in cases
    ], UPDATE


UPDATE = "make the page again: python tests/test_bad_inputs.py"
TABLE_HEAD = ("| mistake | what shipseg says |", "|---|---|")
PAGE_HEAD = """# Mistakes, and what shipseg says

Every mistake gets one sentence on standard error and no traceback. The exit status is 1, or 2 for wrong usage.

Made by `python tests/test_bad_inputs.py`, which runs every command; the tests compare each sentence.
"""


def row_of(case: Case, err: str, out: str, command: list[str]) -> str:
    """Return the row of a case: the sentence that was printed, without the folders and sizes of this machine."""
    sentences = [line.removeprefix("shipseg: ") for line in err.splitlines() if line.startswith("shipseg: ")]
    sentence = (sentences or [last_sentence(out)])[0].replace(f"{bench_folder(command)}/", "")
    sentence = re.sub(r"\b[\d.,]+ (kB|MB|GB|TB)\b", r"N \1", sentence)
    return f"| {case.mistake} | {sentence} |".replace("\n", " ")


def by_command() -> list[tuple[str, list[Case]]]:
    """Return the cases of each command, in the order of the table above."""
    groups: dict[str, list[Case]] = {}
    for case in CASES:
        name = case.command.split()[0]
        groups.setdefault(name if case.mistake != "an unknown command" else "any command", []).append(case)
    return list(groups.items())


def page_of(airbus: Path, dataset: Path, model: Path) -> str:
    """Return the page of all cases with the sentences that are really printed."""
    lines = [PAGE_HEAD]
    for name, cases in by_command():
        lines += [f"## {name}", "", *TABLE_HEAD]
        for case in cases:
            err, out = io.StringIO(), io.StringIO()
            with spoiled(case, airbus, dataset, model) as command:
                with contextlib.redirect_stderr(err), contextlib.redirect_stdout(out):
                    run(command)
                lines.append(row_of(case, err.getvalue(), out.getvalue(), command))
        lines.append("")
    return "\n".join(lines)


def bench_folder(command: list[str]) -> Path:
    """Return the temporary folder that the command's paths lie in."""
    paths = (
        parent for word in command for parent in Path(word).parents if parent.parent == Path(tempfile.gettempdir())
    )
    return next(paths, Path("none"))


def last_sentence(table: str) -> str:
    """Return the reason that a summary gives for its first failed image, joined from its lines."""
    lines = " ".join(line.strip() for line in table.splitlines())
    return re.sub(r"\s+", " ", lines.partition("failures: ")[2]).strip()


def main() -> None:
    """Write the page."""
    with tempfile.TemporaryDirectory() as folder:
        airbus = made.make_airbus_folder(Path(folder) / "airbus")
        dataset = made.make_dataset(airbus, Path(folder) / "dataset")
        PAGE.write_text(page_of(airbus, dataset, made.make_model(Path(folder) / "model")), encoding="utf-8")


if __name__ == "__main__":
    main()
