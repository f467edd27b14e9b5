"""Which step comes next in a trial that goes on: kept beside what the training has saved.

Steps that a script does not name are counted here. The count lives in the trial's checkpoint folder
because it has to share the fate of the work: where the folder is gone, or nothing was saved in it,
the next attempt begins anew, and so do its steps. Else it goes on from the report that was made
when the newest file there was written, which may be older than the last report.

The standard library alone; nothing here ever breaks a training.
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
"""Files of a checkpoint folder that are looked at."""


@dataclass(slots=True)
class StepCounter:
    """The steps of the last reports, with their times by the clock of the folder's file system."""

    folder: Path
    _recorded: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])

    def resume(self) -> int:
        """Give the step that the saved work has come to; 0 where the training begins anew."""
        self._recorded = self._read()
        saved = max(self._saved(), default=None)
        if saved is None or not self._recorded:
            self._recorded = []
            return 0
        step, _ = min(self._recorded, key=lambda noted: (abs(noted[1] - saved), -noted[0]))
        self._recorded = [noted for noted in self._recorded if noted[0] <= step]
        return step

    def record(self, step: int) -> None:
        """Write down that a step was reported just now."""
        path = self.folder / RECORD
        # The last one's time is that of the file itself: no other clock is asked.
        document = {"noted": self._recorded, "step": step}
        try:
            write_file(path, json.dumps(document), below=self.folder)
            written = path.stat().st_mtime
        except OSError:
            return  # there is no such folder yet, or no room: a next attempt may begin anew
        self._recorded = [*self._recorded[-MAX_NOTED:], (step, written)]

    def delete(self) -> None:
        """Delete the record: the trial has its result."""
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
        """Give the times of what the training has saved."""
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
