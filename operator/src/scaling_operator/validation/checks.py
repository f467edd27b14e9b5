"""Everything that is wrong with a document: its fields first, then what must fit together.

The operator refuses an experiment with it (`Accepted=False`) or a policy (`Ready=False`), the
command line a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from scaling_operator.api.experiment import ScalingExperiment
from scaling_operator.api.names import API_VERSION, EXPERIMENT_KIND, POLICY_KIND
from scaling_operator.api.policy import ResourcePolicy
from scaling_operator.api.problems import Problem, below, spelled
from scaling_operator.validation.draft import draft_of
from scaling_operator.validation.errors import FIRST_OF_MANY, MOST_PROBLEMS, examine
from scaling_operator.validation.normal_form import normal_form
from scaling_operator.validation.rules import DRAFT_RULES


def check_document(document: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Find everything that is wrong with a ScalingExperiment; its status is not looked at."""
    normal, unreadable = normal_form({key: document[key] for key in document if key != "status"})
    if normal is None:
        return unreadable
    written = cast("dict[str, Any]", normal)
    sound, faults = examine(ScalingExperiment, written, frozenset({(), ("spec",)}))
    draft = draft_of(sound, written)
    misfits = (
        ()
        if draft is None
        else (problem for rule in DRAFT_RULES for problem in rule.problems(draft))
    )
    found = (*_headers(written, EXPERIMENT_KIND), *faults, *misfits)
    return _all(unreadable, found, written)


def check_policy(document: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Find everything that is wrong with a ResourcePolicy; its status is not looked at."""
    normal, unreadable = normal_form({key: document[key] for key in document if key != "status"})
    if normal is None:
        return unreadable
    written = cast("dict[str, Any]", normal)
    _, faults = examine(ResourcePolicy, written)
    return _all(unreadable, (*_headers(written, POLICY_KIND), *faults), written)


def _all(
    unreadable: tuple[Problem, ...], found: Iterable[Problem], written: Mapping[str, Any]
) -> tuple[Problem, ...]:
    """Put problems in the file's order; of more than anybody reads, the first."""
    known = {problem.path for problem in unreadable}
    later = (each for each in found if each.path not in known)
    ordered = _in_order((*unreadable[: MOST_PROBLEMS + 1], *later), written)
    told = tuple(each for each in ordered if each != FIRST_OF_MANY)
    if len(told) == len(ordered) <= MOST_PROBLEMS:
        return told
    return (FIRST_OF_MANY, *told[:MOST_PROBLEMS])


def _in_order(problems: Iterable[Problem], document: Any) -> tuple[Problem, ...]:
    """Sort problems as the file is read, each once."""
    found = tuple(dict.fromkeys(problems))
    above = frozenset(each for problem in found for each in _prefixes(problem.path))
    places = {path: at for at, path in enumerate(_walk(document, "", above))}

    def place(problem: Problem) -> int:
        path = problem.path
        while path and path not in places:  # a missing field stands where its section stands
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return places.get(path, 0)

    return tuple(sorted(found, key=place))


def _prefixes(path: str) -> Iterator[str]:
    """Give a path and all that may stand above it; a name may have dots in it."""
    yield path
    yield from (path[:at] for at, each in enumerate(path) if each in ".[")


def _walk(value: Any, path: str, above: frozenset[str]) -> Iterator[str]:
    """Paths of a document in its own order, as far as they lead to one of `above`."""
    if path not in above and path:
        return
    yield path
    if isinstance(value, dict):
        for key, child in cast("dict[str, Any]", value).items():
            yield from _walk(child, below(path, spelled((key,))), above)
    elif isinstance(value, list):
        for at, child in enumerate(cast("list[Any]", value)):
            yield from _walk(child, below(path, at), above)


def _headers(document: Mapping[str, Any], kind: str) -> Iterable[Problem]:
    """Report what kubectl needs and the models supply by default."""
    for field, value in (("apiVersion", API_VERSION), ("kind", kind)):
        if field not in document:
            yield Problem(field, f"is required; write {field}: {value}")
