"""Lists the data files below a folder, without the files that systems and editors leave there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Names that begin with a point, such as .DS_Store, ._picture.png and .ipynb_checkpoints, are hidden
# too.
_STALE = frozenset(
    (
        *("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin"),
        *("system volume information", "lost+found", "__pycache__"),
    )
)
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Listing:
    """Files below a folder in the order of their names, and the hidden names left out."""

    files: tuple[Path, ...]
    hidden: tuple[str, ...]


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is not the user's data."""
    return name.startswith((".", "~$")) or name.casefold() in _STALE


def list_files(root: Path) -> Listing:
    """List every file below `root`; a hidden folder counts as one.

    Links to folders are not followed.
    """
    files: list[Path] = []
    hidden: list[str] = []
    for folder, folders, names in os.walk(root):
        hidden += [name for name in (*folders, *names) if is_hidden(name)]
        folders[:] = [name for name in folders if not is_hidden(name)]
        files += [Path(folder, name) for name in names if not is_hidden(name)]
    return Listing(tuple(sorted(files)), tuple(sorted(hidden)))


def first_few(names: Sequence[str]) -> str:
    """Name the first of many: `a, b, c and 4 more`."""
    shown = ", ".join(names[:_SHOWN])
    more = len(names) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
