"""What may start now: workloads for trials that have none, and new trials for free slots.

Where a policy sizes the trials, as many start as there is room for: first the cheapest scale, and
of it the trial with the most memory. A trial that has to wait is queued without a workload.
"""

from __future__ import annotations

from collections.abc import Iterator

from scaling_operator.api.names import Reason, TrialKey, TrialState
from scaling_operator.core.actions import Action, Ask, Launch, SetState
from scaling_operator.core.limits import limits_of
from scaling_operator.core.observed import AttemptPhase, LiveTrial, Observed, ScaleView
from scaling_operator.core.progress import most_trials
from scaling_operator.core.reasons import Next, next_of
from scaling_operator.core.settle import (
    launch_time,
    queue_deadline,
    waited_too_long,
    without_machine,
)
from scaling_operator.sizing.admission import (
    Admission,
    AdmissionRequest,
    Capacity,
    admit,
    total,
)
from scaling_operator.sizing.usage import SizingView


def launches(observed: Observed) -> tuple[Action, ...]:
    """Launch live trials without a workload; queue those for which there is no room.

    A trial for whose next attempt no machine is left fails.
    """
    due = tuple(
        trial
        for trial in observed.idle
        if trial.view.phase is AttemptPhase.ABSENT
        and observed.now_seconds >= launch_time(trial, observed.rules)
    )
    if observed.sizing is None or not due:
        return tuple(Launch(trial.scale, trial.number, trial.attempt) for trial in due)
    no_machine, ranks = observed.sizing.no_machine, _ranks(observed)
    requests = [
        AdmissionRequest(trial.key, observed.sizing.demand_of(trial.key), ranks.get(trial.scale, 0))
        for trial in due
        if trial.key not in no_machine
    ]
    admission = admit(requests, capacity_of(observed, observed.sizing))
    by_key = {trial.key: trial for trial in due}
    admitted = (by_key[trial_key] for trial_key in admission.admitted)
    return (
        *(
            without_machine(trial, no_machine[trial.key])
            for trial in due
            if trial.key in no_machine
        ),
        *(Launch(trial.scale, trial.number, trial.attempt) for trial in admitted),
        *_queued(observed, admission, by_key),
    )


def _queued(
    observed: Observed, admission: Admission, by_key: dict[TrialKey, LiveTrial]
) -> Iterator[Action]:
    """Queue the trials for which there is no room; fail those that have waited too long."""
    for rejected in admission.rejected:
        trial = by_key[rejected.key]
        end = queue_deadline(trial, observed.spec)
        if end is None:
            yield SetState(
                scale=trial.scale,
                number=trial.number,
                state=TrialState.QUEUED,
                reason=rejected.reason,
                message=rejected.message,
                queued_seconds=observed.now_seconds,
            )
        elif observed.now_seconds >= end:
            yield waited_too_long(trial, observed.spec, rejected.reason, rejected.message)


def asks(observed: Observed) -> Iterator[Action]:
    """Ask for new trials, scale by scale, as many as slots and machines are free."""
    for trial_key in _admitted(observed, list(_wanted(observed))):
        scale, number = trial_key
        view = next(view for view in observed.scales if view.scale.index == scale)
        point = view.points[number] if number < len(view.points) else None
        yield Ask(scale, number, point)


def wants_more(observed: Observed) -> bool:
    """Whether a free slot finds no machine: other experiments of the namespace then make room."""
    if observed.sizing is None or not limits_of(observed).may_start:
        return False
    absent = sum(trial.view.phase is AttemptPhase.ABSENT for trial in observed.idle)
    wanted = list(_wanted(observed))
    return absent > 0 or len(_admitted(observed, wanted)) < len(wanted)


def may_ask(observed: Observed, view: ScaleView) -> bool:
    """Whether more trials of a scale may be asked for."""
    return not view.tally.goal_reached and observed.created(view) < most_trials(observed, view)


def _wanted(observed: Observed) -> Iterator[TrialKey]:
    free = observed.free
    for view in observed.scales:
        if not view.open or not may_ask(observed, view):
            continue
        for number in range(observed.created(view), most_trials(observed, view)):
            if free <= 0:
                return
            free -= 1
            yield view.scale.index, number


def _admitted(observed: Observed, wanted: list[TrialKey]) -> list[TrialKey]:
    """Take the trials that find room: of a scale the first ones, since all demand the same."""
    sizing = observed.sizing
    if sizing is None or not wanted:
        return wanted
    ranks = _ranks(observed)
    requests = [
        AdmissionRequest(trial_key, sizing.of_scale(trial_key[0]), ranks[trial_key[0]])
        for trial_key in wanted
    ]
    admitted = set(admit(requests, capacity_of(observed, sizing)).admitted)
    return [trial_key for trial_key in wanted if trial_key in admitted]


def capacity_of(observed: Observed, sizing: SizingView) -> Capacity:
    """Give the room that the experiment may still take."""
    present = [
        trial
        for trial in observed.live
        if trial.view.phase is not AttemptPhase.ABSENT or trial.key in observed.changing
    ]
    demands = [sizing.demand_of(trial.key) for trial in present]
    waiting = tuple(
        (demand.shape, trial.view.message)
        for trial, demand in zip(present, demands, strict=True)
        if trial.view.phase is AttemptPhase.WAITING and _blocks(trial.view.reason, sizing)
    )
    being_created = (sizing.of_scale(scale) for scale, _ in observed.asking)
    held = total((*demands, *being_created, sizing.peers.left))
    return Capacity(sizing.limits, held, sizing.peers.peers, waiting)


def _blocks(reason: Reason | None, sizing: SizingView) -> bool:
    """Whether other trials of the same shape would wait too, given one that waits for a reason."""
    return reason is Reason.UNSCHEDULABLE or (next_of(reason) is Next.WAIT and not sizing.is_queued)


def _ranks(observed: Observed) -> dict[int, int]:
    """Give the place of each scale in the running order."""
    return {view.scale.index: place for place, view in enumerate(observed.scales)}
