"""The page says what was measured, holds everything in itself, and takes no text for markup."""

from __future__ import annotations

import dataclasses
import logging
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shipseg.errors import ImageError, StorageError
from shipseg.evaluation.evaluate import EvaluateOptions, Evaluation, GivesProbability, evaluate
from shipseg.evaluation.labelled import Labelled, Source
from shipseg.reports.evaluation_page import PANEL_FILE, write_evaluation_report

VOID = {"meta", "img", "br", "link", "hr"}


class Page(HTMLParser):
    """A parsed page: texts, attributes, tags; and whether every element is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [v or "" for k, v in attrs if k in ("src", "href", "srcset", "action", "poster", "data")]
        self.ids += [v or "" for k, v in attrs if k == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "pre"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))


@pytest.fixture(scope="module")
def synthetic_page(
    tmp_path_factory: pytest.TempPathFactory,
    synthetic_evaluation: Evaluation,
    synthetic_source: Source,
    bright_model: GivesProbability,
) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    return write_evaluation_report(synthetic_evaluation, path, predictor=bright_model, source=synthetic_source)


def test_the_page_needs_nothing_from_outside(synthetic_page: Path) -> None:
    page, text = Page(synthetic_page), synthetic_page.read_text(encoding="utf-8")
    assert page.open == []
    assert [each[:40] for each in page.references if not each.startswith(("data:image/jpeg;base64,", "#"))] == []
    assert len([each for each in page.references if each.startswith("data:")]) >= 9
    assert {"script", "link", "iframe", "object"} & set(page.tags) == set()
    assert re.findall(r"https?://|@import|url\((?!#)", text) == []
    assert len(text) < 5e6


def test_the_page_shows_each_headline_score_with_interval_and_baseline(
    synthetic_page: Path, synthetic_evaluation: Evaluation
) -> None:
    text, metrics = Page(synthetic_page).text, synthetic_evaluation.metrics
    for name in ("airbus_score", "pooled_dice", "image_dice", "ship_precision", "ship_recall", "false_alarm_images"):
        low, high = metrics["intervals"][name]
        assert f"{metrics[name]:.3f} {low:.3f} … {high:.3f}" in text, name
    assert f"{metrics['airbus_score_of_predicting_nothing']:.3f}" in text
    assert f"{metrics['num_images']} images, {metrics['num_images_with_ships']} of them" in text
    assert "chosen for airbus score" in text


def test_the_panel_is_also_written_as_png(synthetic_page: Path) -> None:
    assert (synthetic_page.parent / PANEL_FILE).read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def small_page(tmp_path_factory: pytest.TempPathFactory, small_source: Source, bright_model: GivesProbability) -> Page:
    path = tmp_path_factory.mktemp("small") / "report.html"
    evaluation = evaluate(bright_model, small_source)
    return Page(write_evaluation_report(evaluation, path, predictor=bright_model, source=small_source))


def test_the_sentences_at_the_top_count_what_was_found(small_page: Page) -> None:
    # two.png: one of two ships found. half.png: IoU exactly 0.5, which is not above it. alarm.png: one false alarm.
    assert "It found 1 of 3 ships (33 %)." in small_page.text
    assert "Of its 3 detections 2 (67 %) are not a ship" in small_page.text
    assert "In 1 of 2 images without ships (50 %) it raised a false alarm." in small_page.text
    assert "half.png: Dice 0.667, found 0 of 1 ship, 1 wrong detection" in small_page.text
    assert "two.png: Dice 0.667, found 1 of 2 ships" in small_page.text
    assert "alarm.png: no ship in it, 1 detection" in small_page.text


def test_no_text_of_the_user_becomes_markup_and_failures_are_listed(small_page: Page) -> None:
    assert {"script", "i"} & set(small_page.tags) == set()
    assert "tiles of <script>alert(1)</script>" in small_page.text
    assert "bright & <b>bold</b>" in small_page.text
    assert "1 image could not be scored" in small_page.text
    assert "<i>gone</i>.png does not exist: fetch it" in small_page.text
    assert "failed" in small_page.ids


@pytest.mark.parametrize("names", [["empty.png"], ["alarm.png"], ["half.png"]])
def test_a_single_image_makes_a_page(
    tmp_path: Path, small_source: Source, bright_model: GivesProbability, names: list[str]
) -> None:
    source = Source("few", tuple(image for image in small_source if image.image_id in names))
    path = write_evaluation_report(
        evaluate(bright_model, source), tmp_path / "r.html", predictor=bright_model, source=source
    )
    page = Page(path)
    assert page.open == []
    assert "nan" not in page.text.lower().split()
    assert "None" not in page.text


def test_a_manually_set_threshold_is_not_reported_as_chosen(
    tmp_path: Path, small_source: Source, bright_model: GivesProbability
) -> None:
    evaluation = evaluate(bright_model, small_source, options=EvaluateOptions(threshold=0.9))
    text = Page(
        write_evaluation_report(evaluation, tmp_path / "r.html", predictor=bright_model, source=small_source)
    ).text
    assert "a probability of at least 0.9 are ship" in text
    assert "was set manually" in text
    assert "It found 1 of 3 ships" in text  # 240 / 255 = 0.94 is still above


def test_an_image_that_no_longer_exists_is_left_out_of_the_examples(
    tmp_path: Path, small_source: Source, bright_model: GivesProbability, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> NDArray[np.uint8]:
        raise ImageError("it is gone", reason="missing")

    evaluation = evaluate(bright_model, small_source)
    gone = tuple(dataclasses.replace(image, read=fail) for image in small_source)
    with caplog.at_level(logging.WARNING):
        path = write_evaluation_report(
            evaluation, tmp_path / "r.html", predictor=bright_model, source=Source("gone", gone)
        )
    assert "not shown in the report: it is gone" in caplog.text
    assert "It found 1 of 3 ships" in Page(path).text


def test_a_page_that_cannot_be_written_is_a_storage_error(
    tmp_path: Path, small_source: Source, bright_model: GivesProbability
) -> None:
    (tmp_path / "file").write_text("")
    evaluation = evaluate(bright_model, small_source)
    with pytest.raises(StorageError, match="in the way"):
        write_evaluation_report(evaluation, tmp_path / "file" / "r.html", predictor=bright_model, source=small_source)


def test_a_long_list_of_failures_is_truncated(
    tmp_path: Path, small_source: Source, bright_model: GivesProbability
) -> None:
    broken: Labelled = small_source.images[-1]
    many = Source("many", (*small_source, *(dataclasses.replace(broken, image_id=f"x{k}") for k in range(220))))
    path = write_evaluation_report(
        evaluate(bright_model, many), tmp_path / "r.html", predictor=bright_model, source=many
    )
    text = Page(path).text
    assert "221 images could not be scored and are not in these figures" in text
    assert "And 21 more: see failed.csv" in text
