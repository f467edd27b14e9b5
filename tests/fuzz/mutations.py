"""Inputs made of others: small files of a corpus, changed at a few places.

Changes know words, numbers and quoted texts, not grammars: so they suit JSON, YAML, CSV and
expressions alike. Hypothesis chooses them, so a failing input is shrunk to few changes of an early
file.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st

WORDS = re.compile(rb'[A-Za-z0-9_.+-]+|"(?:[^"\\\n]|\\.)*"|\s+|.', re.DOTALL)
MOST_CHANGES = 6
MOST_BYTES = 20_000
"""Several times what a file of the corpus has: changes that copy make it no longer than this."""

HOSTILE: tuple[bytes, ...] = (
    *(b"NaN", b"-Infinity", b".nan", b"-.inf", b"1e400", b"-1e308", b"5e-324", b"-0", b"-0.0"),
    *(b"0", b"-1", b"1", b"2", b"1.5", b"1e15", b"9007199254740993", b"9223372036854775808"),
    *(b"1_000", b"0x10", b"017", b"1e", b"+1", b"9" * 400, b"9" * 5000, "\u0661\u0662".encode()),
    *(b"null", b"true", b"~", b"on", b"{}", b"[]", b'""', b"''", b"[[]]", b'{"a":null}', b"[0]"),
    *(b'"\\ud800"', b'"\\u202e"', b'"\\u0000"', b'"\\u001b[31m"', b'"<img src=x onerror=y>"'),
    *("\u202e".encode(), "\u200b".encode(), b"\x1b[31m", b"\x00", b"\x7f", b"\x85", b"\xff\xfe"),
    *(b"\xed\xa0\x80", b"\xef\xbb\xbf", "\u2028".encode(), "\U0001f600".encode(), b"\r", b"\t"),
    *(b"&a ", b"*a", b"<<: *a", b"!!python/object:os.system ", b"!!binary ", b"!!set ", b"!x "),
    *(b"!!int ", b"!!float ", b"!!bool ", b"!!null ", b"!!str ", b"!!map ", b"!!seq ", b"!!omap "),
    *(b"!!pairs ", b"!!timestamp ", b"!!merge ", b"!!value ", b"!<!> ", b"%TAG ! tag:a,1:\n"),
    *(b"---\n", b"...\n", b"? ", b"- ", b": ", b"|\n", b">-\n", b"%YAML 1.1\n---\n", b"# ", b"'"),
    *(b'"=1+1"', b"=HYPERLINK(1)", b"@SUM(1)", b"'=1", b'"', b"\\", b",", b";", b"{", b"}", b"["),
    *(b"2026-01-31", b"2026-01-31T12:00:00Z", b"9999-12-31T23:59:59-23:59", b"4Gi", b"1e400Gi"),
    *(b"spec", b"metadata", b"name", b"__proto__", b"__class__", b"x" * 300, b"../../etc/passwd"),
)
"""What has broken readers before, here or elsewhere."""

T = TypeVar("T")
Places = tuple[int, ...]
Steps = Sequence[tuple[int, Places]]
"""Numbers of changes, and three numbers each that say where one is made."""
Change = Callable[[list[bytes], list[bytes], Places], list[bytes]]


def _replaced(words: list[bytes], _: list[bytes], places: Places) -> list[bytes]:
    at = places[0] % len(words)
    return [*words[:at], HOSTILE[places[1] % len(HOSTILE)], *words[at + 1 :]]


def _inserted(words: list[bytes], _: list[bytes], places: Places) -> list[bytes]:
    at = places[0] % (len(words) + 1)
    return [*words[:at], HOSTILE[places[1] % len(HOSTILE)], *words[at:]]


def _left_out(words: list[bytes], _: list[bytes], places: Places) -> list[bytes]:
    at = places[0] % len(words)
    return [*words[:at], *words[at + 1 + places[1] % 8 :]]


def _copied(words: list[bytes], _: list[bytes], places: Places) -> list[bytes]:
    """Say some words again elsewhere: keys, items and lines stand twice."""
    start, at = places[0] % len(words), places[1] % (len(words) + 1)
    return [*words[:at], *words[start : start + 1 + places[2] % 16], *words[at:]]


def _spliced(words: list[bytes], donor_words: list[bytes], places: Places) -> list[bytes]:
    """Put a part of another file in the place of some words."""
    at, start, length = places[0] % len(words), places[1] % len(donor_words), 1 + places[2] % 40
    return [*words[:at], *donor_words[start : start + length], *words[at + 1 :]]


def _swapped(words: list[bytes], _: list[bytes], places: Places) -> list[bytes]:
    changed, first, second = list(words), places[0] % len(words), places[1] % len(words)
    changed[first], changed[second] = changed[second], changed[first]
    return changed


def _repeated(words: list[bytes], _: list[bytes], places: Places) -> list[bytes]:
    at = places[0] % len(words)
    return [*words[:at], words[at] * (2 + places[1] % 300), *words[at + 1 :]]


def _nested(words: list[bytes], _: list[bytes], places: Places) -> list[bytes]:
    at, depth = places[0] % len(words), 1 + places[1] % 300
    opened, closed = ((b"[", b"]"), (b"(", b")"), (b'{"a":', b"}"))[places[2] % 3]
    return [*words[:at], opened * depth, words[at], closed * depth, *words[at + 1 :]]


def _flipped(words: list[bytes], _: list[bytes], places: Places) -> list[bytes]:
    """Turn one bit of a word around, as a bad disk does."""
    at = places[0] % len(words)
    word = bytearray(words[at])
    word[places[1] % len(word)] ^= 1 << (places[2] % 8)
    return [*words[:at], bytes(word), *words[at + 1 :]]


def _cut(words: list[bytes], _: list[bytes], places: Places) -> list[bytes]:
    return words[: places[0] % len(words)]


CHANGES: tuple[Change, ...] = (
    *(_replaced, _replaced, _inserted, _left_out, _copied, _spliced),
    *(_swapped, _repeated, _nested, _flipped, _cut),
)


def mutated(corpus: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Give files of a corpus with a few changes, of at most MOST_BYTES."""
    return made_from(corpus, changed)


def made_from(
    corpus: Sequence[T], change: Callable[[T, T, Steps], bytes]
) -> st.SearchStrategy[Any]:
    """Change one of several things with the help of another, by recipes that Hypothesis draws.

    A recipe is one text of bytes: to draw its numbers one by one takes ten times as long.
    """

    def from_recipe(recipe: bytes) -> bytes:
        numbers: tuple[int, ...] = struct.unpack_from(f"<{len(recipe) // 2}H", recipe)
        steps = [(numbers[at], numbers[at + 1 : at + 4]) for at in range(2, len(numbers) - 3, 4)]
        return change(corpus[numbers[0] % len(corpus)], corpus[numbers[1] % len(corpus)], steps)

    return st.binary(min_size=12, max_size=4 + 8 * MOST_CHANGES).map(from_recipe)


def changed(content: bytes, donor: bytes, steps: Steps) -> bytes:
    """Make changes one after another."""
    words, donor_words = WORDS.findall(content), WORDS.findall(donor) or [b" "]
    for kind, places in steps:
        if words:
            words = WORDS.findall(
                b"".join(CHANGES[kind % len(CHANGES)](words, donor_words, places))[:MOST_BYTES]
            )
    return b"".join(words)
