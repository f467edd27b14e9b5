"""Numbers the reports of a resumed trial: the count is stored beside the training's checkpoints.

This module counts steps for scripts that report without a step. The count lies in the trial's
checkpoint folder, because it has to be lost or kept together with the checkpoints. If the folder is
gone, or the training saved nothing in it, the next attempt starts anew, and its steps start at 1.
Otherwise the steps continue from the report made when the folder's newest file was written. That
report may be older than the last report.

The module needs the standard library alone. It never ends a training with an error.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from scaling_trainer.reading import UnreadableFile, read_json_object
from scaling_trainer.writing import is_temporary, write_file

RECORD = ".scaling-steps.json"
MOST_BYTES = 64 * 1024
MAX_NOTED = 256
MAX_FILES = 10_000
"""Files of a checkpoint folder whose times are read."""


@dataclass(slots=True)
class StepCounter:
    """Counts steps. Keeps those of the last reports with times of the folder's file system."""

    folder: Path
    _recorded: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])

    def resume(self) -> int:
        """Give the step of the newest checkpoint, or 0 if the training starts anew."""
        self._recorded = self._read()
        saved = max(self._saved(), default=None)
        if saved is None or not self._recorded:
            self._recorded = []
            return 0
        step, _ = min(self._recorded, key=lambda noted: (abs(noted[1] - saved), -noted[0]))
        self._recorded = [noted for noted in self._recorded if noted[0] <= step]
        return step

    def record(self, step: int) -> None:
        """Record that a step is reported now."""
        path = self.folder / RECORD
        # The time of the last step is the time of this file: only the file system's clock is used.
        document = {"noted": self._recorded, "step": step}
        try:
            write_file(path, json.dumps(document), below=self.folder)
            written = path.stat().st_mtime
        except OSError:
            return  # no folder yet, or no space: the steps of the next attempt may start at 1
        self._recorded = [*self._recorded[-MAX_NOTED:], (step, written)]

    def delete(self) -> None:
        """Delete the record, after the trial has its result."""
        try:
            (self.folder / RECORD).unlink(missing_ok=True)
        except OSError:
            return

    def _read(self) -> list[tuple[int, float]]:
        path = self.folder / RECORD
        try:
            document = read_json_object(path, MOST_BYTES, below=self.folder)
            noted = [(int(step), float(seconds)) for step, seconds in document["noted"]]
            return [*noted, (int(document["step"]), path.stat().st_mtime)]
        except (UnreadableFile, OSError, ValueError, TypeError, KeyError):
            return []

    def _saved(self) -> Iterator[float]:
        """Give the times of the files that the training has saved."""
        seen = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                if name == RECORD or is_temporary(name):
                    continue
                seen += 1
                if seen > MAX_FILES:
                    return
                try:
                    yield Path(folder, name).stat().st_mtime
                except OSError:
                    continue
