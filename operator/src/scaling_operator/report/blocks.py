"""What a page is made of: sections of prose, plots, tables, code and folded parts.

The template asks a block for its `kind`; a new section is a function that returns these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scaling_operator.report.plots import Figure


@dataclass(frozen=True, slots=True)
class Prose:
    """A paragraph."""

    text: str
    kind: Literal["prose"] = "prose"


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing. `description` is what a screen reader says, `height` in CSS pixels.

    A `width` of 0 fills the column.
    """

    figure: Figure
    description: str
    title: str = ""
    note: str = ""
    height: int = 360
    width: int = 0
    kind: Literal["plot"] = "plot"


@dataclass(frozen=True, slots=True)
class PlotGrid:
    """Small plots side by side, as many as the screen is wide."""

    plots: tuple[Plot, ...]
    columns: int = 3
    kind: Literal["grid"] = "grid"


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: text, and for a number its sort key."""

    text: str
    order: float | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table. A sortable table is sorted by a click on a heading."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    sortable: bool = False
    kind: Literal["table"] = "table"


@dataclass(frozen=True, slots=True)
class Code:
    """Text in the form of a file."""

    text: str
    kind: Literal["code"] = "code"


@dataclass(frozen=True, slots=True)
class Details:
    """A block folded away below its summary."""

    summary: str
    block: Table | Code | Prose
    kind: Literal["details"] = "details"


Block = Prose | Plot | PlotGrid | Table | Code | Details


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, a sentence on how to read what follows, and the blocks."""

    slug: str
    title: str
    lead: str
    blocks: tuple[Block, ...]
