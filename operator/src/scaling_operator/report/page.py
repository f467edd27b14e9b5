"""One HTML file that answers an experiment's question, and opens without a network.

Text of a user is escaped by Jinja, JSON so that no `</script>` can end it. A content security
policy names the page's own two scripts by hash: nothing else runs, and nothing is ever fetched.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from scaling_operator.report import plots, theme
from scaling_operator.report.blocks import Section
from scaling_operator.report.data import Confusion, ReportInput
from scaling_operator.report.headline import headline, key_figures
from scaling_operator.report.sections import sections

__all__ = ["Confusion", "ReportInput", "document", "render"]


def render(report: ReportInput) -> str:
    """Draw the report: a whole HTML document."""
    return document(
        "page.html.j2",
        sections(report),
        {"report": report, "headline": headline(report), "figures": key_figures(report)},
    )


def document(template: str, found: Sequence[Section], context: Mapping[str, object]) -> str:
    """Fill a template with sections; the context has what the head of that template names."""
    drawing = any(block.kind in ("plot", "grid") for section in found for block in section.blocks)
    scripts = (plots.javascript(), _asset("report.js")) if drawing else (_asset("report.js"),)
    return (
        _environment()
        .get_template(template)
        .render(
            context,
            sections=found,
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
