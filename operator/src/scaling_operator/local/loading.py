"""The first step of a local run: from the result folder to the state that the run starts from.

The folder is begun, or read and compared with the experiment file. A policy and the points to try
first come from the command line and from other result folders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from scaling_operator.api.experiment import ExperimentSpec, ScalingExperiment, Trials
from scaling_operator.api.policy import PolicySpec
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.ladder import Scale
from scaling_operator.core.observed import AttemptView, Observed, Point, Rules
from scaling_operator.core.trial_status import Machine
from scaling_operator.local.contents import Contents, Identity
from scaling_operator.local.store import Store, StoreError, expect_undamaged, repair
from scaling_operator.runtime.hooks import Hooks
from scaling_operator.runtime.state import ExperimentState, read_state
from scaling_operator.runtime.study_settings import trials_per_scale
from scaling_operator.search.first_points import Other, best_points
from scaling_operator.sizing.run_plan import KnownMachines
from scaling_operator.validation.immutable import changed_parts


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What the command line asks for."""

    experiment: ScalingExperiment
    data_folder: Path
    out: Path
    parallel: int | None = None
    policy: PolicySpec | None = None
    repair: bool = False
    """Set aside what is damaged in the folder."""


def load(request: RunRequest, store: Store, hooks: Hooks) -> tuple[Identity, ExperimentState]:
    """Begin the folder or read it; damaged files are set aside first where the user asked for it.

    Raises StoreError where the folder holds another experiment, or is damaged.
    """
    if request.repair:
        repair(store, request.experiment, hooks.noted)
    identity = store.begin(request.experiment)
    _expect_same_experiment(identity, request)
    state = _state_of(request, store.contents(), hooks)
    store.renew(identity, request.experiment)
    return identity, state


def _expect_same_experiment(identity: Identity, request: RunRequest) -> None:
    if identity.name != request.experiment.metadata.name:
        message = f"{request.out} holds the experiment {identity.name}; choose another --out"
        raise StoreError(message)
    changed = changed_parts(identity.spec, request.experiment.spec)
    if changed:
        message = (
            f"{request.out} was begun with another {', '.join(changed)}; these may not change:"
            " choose another --out, or put them back"
        )
        raise StoreError(message)


def _state_of(request: RunRequest, contents: Contents, hooks: Hooks) -> ExperimentState:
    expect_undamaged(contents.damaged)
    spec = request.experiment.spec
    if request.parallel is not None:
        trials = spec.trials.model_copy(update={"parallel": request.parallel})
        spec = spec.model_copy(update={"trials": Trials.model_validate(trials)})
    rules = Rules(max_trials=trials_per_scale(request.experiment.spec), fits=True)
    state = read_state(spec, rules, contents.status, contents.trials)
    state.machines = None if request.policy is None else PriceList(request.policy)
    if not all(view.open for view in state.scales.values()):
        beside = request.out.absolute().parent
        state.warm_points = warm_points(spec, beside, request.data_folder, hooks.noted)
    return state


def warm_points(
    spec: ExperimentSpec, beside: Path, data_folder: Path, tell: Callable[[str], None]
) -> tuple[Point, ...]:
    """Collect the points to try first: the user's own, and the best of earlier result folders.

    `warmStart.points` come first, then the best `topK` of each folder in `warmStart.from`. A name
    there is a folder beside the result folder, or a path from the experiment file; StoreError is
    raised where it is neither. Damaged trials of such a folder are left out, and the user is told.
    """
    warm = spec.search.warm_start
    points: list[Point] = [dict(point) for point in warm.points]
    for name in warm.from_:
        folder = next((path for path in (beside / name, data_folder / name) if path.is_dir()), None)
        if folder is None:
            message = (
                f"spec.search.warmStart.from: {name} is neither a result folder beside --out"
                f" ({beside}) nor a path from the experiment file"
            )
            raise StoreError(message)
        contents = Store(folder).contents()
        for damage in contents.damaged:
            tell(f"{damage}; left out")
        other = Other(str(folder), contents.identity.spec, contents.trials)
        try:
            points += best_points(other, spec)[: warm.top_k]
        except ValueError as error:
            raise StoreError(str(error)) from error
    return tuple(points)


@dataclass(frozen=True, slots=True)
class PriceList:
    """A policy without a cluster: it says what a recommended run would take, and sizes no trial."""

    policy: PolicySpec

    def note(self, trial: ScalingTrial) -> None:
        """Take in nothing: a trial on this machine teaches nothing of other machines."""
        del trial

    async def prepare(self, scales: Iterable[Scale]) -> None:
        """Do nothing: nothing is sized."""
        del scales

    def machine(self, view: AttemptView) -> Machine | None:
        """Say nothing of an attempt: it had no machine of the policy."""
        del view

    def complete(self, observed: Observed, live: tuple[ScalingTrial, ...]) -> Observed:
        """Add the policy's machines, which price the runs that a fit recommends."""
        del live
        return replace(observed, machines=KnownMachines(self.policy))
