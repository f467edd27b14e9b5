"""Whatever others write is read as a sound value, or refused in words that name the place.

`make fuzz` tries each target for FUZZ_SECONDS with seeds from FUZZ_SEED on; a run of the tests
tries a few hundred inputs, always the same.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import document_targets
import folder_targets
import model_targets
import pytest
import seeded_targets
import wire_targets
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from schema_documents import texts_for
from seeded_targets import schema_of
from targets import CORPUS, Target

from scaling_operator.validation.crd import KINDS, Definition

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
FIRST_SEED = int(os.environ.get("FUZZ_SEED", "0"))
A_ROUND = 300
SHOWN = 2000
"""Characters of an input or an error that are printed; the file has all of it."""
CHECKS = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)
TARGETS = (
    *(*wire_targets.TARGETS, *model_targets.TARGETS, *folder_targets.TARGETS),
    *(*document_targets.TARGETS, *seeded_targets.TARGETS),
)
FOUND = Path(__file__).parents[2] / "runs" / "fuzz"


@dataclass(slots=True)
class Tally:
    """What was tried of a target; `last` is the input at fault once there is one."""

    inputs: int = 0
    taken: int = 0
    last: Any = None


class Fault(Exception):
    """A reader does not do with an input what it promises."""


def ask(target: Target, tried: Any, tally: Tally) -> None:
    """Read one input; a panic of a library in Rust is no Exception, and a fault all the same."""
    tally.inputs += 1
    tally.last = tried
    try:
        tally.taken += target.check(tried)
    except Exception:
        raise
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        message = f"panics: {error}"
        raise Fault(message) from error


def go_round(target: Target, number: int, inputs: int, tally: Tally) -> None:
    """Try so many inputs. Raises Fault with the smallest input that Hypothesis finds at fault."""

    @seed(number)
    @settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=CHECKS,
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
    )
    @given(target.inputs)
    def tries(tried: Any) -> None:
        ask(target, tried, tally)

    try:
        tries()
    except Exception as error:
        raise Fault(advice(target, tally.last, number, error)) from error


def advice(target: Target, tried: Any, number: int, error: Exception) -> str:
    """Tell what was found, how it is found again, and how it is kept."""
    literal = repr(tried)
    if isinstance(tried, bytes):
        FOUND.mkdir(parents=True, exist_ok=True)
        kept = FOUND / f"{target.name}-{hashlib.sha256(tried).hexdigest()[:8]}"
        kept.write_bytes(tried)
        keep = f"cp {kept} {CORPUS / target.name}/WHAT-IS-ODD-ABOUT-IT"
    else:
        keep = f"a test that names {target.name} and {tried!r}"
    return (
        f"{target.name} (FUZZ_SEED={number}): {type(error).__name__}: {str(error)[:SHOWN]}\n"
        f"input: {literal if len(literal) < SHOWN else literal[:SHOWN] + '... (see the file)'}\n"
        f"keep it: {keep}"
    )


TRIED = [target for target in TARGETS if target.in_a_test or SECONDS]


@pytest.mark.parametrize("target", TRIED, ids=lambda target: target.name)
def test_what_is_made_by_chance_is_read_or_refused(
    target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    tally, number, start = Tally(), FIRST_SEED, time.monotonic()
    if not SECONDS:
        go_round(target, number, target.in_a_test, tally)
        return
    while (spent := time.monotonic() - start) < SECONDS:
        go_round(target, number, A_ROUND, tally)
        number += 1
    summary = f"{target.name}: {tally.inputs:,} inputs, {tally.taken:,} taken, {spent:.0f} s"
    with capsys.disabled():
        print(f"\n{summary}, seeds {FIRST_SEED} to {number - 1}")  # noqa: T201


ENTRIES = [
    pytest.param(target, content, id=f"{target.name}: {name}")
    for target in TARGETS
    for name, content in target.corpus
]


@pytest.mark.parametrize(("target", "content"), ENTRIES)
def test_every_file_of_a_corpus_is_read_or_refused(target: Target, content: bytes) -> None:
    ask(target, content, Tally())


@pytest.mark.parametrize(
    "target", [target for target in TARGETS if target.corpus], ids=lambda target: target.name
)
def test_a_corpus_has_several_files_that_are_taken(target: Target) -> None:
    assert sum(target.check(content) for _, content in target.corpus) > 1


def patterns(schema: Any) -> Iterator[dict[str, Any]]:
    """Give the places of a schema that take texts of a form alone."""
    if isinstance(schema, list):
        for item in cast("list[Any]", schema):
            yield from patterns(item)
    elif isinstance(schema, dict):
        node = cast("dict[str, Any]", schema)
        if isinstance(node.get("pattern"), str):
            yield node
        for value in node.values():
            yield from patterns(value)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_there_are_texts_for_every_form_in_a_schema(kind: Definition) -> None:
    places = list(patterns(schema_of(kind)))
    assert places
    lacking = {place["pattern"] for place in places if len(texts_for(place)) < 3}
    assert not lacking, "give schema_documents.TEXTS some that fit"
