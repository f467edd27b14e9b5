"""Answers scrapes: counted events and the present state, as text."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from scaling_operator.metrics.families import Family
from scaling_operator.metrics.samples import Sample


@dataclass(slots=True, eq=False)  # a registry keeps its collectors by identity
class Snapshot(Collector):
    """The samples of one scrape, as a collector."""

    samples: Sequence[Sample] = ()

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Group the samples by family."""
        grouped: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for family, labels, value in self.samples:
            if family.name not in grouped:
                grouped[family.name] = _family(family)
            grouped[family.name].add_metric(labels, value)
        yield from grouped.values()

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Declare no metrics beforehand."""
        yield from ()


def _family(family: Family) -> CounterMetricFamily | GaugeMetricFamily:
    make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    return make(family.name, family.meaning, labels=family.labels)


@dataclass(slots=True)
class Exposition:
    """Answers scrapes. `read_state` gives the present state, quickly, in the event loop.

    All clients within `fresh_seconds` get the same answer: more clients cost no more.
    """

    registry: CollectorRegistry
    read_state: Callable[[], Iterable[Sample]]
    fresh_seconds: float = 0.0
    clock: Callable[[], float] = time.monotonic
    _answers: dict[str, tuple[bytes, float]] = field(
        default_factory=dict[str, "tuple[bytes, float]"]
    )
    _snapshot: Snapshot = field(default_factory=Snapshot)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.registry.register(self._snapshot)

    async def answer(self, accept: str) -> tuple[bytes, str]:
        """Write all metrics, and give the content type that fits the header Accept."""
        encoder, content_type = _cheapest_encoder(accept)
        async with self._lock:
            now = self.clock()
            cached = self._answers.get(content_type)
            if cached is not None and now - cached[1] < self.fresh_seconds:
                return cached[0], content_type
            self._snapshot.samples = tuple(self.read_state())
            # Writing takes longer than reading the state: it must not block the event loop.
            body = await asyncio.to_thread(encoder, self.registry)
            fresh = {kind: answer for kind, answer in self._answers.items() if answer[1] == now}
            self._answers = fresh | {content_type: (body, now)}
            return body, content_type


def _cheapest_encoder(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    # Prometheus prefers OpenMetrics and takes text too. Both say the same of these metrics, without
    # exemplars and creation times, and text is written in two thirds of the time.
    return choose_encoder("" if "text/plain" in accept else accept)
