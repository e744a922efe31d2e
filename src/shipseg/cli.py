"""The command line: arguments -> configuration -> one library call -> a printed summary.

Exit status: 0 done, 1 an error of ours in one sentence (or a result with failed files), 2 wrong usage, 130 interrupted.
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
    help="Detections ships in optical satellite images.",
    version=__version__,
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,  # `run` says how to go on
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
    """Run the command on the process's arguments and exit."""
    # So that what is half-written is removed; a training listens for itself and writes a checkpoint first.
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))


def _terminate(number: int, _: FrameType | None) -> NoReturn:
    print("shipseg: terminated; run the same command again to go on", file=sys.stderr)
    sys.exit(128 + number)


def run(arguments: Sequence[str], application: App = app) -> int:
    """Run one command and return its exit status; no user's mistake ends in a traceback."""
    logging.basicConfig(handlers=[_ToStandardError()], level=logging.WARNING)
    logging.getLogger("shipseg").setLevel(logging.INFO)
    logging.getLogger("rasterio").propagate = False  # what GDAL complains of reaches people in our own sentences
    try:
        status = application(
            _spelled_out(arguments), exit_on_error=False, print_error=False, result_action="return_value"
        )
    except CycloptsError as error:
        return _say(f"{error}", status=2)
    except ShipsegError as error:
        return _say(str(error), status=1)
    except ModuleNotFoundError as error:
        explained = explain_missing(error)
        if explained is None:
            raise
        return _say(str(explained), status=1)
    except MemoryError as error:
        return _say(f"memory ran out ({error}): ask for less at a time, or use a machine with more", status=1)
    except KeyboardInterrupt:
        return _say("interrupted; run the same command again to go on", status=130)
    except BrokenPipeError:
        # The reader of our output is gone (`shipseg ... | head`): nothing is left to say.
        sys.stderr.close()
        return 0
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return _say(f"the name {error.filename} is longer than this disk takes: choose a shorter one", status=1)
    return status if isinstance(status, int) else 0


class _ToStandardError(logging.Handler):
    """Writes messages to whatever standard error is at the moment: above the bars, while there are any."""

    def emit(self, record: logging.LogRecord) -> None:
        print(record.getMessage(), file=sys.stderr)


def _spelled_out(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `--train.lr 3e-4` written as `--set=train.lr=3e-4`, which needs no declaration."""
    spelled: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        match = _RECIPE_KEY.fullmatch(argument)
        if match is None:
            spelled.append(argument)
            continue
        key, value = match.groups()
        if value is None:
            value = next(rest, None)
        spelled.append(f"--set={key}" if value is None else f"--set={key}={value}")
    return spelled


def _say(message: str, *, status: int) -> int:
    print(f"shipseg: {' '.join(message.split())}", file=sys.stderr)
    return status
