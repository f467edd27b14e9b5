"""Text that others wrote is shown, and does nothing."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_trainer.foreign_text import (
    MAX_MESSAGE,
    REDACTED,
    as_message,
    one_line,
    redact,
    visible,
)

ACTIVE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200)
SIGNED = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("val_loss 0.5", "val_loss 0.5", id="plain"),
        pytest.param("Größe 5 µm ≤ 7 😀", "Größe 5 µm ≤ 7 😀", id="letters of the world"),
        pytest.param("12 345", "12 345", id="a narrow space"),
        pytest.param("\x1b[31mred", r"\x1b[31mred", id="a colour"),
        pytest.param("\x1b]0;owned\x07", r"\x1b]0;owned\x07", id="a window's title"),
        pytest.param("\x9b31m", r"\x9b31m", id="a control character of eight bits"),
        pytest.param("a\x00b\x7f", r"a\x00b\x7f", id="NUL and DEL"),
        pytest.param("abc\u202etxt.exe", r"abc\u202etxt.exe", id="right to left"),
        pytest.param("\u2066a\u2069", r"\u2066a\u2069", id="isolates"),
        pytest.param("a\u200bb\u200dc\ufeff", r"a\u200bb\u200dc\ufeff", id="no width"),
        pytest.param("soft\u00adhyphen", r"soft\xadhyphen", id="a soft hyphen"),
        pytest.param("\U000e0041", r"\U000e0041", id="a tag"),
        pytest.param("half \ud800", r"half \ud800", id="half a character"),
        pytest.param("a\n  b\r\n\tc\u2028d", "a b c d", id="lines are joined"),
        pytest.param("a   b", "a   b", id="spaces alone stay"),
        pytest.param("[/red] [link=x]", "[/red] [link=x]", id="markup is text"),
    ],
)
def test_what_a_text_looks_like(text: str, shown: str) -> None:
    assert one_line(text) == shown


@given(ANY_TEXT)
def test_no_text_does_anything(text: str) -> None:
    for shown in (visible(text), one_line(text), as_message(text)):
        assert not {unicodedata.category(character) for character in shown} & ACTIVE
        shown.encode()  # which raises at half of a character


@given(ANY_TEXT)
def test_shown_twice_is_shown_once(text: str) -> None:
    assert one_line(one_line(text)) == one_line(text)
    assert as_message(as_message(text)) == as_message(text)


@pytest.mark.slow
@given(st.text(st.characters(exclude_categories=()), min_size=1000, max_size=3000))
def test_a_message_fits(text: str) -> None:
    assert len(as_message(text)) <= MAX_MESSAGE


def test_lines_stay_where_they_are_wanted() -> None:
    assert visible("a\n\tb\x1b", keep="\n\t") == "a\n\tb\\x1b"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(f"token {SIGNED} was refused", "token [redacted] was refused", id="a token"),
        pytest.param(f"x_{SIGNED}", "x_[redacted]", id="a token behind a word"),
        pytest.param(SIGNED.rpartition(".")[0], REDACTED, id="a token that was cut off"),
        pytest.param(f"a.b.{SIGNED}.c", "a.b.[redacted].c", id="a token between words"),
        pytest.param(f"{SIGNED} {SIGNED}", "[redacted] [redacted]", id="two"),
        pytest.param("https://u:pass@h/x", "https://[redacted]@h/x", id="a password"),
        pytest.param("eyJ.a.b eyJhbGciOiJS", "eyJ.a.b eyJhbGciOiJS", id="what is no token"),
        pytest.param("a..eyJhbGciOiJSUzI1NiJ9.", "a..eyJhbGciOiJSUzI1NiJ9.", id="a header alone"),
    ],
)
def test_secrets_are_taken_out(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_a_secret_is_taken_out_of_a_message_before_it_is_cut() -> None:
    assert "eyJ" not in as_message("x" * (MAX_MESSAGE - 20) + " " + SIGNED)


@pytest.mark.parametrize(
    "text",
    ["eyJ", "eyJ.", "eyJaaaaaaaa.", "a.", "://a:", "-----BEGIN ", "bearer ", " ", "\n ", "\x1b"],
)
def test_reading_takes_linear_time(text: str) -> None:
    def seconds(length: int) -> float:
        began = time.process_time()
        one_line(redact(text * (length // len(text))))
        return time.process_time() - began

    seconds(10_000)
    # Four seconds is what a quadratic reading of 30,000 characters took.
    assert seconds(200_000) < 4
