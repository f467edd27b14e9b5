"""A scrape: what was counted, and what is so at this moment, as text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from scaling_operator.metrics.families import Family
from scaling_operator.metrics.projection import Sample


@dataclass(slots=True, eq=False)  # a registry keeps its collectors by identity
class Snapshot(Collector):
    """Samples of one moment, as a collector."""

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
        """Name nothing beforehand."""
        yield from ()


def _family(family: Family) -> CounterMetricFamily | GaugeMetricFamily:
    make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    return make(family.name, family.meaning, labels=family.labels)


@dataclass(slots=True)
class Exposition:
    """Answers scrapes: `look` gives what is so now, quickly, in the event loop."""

    registry: CollectorRegistry
    look: Callable[[], Iterable[Sample]]
    _snapshot: Snapshot = field(default_factory=Snapshot)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.registry.register(self._snapshot)

    async def answer(self, accept: str) -> tuple[bytes, str]:
        """Write everything, and name the content type that `accept` leads to."""
        async with self._lock:
            self._snapshot.samples = tuple(self.look())
            encoder, content_type = _cheapest_encoder(accept)
            # Writing takes longer than looking: it must not hold up the event loop.
            return await asyncio.to_thread(encoder, self.registry), content_type


def _cheapest_encoder(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    # Prometheus prefers OpenMetrics and takes text too. Both say the same of these metrics, without
    # exemplars and creation times, and text is written in two thirds of the time.
    return choose_encoder("" if "text/plain" in accept else accept)
