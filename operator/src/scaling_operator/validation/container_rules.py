"""Rules of a trainer of one's own that look at more than one field: its container, its estimate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from scaling_operator.api.container import Container
from scaling_operator.api.expressions import ExpressionError, compute, is_expression, variables_of
from scaling_operator.api.fields import Scalar
from scaling_operator.api.problems import Problem, suggestion
from scaling_operator.api.rules import Rule, is_given, is_unique
from scaling_operator.api.search import CategoricalParameter, Parameter
from scaling_operator.validation.draft import Draft, mapping_at, spread

_CONTAINER = "spec.trainer.container"
_ESTIMATE = "spec.resources.estimate"
_MOST_RUNGS = 20  # that are tried, the first and the last among them
_NOTHING_TO_RUN = "set image (for a cluster), command (for a local run), or both"


def container_can_start(draft: Draft) -> Iterator[Problem]:
    """Ask a container what to run."""
    container = draft.container
    if container is not None and container.image is None and not container.command:
        yield Problem(_CONTAINER, _NOTHING_TO_RUN)


def variables_differ(draft: Draft) -> Iterator[Problem]:
    """Ask a container for each environment variable once."""
    names = () if draft.container is None else (variable.name for variable in draft.container.env)
    for index, name in _repeated(names):
        message = f"{name} stands twice; each variable may stand once"
        yield Problem(f"{_CONTAINER}.env[{index}].name", message)


def volumes_differ(draft: Draft) -> Iterator[Problem]:
    """Ask volumes for names of their own."""
    volumes = () if draft.container is None else draft.container.volumes
    for index, name in _repeated(volume.name for volume in volumes):
        message = f"{name} stands twice; each volume may stand once"
        yield Problem(f"{_CONTAINER}.volumes[{index}].name", message)


def mounts_show_volumes(draft: Draft) -> Iterator[Problem]:
    """Ask mounts for a volume that there is."""
    names = _volume_names(draft)
    for index, mount in enumerate(() if draft.container is None else draft.container.volume_mounts):
        if mount.name not in names:
            message = f"there is no volume {mount.name}; {suggestion(mount.name, names)}"
            yield Problem(f"{_CONTAINER}.volumeMounts[{index}].name", message)


def mounts_differ(draft: Draft) -> Iterator[Problem]:
    """Ask mounts for places of their own."""
    mounts = () if draft.container is None else draft.container.volume_mounts
    for index, place in _repeated(mount.mount_path for mount in mounts):
        message = f"{place} stands twice; keep one"
        yield Problem(f"{_CONTAINER}.volumeMounts[{index}].mountPath", message)


def _repeated(names: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Give the names that stood before, with their index."""
    counts: Counter[str] = Counter()
    for index, name in enumerate(names):
        if counts[name]:
            yield index, name
        counts[name] += 1


def _volume_names(draft: Draft) -> tuple[str, ...]:
    """Names of all volumes, faulty ones too."""
    written: Any = mapping_at(draft.written, "trainer", "container").get("volumes")
    volumes = cast("list[Any]", written) if isinstance(written, list) else []
    return tuple(str(mapping_at({"volume": volume}, "volume").get("name")) for volume in volumes)


def estimate_suits_the_trainer(draft: Draft) -> Iterator[Problem]:
    """Refuse an estimate of the built-in trainer, which is known better."""
    if draft.spec.resources.estimate is not None and draft.built_in is not None:
        message = "goes with trainer.container: what the built-in trainer needs is known"
        yield Problem(_ESTIMATE, message)


def amounts_can_be_computed(draft: Draft) -> Iterator[Problem]:
    """Try every expression at both ends of the search space, at the ladder's rungs."""
    estimate = draft.spec.resources.estimate
    if estimate is None:
        return
    untroubled = {name: amount for name, amount in estimate.amounts() if is_expression(amount)}
    for where, values in _trials(draft) if untroubled else ():
        variables = variables_of(values)
        for name, amount in list(untroubled.items()):
            try:
                compute(amount, variables)
            except ExpressionError as error:
                yield Problem(f"{_ESTIMATE}.{name}", f"{error} ({where})")
                del untroubled[name]


def _trials(draft: Draft) -> Iterator[tuple[str, Mapping[str, Scalar]]]:
    rungs = spread(draft.scales, _MOST_RUNGS) or (("", {}),)
    for words, end in (("the smallest values", 0), ("the largest values", -1)):
        searched = {name: _ends(parameter)[end] for name, parameter in draft.parameters.items()}
        for path, rung in rungs:
            yield f"tried with {words}" + (f" at {path}" if path else ""), {**searched, **rung}


def _ends(parameter: Parameter) -> tuple[Scalar, ...]:
    if isinstance(parameter, CategoricalParameter):
        return parameter.choices
    return parameter.low, parameter.high


CONTAINER_RULES: tuple[Rule[Draft], ...] = (
    Rule(
        check=container_can_start,
        section=Container,
        cel=f"has(self.image) || {is_given('command')}",
        message=_NOTHING_TO_RUN,
        field="image",
    ),
    Rule(check=variables_differ),
    Rule(
        check=mounts_show_volumes,
        section=Container,
        cel="!has(self.volumeMounts) || self.volumeMounts.all(mount, has(self.volumes) && "
        "self.volumes.exists(volume, volume.name == mount.name))",
        message="each of volumeMounts must name one of volumes",
        field="volumeMounts",
    ),
    Rule(
        check=volumes_differ,
        section=Container,
        cel=f"!has(self.volumes) || {is_unique('volumes', 'name')}",
        message="each name of volumes may stand once",
        field="volumes",
    ),
    Rule(
        check=mounts_differ,
        section=Container,
        cel=f"!has(self.volumeMounts) || {is_unique('volumeMounts', 'mountPath')}",
        message="each mountPath may stand once",
        field="volumeMounts",
    ),
    Rule(check=estimate_suits_the_trainer),
    Rule(check=amounts_can_be_computed),
)
