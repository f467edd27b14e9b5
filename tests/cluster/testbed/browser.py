"""A headless Chromium: what stands in a page once its scripts have run, and how it looks."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

SECONDS = 120
# A picture of nothing is smaller by far.
LEAST_BYTES = 15_000


@dataclass(frozen=True, slots=True)
class Browser:
    """The program, and a folder for its profile and its pictures."""

    program: str
    folder: Path

    def text(self, address: str) -> str:
        """Open a page and return its document."""
        return self._run("--dump-dom", address)

    def picture(self, address: str, name: str = "picture.png") -> Path:
        """Open a page and draw it. Fails where nothing is to be seen."""
        file = self.folder / name
        self._run(f"--screenshot={file}", address)
        assert file.stat().st_size > LEAST_BYTES, f"{address} shows nothing: {file}"
        return file

    def _run(self, *arguments: str) -> str:
        command = [
            *(self.program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *(f"--user-data-dir={self.folder / 'profile'}", "--window-size=1400,1000"),
            *("--virtual-time-budget=20000", *arguments),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
        return done.stdout
