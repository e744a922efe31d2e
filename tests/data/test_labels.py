"""The label table: finding it, reading it, and refusing or listing each fault."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipseg.data.labels import LabelTable, find_airbus_folder, measure_ships, read_table
from shipseg.errors import DataError
from shipseg.masks.rle import decode_many, encode


def table_of(tmp_path: Path, text: str | bytes) -> LabelTable:
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_table(path)


def images_of(table: LabelTable) -> list[tuple[str, tuple[str, ...], int]]:
    frame = table.frame
    return list(zip(frame["ImageId"].tolist(), frame["rles"].tolist(), frame["Ships"].tolist(), strict=True))


def test_rows_become_one_row_per_image_sorted_by_id(tmp_path: Path) -> None:
    table = table_of(tmp_path, "ImageId,EncodedPixels\nb.jpg,1 2\na.jpg,\nb.jpg,9 1 12 3\nc.jpg,0\n")
    assert images_of(table) == [("a.jpg", (), 0), ("b.jpg", ("1 2", "9 1 12 3"), 2), ("c.jpg", (), 0)]
    assert table.problems == []
    assert table.num_rows == 4
    assert table.frame["Ships"].dtype == np.int64


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffImageId,EncodedPixels\na.jpg,1 2\n",  # byte order mark
        'ImageId,EncodedPixels\n"a.jpg","1 2"\n',
        "ImageId,EncodedPixels\r\na.jpg,1 2\r\n",
        "ImageId,EncodedPixels\n\na.jpg,1 2\n\n\n",  # blank lines
        "ImageId, EncodedPixels\n a.jpg , 1 2 \n",
        "EncodedPixels,ImageId\n1 2,a.jpg\n",
        "ImageId,BigImageId,EncodedPixels\na.jpg,77,1 2\n",  # other columns are ignored
        "ImageId,EncodedPixels\na.jpg,1 2",  # no newline at the end
    ],
)
def test_harmless_differences_of_form_are_read_alike(tmp_path: Path, text: str) -> None:
    assert images_of(table_of(tmp_path, text)) == [("a.jpg", ("1 2",), 1)]


def test_a_row_with_only_an_id_is_an_image_without_ships(tmp_path: Path) -> None:
    assert images_of(table_of(tmp_path, "ImageId,EncodedPixels\na.jpg\n")) == [("a.jpg", (), 0)]


def test_duplicate_rows_are_left_out_and_listed_with_their_rows(tmp_path: Path) -> None:
    table = table_of(tmp_path, "ImageId,EncodedPixels\na.jpg,1 2\nb.jpg,\na.jpg,1 2\nb.jpg,\na.jpg,5 2\n")
    assert images_of(table) == [("a.jpg", ("1 2", "5 2"), 2), ("b.jpg", (), 0)]
    assert [(p.image_id, p.row, p.reason) for p in table.problems] == [
        ("a.jpg", 4, "duplicate-row"),
        ("b.jpg", 5, "duplicate-row"),
    ]


@pytest.mark.parametrize("empty_first", [True, False])
def test_an_empty_row_beside_ships_is_left_out_and_listed(tmp_path: Path, empty_first: bool) -> None:
    rows = ["a.jpg,", "a.jpg,1 2"] if empty_first else ["a.jpg,1 2", "a.jpg,"]
    table = table_of(tmp_path, "\n".join(["ImageId,EncodedPixels", *rows]))
    assert images_of(table) == [("a.jpg", ("1 2",), 1)]
    assert [(p.row, p.reason) for p in table.problems] == [(2 if empty_first else 3, "empty-and-ships")]


@pytest.mark.parametrize("text", ["1", "1 2 3", "0 5", "4 -1", "1 x", "1 2 2 2", "nan", "1.5 2"])
def test_a_malformed_mask_is_listed_with_its_row_and_reason(tmp_path: Path, text: str) -> None:
    table = table_of(tmp_path, f"ImageId,EncodedPixels\na.jpg,1 2\nb.jpg,{text}\nb.jpg,1 2\n")
    (problem,) = table.problems
    assert (problem.image_id, problem.row, problem.reason) == ("b.jpg", 3, "malformed-mask")
    assert "number" in problem.detail or "run" in problem.detail
    assert images_of(table)[1] == ("b.jpg", (text, "1 2"), 2)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"\n", r"is empty|no column"),
        (b"ImageId,EncodedPixels\n", "no rows"),
        (b"ImageId,EncodedPixels\n\n\n", "no rows"),
        (b"ImageId,EncodedPixels\n\xff\xfe.jpg,\n", "UTF-8"),
        (b"ImageId;EncodedPixels\na.jpg;1 2\n", "comma"),
        (b"imageid,EncodedPixels\na.jpg,\n", "no column ImageId .*closest, 'imageid'"),
        (b"image,rle\na.jpg,\n", "no column ImageId .*'image', 'rle'"),
        (b"ImageId\na.jpg\n", "no column EncodedPixels"),
        (b"ImageId,EncodedPixels\na.jpg,1 2,3\nb.jpg,\n", "well-formed"),
        (b"ImageId,EncodedPixels\na.jpg,1 2\nb.jpg,1 2,3\n", "well-formed.*line 3"),
        (b'ImageId,EncodedPixels\n"a.jpg,1 2\n', "well-formed"),
        (b"ImageId,EncodedPixels\na.jpg,\n,1 2\n", "row 3 .*no ImageId"),
        (b"ImageId,EncodedPixels\na.jpg,\n../x.jpg,\n", r"'\.\./x\.jpg' in row 3"),
        (b"ImageId,EncodedPixels\na/b.jpg,\n", "'a/b.jpg' in row 2"),
        (b"ImageId,EncodedPixels\n/etc/passwd,\n", "'/etc/passwd' in row 2"),
        (b"ImageId,EncodedPixels\na\\b.jpg,\n", "in row 2 .*path"),
        (b"ImageId,EncodedPixels\n..,\n", r"'\.\.' in row 2"),
    ],
)
def test_a_table_that_cannot_be_used_gets_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence) as caught:
        table_of(tmp_path, content)
    assert "\n" not in str(caught.value)
    assert "labels.csv" in str(caught.value)


def test_a_table_that_is_missing_or_a_folder_gets_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file .*nowhere\.csv"):
        read_table(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path)


masks = st.lists(st.lists(st.booleans(), min_size=30, max_size=30).filter(any), max_size=4)


@given(st.lists(masks, max_size=4))
def test_ship_pixels_are_those_of_the_union_and_overlaps_are_found(images: list[list[list[bool]]]) -> None:
    arrays = [[np.array(mask).reshape(5, 6) for mask in image] for image in images]
    rles = [tuple(encode(mask_hw) for mask_hw in image) for image in arrays]
    ship_px, overlapping = measure_ships(rles)
    assert ship_px.tolist() == [int(decode_many(texts, (5, 6)).sum()) if texts else 0 for texts in rles]
    assert overlapping.tolist() == [
        bool(image) and int(sum(mask_hw.sum() for mask_hw in image)) > int(np.any(image, axis=0).sum())
        for image in arrays
    ]


def airbus(tmp_path: Path, *paths: str) -> Path:
    for path in paths:
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("ImageId,EncodedPixels\n" if path.endswith(".csv") else "")
    return tmp_path


@pytest.mark.parametrize("folder", [".", "train_v2", "images", "any name"])
def test_images_are_found_beside_the_table_or_in_one_subfolder(tmp_path: Path, folder: str) -> None:
    found = find_airbus_folder(airbus(tmp_path, "labels.csv", f"{folder}/a.jpg", "empty/notes.txt"))
    assert found.csv == tmp_path / "labels.csv"
    assert found.images.resolve() == (tmp_path / folder).resolve()


def test_a_csv_of_other_columns_beside_the_labels_is_skipped(tmp_path: Path) -> None:
    root = airbus(tmp_path, "labels.csv", "a.jpg")
    (root / "counts.csv").write_text("ImageId,n_ships\n")
    assert find_airbus_folder(root).csv.name == "labels.csv"


def test_given_names_choose_among_several(tmp_path: Path) -> None:
    root = airbus(tmp_path, "one.csv", "two.csv", "train/a.jpg", "test/b.jpg")
    found = find_airbus_folder(root, csv=Path("two.csv"), images=root / "test")
    assert (found.csv.name, found.images.name) == ("two.csv", "test")


@pytest.mark.parametrize(
    ("paths", "sentence"),
    [
        (["one.csv", "two.csv", "a.jpg"], r"one\.csv, two\.csv.*--csv"),
        (["labels.csv", "train/a.jpg", "test/b.jpg"], "test, train.*--images"),
        (["labels.csv", "a.jpg", "test/b.jpg"], r"\., test.*--images"),
        (["a.jpg"], "no CSV"),
        (["labels.csv"], "no images"),
    ],
)
def test_an_unclear_folder_gets_a_sentence_that_names_the_candidates(
    tmp_path: Path, paths: list[str], sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        find_airbus_folder(airbus(tmp_path, *paths))


def test_what_is_given_and_not_there_gets_a_sentence(tmp_path: Path) -> None:
    root = airbus(tmp_path, "labels.csv", "a.jpg")
    with pytest.raises(DataError, match="no folder .*nowhere"):
        find_airbus_folder(root / "nowhere")
    with pytest.raises(DataError, match=r"no CSV no\.csv"):
        find_airbus_folder(root, csv=Path("no.csv"))
    with pytest.raises(DataError, match="no folder of images"):
        find_airbus_folder(root, images=Path("no"))
    with pytest.raises(DataError, match="not a folder"):
        find_airbus_folder(root, images=Path("a.jpg"))
    with pytest.raises(DataError, match="not a file"):
        find_airbus_folder(root, csv=root)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"ImageId;EncodedPixels\na.jpg;1 2\n", "separate columns with a comma"),
        ("ImageId,EncodedPixels\na.jpg,1 2\n".encode("utf-16"), "looks like UTF-16"),
        ("ImageId,EncodedPixels\na.jpg,1 2\n".encode("utf-16-be"), "looks like UTF-16"),
    ],
    ids=("semicolons", "utf-16", "utf-16 without a mark"),
)
def test_a_damaged_table_beside_another_csv_is_still_found(tmp_path: Path, data: bytes, sentence: str) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "labels.csv").write_bytes(data)
    (tmp_path / "truth.csv").write_text("ImageId,scene,row0,col0\na.jpg,1,0,0\n")
    found = find_airbus_folder(tmp_path)
    assert found.csv.name == "labels.csv"
    with pytest.raises(DataError, match=sentence):
        read_table(found.csv)


def test_several_csvs_of_which_none_names_the_columns_are_listed(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("x,y\n")
    with pytest.raises(DataError, match=r"several files that could be the label table \(a.csv, b.csv\)"):
        find_airbus_folder(tmp_path)
