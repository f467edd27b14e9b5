"""Tables of the operating guide, rendered from the values that decide."""

from __future__ import annotations

import re
from collections.abc import Iterable

from scaling_operator.api.names import Reason
from scaling_operator.core.bounds import BOUNDS
from scaling_operator.core.reasons import EFFECTS, Effect


def reasons_table() -> str:
    """Write a row for each reason of a trial."""
    head = ("reason", "seen", "what follows", "bound", "what to do")
    return _table(head, (_row(reason, effect) for reason, effect in EFFECTS.items()))


def bounds_table() -> str:
    """Write a row for each bound of something that repeats or waits."""
    return _table(
        ("what", "bound", "then"), ((bound.what, bound.bound, bound.then) for bound in BOUNDS)
    )


def fill(page: str) -> str:
    """Replace the tables of a page, each between its two marks."""
    for name, table in (("reasons", reasons_table()), ("bounds", bounds_table())):
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        page = marked.sub(lambda mark, table=table: f"{mark[1]}\n{table}\n{mark[2]}", page)
    return page


def _row(reason: Reason, effect: Effect) -> tuple[str, ...]:
    failed = "failed, counts" if effect.counts else "failed, does not count"
    return (
        f"`{reason}`",
        effect.seen,
        effect.follows or failed,
        effect.bound,
        effect.remedy,
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, *rows]
    written = [
        "|" + "|".join(f" {cell} " if cell else " " for cell in line) + "|" for line in lines
    ]
    return "\n".join([written[0], "|" + "---|" * len(head), *written[1:]]) + "\n"
