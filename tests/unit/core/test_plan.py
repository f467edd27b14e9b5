"""The plan, driven through a small world: real studies, real records, trainers that are a formula.

The world is the state of both shells over a disk in memory. It can be killed before and after every
write and rebuilt from its records, which is what a crash leaves.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_runs import IsoFlopDesign, chinchilla_law, simulated

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import Phase, Reason, StopReason, TrialKey, TrialState
from scaling_operator.api.status import ExperimentStatus, TrialStatus
from scaling_operator.api.trial import ExperimentReference, ScalingTrial, TrialSpec
from scaling_operator.core.actions import (
    Action,
    AddScales,
    Ask,
    Discard,
    EndAttempt,
    EndTrial,
    Launch,
    OpenScale,
    SetState,
)
from scaling_operator.core.fit_input import awaits_prediction, fit_input_of
from scaling_operator.core.ladder import running_order, scales_of
from scaling_operator.core.observed import (
    ABSENT,
    AttemptPhase,
    AttemptView,
    Observed,
    Rules,
    StaleWorkload,
)
from scaling_operator.core.plan import plan
from scaling_operator.core.reports import AttemptKey
from scaling_operator.core.trial_status import attempt_ended, finished, state_set
from scaling_operator.law.fit_experiment import fit
from scaling_operator.runtime.state import read_state
from scaling_operator.search.optuna_trials import record_of
from scaling_operator.search.samplers import trial_seed
from scaling_operator.search.study import Study, StudySettings
from scaling_trainer.results import Point, Result

Trainer = Callable[[ScalingTrial], AttemptView]


class Crashed(Exception):
    """The process died."""


def spec_of(**sections: Any) -> ExperimentSpec:
    document: dict[str, Any] = {
        "objective": {"metric": "loss", "direction": "minimize"},
        "search": {
            "parameters": {"x": {"type": "float", "low": -1, "high": 1}},
            "algorithm": {"name": "tpe", "seed": 7, "startupTrials": 3},
        },
        "trials": {"max": 8, "parallel": 3},
        "trainer": {"container": {"command": ["true"]}},
    }
    return ExperimentSpec.model_validate(document | sections)


def parabola(trial: ScalingTrial) -> AttemptView:
    x, size = float(trial.spec.parameters["x"]), float(trial.spec.parameters.get("size", 1))
    return exited(0, (x - 0.3) ** 2 + 1 / size)


def exited(code: int, loss: float | None = None) -> AttemptView:
    result = None if loss is None else Result(metrics={"loss": loss})
    return AttemptView(AttemptPhase.EXITED, exit_code=code, result=result)


@dataclass
class Disk:
    """What survives a crash."""

    trials: dict[TrialKey, ScalingTrial] = field(default_factory=dict[TrialKey, ScalingTrial])
    status: ExperimentStatus = field(default_factory=ExperimentStatus)
    workloads: dict[tuple[int, int, int], AttemptView] = field(
        default_factory=dict[tuple[int, int, int], AttemptView]
    )
    writes: int = 0
    dies_at: int | None = None

    def write(self, change: Callable[[], None]) -> None:
        """Do one durable write; die before it at an even `dies_at`, after it at an odd one."""
        if self.dies_at == 2 * self.writes:
            raise Crashed
        change()
        if self.dies_at == 2 * self.writes + 1:
            raise Crashed
        self.writes += 1


class World:
    """A shell over a Disk. Time does not pass unless a test says so; with `fits` it fits."""

    def __init__(
        self, spec: ExperimentSpec, disk: Disk, trainer: Trainer = parabola, *, fits: bool = False
    ) -> None:
        self.disk, self.trainer = disk, trainer
        rules = Rules(max_trials=spec.trials.max or 40, fits=fits)
        trials = [trial for _, trial in sorted(disk.trials.items())]
        self.state = read_state(spec, rules, disk.status, trials)
        self.now = 100.0
        self.most_live = 0
        self.fits_made = 0
        self.studies: dict[int, Study] = {}

    def observe(self) -> Observed:
        self.most_live = max(self.most_live, len(self.state.live))
        return self.state.observe(self.view, self.stale_workloads(), self.now)

    def view(self, _: ScalingTrial, key: AttemptKey) -> AttemptView:
        return self.disk.workloads.get((key.scale, key.number, key.attempt), ABSENT)

    def stale_workloads(self) -> list[StaleWorkload]:
        return [
            StaleWorkload(*key, view)
            for key, view in self.disk.workloads.items()
            if not self.state.is_current(AttemptKey(*key))
        ]

    def store_status(self, status: ExperimentStatus) -> None:
        self.disk.status = self.state.status = status

    def settle(self) -> ExperimentStatus:
        """Plan and apply until nothing is left to do."""
        while True:
            decided = plan(self.observe())
            assert decided == plan(self.observe()), "planning is a function of what is observed"
            for action in decided.actions:
                self.apply(action)
            if not decided.actions and awaits_prediction(self.observe()):
                fit_input = fit_input_of(self.observe())
                assert fit_input is not None
                self.state.fit = fit(fit_input).view
                self.fits_made += 1
                continue
            if not decided.actions:
                self.store_status(decided.status)
                return decided.status

    def run(self) -> ExperimentStatus:
        """Let trainers end one at a time, the lowest slot first, until all is over."""
        while True:
            status = self.settle()
            running = [
                key
                for key, view in sorted(self.disk.workloads.items())
                if view.phase is AttemptPhase.RUNNING
            ]
            if not running:
                return status
            key = running[0]
            self.disk.workloads[key] = self.trainer(self.disk.trials[key[:2]])

    def apply(self, action: Action) -> None:
        match action:
            case AddScales() | OpenScale():
                self.state.note_scales(action)
                self.disk.write(lambda: self.store_status(plan(self.observe()).status))
            case Ask():
                self.ask(action)
            case Launch():
                key = (action.scale, action.number, action.attempt)
                assert key not in self.disk.workloads, "no attempt is ever started twice"
                running = AttemptView(AttemptPhase.RUNNING, since_seconds=self.now)
                self.disk.write(lambda: self.disk.workloads.update({key: running}))
            case SetState():
                self.change(action, lambda trial: state_set(trial.status, action))
            case EndAttempt():
                self.change(action, lambda trial: attempt_ended(trial.status, action, self.now))
            case EndTrial():
                self.change(action, lambda trial: finished(trial.status, action, (), self.now))
                self.tell(action)
            case Discard():
                key = (action.scale, action.number, action.attempt)
                self.disk.write(lambda: self.disk.workloads.pop(key) and None)

    def tell(self, action: EndTrial) -> None:
        if action.scale in self.studies:
            ended = self.disk.trials[(action.scale, action.number)]
            self.studies[action.scale].tell(record_of(ended, self.state.spec.search))

    def change(
        self,
        action: EndTrial | EndAttempt | SetState,
        status: Callable[[ScalingTrial], TrialStatus],
    ) -> None:
        trial_key = (action.scale, action.number)
        trial = self.disk.trials[trial_key]
        changed = trial.model_copy(update={"status": status(trial)})
        self.store(changed)

    def store(self, trial: ScalingTrial) -> None:
        self.disk.write(lambda: self.disk.trials.update({trial.spec.key: trial}))
        self.state.note(trial, now_seconds=0.0)

    def ask(self, action: Ask) -> None:
        proposal = self.study(action.scale).ask(action.number, action.point)
        scale = self.state.scales[action.scale].scale
        trial = ScalingTrial(
            spec=TrialSpec(
                experiment=ExperimentReference(name="test", uid="uid"),
                scale=action.scale,
                number=action.number,
                parameters={**scale.parameters, **proposal.parameters},
                searched=tuple(proposal.parameters),
                sampler_attributes=dict(proposal.attributes),
                seed=trial_seed(7, action.scale, action.number),
                samples=scale.samples,
            )
        )
        assert trial.spec.key not in self.disk.trials, "no slot is ever asked for twice"
        self.store(trial)

    def study(self, scale: int) -> Study:
        if scale not in self.studies:
            self.studies[scale] = Study(
                StudySettings(
                    name=f"test-{scale}",
                    search=self.state.spec.search,
                    directions=("minimize",),
                    base_seed=7,
                    scale=scale,
                    ranges=self.state.scales[scale].ranges,
                )
            )
            for record in self.state.records_of(scale):
                self.studies[scale].add(record)
        return self.studies[scale]


class Overlapping(World):
    """A shell that plans again before all is done; `choices` say what is done first."""

    def __init__(self, spec: ExperimentSpec, disk: Disk, choices: Iterable[int]) -> None:
        super().__init__(spec, disk)
        self.choices = itertools.cycle(choices)
        self.under_way: list[Action] = []

    def observe(self) -> Observed:
        observed = super().observe()
        asking = frozenset(key_of(action) for action in self.under_way if isinstance(action, Ask))
        going = [action for action in self.under_way if isinstance(action, Discard)]
        changing = {key_of(action) for action in self.under_way if action not in going}
        self.most_live = max(self.most_live, len(observed.live) + len(asking))
        return replace(
            observed,
            asking=asking,
            changing=frozenset(changing - asking),
            stale=tuple(
                left
                for left in observed.stale
                if Discard(left.scale, left.number, left.attempt) not in going
            ),
        )

    def settle(self) -> ExperimentStatus:
        """Plan again whenever something is done, until nothing is left or under way."""
        while True:
            decided = plan(self.observe())
            if not decided.actions and not self.under_way:
                self.store_status(decided.status)
                return decided.status
            for action in decided.actions:
                self.begin(action)
            self.end_one()

    def begin(self, action: Action) -> None:
        if isinstance(action, AddScales | OpenScale):
            self.apply(action)
            return
        same = [begun for begun in self.under_way if key_of(begun) == key_of(action)]
        kinds = {isinstance(begun, Discard) for begun in same}
        assert isinstance(action, Discard) not in kinds, "nothing is decided twice"
        self.under_way.append(action)

    def end_one(self) -> None:
        asks = [action for action in self.under_way if isinstance(action, Ask)]
        ready = [action for action in self.under_way if action not in asks[1:]]
        if not ready:
            return
        action = ready[next(self.choices) % len(ready)]
        self.under_way.remove(action)
        self.apply(action)
        if isinstance(action, Ask):
            self.under_way.append(Launch(action.scale, action.number, 0))


def key_of(action: Action) -> TrialKey:
    assert not isinstance(action, AddScales | OpenScale)
    return action.scale, action.number


LADDER = {"parameter": "size", "sizes": [1, 2, 4]}


def proposals(disk: Disk) -> Mapping[TrialKey, Any]:
    return {trial_key: trial.spec.parameters for trial_key, trial in sorted(disk.trials.items())}


def results(disk: Disk) -> Mapping[TrialKey, Any]:
    return {
        trial_key: (trial.status.state, trial.status.values)
        for trial_key, trial in disk.trials.items()
    }


REFINED = LADDER | {"refine": {"maxSizes": 2}}
REFINED_GRID = REFINED | {"design": "grid", "data": [5, 20]}


@settings(max_examples=30, deadline=None)
@given(
    most=st.integers(1, 9),
    parallel=st.integers(1, 12),
    ladder=st.booleans(),
    transfer=st.booleans(),
)
def test_never_more_than_parallel_live_and_never_more_than_max_per_scale(
    most: int, parallel: int, *, ladder: bool, transfer: bool
) -> None:
    scaling = {**LADDER, **({"transfer": {"topK": 1, "shrink": 0.5}} if transfer else {})}
    sections = {"scaling": scaling} if ladder else {}
    world = World(spec_of(trials={"max": most, "parallel": parallel}, **sections), Disk())
    status = world.run()
    assert world.most_live <= parallel
    assert status.phase is Phase.SUCCEEDED
    assert [scale.counts.succeeded for scale in status.scales] == [most] * (3 if ladder else 1)
    assert not world.disk.workloads, "nothing is left behind"


@settings(max_examples=40, deadline=None)
@given(
    choices=st.lists(st.integers(0, 9), min_size=1, max_size=30),
    most=st.integers(1, 5),
    parallel=st.integers(1, 6),
    ladder=st.booleans(),
    transfer=st.booleans(),
)
def test_what_is_under_way_is_not_decided_again_and_keeps_its_slot(
    choices: list[int], most: int, parallel: int, *, ladder: bool, transfer: bool
) -> None:
    scaling = {**LADDER, **({"transfer": {"topK": 1, "shrink": 0.5}} if transfer else {})}
    sections = {"scaling": scaling} if ladder else {}
    spec = spec_of(trials={"max": most, "parallel": parallel}, **sections)
    world = Overlapping(spec, Disk(), choices)
    status = world.run()
    assert world.most_live <= parallel
    assert status.phase is Phase.SUCCEEDED
    assert [scale.counts.succeeded for scale in status.scales] == [most] * (3 if ladder else 1)
    assert not world.disk.workloads, "nothing is left behind"


@pytest.mark.slow
@pytest.mark.parametrize("parallel", [1, 3])
@pytest.mark.parametrize(
    ("scaling", "most"),
    [
        pytest.param(None, 4, id="no ladder"),
        pytest.param(LADDER, 4, id="a ladder"),
        pytest.param(LADDER | {"transfer": {"topK": 2, "shrink": 0.5}}, 4, id="transfer"),
        pytest.param(REFINED, 2, id="sizes that refine adds"),
        pytest.param(REFINED_GRID, 1, id="a size that refine adds to several amounts of data"),
    ],
)
def test_a_run_that_crashed_at_any_write_ends_as_the_undisturbed_one(
    parallel: int, scaling: dict[str, Any] | None, most: int
) -> None:
    sections = {} if scaling is None else {"scaling": scaling}
    spec = spec_of(trials={"max": most, "parallel": parallel}, **sections)
    undisturbed = Disk()
    World(spec, undisturbed).run()
    for moment in range(2 * undisturbed.writes):
        disk = Disk(dies_at=moment)
        with pytest.raises(Crashed):
            World(spec, disk).run()
        disk.dies_at = None
        World(spec, disk).run()
        assert proposals(disk) == proposals(undisturbed), f"crash point {moment}"
        assert results(disk) == results(undisturbed), f"crash point {moment}"


def test_transfer_opens_a_scale_when_the_one_before_has_ended_with_a_narrower_range() -> None:
    spec = spec_of(scaling={**LADDER, "transfer": {"topK": 2, "shrink": 0.5}})
    world = World(spec, Disk())
    world.settle()
    assert [scale.open for scale in world.disk.status.scales] == [True, False, False]
    status = world.run()
    widths = [scale.ranges["x"].high - scale.ranges["x"].low for scale in status.scales[1:]]
    assert widths == pytest.approx([1.0, 0.5])
    assert len(status.scales[1].points) == 2
    first = world.disk.trials[(1, 0)].spec.parameters["x"]
    assert first == status.scales[0].best.parameters["x"]  # pyright: ignore[reportOptionalMemberAccess] - it has one


def test_transfer_moves_points_and_ranges_as_best_values_move_with_size() -> None:
    """A rate that falls as 1/size: where it was best is too high for the next size."""

    def trainer(trial: ScalingTrial) -> AttemptView:
        rate, size = (float(trial.spec.parameters[name]) for name in ("rate", "size"))
        return exited(0, 1 + math.log2(rate * size) ** 2)

    spec = spec_of(
        search={
            "parameters": {"rate": {"type": "float", "low": 1e-3, "high": 10.0, "log": True}},
            "algorithm": {"name": "tpe", "seed": 7, "startupTrials": 3},
        },
        scaling={"parameter": "size", "sizes": [1, 4, 16, 64], "transfer": {"topK": 2}},
    )
    status = World(spec, Disk(), trainer).run()
    before, last = status.scales[2], status.scales[3]
    assert before.best is not None
    first = float(last.points[0]["rate"])
    assert first < float(before.best.parameters["rate"]) / 2
    assert last.ranges["rate"].low < first < last.ranges["rate"].high
    assert last.best is not None
    assert float(last.best.parameters["rate"]) * 64 == pytest.approx(1.0, rel=0.7)


@pytest.mark.slow
def test_transfer_comes_as_near_with_half_the_trials() -> None:
    """S1: the best rate falls as N^(-1/3) over five budgets of seven sizes."""
    runs = simulated(chinchilla_law(), IsoFlopDesign(5, 7))
    tokens = runs.C / (6 * runs.N) if runs.C is not None else runs.N
    truth = {float(n): float(loss) for n, loss in zip(runs.N, runs.L, strict=True)}

    def trainer(trial: ScalingTrial) -> AttemptView:
        rate, size = (float(trial.spec.parameters[name]) for name in ("rate", "n"))
        octaves = math.log2(rate / 0.0047 * (size / 1.08e8) ** (1 / 3))
        return exited(0, truth[size] * (1 + 0.01 * octaves**2))

    def excess(most: int, **more: Any) -> list[float]:
        rungs = [{"n": float(n), "d": float(d)} for n, d in zip(runs.N, tokens, strict=True)]
        spec = spec_of(
            search={
                "parameters": {"rate": {"type": "float", "low": 2e-4, "high": 5e-2, "log": True}},
                "algorithm": {"name": "tpe", "seed": 7, "startupTrials": most // 3},
            },
            scaling={"rungs": rungs, **more},
            trials={"max": most, "parallel": 1},
        )
        status = World(spec, Disk(), trainer).run()
        bests = [scale.best for scale in status.scales]
        return [best.values[0] / truth[float(best.parameters["n"])] - 1 for best in bests if best]

    independent, transferred = excess(12), excess(6, transfer={})
    assert sum(excess_loss < 0.003 for excess_loss in transferred) >= 34, (
        "all but the first, which nobody helps"
    )
    assert sum(transferred) / 35 < max(sum(independent) / 35, 0.001)


def test_refine_adds_sizes_beyond_the_best_while_it_may_with_the_next_indices() -> None:
    status = World(spec_of(scaling=REFINED), Disk()).run()
    assert [scale.parameters["size"] for scale in status.scales] == [1, 2, 4, 8, 16]
    assert [scale.index for scale in status.scales] == [0, 1, 2, 3, 4]
    assert all(scale.counts.succeeded == 8 for scale in status.scales)
    assert status.phase is Phase.SUCCEEDED


def test_refine_adds_a_size_only_to_the_data_whose_best_lies_at_that_end() -> None:
    def trainer(trial: ScalingTrial) -> AttemptView:
        size, data = float(trial.spec.parameters["size"]), float(trial.spec.samples or 0)
        return exited(0, 1 + abs(size - {5.0: 1.0, 20.0: 4.0}[data]))

    sizes = {"sizes": [2, 4, 8], "refine": {"maxSizes": 1}}
    status = World(spec_of(scaling=REFINED_GRID | sizes), Disk(), trainer).run()
    added = [(scale.parameters["size"], scale.samples) for scale in status.scales[6:]]
    assert added == [(1, 5.0)]


POWER_LADDER: dict[str, Any] = {
    "parameter": "size",
    "sizes": [1, 2, 4, 8, 16, 32, 64],
    "targets": [{"parameters": 200}],
}


def power_law(trial: ScalingTrial) -> AttemptView:
    x, size = float(trial.spec.parameters["x"]), float(trial.spec.parameters["size"])
    loss = (1.0 + 2.0 / size**0.5) * (1.0 + 0.001 * (x - 0.3) ** 2)
    result = Result(metrics={"loss": loss}, model_parameters=size)
    return AttemptView(AttemptPhase.EXITED, exit_code=0, result=result)


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="side by side"),
        pytest.param({"transfer": {"topK": 2}}, id="with transfer"),
        pytest.param({"sizes": [1, 2, 4, 8, 16], "refine": {"maxSizes": 2}}, id="sizes added"),
    ],
)
def test_a_size_is_foretold_before_its_first_trial_and_checked_after(more: dict[str, Any]) -> None:
    spec = spec_of(scaling=POWER_LADDER | more)
    status = World(spec, Disk(), power_law, fits=True).run()
    assert [scale.predicted is None for scale in status.scales] == [True] * 5 + [False] * 2
    for scale in status.scales[5:]:
        assert scale.predicted is not None
        assert scale.best is not None
        assert scale.predicted.seen == scale.best.values[0]
        size = float(scale.best.parameters["size"])
        assert scale.predicted.value == pytest.approx(1.0 + 2.0 / size**0.5, rel=2e-3)
        assert scale.predicted.points == scale.index, "what was known then"
    assert status.fit is not None
    assert status.fit.points == 7
    assert status.recommendations[0].size == pytest.approx(200)
    ready = next(c for c in status.conditions if c.type == "FitReady")
    assert (ready.status, ready.reason) == ("True", "Fitted")


def test_a_prediction_survives_a_restart_and_what_was_fitted_stays_until_it_is_fitted_anew() -> (
    None
):
    disk = Disk()
    spec = spec_of(scaling=POWER_LADDER)
    before = World(spec, disk, power_law, fits=True).run()
    after = World(spec, disk, power_law).settle()
    assert after.fit == before.fit
    assert after.recommendations == before.recommendations
    assert [c for c in after.conditions if c.type == "FitReady"] == [
        c for c in before.conditions if c.type == "FitReady"
    ]
    assert [s.predicted for s in after.scales] == [s.predicted for s in before.scales]
    anew = World(spec, disk, power_law, fits=True).run()
    assert anew.fit == before.fit, "the same trials give the same fit"


def test_targets_may_change_after_the_end_and_are_answered() -> None:
    disk = Disk()
    World(spec_of(scaling=POWER_LADDER), disk, power_law, fits=True).run()
    changed = spec_of(scaling=POWER_LADDER | {"targets": [{"loss": 1.1}]})
    status = World(changed, disk, power_law, fits=True).run()
    assert status.recommendations[0].size == pytest.approx(400, rel=0.01)


def test_an_experiment_is_not_complete_before_its_fit() -> None:
    world = World(spec_of(scaling=POWER_LADDER), Disk(), power_law, fits=True)
    world.run()
    world.state.fit = None
    decided = plan(world.observe())
    assert decided.actions == ()
    assert decided.status.phase is not Phase.SUCCEEDED


def test_while_trials_run_a_scale_waits_for_a_fit_of_the_same_scales_only() -> None:
    world = World(spec_of(scaling=POWER_LADDER), Disk(), power_law, fits=True)
    world.run()
    assert world.fits_made <= 2 * len(world.state.scales), "not one for each new best"


def test_pruned_failed_and_stopped_trials_never_enter_a_fit() -> None:
    def trainer(trial: ScalingTrial) -> AttemptView:
        return exited(1) if trial.spec.number % 2 else power_law(trial)

    spec = spec_of(scaling=POWER_LADDER, trials={"max": 4, "parallel": 1, "maxFailed": 99})
    world = World(spec, Disk(), trainer, fits=True)
    world.run()
    fit_input = fit_input_of(world.observe())
    assert fit_input is not None
    assert len(fit_input.points) == 7
    assert all(int(point.trial.split("-")[1]) % 2 == 0 for point in fit_input.points)


def test_several_points_of_a_run_enter_and_the_best_trial_at_each_counts() -> None:
    """Runs that decay early at D = 10 and 30 before their end at 100; x matters less early on."""

    def trainer(trial: ScalingTrial) -> AttemptView:
        x, size = float(trial.spec.parameters["x"]), float(trial.spec.parameters["size"])

        def loss(samples: float) -> float:
            off = (x - 0.3 + (0.2 if samples < 100 else 0.0)) ** 2
            return (1.0 + 2.0 / size**0.5 + 3.0 / samples**0.4) * (1.0 + 0.01 * off)

        early = tuple(Point(samples, {"loss": loss(samples)}) for samples in (10.0, 30.0))
        result = Result({"loss": loss(100.0)}, model_parameters=size, samples=100.0, points=early)
        return AttemptView(AttemptPhase.EXITED, exit_code=0, result=result)

    world = World(spec_of(scaling=POWER_LADDER | {"targets": []}), Disk(), trainer, fits=True)
    status = world.run()
    fit_input = fit_input_of(world.observe())
    assert fit_input is not None
    assert [point.samples for point in fit_input.points] == [100.0, 10.0, 30.0] * 7
    for scale in range(7):
        ended = [trial for trial_key, trial in world.disk.trials.items() if trial_key[0] == scale]
        for place in (0, 1):
            best = min(trial.status.points[place].value for trial in ended)
            assert fit_input.points[3 * scale + 1 + place].value == best
    assert status.fit is not None
    assert (status.fit.form, status.fit.points) == ("chinchilla", 21)
    assert status.fit.bootstrap is not None
    assert status.fit.bootstrap.resample == "cluster", "runs are resampled, not their points"
    assert status.fit.parameters["E"] == pytest.approx(1.0, rel=0.05)


def test_refine_may_be_raised_after_the_end() -> None:
    disk = Disk()
    World(spec_of(scaling=LADDER), disk).run()
    assert len(disk.status.scales) == 3
    status = World(spec_of(scaling=REFINED), disk).run()
    assert [scale.parameters["size"] for scale in status.scales[3:]] == [8, 16]


def test_scales_open_one_after_the_other_as_slots_are_free() -> None:
    world = World(spec_of(scaling=LADDER, trials={"max": 8, "parallel": 3}), Disk())
    world.settle()
    assert [scale.open for scale in world.disk.status.scales] == [True, False, False]


def test_too_many_failures_stop_everything_with_the_reason() -> None:
    spec = spec_of(trials={"max": 8, "parallel": 3, "maxFailed": 1})
    world = World(spec, Disk(), trainer=lambda _: exited(1))
    status = world.run()
    assert status.phase is Phase.FAILED
    assert status.counts.failed == 2
    stopped = [t for t in world.disk.trials.values() if t.status.state is TrialState.STOPPED]
    assert {trial.status.reason for trial in stopped} == {StopReason.TOO_MANY_FAILURES}
    failed = next(c for c in status.conditions if c.type == "Failed")
    assert "maxFailed" in failed.message


def test_divergence_never_counts_against_max_failed() -> None:
    spec = spec_of(trials={"max": 6, "parallel": 2, "maxFailed": 0})
    status = World(spec, Disk(), trainer=lambda _: exited(87)).run()
    assert status.counts.failed == 6
    failed = next(c for c in status.conditions if c.type == "Failed")
    assert failed.reason == "NoTrialSucceeded", "not TooManyFailures, and no success either"


def test_an_experiment_without_a_single_value_has_failed_until_it_may_try_more() -> None:
    spec = spec_of(trials={"max": 2, "parallel": 1})
    world = World(spec, Disk(), trainer=lambda _: exited(1))
    status = world.run()
    assert status.phase is Phase.FAILED
    assert {c.type: c.status for c in status.conditions}["Complete"] == "False"
    world.state.rules, world.trainer = Rules(max_trials=4), parabola
    assert world.run().phase is Phase.SUCCEEDED


def test_the_goal_ends_the_search_of_its_scale_and_stops_what_runs_there() -> None:
    goal = {"metric": "loss", "direction": "minimize", "goal": 1e9}
    world = World(spec_of(objective=goal), Disk())
    status = world.run()
    assert status.phase is Phase.SUCCEEDED
    assert status.counts.succeeded == 1
    assert {t.status.reason for t in world.disk.trials.values()} == {None, StopReason.GOAL_REACHED}
    complete = next(c for c in status.conditions if c.type == "Complete")
    assert complete.reason == "GoalReached"


def test_the_budget_of_time_stops_the_rest() -> None:
    world = World(spec_of(budget={"duration": "200s"}), Disk())
    world.settle()
    world.disk.workloads[(0, 0, 0)] = exited(0, 0.5)
    world.settle()
    world.now = 200.0
    status = world.run()
    assert status.phase is Phase.SUCCEEDED
    assert status.counts.succeeded == 1
    assert status.counts.stopped == 3
    complete = next(c for c in status.conditions if c.type == "Complete")
    assert complete.reason == "BudgetExhausted"


@pytest.mark.parametrize(
    "pause",
    [
        pytest.param({"suspend": True}, id="by the user"),
        pytest.param({"budget": {"duration": "50s", "onExceeded": "suspend"}}, id="by the budget"),
    ],
)
def test_suspending_gives_the_machines_back_and_loses_no_trial(pause: dict[str, Any]) -> None:
    disk = Disk()
    world = World(spec_of(budget={"duration": "500s"}), disk)
    world.settle()
    world.state.spec = spec_of(**pause)
    status = world.settle()
    assert status.phase is Phase.SUSPENDED
    assert not disk.workloads
    assert status.counts.running == 3
    # A moment that has passed would wake the shell for ever.
    assert plan(world.observe()).wake_at_seconds is None
    world.state.spec = spec_of()
    assert world.run().counts.succeeded == 8
    assert {a.reason for t in disk.trials.values() for a in t.status.attempts} == {Reason.SUSPENDED}


def test_parallel_and_max_may_change_while_it_runs() -> None:
    world = World(spec_of(trials={"max": 8, "parallel": 4}), Disk())
    world.settle()
    world.state.spec = spec_of(trials={"max": 8, "parallel": 1})
    world.state.rules = Rules(max_trials=5)
    status = world.run()
    assert status.counts.succeeded == 5


def test_the_status_has_the_same_size_however_many_trials() -> None:
    def size(most: int) -> int:
        spec = spec_of(search={"algorithm": {"name": "random", "seed": 1}}, trials={"max": most})
        world = World(spec, Disk(), trainer=lambda _: exited(0, 0.5))
        return len(world.run().model_dump_json())

    assert size(200) - size(20) < 20


def test_design_grid_crosses_sizes_and_data_cheapest_first() -> None:
    spec = spec_of(
        scaling={"parameter": "size", "sizes": [1, 10], "design": "grid", "data": [5, 20]}
    )
    scales = scales_of(spec)
    assert [(s.parameters["size"], s.samples) for s in scales] == [
        (1, 5),
        (1, 20),
        (10, 5),
        (10, 20),
    ]
    assert [scale.index for scale in running_order(scales)] == [0, 1, 2, 3]
