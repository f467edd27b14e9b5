"""The operator's log: one line per decision, as text for people or as JSON for a log store.

A line about an experiment has `experiment` as a field of its own, and `trial`, `attempt` and
`reason` where it concerns one. Text that looks like a token or a key never gets into a line,
whoever wrote it: the last output of a trainer is somebody else's text.
"""

from __future__ import annotations

import logging
import sys
from enum import StrEnum
from typing import TextIO

from pythonjsonlogger.json import JsonFormatter

from scaling_operator.kube.client.index import Key
from scaling_trainer.foreign_text import one_line, redact, visible

FIELDS = ("experiment", "trial", "attempt", "reason")


class LogFormat(StrEnum):
    """Form of a line."""

    TEXT = "text"
    JSON = "json"


Fields = dict[str, str | int]


def about(
    key: Key,
    *,
    trial: tuple[int, int] | None = None,
    attempt: int | None = None,
    reason: str | None = None,
) -> Fields:
    """Give the fields of a line, for `extra`; `trial` is its scale and number."""
    fields: Fields = {"experiment": str(key)}
    if trial is not None:
        fields["trial"] = f"{trial[0]}-{trial[1]}"
    if attempt is not None:
        fields["attempt"] = attempt
    if reason:
        fields["reason"] = str(reason)
    return fields


class TextFormatter(logging.Formatter):
    """`TIME LEVEL MODULE: sentence  experiment=team/x trial=0-3 attempt=0 reason=OOMKilled`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Write the message, then the fields."""
        fields = [
            f"{name}={getattr(record, name)}"
            for name in FIELDS
            if getattr(record, name, None) not in (None, "")
        ]
        line = super().formatMessage(record)
        return one_line("  ".join((line, " ".join(fields))) if fields else line)

    def format(self, record: logging.LogRecord) -> str:
        """Write a record. Only its traceback has further lines."""
        return visible(redact(super().format(record)), keep="\n\t")


class JsonLines(JsonFormatter):
    """One JSON object per line: `time`, `level`, `logger`, `message`, the fields, `exc_info`."""

    def __init__(self) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType] - its hooks are untyped
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            datefmt="%Y-%m-%dT%H:%M:%S%z",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        )

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        return redact(super().format(record))


def set_up(form: LogFormat, stream: TextIO | None = None) -> None:
    """Write this process' log to `stream` (default: standard error) and nowhere else."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if form is LogFormat.JSON else TextFormatter())
    root = logging.getLogger()
    for other in list(root.handlers):
        root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for name, level in QUIET.items():
        logging.getLogger(name).setLevel(level)


QUIET = {
    "kopf.objects": logging.WARNING,  # a line per event: it costs more than the event
    "kopf._core": logging.WARNING,
    "kopf": logging.WARNING,
    "aiohttp.access": logging.WARNING,
    "asyncio": logging.WARNING,
    "optuna_dashboard": logging.CRITICAL,  # a traceback for each unknown path requested
    # At DEBUG it writes headers.
    "kubernetes": logging.WARNING,
    "urllib3": logging.WARNING,
}
"""Loggers of libraries that write what only their own developers want to know."""
