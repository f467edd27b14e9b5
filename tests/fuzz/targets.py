"""What others write and this project reads, one target for each kind of file.

A target's `check` reads one input. It raises where the reader ends in anything but a sound value or
its documented error, or where that error says what no person should be shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from json_mutations import mutated_json
from mutations import mutated

from scaling_trainer.foreign_text import one_line

CORPUS = Path(__file__).parent / "corpus"


@dataclass(frozen=True, slots=True)
class Target:
    """One reader: where its inputs come from, and what is asked of it.

    `check` says whether the input was taken.
    """

    name: str
    inputs: st.SearchStrategy[Any]
    check: Callable[[Any], bool]
    corpus: tuple[tuple[str, bytes], ...] = ()
    in_a_test: int = 300
    """Inputs in a run of the tests, so that they take about a second."""


def files(name: str) -> tuple[tuple[str, bytes], ...]:
    """Read the files of a corpus, with their names."""
    paths = sorted((CORPUS / name).iterdir())
    return tuple((path.name, path.read_bytes()) for path in paths)


def of_files(name: str, check: Callable[[bytes], bool], in_a_test: int = 300) -> Target:
    """Make a target of the files in the corpus of its name, and of what is made of them."""
    corpus = files(name)
    return Target(name, made_of([content for _, content in corpus]), check, corpus, in_a_test)


def made_of(corpus: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Change files as text, and those that are JSON objects as often by their values."""
    is_json = any(content.startswith(b"{") for content in corpus)
    return mutated(corpus) | mutated_json(corpus) if is_json else mutated(corpus)


def check_words(text: str, most: int = 1000) -> None:
    """Check that a message can be shown to a person and do nothing: one line, of bounded length."""
    assert text.strip(), "an error without words"
    assert len(text) <= most, f"an error of {len(text)} characters"
    assert text == one_line(text), f"an error with characters that do something: {text!r}"
