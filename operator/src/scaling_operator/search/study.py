"""One scale's study: a cache of what the ScalingTrials say, rebuilt from them at any time.

A study that was kept alive and a rebuilt study propose and prune alike. Three rules ensure that: a
sampler is made and seeded anew for each trial; what a sampler or pruner would note on a trial is
stored with the trial or derived from it; what only a live study could know is deleted.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import optuna
from optuna.pruners import NopPruner
from optuna.samplers import RandomSampler
from optuna.storages import InMemoryStorage
from optuna.trial import create_trial

from scaling_operator.api.algorithms import GeneticAlgorithm, GridAlgorithm
from scaling_operator.api.algorithms import NoPruner as NoPrunerSpec
from scaling_operator.api.fields import Scalar
from scaling_operator.api.search import Search
from scaling_operator.api.status import Range
from scaling_operator.core.curve import CurvePoints, is_kept
from scaling_operator.search import importance
from scaling_operator.search.first_points import typed_point
from scaling_operator.search.optuna_messages import quiet_logging
from scaling_operator.search.optuna_trials import (
    OptunaState,
    Record,
    StudyEntry,
    bounded,
    bounded_curve,
    frozen_trial,
    study_entry,
    suggest,
    typed,
)
from scaling_operator.search.pruners import Rungs, make_pruner, needs_whole_curves
from scaling_operator.search.samplers import (
    RELATIVE,
    make_sampler,
    study_attributes,
    trial_attributes,
    trial_seed,
)
from scaling_operator.search.tried_points import RESAMPLES, tried_points_of
from scaling_operator.validation.grid import Grid
from scaling_operator.validation.space import make_space

if TYPE_CHECKING:
    from scaling_operator.search.dashboard import Mirror

__all__ = ["AskFailed", "Proposal", "Record", "Study", "StudySettings"]

Direction = Literal["minimize", "maximize"]


class AskFailed(RuntimeError):
    """Sampling failed half-way: discard this study and rebuild it from the stored trials.

    The study may hold a trial that nobody runs, which would shift all later numbers. Every later
    call on the same study raises AskFailed too.
    """


@dataclass(frozen=True, slots=True)
class StudySettings:
    """All that a study is made from; nothing of it changes, so that a rebuilt study is the same.

    `name` decides Hyperband's brackets. `base_seed` is the algorithm's seed, or the experiment's
    uid. `ranges` are those that transfer has narrowed for this scale.
    """

    name: str
    search: Search
    directions: tuple[Direction, ...]
    base_seed: str | int
    scale: int
    ranges: Mapping[str, Range] = field(default_factory=dict[str, Range])


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a trial tries: the active parameters by name, in their Python types.

    `attributes` are JSON that the sampler needs after a restart; they are stored in the trial's
    spec.
    """

    parameters: Mapping[str, Scalar]
    attributes: Mapping[str, Any]


@dataclass(slots=True)
class _Running:
    """The reported curve of a trial that has not ended, and whether it should be pruned."""

    curve: dict[int, float]
    should_prune: bool = False


class Study:
    """One scale's study. Not safe across threads.

    Neither narrowed ranges nor enqueued points change which point of a grid a number means.
    Raises ValueError for a pruner beside several objectives, a faulty range or a faulty `when`.
    """

    def __init__(self, settings: StudySettings) -> None:
        search = settings.search
        if len(settings.directions) > 1 and not isinstance(search.pruner, NoPrunerSpec):
            message = f"pruner {search.pruner.name}: several objectives cannot be pruned; use none"
            raise ValueError(message)
        quiet_logging()
        self._settings = settings
        self._grid = Grid(search) if isinstance(search.algorithm, GridAlgorithm) else None
        self._space = make_space(search, None if self._grid else settings.ranges)
        self._tried = None if self._grid else tried_points_of(search, self._space, settings.ranges)
        self._pruner = make_pruner(search.pruner)
        self._begin()
        self._running: dict[int, _Running] = {}
        self._shared_before: dict[str, list[int]] = {}
        self._length = 0
        self._broken = False

    def _begin(self) -> None:
        """Make an empty study."""
        # The study has its own storage: a trial's id is then its number, also in parents' lists.
        self._storage = InMemoryStorage()
        self._study = optuna.create_study(
            storage=self._storage,
            study_name=self._settings.name,
            directions=self._settings.directions,
            sampler=RandomSampler(seed=0),
            pruner=NopPruner(),
        )
        self._study_id = self._storage.get_study_id_from_name(self._settings.name)
        self._rungs = Rungs(self._settings.search.pruner, self._pruner, self._study)

    def ask(self, number: int, point: Mapping[str, Scalar] | None = None) -> Proposal:
        """Sample trial `number`, at an enqueued point if there is one; the point may be partial.

        Raises ValueError for a number that is taken or a faulty point, and the study stays usable;
        raises AskFailed where the sampler raises.
        """
        self._expect_new(number)
        enqueued = typed_point(self._space, point or {})
        if self._grid is not None:
            enqueued = self._grid.point(number)
        self._fill_gaps(number)
        self._broken = True
        try:
            proposal = self._new_point(number, enqueued)
        except Exception as error:
            message = f"study {self._settings.name}: sampling trial {number} failed: {error}"
            raise AskFailed(message) from error
        self._broken = False
        self._running[number] = _Running({})
        if self._tried is not None:
            self._tried.note(proposal.parameters)
        return proposal

    def add(self, record: Record) -> None:
        """Take in a stored trial, in order of number; a failed trial fills each missing number.

        Raises ValueError for a number that is taken, or a record that does not fit the search.
        """
        self._expect_new(record.number)
        curve = bounded_curve(record.curve)
        own = trial_attributes(record.attributes) | self._rungs.completed(record.number, curve)
        shared = study_attributes(record.attributes)
        trial = frozen_trial(self._space, record, self._entry(record), own)
        self._fill_gaps(record.number)
        self._study.add_trial(trial)
        self._length += 1
        if self._tried is not None:
            self._tried.note(trial.params)
        present = self._study_attributes()
        for name, value in shared.items():
            if name not in present:
                self._storage.set_study_system_attr(self._study_id, name, value)
        if not record.state.ended:
            self._running[record.number] = _Running(dict(curve))

    def report(self, number: int, step: int, value: float) -> bool:
        """Take in an intermediate value; True when the trial should be pruned.

        Only steps that are kept count (`core.curve`): a rebuilt study knows no others. The first
        value of a step stays. A step that comes late decides nothing. Once the answer is True, it
        stays True until the trial's end is told. Raises ValueError for a value that is not finite.
        """
        self._expect_known(number)
        if not math.isfinite(value):
            message = f"trial {number}, step {step}: {value!r} is not a finite number"
            raise ValueError(message)
        running = self._running.get(number)
        if running is None or isinstance(self._pruner, NopPruner):
            return False
        if running.should_prune or not is_kept(step) or step in running.curve:
            return running.should_prune
        is_latest = step > max(running.curve, default=0)
        running.curve[step] = bounded(value)
        if is_latest:
            trial = copy.copy(self._storage.get_trial(number))
            trial.intermediate_values = dict(running.curve)
            running.should_prune = bool(self._pruner.prune(self._study, trial))  # or numpy's
        self._note_rungs(number, tuple(sorted(running.curve.items())))
        return running.should_prune

    def tell(self, record: Record) -> None:
        """Take in how a trial ended. The first end stays: later ones change nothing.

        `record.curve` should hold all that was reported. Raises ValueError for a trial that has not
        ended, or that this study has with other parameters (then the study must be rebuilt).
        """
        self._expect_known(record.number)
        if not record.state.ended:
            message = f"trial {record.number} has not ended: it is {record.state}"
            raise ValueError(message)
        if record.number not in self._running:
            return
        if self._storage.get_trial(record.number).params != typed(self._space, record):
            message = f"trial {record.number} is stored with other parameters; rebuild the study"
            raise ValueError(message)
        end = self._entry(record)
        self._note_rungs(record.number, bounded_curve(record.curve))
        for step, value in end.curve:
            self._storage.set_trial_intermediate_value(record.number, step, value)
        self._study.tell(record.number, values=end.values, state=end.state)
        del self._running[record.number]

    def show(self, mirror: Mirror, name: str) -> None:
        """Bring this study's copy in a mirror up to date."""
        trials = self._study.get_trials(deepcopy=False)
        mirror.show(name, self._settings.directions, trials)

    def importances(self) -> Mapping[str, float]:
        """Give each parameter's share in what separates good trials from others, largest first."""
        return importance.importances(self._study)

    def _new_point(self, number: int, enqueued: Mapping[str, Scalar]) -> Proposal:
        """Sample a point that no trial has tried, else choose any untried point.

        The sampler is asked again where it proposes a tried point. Where all points were tried, its
        last proposal counts.
        """
        settings, tried = self._settings, self._tried
        seed = trial_seed(settings.base_seed, settings.scale, number)
        proposal = self._sample(number, enqueued, seed)
        for place in range(1, RESAMPLES + 1):
            if tried is None or tried.is_new(proposal.parameters):
                return proposal
            self._take_back()
            # An enqueued point that sets everything would be proposed again unchanged.
            is_partial = len(enqueued) < len(proposal.parameters)
            again = enqueued if place == 1 and is_partial else dict[str, Scalar]()
            following = trial_seed(f"{settings.base_seed}#{place}", settings.scale, number)
            proposal = self._sample(number, again, following)
        untried = None if tried is None else tried.untried(seed)
        if untried is None:
            return proposal
        self._take_back()
        return self._sample(number, untried, seed)

    def _take_back(self) -> None:
        """Undo the last ask by a new study without its trial: Optuna can forget no trial."""
        trials = self._study.get_trials(deepcopy=False)[:-1]
        self._begin()
        self._study.add_trials(trials)
        for name, value in self._shared_before.items():
            self._storage.set_study_system_attr(self._study_id, name, value)
        self._length -= 1

    def _sample(self, number: int, enqueued: Mapping[str, Scalar], seed: int) -> Proposal:
        settings = self._settings
        algorithm = settings.search.algorithm
        self._study.sampler = make_sampler(algorithm, seed, conditional=self._space.conditional)
        before = self._shared_before = self._study_attributes()
        if enqueued:
            self._study.enqueue_trial(dict(enqueued), skip_if_exists=False)
        trial = self._study.ask()
        self._length += 1
        values: dict[str, Scalar] = {}
        for name in self._space.active_names(values):
            values[name] = suggest(trial, name, self._space.parameters[name])
        if isinstance(algorithm, GeneticAlgorithm):
            # Else an enqueued point that sets everything would belong to no generation.
            _ = trial.relative_params
        attributes = self._storage.get_trial_system_attrs(number)
        for name in attributes:
            if name.startswith(RELATIVE):
                # A rebuilt study lacks this attribute, which also has values of inactive
                # parameters, as if they had been tried.
                self._storage.set_trial_system_attr(number, name, "")
        fresh = {name: at for name, at in self._study_attributes().items() if name not in before}
        return Proposal(self._space.declared(values), trial_attributes(attributes) | fresh)

    def _entry(self, record: Record) -> StudyEntry:
        return study_entry(
            record,
            objectives=len(self._settings.directions),
            whole_curve=needs_whole_curves(self._settings.search.pruner),
        )

    def _study_attributes(self) -> dict[str, list[int]]:
        return study_attributes(self._storage.get_study_system_attrs(self._study_id))

    def _note_rungs(self, number: int, curve: CurvePoints) -> None:
        for name, value in self._rungs.completed(number, curve).items():
            self._storage.set_trial_system_attr(number, name, value)

    def _fill_gaps(self, number: int) -> None:
        """Add a failed trial for each missing number: Optuna numbers trials in order of arrival."""
        while self._length < number:
            self._study.add_trial(create_trial(state=OptunaState.FAIL))
            self._length += 1

    def _expect_new(self, number: int) -> None:
        self._expect_whole()
        if number < self._length:
            message = f"trial {number} is taken; the next free number is {self._length}"
            raise ValueError(message)

    def _expect_known(self, number: int) -> None:
        self._expect_whole()
        if not 0 <= number < self._length:
            message = f"trial {number} was neither asked for nor added"
            raise ValueError(message)

    def _expect_whole(self) -> None:
        if self._broken:
            message = f"study {self._settings.name} broke at an earlier ask; rebuild it"
            raise AskFailed(message)
