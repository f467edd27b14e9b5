"""One HTML file that answers an experiment's question, and opens without a network.

Text of a user is escaped by Jinja, JSON so that no `</script>` can end it. A content security
policy names the page's own two scripts by hash: nothing else runs, and nothing is ever fetched.

The sections stand in a reader's order. To add a section, write its function and name it in
`SECTIONS`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from scaling_operator.law.points import Points
from scaling_operator.law.results import FitReport
from scaling_operator.report import (
    effect_sections,
    ladder_sections,
    law_sections,
    outcome_sections,
    plots,
    record_sections,
    scale_sections,
    search_sections,
    theme,
)
from scaling_operator.report.blocks import Section
from scaling_operator.report.data import ReportInput
from scaling_operator.report.headline import headline, key_figures

SectionFunction = Callable[[ReportInput], Section | None]


def _of_law(make: Callable[[FitReport, Points], Section | None]) -> SectionFunction:
    """Turn a section of a fit into a section of the report; nothing without a fit."""
    return lambda report: None if report.law is None else make(report.law.fit, report.law.measured)


SECTIONS: tuple[SectionFunction, ...] = (
    _of_law(law_sections.loss_section),
    _of_law(law_sections.answers_section),
    _of_law(law_sections.isoflop_section),
    _of_law(law_sections.best_size_section),
    ladder_sections.hyperparameters,
    ladder_sections.predictions,
    scale_sections.ladder,
    outcome_sections.front,
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


def sections_of(report: ReportInput) -> tuple[Section, ...]:
    """Return the sections that have something to show."""
    return tuple(section for make in SECTIONS if (section := make(report)) is not None)


def render(report: ReportInput) -> str:
    """Draw the report: a whole HTML document."""
    return document(
        "page.html.j2",
        sections_of(report),
        {"report": report, "headline": headline(report), "figures": key_figures(report)},
    )


def document(template: str, sections: Sequence[Section], context: Mapping[str, object]) -> str:
    """Fill a template with sections; the context holds the variables of the template's head."""
    drawing = any(
        block.kind in ("plot", "grid") for section in sections for block in section.blocks
    )
    scripts = (plots.javascript(), _asset("report.js")) if drawing else (_asset("report.js"),)
    return (
        _environment()
        .get_template(template)
        .render(
            context,
            sections=sections,
            themes=theme.templates(),
            # Our own files, not a user's text.
            style=Markup(_asset("report.css")),  # noqa: S704
            scripts=[Markup(script) for script in scripts],  # noqa: S704
            hashes=[_hash(script) for script in scripts],
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("scaling_operator.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    policies: dict[str, Any] = environment.policies
    # JSON has no NaN: a page must never come out with one.
    policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment


def _asset(name: str) -> str:
    return files("scaling_operator.report").joinpath("assets", name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
