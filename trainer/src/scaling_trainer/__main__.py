"""The command `scaling-trainer`: one trial, a warm worker, and what comes after training."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from scaling_trainer.foreign_text import one_line, visible

if TYPE_CHECKING:
    import pandas as pd

EXIT_USAGE = 2
EXIT_EXHAUSTED = 4
EXIT_TERMINATED = 128 + signal.SIGTERM


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code."""
    options = _parser().parse_args(arguments)
    _log_to_stderr()
    # The first process of a container ignores SIGTERM unless it has a handler.
    signal.signal(signal.SIGTERM, _terminate)
    try:
        sys.exit(options.run(options))
    except BrokenPipeError:
        sys.exit(EXIT_TERMINATED)


class _VisibleLines(logging.Formatter):
    """Escapes control characters: a log record may hold names and values of users' files."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record. A traceback keeps its line breaks."""
        return visible(super().format(record), keep="\n")


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_VisibleLines("%(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _terminate(_signal: int, _frame: object) -> NoReturn:
    sys.exit(EXIT_TERMINATED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scaling-trainer", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run the trial that the SCALING_* variables describe")
    run.set_defaults(run=_run)
    worker = commands.add_parser("worker", help="run trials that come in over standard input")
    worker.set_defaults(run=_worker)
    export = commands.add_parser("export", help="score a trial's weights on the test part")
    export.add_argument("trial", type=Path, help="the trial's checkpoint folder")
    export.add_argument("out", type=Path, help="folder for weights, configuration and metrics")
    export.add_argument("--data-dir", type=Path, default=Path(), help="where paths of data begin")
    export.set_defaults(run=_export)
    predict = commands.add_parser("predict", help="predict the rows of a CSV file")
    predict.add_argument("best", type=Path, help="folder that `export` wrote")
    predict.add_argument("input", type=Path, help="CSV file with the columns of training")
    predict.add_argument("--out", type=Path, help="CSV file for the predictions; else printed")
    predict.set_defaults(run=_predict)
    return parser


# Each command imports its modules by itself: importing PyTorch takes seconds, and a bad argument
# has to be refused at once.


def _run(_options: argparse.Namespace) -> NoReturn:
    from scaling_trainer.attempt import run_attempt  # noqa: PLC0415 # slow

    _end_at_once(run_attempt(os.environ).exit_code)


def _end_at_once(code: int) -> NoReturn:
    """End without unloading PyTorch, which takes a second while the pod still holds its machine."""
    from scaling_trainer.writing import flush_output  # noqa: PLC0415 # with its command

    logging.shutdown()
    flush_output()
    os._exit(code)


def _worker(_options: argparse.Namespace) -> int:
    from scaling_trainer.worker import serve  # noqa: PLC0415 # slow

    serve()
    return 0


def _export(options: argparse.Namespace) -> int:
    from scaling_trainer.contract import EXIT_NO_SPACE  # noqa: PLC0415 # with its command
    from scaling_trainer.data_error import DataError  # noqa: PLC0415 # slow
    from scaling_trainer.export import export  # noqa: PLC0415 # slow
    from scaling_trainer.writing import NO_SPACE  # noqa: PLC0415 # with its command

    try:
        metrics = export(options.trial, options.out, options.data_dir)
    except DataError as error:
        return _refuse(error)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        sys.stderr.write(f"{one_line(f'{error.filename}: {error.strerror}')}\n")
        return EXIT_NO_SPACE
    for name, value in metrics.items():
        sys.stdout.write(f"{one_line(name)} {value:g}\n")
    return 0


def _predict(options: argparse.Namespace) -> int:
    from scaling_trainer.data_error import DataError  # noqa: PLC0415 # slow
    from scaling_trainer.predict import predict  # noqa: PLC0415 # slow
    from scaling_trainer.writing import write_output  # noqa: PLC0415 # with its command

    try:
        text = _as_csv(predict(options.best, options.input, tell=_note))
        if options.out is None:
            sys.stdout.write(visible(text, keep="\n") if sys.stdout.isatty() else text)
        else:
            write_output(options.out, text)
    except (DataError, OSError) as error:
        return _refuse(error)
    return 0


def _as_csv(predictions: pd.DataFrame) -> str:
    """Write a table as CSV. Texts that a spreadsheet would take for formulas are escaped."""
    from scaling_trainer.csv_cells import disarmed  # noqa: PLC0415 # with its command

    texts = predictions.select_dtypes(exclude="number")
    cells = {name: [disarmed(str(cell)) for cell in texts[name]] for name in texts.columns}
    return predictions.assign(**cells).to_csv(index=False)


def _note(sentence: str) -> None:
    sys.stderr.write(f"note: {one_line(sentence)}\n")


def _refuse(error: Exception) -> int:
    from scaling_trainer.writing import EXHAUSTED  # noqa: PLC0415 # with its command

    sys.stderr.write(f"error: {one_line(str(error))}\n")
    return EXIT_EXHAUSTED if isinstance(error, OSError) and error.errno in EXHAUSTED else EXIT_USAGE


if __name__ == "__main__":
    main()
