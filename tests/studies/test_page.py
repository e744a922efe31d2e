"""The page and the files of a study, finished or not."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from shipseg.data.prepared import open_dataset
from shipseg.studies import layout
from shipseg.studies.page import write_tables
from shipseg.studies.spec import Study
from shipseg.studies.trials import expand, failure

StudyMaker = Callable[..., Study]


def test_the_page_of_an_unfinished_study_says_what_is_missing_and_what_failed(
    finished_study: Path, tiny_study: StudyMaker, dataset_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    shutil.copytree(finished_study, out)
    study = tiny_study(reference={"dice": {"Dice": 0.539}}, about="What is <equal>.")
    trials = expand(study)
    layout.result_file(out, trials[0]).unlink()
    layout.write_result(out, trials[1], failure(trials[1], "the loss <became> NaN"))
    write_tables(out, study, trials, open_dataset(dataset_folder))
    page = (out / "report.html").read_text()
    text = " ".join(re.sub(r"<[^>]*>", " ", page.partition("</style>")[2]).split())
    assert "Unfinished: 1 of 4 trials are missing." in text
    assert "1 of 4 trials failed" in text
    assert "both baseline missing: seed 0" in text
    assert "dice failed: seed 0" in text
    assert "the loss &lt;became&gt; NaN" in text
    assert "What is &lt;equal&gt;." in text
    assert "0.539" in text
    assert "Differences cannot be tested: no variant has two finished seeds" in text
    assert page.count("<svg") == 2
    # Self-contained: nothing is fetched.
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)


def test_the_page_gives_the_commands_of_every_trial(finished_study: Path) -> None:
    page = (finished_study / "report.html").read_text()
    details = page[page.index("<details>") : page.index("</details>")]
    assert details.count("shipseg train ") == 4
    assert details.count("shipseg evaluate ") == 4


def test_a_study_without_finished_trials_has_a_page(
    tiny_study: StudyMaker, dataset_folder: Path, tmp_path: Path
) -> None:
    study = tiny_study()
    table = write_tables(tmp_path, study, expand(study), open_dataset(dataset_folder))
    assert table.num_missing == 4
    assert table.best is None
    assert "Unfinished: 4 of 4 trials are missing." in (tmp_path / "report.html").read_text()
