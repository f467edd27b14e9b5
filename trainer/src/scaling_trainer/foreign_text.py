"""Makes text of others harmless to show: of trainers, files and API servers.

A terminal obeys control characters. Characters that change the direction of writing, or have no
width, mislead a reader. So characters that cannot be printed are written as escapes, and a message
is one line without secrets.
"""

from __future__ import annotations

import re
import unicodedata

MAX_MESSAGE = 1024
"""Characters of a message in a status or an Event."""
REDACTED = "[redacted]"

_MOST_READ = 8 * MAX_MESSAGE
_BLANKS = re.compile(r"[ \t\n\v\f\r\x85\u2028\u2029]+")
# Spaces of all widths, and characters for private use by fonts.
_PRINTED = ("Zs", "Co")

_WORDS = re.compile(r"[\w.-]+")
_HEADER = "eyj"
"""The first letters of a JSON web token, such as a service account's, in lower case."""
_LEAST_HEADER = 11
_SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\w+/=\\]*(?:-----END [A-Z ]*PRIVATE KEY-----)?"
    r"|(?<=bearer )[\w.~+/=-]{8,}"
    r"|(?<=basic )[\w+/=-]{8,}"
    r"|(?<=://)[^\s/:@]+:[^\s/@]+(?=@)",
    re.IGNORECASE,
)


def visible(text: str, keep: str = "") -> str:
    r"""Escape characters that cannot be printed (`\x1b`, `\u202e`), except those in `keep`."""
    if text.isprintable():
        return text
    return "".join(
        character if _is_shown(character) or character in keep else repr(character)[1:-1]
        for character in text
    )


def one_line(text: str) -> str:
    """Join the lines of a text by spaces, and escape characters that cannot be printed."""
    return visible(_BLANKS.sub(_joined, text.strip()))


def as_message(text: str) -> str:
    """Make a message for a status, an Event or a log: one line, no secret, MAX_MESSAGE at most."""
    return one_line(redact(text[:_MOST_READ]))[:MAX_MESSAGE]


def redact(text: str) -> str:
    """Replace texts like tokens, keys, and passwords in addresses. Takes linear time."""
    return _SECRETS.sub(REDACTED, _WORDS.sub(_without_tokens, text))


def _is_shown(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) in _PRINTED


def _joined(blanks: re.Match[str]) -> str:
    return " " if blanks[0].strip(" ") else blanks[0]


def _without_tokens(words: re.Match[str]) -> str:
    """Replace tokens among words joined by dots: a token has two or three of the words."""
    text = words[0]
    if _HEADER not in text.lower():
        return text
    parts, kept, at = text.split("."), list[str](), 0
    while at < len(parts):
        part = parts[at]
        start = part.lower().find(_HEADER)
        is_token = 0 <= start <= len(part) - _LEAST_HEADER and any(parts[at + 1 : at + 2])
        kept.append(part[:start] + REDACTED if is_token else part)
        at += 3 if is_token else 1  # header, payload, signature
    return ".".join(kept)
