"""Figures for plotly.js, as the JSON it draws.

Sections hand in `Series` and `Axis`; colours of text and grid come from the page's template, so
that one figure suits light, dark and paper. This is the one importer of plotly. Text of a user
never reaches plotly as markup: hover, ticks and names are escaped here.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from plotly import offline  # pyright: ignore[reportMissingTypeStubs]  # it ships no types

from scaling_operator.report import theme

# Powers of ten on an axis: up to the second figure 2 and 5 are named too, from the third some are
# left out. Numbers from the smallest up to its inverse are written out, others as powers.
_NO_DECADE, _FEW_DECADES, _MANY_DECADES, _SMALLEST_PLAIN = 0.8, 2.7, 7, 1e-4
# Above this an axis says 800k.
_LARGE = 1e4
LARGEST = 1e300
"""Larger values are not drawn: the range of an axis that holds them would overflow."""

Figure = dict[str, Any]
Number = float | None


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis; `range` and `ticks` are in the data's units, also where `log` is set."""

    title: str = ""
    log: bool = False
    range: tuple[float, float] | None = None
    ticks: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Style:
    """How a series looks. Lines have a width in pixels, 0 for none; markers a size, 0 for none.

    `fill` paints the inside of a closed line: a band is its upper edge and back along the lower.
    """

    colour: str
    size: float = 6
    symbol: str = "circle"
    width: float = 0
    dash: str = "solid"
    shape: Literal["linear", "hv"] = "linear"
    opacity: float = 1.0
    fill: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one kind. `None` breaks a line; `hover` has a text for each point, or no text."""

    name: str
    x: Sequence[Number]
    y: Sequence[Number]
    style: Style
    hover: Sequence[str] = ()
    in_legend: bool = True


@dataclass(frozen=True, slots=True)
class Divider:
    """A vertical line that begins a part of the x axis, and that part's name."""

    x: float
    label: str


@dataclass(frozen=True, slots=True)
class ColourBar:
    """What the colours of `coloured` mean: places from 0 to 1 and their names."""

    title: str
    ticks: tuple[tuple[float, str], ...]


def javascript() -> str:
    """Text of the plotly.js library, for the page to hold."""
    return cast("str", cast("Any", offline).get_plotlyjs())


def xy(series: Sequence[Series], x: Axis, y: Axis, dividers: Sequence[Divider] = ()) -> Figure:
    """Points and lines over two axes, in the order given: later series lie above."""
    shown = [line for line in series if len(line.x)]
    layout = _layout(x, y) | {
        "showlegend": sum(line.in_legend for line in shown) > 1,
        "shapes": [_divider_line(divider) for divider in dividers],
        "annotations": [_divider_label(divider) for divider in dividers if divider.label],
    }
    return {"data": [_trace(line) for line in shown], "layout": layout}


def coloured(points: Series, places: Sequence[float], x: Axis, y: Axis, bar: ColourBar) -> Figure:
    """Points over two axes, coloured by their places from 0 (best) to 1 (worst)."""
    trace = _trace(points)
    trace["marker"] |= {
        "color": [_rounded(place) for place in places],
        "colorscale": theme.rank_scale(),
        "cmin": 0,
        "cmax": 1,
        "colorbar": {
            "title": {"text": _plain(bar.title), "side": "right", "font": {"size": 11}},
            "tickvals": [place for place, _ in bar.ticks],
            "ticktext": [_plain(text) for _, text in bar.ticks],
            "tickfont": {"size": 11},
            "thickness": 10,
            "outlinewidth": 0,
        },
    }
    return {"data": [trace], "layout": _layout(x, y) | {"showlegend": False}}


def bars(labels: Sequence[str], values: Sequence[float], dots: Sequence[Series], x: Axis) -> Figure:
    """Horizontal bars, the first on top, with dots upon them; dots name their bar by its place."""
    trace: dict[str, Any] = {
        "type": "bar",
        "orientation": "h",
        "x": [_rounded(value) for value in values],
        "y": list(range(len(labels))),
        "width": 0.62,
        "marker": {"color": theme.BLUE, "opacity": 0.35 if dots else 1.0},
        "hovertemplate": "%{x:.3f}<extra></extra>",
        "name": "mean",
    }
    ticks = tuple((float(place), label) for place, label in enumerate(labels))
    layout: Figure = _layout(x, Axis(ticks=ticks)) | {"showlegend": bool(dots)}
    layout["yaxis"] |= {"autorange": "reversed", "showgrid": False}
    return {"data": [trace, *(_trace(line) for line in dots)], "layout": layout}


def matrix(classes: Sequence[str], counts: Sequence[Sequence[int]], x: Axis, y: Axis) -> Figure:
    """Draw a table of counts, rows downwards; a cell's colour is its share of its row."""
    shares = [[_rounded(count / (sum(row) or 1)) for count in row] for row in counts]
    ticks = tuple((float(place), name) for place, name in enumerate(classes))
    layout = _layout(
        Axis(x.title, ticks=ticks),
        Axis(y.title, ticks=ticks),
    )
    layout["yaxis"] |= {"autorange": "reversed", "showgrid": False}
    layout["xaxis"] |= {"showgrid": False}
    names = [_plain(name) for name in classes]
    trace: dict[str, Any] = {
        "type": "heatmap",
        "z": shares,
        "zmin": 0,
        "zmax": 1,
        "xgap": 2,
        "ygap": 2,
        "showscale": False,
        "text": [list(row) for row in counts],
        "customdata": [[[truth, guess] for guess in names] for truth in names],
        "hovertemplate": "truth %{customdata[0]}<br>predicted %{customdata[1]}<br>"
        "%{text} (%{z:.1%} of the row)<extra></extra>",
    }
    legible = 16
    if len(classes) <= legible:
        trace["texttemplate"] = "%{text}"
    return {"data": [trace], "layout": layout}


def _trace(series: Series) -> dict[str, Any]:
    style = series.style
    modes = [name for name, size in (("lines", style.width), ("markers", style.size)) if size]
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "+".join(modes) or "none",
        "name": _plain(series.name),
        "x": [_rounded(value) for value in series.x],
        "y": [_rounded(value) for value in series.y],
        "opacity": style.opacity,
        "showlegend": series.in_legend,
        "cliponaxis": not style.size,
    }
    if style.width:
        trace["line"] = {
            "color": style.colour,
            "width": style.width,
            "dash": style.dash,
            "shape": style.shape,
        }
    if style.fill:
        trace |= {"fill": "toself", "fillcolor": style.colour, "hoveron": "points"}
    if style.size:
        trace["marker"] = {
            "color": style.colour,
            "size": style.size,
            "symbol": style.symbol,
            "line": {"width": 1.5 if style.symbol == "x-thin" else 0, "color": style.colour},
        }
    if series.hover:
        trace["text"] = [_plain(text).replace("\n", "<br>") for text in series.hover]
        trace["hovertemplate"] = "%{text}<extra></extra>"
    else:
        trace["hoverinfo"] = "skip"
    return trace


def _layout(x: Axis, y: Axis) -> dict[str, Any]:
    return {
        "xaxis": _axis(x),
        "yaxis": _axis(y),
        "margin": {"l": 8, "r": 12, "t": 28, "b": 8},
        "legend": {"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"},
        "hovermode": "closest",
    }


def _axis(axis: Axis) -> dict[str, Any]:
    shown: dict[str, Any] = {"title": {"text": _plain(axis.title)}}
    if axis.log:
        shown |= {"type": "log"} | _log_ticks(axis)
    elif axis.range is not None and axis.range[1] >= _LARGE:
        shown["tickformat"] = "~s"
    if axis.range is not None:
        shown["range"] = [math.log10(end) if axis.log else end for end in axis.range]
    if axis.ticks:
        shown["tickmode"] = "array"
        shown["tickvals"] = [value for value, _ in axis.ticks]
        shown["ticktext"] = [_plain(text) for _, text in axis.ticks]
    return shown


def _log_ticks(axis: Axis) -> dict[str, Any]:
    """Ticks of a logarithmic axis: 1, 2 and 5 within a decade or so, else powers of ten."""
    if axis.range is None:
        return {}
    low, high = axis.range
    decades = math.log10(high / low)
    shown: dict[str, Any] = {}
    if decades < _NO_DECADE:
        pass  # plotly then finds round numbers; 1, 2 and 5 may all lie outside
    elif decades <= _FEW_DECADES:
        shown["dtick"] = "D2"
    elif decades <= _MANY_DECADES:
        shown["dtick"] = 1
    if low >= 1:
        shown["tickformat"] = "~s"
    elif low >= _SMALLEST_PLAIN and high < 1 / _SMALLEST_PLAIN:
        shown["tickformat"] = "~g"
    return shown


def _divider_line(divider: Divider) -> dict[str, Any]:
    return {
        "type": "line",
        "x0": divider.x,
        "x1": divider.x,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "layer": "below",
        "line": {"width": 1, "dash": "dot", "color": theme.GREY},
    }


def _divider_label(divider: Divider) -> Mapping[str, Any]:
    return {
        "x": divider.x,
        "y": 1,
        "yref": "paper",
        "xanchor": "left",
        "yanchor": "top",
        "showarrow": False,
        "text": _plain(divider.label),
        "opacity": 0.75,
    }


def _rounded(value: Number) -> Number:
    """Keep six digits: what a screen can show, in half the bytes. None: a gap."""
    if value is None or not -LARGEST <= value <= LARGEST:
        return None
    return value if isinstance(value, int) else float(f"{value:.6g}")


def _plain(text: str) -> str:
    """Make text safe for plotly, which would read tags, and `%{` in templates."""
    return html.escape(text, quote=False)
