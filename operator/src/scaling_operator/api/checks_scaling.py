"""Rules of the ladder and of a container of one's own that look at more than one field."""

from __future__ import annotations

from collections.abc import Iterable

from scaling_operator.api.draft import Draft
from scaling_operator.api.problems import Problem
from scaling_trainer.counting import dimensions_of


def ladder_has_one_objective(draft: Draft) -> Iterable[Problem]:
    """Ask a ladder for one objective: a law is fitted to one value."""
    if len(draft.spec.objectives) > 1 and draft.spec.scaling is not None:
        yield Problem("spec.scaling", "needs a single objective; use objective, not objectives")


def scale_is_not_searched(draft: Draft) -> Iterable[Problem]:
    """Refuse to tune what the ladder sets."""
    scaling = draft.spec.scaling
    for name in draft.scaled:
        if name in draft.declared:
            by_sizes = scaling is not None and scaling.parameter is not None
            path = "spec.scaling.parameter" if by_sizes else f"spec.scaling.rungs[0].{name}"
            message = f"{name} is searched too; take it out of search.parameters or of scaling"
            yield Problem(path, message)


def flops_are_known(draft: Draft) -> Iterable[Problem]:
    """Ask isoflop for known FLOPs per sample: they turn a budget into samples."""
    scaling = draft.spec.scaling
    if scaling is None or scaling.design != "isoflop":
        return
    if draft.container is not None:
        message = (
            "isoflop needs the FLOPs per sample, which are not known for a container: "
            "use trainer.builtIn, or design grid with data"
        )
        yield Problem("spec.scaling.design", message)
    built_in = draft.built_in
    if built_in is not None and dimensions_of(built_in.dataset.model_dump()) is None:
        message = (
            f"isoflop needs the FLOPs per sample, which dataset {built_in.dataset.name} tells only "
            "when it is read: use a synthetic or bundled data set or text, or design grid with data"
        )
        yield Problem("spec.scaling.design", message)


def container_can_start(draft: Draft) -> Iterable[Problem]:
    """Ask a container what to run."""
    container = draft.container
    if container is not None and container.image is None and not container.command:
        message = "set image (for a cluster), command (for a local run), or both"
        yield Problem("spec.trainer.container", message)


def variables_are_free(draft: Draft) -> Iterable[Problem]:
    """Ask a container's variables to differ, and to leave the contract's own names alone."""
    container = draft.container
    seen: set[str] = set()
    for at, variable in enumerate(() if container is None else container.env):
        path = f"spec.trainer.container.env[{at}].name"
        if variable.name.startswith("SCALING_"):
            message = f"{variable.name} belongs to the contract: choose a name without SCALING_"
            yield Problem(path, message)
        if variable.name in seen:
            yield Problem(path, f"{variable.name} stands twice; each variable may stand once")
        seen.add(variable.name)
