"""The learning curves of a ladder and their lower envelope, as a section."""

from __future__ import annotations

import numpy as np

from scaling_operator.law.envelope import Envelope
from scaling_operator.law.points import Points
from scaling_operator.law.results import FitReport
from scaling_operator.report import theme
from scaling_operator.report.blocks import Plot, Section
from scaling_operator.report.formatting import quantity
from scaling_operator.report.law_series import line, log_axis
from scaling_operator.report.plots import Series, Style, xy


def envelope_section(report: FitReport, _given: Points) -> Section | None:
    """Draw the learning curves and where each size is lowest; nothing where they allow none."""
    envelope, curves = report.envelope, report.curves
    if not isinstance(envelope, Envelope) or curves is None:
        return None
    ordered = sorted(curves.curves, key=lambda curve: curve.parameters)
    lines = [
        line(
            quantity(curve.parameters),
            curve.flops,
            curve.loss,
            Style(theme.ladder_colour(place, len(ordered)), size=0, width=1.5),
        )
        for place, curve in enumerate(ordered)
    ]
    texts = [f"N {quantity(size)}" for size in envelope.parameters.tolist()]
    style = Style(theme.VERMILION, size=10, symbol="diamond")
    best = Series("lowest", envelope.flops.tolist(), envelope.loss.tolist(), style, texts)
    shown = [value for each in lines for value in each.y if value is not None]
    work = np.concatenate([curve.flops for curve in ordered])
    figure = xy(
        [*lines, best],
        log_axis("C, training FLOPs", float(work.min()), float(work.max())),
        log_axis(
            "loss" if report.points.quantity == "loss" else "1 - score", min(shown), max(shown)
        ),
    )
    lead = (
        "A line for the best trial of each size, as it trained. A size is the one to train where "
        "its line lies lowest (diamond). Through them the best size grows as "
        f"C^{envelope.a:.3f}: a third opinion, without a fit."
    )
    plot = Plot(figure, "Learning curves over compute and their lower envelope", height=460)
    return Section("envelope", "Envelope of learning curves", lead, (plot,))
