"""What is accepted can be run, what cannot be run is refused in words, and either is said soon.

`make fuzz-specs` runs 10,000 specs; FUZZ_SPECS says how many.
"""

from __future__ import annotations

import os
import time
from random import Random
from typing import Any

import pytest
from generated_documents import broken, experiment, largest
from spec_run import run

from scaling_operator.api.problems import InvalidSpec
from scaling_operator.validation import impossible_values
from scaling_operator.validation.checks import check_document
from scaling_operator.validation.errors import examine
from scaling_operator.validation.load import experiment_of

pytestmark = pytest.mark.slow

SPECS = int(os.environ.get("FUZZ_SPECS", "100"))
A_PART = 50
CPU_SECONDS = 2.5
"""Five times the half second that a check may take, for machines that do other things too."""


# Samplers warn of ranges whose last step is short, and of figures that overflow on the way.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("first", range(0, SPECS, A_PART))
def test_what_is_accepted_can_be_run(first: int) -> None:
    accepted = 0
    for seed in range(first, min(first + A_PART, SPECS)):
        document = experiment(Random(seed))
        try:
            spec = experiment_of(document).spec
        except InvalidSpec:
            continue
        accepted += 1
        try:
            run(spec, seed)
        except Exception as error:
            message = f"experiment(Random({seed})) is accepted and does not run: {error}"
            raise AssertionError(message) from error
    assert accepted > A_PART / 2


@pytest.mark.parametrize(
    "document", [pytest.param(document, id=name) for name, document in largest()]
)
def test_the_largest_documents_are_checked_soon(document: dict[str, Any]) -> None:
    check_document(experiment(Random(0)))  # loads what is loaded at its first use
    start = time.process_time()
    check_document(document)
    assert time.process_time() - start < CPU_SECONDS


def test_no_more_configurations_are_tried_than_a_document_may_cost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = 0

    def counted(*arguments: Any) -> Any:
        nonlocal tried
        tried += 1
        return examine(*arguments)

    monkeypatch.setattr(impossible_values, "examine", counted)
    costs: dict[str, int] = {}
    for name, document in largest():
        tried = 0
        check_document(document)
        costs[name] = tried

    assert max(costs.values()) <= impossible_values.MOST_TRIES_OF_A_DOCUMENT
    # Some would take more: of those a part is only asked whether it is active.
    assert max(costs.values()) > 0.5 * impossible_values.MOST_TRIES_OF_A_DOCUMENT


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(document, id=name)
        for name, document in largest()
        if name.endswith(("heads, multiples of 7", "fields, multiples of 7"))
    ],
)
def test_a_value_that_some_size_fits_is_not_refused_when_the_tries_are_over(
    document: dict[str, Any],
) -> None:
    """Each number of heads that is looked at divides one of 7, 14 ... 700."""
    assert check_document(document) == ()


@pytest.mark.parametrize("first", range(0, 100, A_PART))
def test_whatever_is_wrong_with_a_document_ends_in_words_soon(first: int) -> None:
    for seed in range(first, first + A_PART):
        random = Random(seed)
        document = broken(random, experiment(random))
        start = time.process_time()
        for problem in check_document(document):
            assert problem.message
        assert time.process_time() - start < CPU_SECONDS, seed
