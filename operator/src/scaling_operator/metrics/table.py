"""The table of docs/metrics.md, from the declarations.

`python -m scaling_operator.metrics.table`, from the root of the repository.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from scaling_operator.metrics.families import FAMILIES, Family

PAGE = Path("docs/metrics.md")
_MARKED = re.compile(r"(<!-- metrics -->\n).*?(<!-- end -->)", re.DOTALL)
_SUFFIXES = {"counter": "_total", "info": "_info", "gauge": "", "histogram": ""}


def exposed_name(family: Family) -> str:
    """Name as Prometheus stores it; a histogram's series add _bucket, _sum and _count."""
    return family.name + _SUFFIXES[family.kind]


def metrics_table(families: Iterable[Family] = FAMILIES) -> str:
    """Write a row per family."""
    rows = ["| metric | type | labels | unit | meaning |", "|---|---|---|---|---|"]
    for family in families:
        labels = ", ".join(f"`{label}`" for label in family.labels)
        kind = "gauge" if family.kind == "info" else family.kind
        rows.append(
            f"| `{exposed_name(family)}` | {kind} | {labels} | {family.unit} | {family.meaning} |"
        )
    return "\n".join(rows) + "\n"


def fill(page: str) -> str:
    """Write the table of a page anew."""
    return _MARKED.sub(lambda mark: f"{mark[1]}\n{metrics_table()}\n{mark[2]}", page)


if __name__ == "__main__":
    PAGE.write_text(fill(PAGE.read_text()))
