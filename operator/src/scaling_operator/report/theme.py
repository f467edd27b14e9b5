"""Colours and the two plotly templates, one for light and one for dark screens.

The hues are Okabe and Ito's, which colour-blind readers can tell apart. Their brightness is changed
so that they stand out from white and from near-black. States differ in symbol too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BLUE = "#2f80c2"
AMBER = "#d98e04"
VERMILION = "#d4552b"
GREEN = "#12966f"
PURPLE = "#b06fb0"
GREY = "#8b93a0"
DISTINCT = (BLUE, AMBER, GREEN, PURPLE, VERMILION)

# From small to large: blue, over teal, to yellow; brightness rises too, so it survives grey print.
_LADDER = ((78, 82, 190), (47, 128, 194), (26, 158, 150), (122, 178, 60), (222, 165, 30))
_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif'


def ladder_colour(position: int, count: int) -> str:
    """Colour of one of `count` ordered things; position counts from 0."""
    place = 0.0 if count <= 1 else position / (count - 1) * (len(_LADDER) - 1)
    lower = min(int(place), len(_LADDER) - 2)
    share = place - lower
    red, green, blue = (
        round(a + (b - a) * share) for a, b in zip(_LADDER[lower], _LADDER[lower + 1], strict=True)
    )
    return f"rgb({red},{green},{blue})"


def rank_scale() -> list[list[Any]]:
    """Colours from best (0) to worst (1); the worst ones fade into grey."""
    return [[0, "#d98e04"], [0.15, "#12966f"], [0.5, "#2f80c2"], [1, "#9aa3b2"]]


def templates() -> Mapping[str, Any]:
    """Give the plotly templates by colour scheme."""
    return {
        "light": _template(ink="#23282f", faint="#e6e9ee", paper="#ffffff", cell="#f1f5fa"),
        "dark": _template(ink="#d8dce3", faint="#2b313b", paper="#1b1f26", cell="#202630"),
    }


def _template(*, ink: str, faint: str, paper: str, cell: str) -> dict[str, Any]:
    axis: dict[str, Any] = {
        "gridcolor": faint,
        "zeroline": False,
        "linecolor": faint,
        "automargin": True,
        "title": {"standoff": 10, "font": {"size": 12}},
        "tickfont": {"size": 11},
        "exponentformat": "power",
        "minexponent": 4,
    }
    return {
        "layout": {
            "font": {"family": _FONT, "size": 12, "color": ink},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "xaxis": axis,
            "yaxis": axis,
            "hoverlabel": {
                "bgcolor": paper,
                "bordercolor": faint,
                "align": "left",
                "font": {"family": _FONT, "size": 12, "color": ink},
            },
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": BLUE},
            "annotationdefaults": {"font": {"color": ink, "size": 11}},
            "shapedefaults": {"line": {"color": faint}},
        },
        "data": {"heatmap": [{"colorscale": [[0, cell], [1, BLUE]]}]},
    }
