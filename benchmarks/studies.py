"""The tables of docs/studies.md from finished studies, and the commands of these studies.

    python benchmarks/studies.py commands DATASET [--seeds 0,1]           # prints them, the cheap ones first
    python benchmarks/studies.py write STUDIES docs/studies.md    # STUDIES/NAME are folders of `shipseg study`

The page has a pair of comments for each study, `<!-- table: NAME -->` and `<!-- end -->`; the text between them is
replaced, unless no trial of the study is finished. The summary of all studies is written by hand.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from shipseg import files
from shipseg.studies import layout
from shipseg.studies.page import collect
from shipseg.studies.spec import load_study, study_names
from shipseg.studies.tables import StudyTable, VariantRow, signed
from shipseg.studies.trials import expand

ORDER = ("losses", "zero-ships", "batch-size", "learning-rate", "multiple-ships", "ships-threshold", "optimizers",
         "schedulers", "models", "input-size", "encoders", "augmentations")  # fmt: skip
SHOWN = ("airbus_score", "pooled_dice", "ship_f1", "false_alarm_images")
TABLE = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    """Print the commands or write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    commands = parts.add_parser("commands")
    commands.add_argument("dataset", type=Path)
    commands.add_argument("--seeds")
    write = parts.add_parser("write")
    write.add_argument("studies", type=Path)
    write.add_argument("page", type=Path)
    given = parser.parse_args()
    if given.part == "commands":
        assert sorted(ORDER) == sorted(study_names()), "a study is missing in ORDER"
        seeds = f" --seeds {given.seeds}" if given.seeds else ""
        print("\n".join(f"shipseg study {name} {given.dataset} studies/{name} --quick{seeds}" for name in ORDER))
        return
    text = given.page.read_text(encoding="utf-8")
    files.write_text(given.page, TABLE.sub(lambda found: _filled(found, given.studies), text))


def _filled(found: re.Match[str], studies: Path) -> str:
    before, name, after = found.groups()
    out = studies / name
    if not layout.study_file(out).is_file():
        return found.group()
    study = load_study(layout.study_file(out))
    table = collect(out, study, expand(study))
    if not table.trials:
        return found.group()
    return f"{before}\n{_section(table)}\n\n{after}"


def _section(table: StudyTable) -> str:
    """Return a study's table as Markdown: means over seeds, and the difference to the baseline if it was tested."""
    figures = [key for key in ("Dice",) if any(key in row.reference for row in table.rows)]
    tested = table.significance is not None
    heads = ["variant", "Airbus score", *(["difference"] if tested else []), "pooled Dice", "ship F1", "false alarms"]
    heads += [f"reference {key}" for key in figures]
    rows = [_row(row, figures, tested=tested) for row in table.rows]
    return "\n".join([f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", *rows])


def _row(row: VariantRow, figures: list[str], *, tested: bool) -> str:
    starred = {key: " *" if key in row.against and row.against[key].is_significant else "" for key in SHOWN}
    means = ["–" if (score := row.scores[key]) is None else f"{score.mean:.3f}" for key in SHOWN]
    cells = [means[0], *(f"{mean}{starred[key]}" for mean, key in zip(means[1:], SHOWN[1:], strict=True))]
    if tested:
        difference = "–" if row.difference is None else f"{signed(row.difference)}{starred[SHOWN[0]]}"
        cells.insert(1, "baseline" if row.is_baseline else difference)
    name = f"**{row.variant}**" if row.is_baseline else row.variant
    cells += [f"{row.reference[key]:g}" if key in row.reference else "–" for key in figures]
    return f"| {' | '.join([name, *cells])} |"


if __name__ == "__main__":
    main()
