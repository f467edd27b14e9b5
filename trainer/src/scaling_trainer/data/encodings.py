"""From a file's bytes to text: by the setting, else by its first bytes, else as UTF-8."""

from __future__ import annotations

import codecs
from pathlib import Path

from scaling_trainer.data.errors import DataError

_PATH, _FIELD = "dataset.path", "dataset.encoding"
# The longer first: UTF-16's mark begins that of UTF-32.
_BY_FIRST_BYTES = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
LONGEST_MARK = 4
"""So many first bytes of a file tell its encoding, where any do."""


def encoding_of(first: bytes, setting: str | None) -> str:
    """Give the codec to read a file by: by its first bytes, where there is no setting."""
    if setting is not None:
        # Its mark is no part of the text.
        return "utf-8-sig" if setting == "utf-8" else setting
    return next((codec for mark, codec in _BY_FIRST_BYTES if first.startswith(mark)), "utf-8")


def told(codec: str, setting: str | None) -> tuple[str, ...]:
    """Say what was found out, where it is not what everybody expects."""
    if setting is not None or codec in ("utf-8", "utf-8-sig"):
        return ()
    return (f"read as {codec}, as the file's first bytes say: {_FIELD} changes it",)


def undecodable(path: Path, codec: str, where: str) -> DataError:
    """Say where a file is not in an encoding, and which setting says in which it is."""
    name = "UTF-8" if codec.startswith("utf-8") else codec
    hint = f"set {_FIELD}, as cp1252 for texts of western Windows"
    return DataError(_PATH, f"{path.name} is not {name}: {where}; {hint}")


def holds_nul(path: Path, line: int) -> DataError:
    """Say that a file holds bytes that no text does."""
    message = f"{path.name} holds NUL bytes, first in line {line}: it is no text, or set {_FIELD}"
    return DataError(_PATH, message)
