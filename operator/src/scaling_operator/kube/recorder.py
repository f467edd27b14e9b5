"""Records what happens in this process: metrics, and a line of the log for each decision."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, assert_never

from scaling_operator.api.names import TrialState
from scaling_operator.api.trial import ScalingTrial
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
from scaling_operator.core.reports import AttemptKey, Report
from scaling_operator.kube.client.client import Object, Request
from scaling_operator.kube.client.index import Index, Key
from scaling_operator.kube.client.kinds import PODS, Kind
from scaling_operator.kube.logs import Fields, about
from scaling_operator.metrics.operator_metrics import OperatorMetrics
from scaling_operator.metrics.pods import PodTimes
from scaling_operator.metrics.samples import RunningTrials
from scaling_operator.runtime.hooks import Hooks

TrialChanged = Callable[[ScalingTrial, ScalingTrial], None]


@dataclass(slots=True)
class Recorder:
    """Called by all parts of the process; passes each fact on to the metrics that need it."""

    operator_metrics: OperatorMetrics
    index: Index
    running: RunningTrials = field(default_factory=RunningTrials)
    pods: PodTimes = field(init=False)

    def __post_init__(self) -> None:
        self.pods = PodTimes(self.operator_metrics, time.time)

    def hooks(self, key: Key, spec: Object, changed: TrialChanged) -> Hooks:
        """Make the hooks of an experiment's engine; `changed` gets each stored status too."""
        algorithm = str(spec.get("search", {}).get("algorithm", {}).get("name", "tpe"))
        objective = _first_objective(spec)
        self.running.forget(key)
        self.operator_metrics.loaded(key)

        def on_change(before: ScalingTrial, after: ScalingTrial) -> None:
            changed(before, after)
            self._trial_changed(key, before, after)

        def on_report(attempt: AttemptKey, report: Report) -> None:
            self.operator_metrics.report_taken(key)
            self.pods.progressed(key)
            self.running.reported(key, (attempt.scale, attempt.number), report, objective)

        return Hooks(
            changed=on_change,
            reported=on_report,
            decided=lambda action: write_decision(key, action),
            asked=lambda seconds: self.operator_metrics.asked(algorithm, seconds),
            ask_failed=lambda: self.operator_metrics.ask_failed(algorithm),
        )

    def put(self, kind: Kind, key: Key, before: Object | None, object_: Object) -> None:
        """Record an object that the index has taken in."""
        # A pod may outlive its experiment: it must not bring the experiment's series back.
        if kind is PODS and key in self.index.experiments:
            self.pods.put(key, before, object_)

    def watched(self, kind: Kind, gone: bool, object_: Object) -> None:  # noqa: FBT001 - deleted or not
        """Record an event of a watch."""
        self.operator_metrics.watched(kind.plural)
        if gone and kind is PODS:
            self.pods.drop(object_)

    def requested(self, request: Request) -> None:
        """Record a request to the API server."""
        self.operator_metrics.requested(
            request.verb, request.kind.plural, request.code, request.seconds
        )

    def settled(self, key: Key) -> None:
        """Record that an experiment has nothing left to do now."""
        self.pods.settled(key)

    def forget(self, key: Key) -> None:
        """Drop the records of a deleted experiment."""
        self.operator_metrics.forget(key)
        self.running.forget(key)
        self.pods.forget(key)

    def lead_changed(self) -> None:
        """Count the change, and drop all experiments: only the leader shows them."""
        self.operator_metrics.lead_changed()
        self.operator_metrics.forget_all()
        self.running = RunningTrials()
        self.pods = PodTimes(self.operator_metrics, time.time)

    def _trial_changed(self, key: Key, before: ScalingTrial, after: ScalingTrial) -> None:
        self.operator_metrics.trial_changed(key, before, after)
        trial_key = after.spec.key
        if len(after.status.attempts) > len(before.status.attempts):
            self.running.ended(key, trial_key)
        if after.status.state.ended and not before.status.state.ended:
            self.running.ended(key, trial_key)
            self.operator_metrics.trial_ended(key, after.status.state, _lifetime_seconds(after))


def _first_objective(spec: Object) -> str:
    objectives: list[dict[str, Any]] = spec.get("objectives") or [spec.get("objective") or {}]
    return str(objectives[0].get("metric", ""))


def _lifetime_seconds(trial: ScalingTrial) -> float:
    end = trial.status.completion_time
    created = trial.created_seconds
    return max(0.0, end.timestamp() - created) if end is not None and created is not None else 0.0


log = logging.getLogger(__name__)


def write_decision(key: Key, action: Action) -> None:
    """Write a line of the log for a decision; a failure is a warning."""
    sentence, fields = _line(key, action)
    failed = isinstance(action, EndTrial) and action.state is TrialState.FAILED
    level = logging.WARNING if failed or isinstance(action, EndAttempt) else logging.INFO
    log.log(level, "%s", sentence, extra=fields)


def _line(key: Key, action: Action) -> tuple[str, Fields]:
    match action:
        case AddScales():
            sizes = ", ".join(str(scale.index) for scale in action.scales)
            return f"scales are added: {sizes}", about(key)
        case OpenScale():
            return f"scale {action.scale} opens", about(key)
        case _:
            return _line_of_trial(key, action)


def _line_of_trial(
    key: Key, action: Ask | Launch | SetState | EndAttempt | EndTrial | Discard
) -> tuple[str, Fields]:
    trial = (action.scale, action.number)
    match action:
        case Ask():
            how = "proposed" if action.point is None else "proposed at a given point"
            return f"a trial is {how}", about(key, trial=trial)
        case Launch():
            return "an attempt starts", about(key, trial=trial, attempt=action.attempt)
        case SetState():
            sentence = _sentence(f"the trial is {action.state}", action.message)
            return sentence, about(key, trial=trial, reason=action.reason)
        case EndAttempt():
            sentence = _sentence("the attempt is over, another follows", action.message)
            fields = about(key, trial=trial, attempt=action.attempt, reason=action.reason)
            return sentence, fields
        case EndTrial():
            sentence = _sentence(f"the trial ends {action.state}", _outcome(action))
            return sentence, about(key, trial=trial, reason=action.reason)
        case Discard():
            fields = about(key, trial=trial, attempt=action.attempt)
            return "the attempt's workload is deleted", fields
        case _:
            assert_never(action)


def _outcome(action: EndTrial) -> str:
    values = ", ".join(f"{value:.6g}" for value in action.values)
    return action.message or values


def _sentence(what: str, detail: str) -> str:
    # The last output of a trainer may be long, and have several lines.
    return f"{what}: {' '.join(detail.split())[:300]}" if detail else what
