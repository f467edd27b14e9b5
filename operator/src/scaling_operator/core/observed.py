"""What a plan is made from: everything that was observed, as plain values.

`Observed` holds the live trials and running totals, never the history: the cost of a plan depends
on what is active alone. Times are seconds since the epoch, on the shell's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.fields import Scalar
from scaling_operator.api.names import Reason, TrialKey, TrialState
from scaling_operator.api.status import ExperimentStatus, Range
from scaling_operator.api.status_fit import ScalePrediction
from scaling_operator.api.status_sizing import AttemptResources
from scaling_operator.core.fit_types import FitView
from scaling_operator.core.ladder import Scale
from scaling_operator.core.tally import Tally
from scaling_operator.sizing.run_plan import KnownMachines
from scaling_operator.sizing.usage import SizingView
from scaling_trainer.results import Result

Point = Mapping[str, Scalar]


class AttemptPhase(StrEnum):
    """Where the workload of an attempt stands, as far as a shell can observe it."""

    ABSENT = "Absent"
    """There is no workload, and there was none."""
    WAITING = "Waiting"
    """The workload exists and does not run yet; `reason` says why where that is known."""
    RUNNING = "Running"
    EXITED = "Exited"
    """The workload ended by itself, with an exit code."""
    LOST = "Lost"
    """The workload ended through no fault of its own, or vanished; `reason` says how."""


@dataclass(frozen=True, slots=True)
class AttemptView:
    """The workload of one attempt, whatever its kind: a pod, a job, a local process."""

    phase: AttemptPhase
    reason: Reason | None = None
    message: str = ""
    exit_code: int | None = None
    result: Result | None = None
    result_problem: str | None = None
    since_seconds: float = 0.0
    changes_at_seconds: float | None = None
    """When time alone changes this view: the end of a grace period."""
    started_seconds: float | None = None
    """When the attempt took its machine, where that is known."""
    resources: AttemptResources | None = None
    """The machine that the attempt got."""
    is_refused: bool = False
    """The attempt waits without a workload: the workload could not be created."""


ABSENT = AttemptView(AttemptPhase.ABSENT)


@dataclass(frozen=True, slots=True)
class LiveTrial:
    """A trial that has not ended, and its current attempt.

    `ended_attempts` are the reasons of the attempts before, oldest first; their count is the
    current attempt's number.
    """

    scale: int
    number: int
    state: TrialState = TrialState.RUNNING
    ended_attempts: tuple[Reason, ...] = ()
    view: AttemptView = ABSENT
    last_ended_seconds: float | None = None
    queued_seconds: float | None = None
    """Since when the trial waits for a machine, as its status says; None where it does not wait."""

    @property
    def key(self) -> TrialKey:
        """Scale and number."""
        return self.scale, self.number

    @property
    def attempt(self) -> int:
        """Number of the current attempt."""
        return len(self.ended_attempts)


@dataclass(frozen=True, slots=True)
class StaleWorkload:
    """A workload that nobody waits for: its trial has ended, or it is of an older attempt.

    A workload that was told to stop (of a pruned trial) gets a moment to end by itself; a failed
    workload is kept for a while for its logs.
    """

    scale: int
    number: int
    attempt: int
    view: AttemptView
    told_to_stop: bool = False
    told_seconds: float = 0.0
    kept_until_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ScaleView:
    """One scale, whether it is open, and how far its trials are."""

    scale: Scale
    tally: Tally
    open: bool = False
    created: int = 0
    ranges: Mapping[str, Range] = field(default_factory=dict[str, Range])
    points: tuple[Point, ...] = ()
    predicted: ScalePrediction | None = None
    """What the law predicted for the scale before its first trial."""
    space_points: int | None = None
    """How many points the scale's space has; None where points may repeat, or are not counted."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Limits that a shell sets, beside those of the spec."""

    max_trials: int
    """The most trials of a scale: `trials.max`, or the points of a grid."""
    max_escalations: int = 0
    no_result_grace_seconds: float = 0.0
    stale_grace_seconds: float = 30.0
    queueing_grace_seconds: float = 0.0
    """How long a wait must last before its trial is queued.

    A scheduler may need that time to see that a machine is free again.
    """
    fits: bool = False
    """The shell fits the ladder: whatever a fit decides or predicts waits for the fit."""
    backoff_seconds: float = 0.0
    """The pause before an interrupted attempt is repeated; each further interruption doubles it."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that a plan needs. `scales` are in running order, cheapest first."""

    now_seconds: float
    spec: ExperimentSpec
    rules: Rules
    scales: tuple[ScaleView, ...]
    live: tuple[LiveTrial, ...] = ()
    stale: tuple[StaleWorkload, ...] = ()
    started_seconds: float | None = None
    warm_points: tuple[Point, ...] = ()
    status: ExperimentStatus = field(default_factory=ExperimentStatus)
    generation: int | None = None
    fit: FitView | None = None
    """The last fit, of this or an older input; None where this process has made no fit yet."""
    sizing: SizingView | None = None
    """Machines as a policy allows them; None where no policy sizes the trials."""
    machines: KnownMachines | None = None
    """The machines by which recommended runs are planned; None without a policy."""
    changing: frozenset[TrialKey] = frozenset()
    """Live trials with an action under way: they count, and no plan decides about them."""
    asking: frozenset[TrialKey] = frozenset()
    """Trials that are being created: they hold their slots and machines already."""
    live_scales: frozenset[int] = field(init=False, compare=False)
    """Scales with a live trial, or with a trial that is being created."""

    def __post_init__(self) -> None:
        """Compute once which scales are live: a plan asks it for each scale."""
        scales = {trial.scale for trial in self.live} | {scale for scale, _ in self.asking}
        object.__setattr__(self, "live_scales", frozenset(scales))

    @property
    def idle(self) -> tuple[LiveTrial, ...]:
        """Live trials that a plan may decide about."""
        if not self.changing:
            return self.live
        return tuple(trial for trial in self.live if trial.key not in self.changing)

    @property
    def free(self) -> int:
        """How many more trials may begin."""
        return self.spec.trials.parallel - len(self.live) - len(self.asking)

    def created(self, view: ScaleView) -> int:
        """How many trials of a scale exist or are being created."""
        return view.created + sum(scale == view.scale.index for scale, _ in self.asking)
