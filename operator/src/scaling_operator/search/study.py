"""One scale's study: a cache of what the ScalingTrials say, rebuilt from them at any time.

A study that is kept alive and one that is rebuilt propose and prune alike. To that end a sampler is
made and seeded anew for each slot, whatever a sampler or pruner would note on a trial is either
kept with the trial or derived from it, and what only a live study could know is wiped out.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

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
from scaling_operator.search.mirror import Mirror
from scaling_operator.search.points import typed_point
from scaling_operator.search.pruners import Rungs, make_pruner, needs_whole_curves
from scaling_operator.search.quiet import quiet_logging
from scaling_operator.search.repeats import RESAMPLES, repeats_of
from scaling_operator.search.samplers import (
    RELATIVE,
    make_sampler,
    study_attributes,
    trial_attributes,
)
from scaling_operator.search.seed import slot_seed
from scaling_operator.search.trials import (
    OptunaState,
    Record,
    Told,
    bounded,
    bounded_curve,
    frozen_trial,
    suggest,
    told,
    typed,
)
from scaling_operator.validation.grid import Grid
from scaling_operator.validation.space import make_space

__all__ = ["AskFailed", "Proposal", "Record", "Study", "StudySettings"]

Direction = Literal["minimize", "maximize"]


class AskFailed(RuntimeError):
    """Sampling broke off half-way: discard this study and rebuild it from the stored trials.

    It may hold a trial that nobody runs, which would shift all later numbers. Every later call on
    the same study raises this too.
    """


@dataclass(frozen=True, slots=True)
class StudySettings:
    """What makes a study: all of it fixed, so that a rebuilt one is the same.

    `name` decides Hyperband's brackets; `base_seed` is the algorithm's seed, or the experiment's
    uid; `ranges` are those that transfer has narrowed, for this scale.
    """

    name: str
    search: Search
    directions: tuple[Direction, ...]
    base_seed: str | int
    scale: int
    ranges: Mapping[str, Range] = field(default_factory=dict[str, Range])


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a slot shall try: the active parameters by name, in their Python types.

    `attributes` are JSON that the sampler needs after a restart; they belong to the trial's spec.
    """

    parameters: Mapping[str, Scalar]
    attributes: Mapping[str, Any]


@dataclass(slots=True)
class _Running:
    """What has been reported of a trial that has not ended."""

    curve: dict[int, float]
    hopeless: bool = False


class Study:
    """One scale's study; one lane: not safe across threads.

    The grid is whole: neither narrowed ranges nor enqueued points change what a number means.
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
        self._repeats = None if self._grid else repeats_of(search, self._space, settings.ranges)
        self._pruner = make_pruner(search.pruner)
        self._begin()
        self._running: dict[int, _Running] = {}
        self._shared_before: dict[str, list[int]] = {}
        self._length = 0
        self._broken = False

    def _begin(self) -> None:
        """Make an empty study."""
        # A storage of its own: an id in it is then the trial's number, also in parents' lists.
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
        """Sample slot `number`, at an enqueued point if there is one; the point may be partial.

        Raises ValueError, with the study unharmed, for a number that is taken or a faulty point;
        AskFailed where the sampler raises.
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
        if self._repeats is not None:
            self._repeats.note(proposal.parameters)
        return proposal

    def add(self, record: Record) -> None:
        """Take in a stored trial, in number order; a missing number is filled with a failed one.

        Raises ValueError for a number that is taken, or a record that does not fit the search.
        """
        self._expect_new(record.number)
        curve = bounded_curve(record.curve)
        own = trial_attributes(record.attributes) | self._rungs.completed(record.number, curve)
        shared = study_attributes(record.attributes)
        trial = frozen_trial(self._space, record, self._told(record), own)
        self._fill_gaps(record.number)
        self._study.add_trial(trial)
        self._length += 1
        if self._repeats is not None:
            self._repeats.note(trial.params)
        known = self._study_attributes()
        for name, value in shared.items():
            if name not in known:
                self._storage.set_study_system_attr(self._study_id, name, value)
        if not record.state.ended:
            self._running[record.number] = _Running(dict(curve))

    def report(self, number: int, step: int, value: float) -> bool:
        """Take in an intermediate value; True when the trial should be pruned.

        Only steps that are kept count (`core.curve`): a study that is rebuilt knows no others. The
        first value of a step stays, a step that comes late decides nothing, and once True it is
        True until the trial is told. Raises ValueError for a value that is not finite.
        """
        self._expect_known(number)
        if not math.isfinite(value):
            message = f"trial {number}, step {step}: {value!r} is not a finite number"
            raise ValueError(message)
        running = self._running.get(number)
        if running is None or isinstance(self._pruner, NopPruner):
            return False
        if running.hopeless or not is_kept(step) or step in running.curve:
            return running.hopeless
        is_latest = step > max(running.curve, default=0)
        running.curve[step] = bounded(value)
        if is_latest:
            trial = copy.copy(self._storage.get_trial(number))
            trial.intermediate_values = dict(running.curve)
            running.hopeless = bool(self._pruner.prune(self._study, trial))  # or numpy's
        self._note_rungs(number, tuple(sorted(running.curve.items())))
        return running.hopeless

    def tell(self, record: Record) -> None:
        """Take in how a trial ended. The first end stays: later ones change nothing.

        `record.curve` should hold all that was reported. Raises ValueError for a trial that has not
        ended, or that this study knows with other parameters (then it must be rebuilt).
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
        end = self._told(record)
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
        """Give each parameter's share in what tells good trials from others, largest first."""
        return importance.importances(self._study)

    def _new_point(self, number: int, enqueued: Mapping[str, Scalar]) -> Proposal:
        """Sample a point; where it was tried already, the sampler's next, else any that is left."""
        settings, repeats = self._settings, self._repeats
        seed = slot_seed(settings.base_seed, settings.scale, number)
        proposal = self._sample(number, enqueued, seed)
        for place in range(1, RESAMPLES + 1):
            if repeats is None or repeats.is_new(proposal.parameters):
                return proposal
            self._take_back()
            # A whole point that is enqueued again would be the same again.
            is_partial = len(enqueued) < len(proposal.parameters)
            again = enqueued if place == 1 and is_partial else dict[str, Scalar]()
            following = slot_seed(f"{settings.base_seed}#{place}", settings.scale, number)
            proposal = self._sample(number, again, following)
        left = None if repeats is None else repeats.left(seed)
        if left is None:
            return proposal
        self._take_back()
        return self._sample(number, left, seed)

    def _take_back(self) -> None:
        """Undo the last ask: Optuna forgets no trial, so that a study without it is made."""
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
            # Else a point that is enqueued whole would belong to no generation.
            _ = trial.relative_params
        attributes = self._storage.get_trial_system_attrs(number)
        for name in attributes:
            if name.startswith(RELATIVE):
                # A rebuilt study does not have it; and it pretends that inactive ones were tried.
                self._storage.set_trial_system_attr(number, name, "")
        fresh = {name: at for name, at in self._study_attributes().items() if name not in before}
        return Proposal(self._space.declared(values), trial_attributes(attributes) | fresh)

    def _told(self, record: Record) -> Told:
        return told(
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
        """Put a failed trial into each missing number, for Optuna counts in order of arrival."""
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
