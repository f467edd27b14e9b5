"""What a tenant could write to stop everybody: valid, and as costly as the API lets it be."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice
from random import Random
from typing import Any

from generated_documents import experiment, largest
from schema_documents import SchemaDocuments
from seeded_targets import schema_of

from scaling_operator.api.names import EXPERIMENT_KIND
from scaling_operator.validation.crd import KINDS
from testbed.documents import changed, played

Json = dict[str, Any]
BOOTSTRAP = 100_000
"""The most resamples that a fit may be asked for."""


def hostile(number: int) -> Iterator[Json]:
    """Give so many experiments with names of their own, of every kind in turn."""
    kinds = [_as_shipped(document) for _, document in largest()] + list(_busy())
    for at, document in enumerate(islice(cycle(kinds), number)):
        yield changed(document, ("metadata/name", f"hostile-{at}"))


def fuzzed(number: int) -> Iterator[Json]:
    """Give so many out of the definition's own schema: the API server refuses some of them."""
    (kind,) = (definition for definition in KINDS if definition.kind == EXPERIMENT_KIND)
    for seed in range(number):
        documents = SchemaDocuments(schema_of(kind), Random(seed))
        document = documents.grafted(experiment(Random(seed)))
        yield changed(_as_shipped(document), ("metadata", {"name": f"fuzzed-{seed}"}))


def _as_shipped(document: Json) -> Json:
    """Ask for no `gp`: the operator's image has it only where somebody builds it in."""
    search: Any = document["spec"].get("search") or {}
    if not str(search.get("algorithm")).startswith("{'name': 'gp'"):
        return document
    return changed(document, ("spec/search/algorithm", {"name": "tpe"}))


def _busy() -> Iterator[Json]:
    """Keep the operator at work once they run: asks, fits, reads of others' experiments."""
    parameters = {f"p{at}": {"type": "float", "low": 0, "high": 1} for at in range(100)}
    for algorithm in ("tpe", "genetic"):
        yield played(
            "",
            ("spec/search/parameters", parameters),
            ("spec/search/algorithm", {"name": algorithm}),
            ("spec/trials", {"max": 100_000, "parallel": 8}),
            PLAY_SECONDS="3",
        )
    sizes = [10 * (at + 1) for at in range(100)]
    fit = {"form": "power", "bootstrap": BOOTSTRAP}
    yield played(
        "",
        ("spec/scaling", {"parameter": "size", "sizes": sizes, "fit": fit}),
        ("spec/trials", {"max": 100, "parallel": 8}),
        PLAY_SECONDS="3",
    )
    names = [f"nobody-{at}" for at in range(10)]
    yield played("", ("spec/search/warmStart", {"from": names}))
    yield played("", ("spec/search/warmStart", {"from": ["../scalingexperiments?watch=true&a="]}))
    terms = " + ".join(["pow(parameters['x'], 2.0)"] * 36)
    yield played("", ("spec/resources/estimate", {"hostMemory": terms, "deviceMemory": terms}))
