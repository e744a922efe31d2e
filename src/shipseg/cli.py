"""The command line: parse the arguments, call the library, print a summary.

Exit status: 0 success; 1 a `ShipsegError`, printed as one sentence, or a result with failed files; 2 wrong usage;
130 interrupted; 143 terminated.
"""

from __future__ import annotations

import errno
import logging
import re
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from cyclopts import App, CycloptsError, Parameter

from shipseg import __version__
from shipseg.commands import data, models, predict, studies, thresholds, training
from shipseg.errors import ShipsegError
from shipseg.extras import explain_missing

__all__ = ["app", "main", "run"]

_RECIPE_KEY = re.compile(r"--([a-z_]+(?:\.[a-z_]+)+)(?:=(.*))?", re.DOTALL)

app = App(
    name="shipseg",
    help="Detect ships in optical satellite images.",
    version=__version__,
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,  # `run` prints how to resume
)
for command in (
    data.synth,
    data.prepare,
    data.explore,
    training.train,
    training.continue_,
    training.recipes,
    models.evaluate,
    thresholds.threshold,
    thresholds.gate,
    predict.predict,
    models.export,
    models.models,
    studies.study,
    data.demo,
):
    app.command(command, name=command.__name__.strip("_"))


def main() -> None:
    """Run the command in `sys.argv` and exit with its status."""
    # Exit through `finally` blocks, which remove partial files. A training installs its own handler.
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))


def _terminate(number: int, _: FrameType | None) -> NoReturn:
    print("shipseg: terminated; run the same command again to resume", file=sys.stderr)
    sys.exit(128 + number)


def run(arguments: Sequence[str], application: App = app) -> int:
    """Run one command and return its exit status; a user's error prints one sentence and no traceback."""
    logging.basicConfig(handlers=[_StderrHandler()], level=logging.WARNING)
    logging.getLogger("shipseg").setLevel(logging.INFO)
    logging.getLogger("rasterio").propagate = False  # GDAL's errors are reported in our own messages
    try:
        status = application(
            _expand_recipe_keys(arguments), exit_on_error=False, print_error=False, result_action="return_value"
        )
    except CycloptsError as error:
        return _print_error(f"{error}", status=2)
    except ShipsegError as error:
        return _print_error(str(error), status=1)
    except ModuleNotFoundError as error:
        explained = explain_missing(error)
        if explained is None:
            raise
        return _print_error(str(explained), status=1)
    except MemoryError as error:
        return _print_error(f"memory ran out ({error}): process less at a time, or use a larger machine", status=1)
    except KeyboardInterrupt:
        return _print_error("interrupted; run the same command again to resume", status=130)
    except BrokenPipeError:
        # The reader of standard output closed the pipe, as in `shipseg ... | head`.
        sys.stderr.close()
        return 0
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return _print_error(f"the file name {error.filename} is too long: choose a shorter one", status=1)
    return status if isinstance(status, int) else 0


class _StderrHandler(logging.Handler):
    """Writes messages to the current `sys.stderr`, so that they appear above progress bars."""

    def emit(self, record: logging.LogRecord) -> None:
        print(record.getMessage(), file=sys.stderr)


def _expand_recipe_keys(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `--train.lr 3e-4` written as `--set=train.lr=3e-4`, which needs no declaration."""
    expanded: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        match = _RECIPE_KEY.fullmatch(argument)
        if match is None:
            expanded.append(argument)
            continue
        key, value = match.groups()
        if value is None:
            value = next(rest, None)
        expanded.append(f"--set={key}" if value is None else f"--set={key}={value}")
    return expanded


def _print_error(message: str, *, status: int) -> int:
    print(f"shipseg: {' '.join(message.split())}", file=sys.stderr)
    return status
