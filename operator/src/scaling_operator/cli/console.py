"""The terminal: the only place where a console is made. Printed text is shown, and does no more.

Text is never markup: a style is given beside a text, not inside the text, so that no name or
message can break a line, colour it or turn into a link. Characters that cannot be printed appear as
escapes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from scaling_trainer.foreign_text import visible

LOG_COLUMNS = 160


class PlainConsole(Console):
    """A console that obeys our styles alone, and no control character of a text."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render anything; control characters in its texts are made visible."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(visible(segment.text, keep="\n"), segment.style)


def plain_console(
    *,
    stderr: bool = False,
    file: TextIO | None = None,
    soft_wrap: bool = False,
    columns: int | None = None,
) -> PlainConsole:
    """Make a console."""
    return PlainConsole(
        stderr=stderr,
        file=file,
        soft_wrap=soft_wrap,
        width=columns,
        highlight=False,
        markup=False,
        emoji=False,
    )


def results_console(columns: int = LOG_COLUMNS, *, soft_wrap: bool = True) -> PlainConsole:
    """Make the console for results; in a log or a pipe a line is a line, however long."""
    console = plain_console()
    return console if console.is_terminal else plain_console(soft_wrap=soft_wrap, columns=columns)


def styled(*parts: str | tuple[str, str]) -> Text:
    """Join texts, each alone or with its style: `styled(("Warning:", "yellow"), " slow")`."""
    return Text.assemble(*parts)
