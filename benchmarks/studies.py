"""The tables of docs/studies.md, from finished studies; and the commands that make those.

    python benchmarks/studies.py commands DATASET [--seeds 0,1]           # prints them, the cheap ones first
    python benchmarks/studies.py write STUDIES DATASET docs/studies.md    # STUDIES/NAME are folders of `shipseg study`

The page holds a pair of comments for each study, `<!-- table: NAME -->` and `<!-- end -->`; what stands between them is
replaced. A study of which nothing is finished keeps what stands there.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from shipseg import files
from shipseg.data.prepared import open_dataset
from shipseg.studies import layout
from shipseg.studies.page import collect
from shipseg.studies.spec import METRICS, load_study, study_names
from shipseg.studies.tables import StudyTable, VariantRow, signed, verdict
from shipseg.studies.trials import empty_share, expand

ORDER = ("losses", "zero-ships", "batch-size", "learning-rate", "multiple-ships", "ships-threshold", "optimizers",
         "schedulers", "models", "input-size", "encoders", "augmentations")  # fmt: skip
SHOWN = ("airbus_score", "pooled_dice", "ship_f1", "false_alarm_images")
TABLE = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    commands = parts.add_parser("commands")
    commands.add_argument("dataset", type=Path)
    commands.add_argument("--seeds")
    write = parts.add_parser("write")
    write.add_argument("studies", type=Path)
    write.add_argument("dataset", type=Path)
    write.add_argument("page", type=Path)
    given = parser.parse_args()
    if given.part == "commands":
        assert sorted(ORDER) == sorted(study_names()), "a study is missing in ORDER"
        wish = f" --seeds {given.seeds}" if given.seeds else ""
        print("\n".join(f"shipseg study {name} {given.dataset} studies/{name} --quick{wish}" for name in ORDER))
        return
    text = given.page.read_text(encoding="utf-8")
    files.write_text(given.page, TABLE.sub(lambda found: _filled(found, given.studies, given.dataset), text))


def _filled(found: re.Match[str], studies: Path, dataset: Path) -> str:
    before, name, after = found.groups()
    out = studies / name
    if not layout.study_file(out).is_file():
        return found.group()
    study = load_study(layout.study_file(out))
    table = collect(out, study, expand(study))
    if not table.trials:
        return found.group()
    return f"{before}\n{_section(table, dataset)}\n\n{after}"


def _section(table: StudyTable, dataset: Path) -> str:
    """Return a study's command, table and verdict as Markdown."""
    nothing = empty_share(open_dataset(dataset))
    figures = sorted({key for row in table.rows for key in row.reference})
    heads = ["variant", *(METRICS[name] for name in SHOWN), "minutes", *(f"reference: {key}" for key in figures)]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", *(_row(row, figures) for row in table.rows)]
    command = f"shipseg study {table.study.name} {dataset.name} studies/{table.study.name} --quick"
    said = [sentence for sentence in verdict(table) if "Predicting nothing" not in sentence]
    missing = f" {table.num_missing} trials are missing." if table.num_missing else ""
    seeds = ",".join(map(str, table.study.seeds))
    words = f"Predicting nothing: {nothing:.3f}.{missing} {' '.join(said)}"
    return "\n".join([f"    {command} --seeds {seeds}", "", *lines, "", words])


def _row(row: VariantRow, figures: list[str]) -> str:
    starred = {key: " *" if key in row.against and row.against[key].is_significant else "" for key in SHOWN}
    scores = ["–" if row.scores[key] is None else f"{row.scores[key]}{starred[key]}" for key in SHOWN]
    if row.difference is not None:
        scores[0] += f" ({signed(row.difference)})"
    name = f"**{row.variant}**" if row.is_baseline else row.variant
    reference = [f"{row.reference[key]:g}" if key in row.reference else "–" for key in figures]
    minutes = "–" if row.minutes is None else f"{row.minutes:.1f}"
    return f"| {' | '.join([name, *scores, minutes, *reference])} |"


if __name__ == "__main__":
    main()
