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
    written, unreadable = normal_form(without_status(document))
    if written is None:
        return unreadable
    sound, faults = examine(ScalingExperiment, written, frozenset({(), ("spec",)}))
    problems = (*_missing_headers(written, EXPERIMENT_KIND), *faults, *_misfits(sound, written))
    return _first_in_order(unreadable, problems, written)


def _misfits(sound: Mapping[str, Any], written: Mapping[str, Any]) -> Iterator[Problem]:
    """Look at what is sound of a document with the rules between its sections."""
    draft = draft_of(sound, written)
    if draft is not None:
        for rule in DRAFT_RULES:
            yield from rule.problems(draft)


def check_policy(document: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Find everything that is wrong with a ResourcePolicy; its status is not looked at."""
    written, unreadable = normal_form(without_status(document))
    if written is None:
        return unreadable
    _, faults = examine(ResourcePolicy, written)
    return _first_in_order(unreadable, (*_missing_headers(written, POLICY_KIND), *faults), written)


def without_status(document: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is not a document's author's to say."""
    return {name: value for name, value in document.items() if name != "status"}


def _missing_headers(document: Mapping[str, Any], kind: str) -> Iterator[Problem]:
    """Report what kubectl needs and the models supply by default."""
    for field, value in (("apiVersion", API_VERSION), ("kind", kind)):
        if field not in document:
            yield Problem(field, f"is required; write {field}: {value}")


def _first_in_order(
    unreadable: tuple[Problem, ...], problems: Iterable[Problem], document: Mapping[str, Any]
) -> tuple[Problem, ...]:
    """Put problems in the file's order; where there are more than anybody reads, the first."""
    unreadable_paths = {problem.path for problem in unreadable}
    others = (problem for problem in problems if problem.path not in unreadable_paths)
    ordered = _in_order((*unreadable[: MOST_PROBLEMS + 1], *others), document)
    first = tuple(problem for problem in ordered if problem != FIRST_OF_MANY)
    if len(first) == len(ordered) <= MOST_PROBLEMS:
        return first
    return (FIRST_OF_MANY, *first[:MOST_PROBLEMS])


def _in_order(problems: Iterable[Problem], document: Any) -> tuple[Problem, ...]:
    """Sort problems as the file is read, each once."""
    different = tuple(dict.fromkeys(problems))
    prefixes = frozenset(prefix for problem in different for prefix in _prefixes(problem.path))
    places = {path: place for place, path in enumerate(_paths(document, "", prefixes))}

    def place(problem: Problem) -> int:
        path = problem.path
        while path and path not in places:  # a missing field stands where its section stands
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return places.get(path, 0)

    return tuple(sorted(different, key=place))


def _prefixes(path: str) -> Iterator[str]:
    """Give a path and all that may stand above it; a name may have dots in it."""
    yield path
    yield from (path[:index] for index, character in enumerate(path) if character in ".[")


def _paths(value: Any, path: str, prefixes: frozenset[str]) -> Iterator[str]:
    """Paths of a document in its own order, as far as they are among the prefixes."""
    if path not in prefixes and path:
        return
    yield path
    if isinstance(value, dict):
        for key, child in cast("dict[str, Any]", value).items():
            yield from _paths(child, below(path, spelled((key,))), prefixes)
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[Any]", value)):
            yield from _paths(item, below(path, index), prefixes)
