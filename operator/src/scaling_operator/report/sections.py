"""The sections of a report in a reader's order. To add one, write its function and name it here."""

from __future__ import annotations

from collections.abc import Callable

from scaling_operator.report import (
    effect_sections,
    front_sections,
    outcome_sections,
    record_sections,
    scale_sections,
    search_sections,
)
from scaling_operator.report.blocks import Section
from scaling_operator.report.data import ReportInput

SectionFunction = Callable[[ReportInput], Section | None]

SECTIONS: tuple[SectionFunction, ...] = (
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
    record_sections.failures,
    record_sections.table,
    record_sections.conditions,
    record_sections.question,
)


def sections(report: ReportInput) -> tuple[Section, ...]:
    """All sections that have something to say."""
    return tuple(found for make in SECTIONS if (found := make(report)) is not None)
