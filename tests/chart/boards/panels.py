"""Panels in few words, made by Grafana's own SDK."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders.bargauge import Panel as Bars
from grafana_foundation_sdk.builders.common import ReduceDataOptions, VizLegendOptions
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DatasourceVariable,
    QueryVariable,
    Row,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.timeseries import Panel as Timeseries
from grafana_foundation_sdk.models.common import (
    BigValueTextMode,
    LegendDisplayMode,
    LegendPlacement,
)
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT = 7
WIDTH = 24

Query = tuple[str, str]
"""An expression, and the legend of its series."""
Panel = Timeseries | Stat | Bars


@dataclass(frozen=True, slots=True)
class Section:
    """A row of panels under a heading."""

    title: str
    panels: Sequence[Panel]


def lines(title: str, unit: str, *queries: Query, about: str = "") -> Timeseries:
    """Draw series over time."""
    panel = Timeseries().title(title).unit(unit).description(about).datasource(SOURCE)
    legend = VizLegendOptions().display_mode(LegendDisplayMode.LIST)
    panel.legend(legend.placement(LegendPlacement.BOTTOM).show_legend(True)).span_nulls(True)  # noqa: FBT003
    for place, (expression, legend_format) in enumerate(queries):
        panel.with_target(_query(place, expression, legend_format))
    return panel.height(HEIGHT)


def number(title: str, unit: str, *queries: Query, about: str = "") -> Stat:
    """Show what is so now."""
    panel = Stat().title(title).unit(unit).description(about).datasource(SOURCE)
    panel.reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
    panel.text_mode(BigValueTextMode.VALUE_AND_NAME)  # what is so often stands in the labels
    for place, (expression, legend_format) in enumerate(queries):
        panel.with_target(_query(place, expression, legend_format).instant())
    return panel.height(HEIGHT)


def bars(title: str, unit: str, *queries: Query, about: str = "") -> Bars:
    """Compare what is so now."""
    panel = Bars().title(title).unit(unit).description(about).datasource(SOURCE)
    panel.reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
    for place, (expression, legend_format) in enumerate(queries):
        panel.with_target(_query(place, expression, legend_format).instant())
    return panel.height(HEIGHT)


def _query(place: int, expression: str, legend_format: str) -> Dataquery:
    query = Dataquery().expr(expression).legend_format(legend_format).ref_id(chr(ord("A") + place))
    return query.datasource(SOURCE)


def board(
    uid: str, title: str, variables: Sequence[Query], sections: Sequence[Section]
) -> Dashboard:
    """Make a dashboard; a variable is a name and the metric whose label of that name it lists."""
    dashboard = Dashboard(title).uid(uid).tags(["scaling-operator"]).readonly()
    dashboard.refresh("30s").time("now-3h", "now").timezone("browser")
    dashboard.with_variable(DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    for name, query in variables:
        variable = QueryVariable(name).query(query).datasource(SOURCE)
        variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).multi(True).include_all(True)  # noqa: FBT003
        dashboard.with_variable(variable)
    ids = itertools.count(1)
    for section in sections:
        dashboard.with_row(Row(section.title).id(next(ids)))
        for panel in section.panels:
            dashboard.with_panel(panel.id(next(ids)).span(WIDTH // len(section.panels)))
    return dashboard
