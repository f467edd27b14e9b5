"""What a plan is made from: everything that was observed, as plain values.

`Observed` holds the live trials and running totals, never the history: a plan costs what is active.
Times are seconds since the epoch, on the shell's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.fields import Scalar
from scaling_operator.api.fitted import ScalePrediction
from scaling_operator.api.names import Reason, TrialState
from scaling_operator.api.status import ExperimentStatus, Range
from scaling_operator.api.status_sizing import AttemptResources
from scaling_operator.core.fit_types import FitView
from scaling_operator.core.ladder import Scale
from scaling_operator.core.tally import Tally
from scaling_operator.sizing.admission import Slot
from scaling_operator.sizing.run_plan import KnownMachines
from scaling_operator.sizing.usage import SizingView
from scaling_trainer.results import Result

Point = Mapping[str, Scalar]


class AttemptPhase(StrEnum):
    """Where the workload of an attempt stands, as far as it can be seen."""

    ABSENT = "Absent"
    """There is none, and none was seen."""
    WAITING = "Waiting"
    """It exists and does not run yet; `reason` says why where that is known."""
    RUNNING = "Running"
    EXITED = "Exited"
    """It ended by itself, with an exit code."""
    LOST = "Lost"
    """It ended through no fault of its own, or vanished; `reason` says how."""


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One workload, whatever its kind: a pod, a job, a local process."""

    phase: AttemptPhase
    reason: Reason | None = None
    message: str = ""
    exit_code: int | None = None
    result: Result | None = None
    result_problem: str | None = None
    since_seconds: float = 0.0
    changes_at_seconds: float | None = None
    """When time alone shows it otherwise: the end of a grace."""
    started_seconds: float | None = None
    """When its machine was taken, where that is known."""
    resources: AttemptResources | None = None
    """The machine that it was given."""
    is_refused: bool = False
    """It waits without a workload: none could be created."""


ABSENT = AttemptView(AttemptPhase.ABSENT)


@dataclass(frozen=True, slots=True)
class LiveTrial:
    """A trial that has not ended, and its current attempt.

    `ended_attempts` are the reasons of the attempts before, oldest first; the current attempt's
    number is how many they are.
    """

    scale: int
    number: int
    state: TrialState = TrialState.RUNNING
    ended_attempts: tuple[Reason, ...] = ()
    view: AttemptView = ABSENT
    last_ended_seconds: float | None = None
    queued_seconds: float | None = None
    """Since when it waits for a machine, as it is stored; None where it does not."""

    @property
    def slot(self) -> Slot:
        """Scale and number."""
        return self.scale, self.number

    @property
    def attempt(self) -> int:
        """Number of the current attempt."""
        return len(self.ended_attempts)


@dataclass(frozen=True, slots=True)
class StaleWorkload:
    """A workload that nobody waits for: its trial has ended, or it is an older attempt.

    One that was told to stop (pruned) gets a moment to end by itself; a failed one is kept for a
    while for its logs.
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
    """One scale: what it is, whether it is open, and how far it has come."""

    scale: Scale
    tally: Tally
    open: bool = False
    created: int = 0
    ranges: Mapping[str, Range] = field(default_factory=dict[str, Range])
    points: tuple[Point, ...] = ()
    predicted: ScalePrediction | None = None
    """What the law said of it before its first trial."""
    space_points: int | None = None
    """How many points its space has; None where they are not counted, or tried again."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Limits of the core itself, beside those of the spec."""

    max_trials: int
    """Trials of a scale: `trials.max`, or the points of a grid."""
    max_escalations: int = 0
    no_result_grace_seconds: float = 0.0
    stale_grace_seconds: float = 30.0
    queueing_grace_seconds: float = 0.0
    """What a scheduler may need to see that a machine is free again: no news until then."""
    fits: bool = False
    """The shell fits the ladder: what a fit decides or predicts waits for it."""
    backoff_seconds: float = 0.0
    """Wait before an interrupted attempt is repeated; doubled for each further one in a row."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything a plan needs. `scales` stand in running order, cheapest first."""

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
    """The last fit, of this or an older basis; None where none was made by this process yet."""
    sizing: SizingView | None = None
    """Machines as a policy has them; None where no policy sizes the trials."""
    machines: KnownMachines | None = None
    """What a run that a fit recommends is planned by; None where no policy is at hand."""
    changing: frozenset[Slot] = frozenset()
    """Live trials about which something is being done: they count, and nothing is decided."""
    asking: frozenset[Slot] = frozenset()
    """Trials that are being created: they have their slots and machines already."""
    live_scales: frozenset[int] = field(init=False, compare=False)
    """Scales of which a trial lives, or will in a moment."""

    def __post_init__(self) -> None:
        """Find once what a plan asks for each scale."""
        scales = {trial.scale for trial in self.live} | {scale for scale, _ in self.asking}
        object.__setattr__(self, "live_scales", frozenset(scales))

    @property
    def idle(self) -> tuple[LiveTrial, ...]:
        """Live trials about which something may be decided."""
        if not self.changing:
            return self.live
        return tuple(trial for trial in self.live if trial.slot not in self.changing)

    @property
    def free(self) -> int:
        """How many more trials may begin."""
        return self.spec.trials.parallel - len(self.live) - len(self.asking)

    def created(self, view: ScaleView) -> int:
        """How many trials of a scale are there, or will be in a moment."""
        return view.created + sum(scale == view.scale.index for scale, _ in self.asking)
