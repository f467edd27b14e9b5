"""What a tenant could write to stop everybody: valid, and as costly as the API lets it be."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any

from generated_documents import largest

from testbed.documents import changed, played

Json = dict[str, Any]
BOOTSTRAP = 100_000
"""The most resamples that a fit may be asked for."""


def hostile(number: int) -> Iterator[Json]:
    """Give so many experiments with names of their own, of every kind in turn."""
    kinds = [document for _, document in largest()] + list(_busy())
    for at, document in enumerate(islice(cycle(kinds), number)):
        yield changed(document, ("metadata/name", f"hostile-{at}"))


def _busy() -> Iterator[Json]:
    """Keep the operator at work once they run: asks, fits, reads of others' experiments."""
    parameters = {f"p{at}": {"type": "float", "low": 0, "high": 1} for at in range(100)}
    for algorithm in ("tpe", "gp", "genetic"):
        yield played(
            "",
            ("spec/search/parameters", parameters),
            ("spec/search/algorithm", {"name": algorithm}),
            ("spec/trials", {"max": 100_000, "parallel": 8}),
            PLAY_SECONDS="0.1",
        )
    sizes = [10 * (at + 1) for at in range(100)]
    fit = {"form": "power", "bootstrap": BOOTSTRAP}
    yield played(
        "",
        ("spec/scaling", {"parameter": "size", "sizes": sizes, "fit": fit}),
        ("spec/trials", {"max": 100, "parallel": 8}),
        PLAY_SECONDS="0.1",
    )
    names = [f"nobody-{at}" for at in range(20)]
    yield played("", ("spec/search/warmStart", {"from": names}))
    yield played("", ("spec/search/warmStart", {"from": ["../scalingexperiments?watch=true&a="]}))
    terms = " + ".join(["pow(parameters['x'], 2.0)"] * 39)
    yield played("", ("spec/resources/estimate", {"hostMemory": terms, "deviceMemory": terms}))
