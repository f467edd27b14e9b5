"""Cells of CSV tables: text that a spreadsheet would take for a formula is escaped.

By OWASP's rule an apostrophe is put before a text that begins like a formula. This project's reader
of tables removes the apostrophe. Numbers stay as they are.
https://owasp.org/www-community/attacks/CSV_Injection
"""

from __future__ import annotations

import re

_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")  # noqa: RUF001 - spreadsheets take the wide ones too


def disarmed(text: str) -> str:
    """Write a text as a cell that no spreadsheet evaluates as a formula."""
    return f"'{text}" if _FORMULA.match(text) and not _is_number(text) else text


def as_written(cell: str) -> str:
    """Read a cell that `disarmed` has written. Any other cell stays as it is."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text == text.strip()
