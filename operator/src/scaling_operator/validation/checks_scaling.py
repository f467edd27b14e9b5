"""Rules of the ladder that look at more than one field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import ValidationError

from scaling_operator.api.fields import Scalar
from scaling_operator.api.problems import Problem
from scaling_operator.api.scaling import Scaling
from scaling_operator.validation.draft import Draft
from scaling_trainer.config.builtin import BuiltIn, with_parameters
from scaling_trainer.config.models import Transformer
from scaling_trainer.counting import count, dimensions_of


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


def trials_last_a_batch(draft: Draft) -> Iterable[Problem]:
    """Ask data and budgets for at least one batch: D is rounded up to whole ones."""
    scaling, built_in = draft.spec.scaling, draft.built_in
    if scaling is None or built_in is None or "batch_size" in draft.declared:
        return
    batch = built_in.batch_size
    if isinstance(built_in.model, Transformer):
        batch *= built_in.model.context
    for at, samples in enumerate(scaling.data):
        if samples < batch:
            message = f"{samples} is less than one batch of {batch}; it must be at least that"
            yield Problem(f"spec.scaling.data[{at}]", message)
    for at, budget in enumerate(scaling.budgets):
        most = max(_flops_per_sample(built_in, rung) for rung in _rungs(scaling))
        if budget < most * batch:
            message = (
                f"{budget:g} FLOPs do not pay for one batch of {batch} of the largest size; "
                f"it must be at least {most * batch:g}"
            )
            yield Problem(f"spec.scaling.budgets[{at}]", message)


def _rungs(scaling: Scaling) -> tuple[Mapping[str, Scalar], ...]:
    if scaling.parameter is None:
        return scaling.rungs
    return tuple({scaling.parameter: size} for size in scaling.sizes)


def _flops_per_sample(built_in: BuiltIn, rung: Mapping[str, Scalar]) -> float:
    """Count a size's FLOPs; 0 where another rule refuses the size or the data."""
    dimensions = dimensions_of(built_in.dataset.model_dump())
    if dimensions is None:
        return 0.0
    try:
        model = with_parameters(built_in, rung).model
    except ValidationError:
        return 0.0
    return count(model.model_dump(), dimensions).flops_per_sample
