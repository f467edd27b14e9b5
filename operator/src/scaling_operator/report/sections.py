"""The sections of a report in a reader's order. To add one, write its function and name it here."""

from __future__ import annotations

from collections.abc import Callable

from scaling_operator.law.points import Points
from scaling_operator.law.results import FitReport
from scaling_operator.report import (
    effect_sections,
    front_sections,
    ladder_sections,
    law_sections,
    outcome_sections,
    record_sections,
    scale_sections,
    search_sections,
)
from scaling_operator.report.blocks import Section
from scaling_operator.report.data import ReportInput

SectionFunction = Callable[[ReportInput], Section | None]


def _of_law(make: Callable[[FitReport, Points], Section | None]) -> SectionFunction:
    """Take a section of a fit into the report of an experiment that has one."""
    return lambda report: None if report.law is None else make(report.law.fit, report.law.given)


SECTIONS: tuple[SectionFunction, ...] = (
    _of_law(law_sections.loss_section),
    _of_law(law_sections.answers_section),
    _of_law(law_sections.isoflop_section),
    _of_law(law_sections.best_size_section),
    ladder_sections.hyperparameters,
    ladder_sections.predictions,
    scale_sections.ladder,
    front_sections.front,
    search_sections.history,
    search_sections.importance,
    effect_sections.effects,
    effect_sections.pair,
    outcome_sections.curves,
    outcome_sections.confusion,
    outcome_sections.overfitting,
    outcome_sections.removed,
    _of_law(law_sections.coefficients_section),
    _of_law(law_sections.quality_section),
    record_sections.failures,
    record_sections.table,
    record_sections.conditions,
    record_sections.question,
)


def sections(report: ReportInput) -> tuple[Section, ...]:
    """All sections that have something to say."""
    return tuple(found for make in SECTIONS if (found := make(report)) is not None)
