"""Rules of the ladder that look at more than one section."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.fields import Scalar
from scaling_operator.api.problems import Problem
from scaling_operator.api.rules import Rule, is_given
from scaling_operator.validation.draft import Draft
from scaling_trainer.config.builtin import BuiltIn, with_parameters
from scaling_trainer.config.models import Transformer
from scaling_trainer.counting import count, dimensions_of

_ONE_OBJECTIVE = "needs a single objective; use objective, not objectives"
_NOT_FOR_CONTAINERS = (
    "isoflop needs the FLOPs per sample, which are not known for a container: "
    "use trainer.builtIn, or design grid with data"
)


def ladder_has_one_objective(draft: Draft) -> Iterator[Problem]:
    """Ask a ladder for one objective: a law is fitted to one value."""
    if len(draft.spec.objectives) > 1 and draft.spec.scaling is not None:
        yield Problem("spec.scaling", _ONE_OBJECTIVE)


def scale_is_not_searched(draft: Draft) -> Iterator[Problem]:
    """Refuse to tune what the ladder sets."""
    for path, name in draft.scaled_paths:
        if name in draft.declared:
            message = f"{name} is searched too; take it out of search.parameters or of scaling"
            yield Problem(path, message)


def container_has_no_budgets(draft: Draft) -> Iterator[Problem]:
    """Refuse isoflop for a container: FLOPs per sample turn a budget into samples."""
    if _is_isoflop(draft) and draft.container is not None:
        yield Problem("spec.scaling.design", _NOT_FOR_CONTAINERS)


def flops_are_known(draft: Draft) -> Iterator[Problem]:
    """Ask isoflop for a data set whose FLOPs per sample are known before it is read."""
    built_in = draft.built_in
    if not _is_isoflop(draft) or built_in is None:
        return
    if dimensions_of(built_in.dataset.model_dump()) is None:
        message = (
            f"isoflop needs the FLOPs per sample, which dataset {built_in.dataset.name} tells only "
            "when it is read: use a synthetic or bundled data set or text, or design grid with data"
        )
        yield Problem("spec.scaling.design", message)


def _is_isoflop(draft: Draft) -> bool:
    return draft.spec.scaling is not None and draft.spec.scaling.design == "isoflop"


def trials_last_a_batch(draft: Draft) -> Iterator[Problem]:
    """Ask data and budgets for at least one batch: D is rounded up to whole ones."""
    scaling, built_in = draft.spec.scaling, draft.built_in
    if scaling is None or built_in is None or "batch_size" in draft.declared:
        return
    batch = built_in.batch_size
    if isinstance(built_in.model, Transformer):
        batch *= built_in.model.context
    for index, samples in enumerate(scaling.data):
        if samples < batch:
            message = f"{samples} is less than one batch of {batch}; it must be at least that"
            yield Problem(f"spec.scaling.data[{index}]", message)
    for index, budget in enumerate(scaling.budgets):
        most = max(_flops_per_sample(built_in, rung) for rung in scaling.all_rungs)
        if budget < most * batch:
            message = (
                f"{budget:g} FLOPs do not pay for one batch of {batch} of the largest size; "
                f"it must be at least {most * batch:g}"
            )
            yield Problem(f"spec.scaling.budgets[{index}]", message)


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


SCALING_RULES: tuple[Rule[Draft], ...] = (
    Rule(
        check=ladder_has_one_objective,
        section=ExperimentSpec,
        cel=f"!{is_given('objectives')} || !has(self.scaling)",
        message=f"a ladder {_ONE_OBJECTIVE}",
        field="scaling",
    ),
    Rule(
        check=scale_is_not_searched,
        section=ExperimentSpec,
        cel="!has(self.scaling) || !has(self.scaling.parameter) || !has(self.search) || "
        "!has(self.search.parameters) || !(self.scaling.parameter in self.search.parameters)",
        message="what scaling sets may not be searched too",
        field="scaling.parameter",
    ),
    Rule(
        check=container_has_no_budgets,
        section=ExperimentSpec,
        cel="!has(self.scaling) || !has(self.scaling.design) || self.scaling.design != 'isoflop' "
        "|| !has(self.trainer.container)",
        message=_NOT_FOR_CONTAINERS,
        field="scaling.design",
    ),
    Rule(check=flops_are_known),
    Rule(check=trials_last_a_batch),
)
