"""The writes of an operator for one experiment, by names that are the same in every run of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from testbed.api_request import ApiRequest
from testbed.effects import Effect, Rule


@dataclass(frozen=True, slots=True, order=True)
class Write:
    """The n-th write of a kind to an object; `object` has `*` for the experiment's name."""

    verb: str
    resource: str
    object: str
    number: int = 0

    def __str__(self) -> str:
        return " ".join((self.verb, self.resource, self.object, f"#{self.number}"))


def _subject(request: ApiRequest, experiment: str) -> str | None:
    """Name the object of a write without the experiment's name; None: another experiment's."""
    if request.resource == "leases":
        return None
    if request.resource == "events" and request.body is not None:
        regarding = request.body["regarding"]["name"]
        said = f"{_masked(regarding, experiment)} {request.body['reason']}"
        return said if _belongs(regarding, experiment) else None
    if request.verb == "deletecollection":
        # Which trials' pods are deleted together is a matter of moments.
        return "*" if f"{experiment}-" in request.labels else None
    return _masked(request.name, experiment) if _belongs(request.name, experiment) else None


def _belongs(name: str, experiment: str) -> bool:
    return name == experiment or name.startswith(f"{experiment}-")


def _masked(name: str, experiment: str) -> str:
    return f"*{name.removeprefix(experiment)}"


@dataclass(slots=True)
class WriteCounter:
    """Numbers the writes of one experiment in their order."""

    experiment: str
    seen: Counter[tuple[str, str, str]] = field(default_factory=Counter[tuple[str, str, str]])

    def take(self, request: ApiRequest) -> Write | None:
        """Name a request; None where it is no write of the experiment's."""
        subject = _subject(request, self.experiment) if request.is_write else None
        if subject is None:
            return None
        key = (request.verb, request.resource, subject)
        number = self.seen[key]
        self.seen[key] += 1
        return Write(*key, number)


def trace(requests: Iterable[ApiRequest], experiment: str) -> Iterator[Write]:
    """Name the writes of an experiment, in order."""
    count = WriteCounter(experiment)
    for request in requests:
        write = count.take(request)
        if write is not None:
            yield write


def at(experiment: str, wanted: Write, effect: Effect, hit: Callable[[], None]) -> Rule:
    """Apply an effect to one write of an experiment, once; `hit` is called then."""
    count = WriteCounter(experiment)

    def rule(request: ApiRequest) -> Effect | None:
        if count.take(request) != wanted:
            return None
        hit()
        return effect

    return rule
