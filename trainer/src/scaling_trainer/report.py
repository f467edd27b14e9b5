"""`report` and `result`: a training script sends its metrics to the operator.

The module needs the standard library alone, so that any image can use it:

    from scaling_trainer import report, result

    for epoch in range(epochs):
        ...
        if report(val_loss=loss):
            break
    result(val_loss=loss)

A name that is no Python identifier goes into a mapping: `report({"val/loss": loss})`.

* A network error never ends the training: unsent reports wait and are sent later. A full disk
  before the end, or an invalid step, does not end the training either: each is logged once.
* Reports without a step are numbered, also over attempts that resume from a checkpoint.
* The result file is rewritten at each report, so the last report counts if the script never calls
  `result`.
* A value that is not finite is left out of reports and of the result file, and logged once. A trial
  without a value of its objective at the end has failed.
* Without the contract's variables, as in a run by hand, both functions do nothing.

A process of several threads or ranks reports from one thread or rank alone.
"""

from __future__ import annotations

import errno
import json
import logging
import math
import operator
import os
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from scaling_trainer.metric_names import METRIC_NAME_RULE, is_metric_name
from scaling_trainer.report_client import Away, Busy, Lost, Refused, ReportClient
from scaling_trainer.report_steps import StepCounter
from scaling_trainer.results import MAX_STEPS, Result, encode_result
from scaling_trainer.writing import EXHAUSTED, write_file, write_in_place

# Reports that wait for an unreachable endpoint. Beyond this number the oldest are dropped.
MAX_WAITING = 1000
# At the end of a training, for an endpoint that works but asks to send later.
PATIENCE_SECONDS = 10.0
LONGEST_SENTENCE_BYTES = 1024

_STOPPING = ("prune", "stop")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    seq: int
    step: int
    metrics: Mapping[str, float]
    figures: Mapping[str, float]
    phase: str | None


@dataclass(slots=True)
class Reporter:
    """Sends the reports of one trial, in order, to a result file, an endpoint, or both.

    With `keeps_file` the file is rewritten at each report, else at the end alone. The end alone is
    enough for a trainer that always calls `result`.
    """

    result_file: Path | None = None
    client: ReportClient | None = None
    keeps_file: bool = True
    steps: StepCounter | None = None
    """Counts the steps of reports without a step over attempts. Without it attempts begin at 1."""
    _step: int = 0
    _resumed_step: int | None = None
    _seq: int = 0
    _sent: int = 0
    _durable: int = 0
    _last: Mapping[str, float] = field(default_factory=dict[str, float])
    _waiting: deque[_Waiting] = field(default_factory=lambda: deque[_Waiting](maxlen=MAX_WAITING))
    _stop: bool = False
    _in_place: bool = False
    _left_out: set[str] = field(default_factory=set[str])
    _warned: set[str] = field(default_factory=set[str])

    @staticmethod
    def from_environment(environment: Mapping[str, str], *, keeps_file: bool = True) -> Reporter:
        """Make the reporter that the contract's variables describe."""
        result_file = environment.get("SCALING_RESULT_FILE")
        url = environment.get("SCALING_REPORT_URL")
        token_file = environment.get("SCALING_REPORT_TOKEN_FILE")
        client = None
        if url:
            token = Path(token_file) if token_file else None
            client = ReportClient(url, token, environment.get("SCALING_REPORT_CA"))
        folder = environment.get("SCALING_CHECKPOINT_DIR")
        steps = StepCounter(Path(folder)) if folder else None
        return Reporter(Path(result_file) if result_file else None, client, keeps_file, steps)

    def report(
        self,
        step: int | None,
        metrics: Mapping[str, float],
        figures: Mapping[str, float] | None = None,
        *,
        phase: str | None = None,
    ) -> bool:
        """Report metrics after a step. True means that the training has to stop.

        `figures` show users the progress of the attempt, by a result's keys: samples, seconds,
        peakHostBytes, peakDeviceBytes.

        Steps count evaluations from 1 and rise, also over attempts. None means the step after the
        last. An invalid step (0, no whole number, not above the last) gives no point in a curve. It
        is logged once, and the values still count. `phase` is the phase of the schedule: pruning
        compares only reports that are `stable`, or have no phase. Raises ValueError for an invalid
        name or value of a metric, and ResultError for more metrics than a result can hold.
        """
        finite = self._finite(metrics)
        following = self._next() if step is None else self._checked(step)
        # Values of one step may come in several reports.
        self._last = {**self._last, **finite} if following is None else finite
        self._step = self._step if following is None else following
        if self.keeps_file:
            self._keep(Result(metrics=self._last, steps=self._step or None))
        if step is None and self.steps is not None:
            self.steps.record(self._step)
        sent = self._step if following is None else following
        if self.client is not None and sent:
            self._seq += 1
            waiting = _Waiting(self._seq, sent, finite, figures or {}, phase)
            self._waiting.append(waiting)
            self._send(self.client, insist=False)
        return self._stop

    def result(self, result: Result) -> None:
        """End the trial: write the result file, send the waiting reports, then send the result.

        A result without metrics gets the metrics of the last report. Raises as `report` does, and
        OSError if the file cannot be written.
        """
        metrics = self._finite(result.metrics) or self._last
        steps = result.steps if result.steps is not None else (self._step or None)
        final = replace(result, metrics=metrics, steps=steps)
        self._write(final)
        if self.steps is not None:
            self.steps.delete()
        if self.client is not None:
            self._send(self.client, insist=True)
            # The file decides. The sent result only informs watchers earlier: one try is enough.
            self.client.post("/v1/result", json.loads(encode_result(final)))
        self.close()

    def failure(self, sentence: str) -> None:
        """Write a sentence in the result's place. It becomes the message of a failed pod."""
        self._put(sentence.encode()[:LONGEST_SENTENCE_BYTES])

    def close(self) -> None:
        """Close the connection. The next report would open a new connection."""
        if self.client is not None:
            self.client.close()

    def _next(self) -> int:
        """Give the next step, for a report without a step."""
        if self._resumed_step is None:
            self._resumed_step = 0 if self.steps is None else self.steps.resume()
        return max(self._step, self._resumed_step) + 1

    def _checked(self, step: object) -> int | None:
        """Read a step. Gives None for an invalid step."""
        number = _whole(step)
        if number is not None and self._step < number <= MAX_STEPS:
            return number
        if number is not None and number == self._step > 0:
            return None  # further values of the same step
        self._warn_once(
            "step",
            f"step is {step!r}; the next one is a whole number above {self._step}: no point is "
            "drawn for it",
        )
        return None

    def _keep(self, result: Result) -> None:
        """Write the result file before the end. The next report tries again after a failure."""
        try:
            self._write(result)
        except OSError as error:
            self._warn_once("file", f"{self.result_file} cannot be written now: {error}")

    def _warn_once(self, about: str, message: str) -> None:
        if about not in self._warned:
            self._warned.add(about)
            _log.warning("%s", message)

    def _finite(self, metrics: Mapping[str, float]) -> dict[str, float]:
        finite: dict[str, float] = {}
        for name, value in metrics.items():
            number = _number(name, value)
            if math.isfinite(number):
                finite[name] = number
            elif name not in self._left_out:
                self._left_out.add(name)
                _log.warning("%s is %s: it is left out where it is not finite", name, number)
        return finite

    def _write(self, result: Result) -> None:
        self._put(encode_result(result))

    def _put(self, text: bytes) -> None:
        if self.result_file is None:
            return
        if not self._in_place:
            try:
                write_file(self.result_file, text)
            except OSError as error:
                if error.errno in EXHAUSTED - {errno.EROFS}:
                    raise  # the old file is complete, and stays
                # A pod's termination log is a mount of one file: no other file can replace it.
                self._in_place = True
        if self._in_place:
            write_in_place(self.result_file, text)

    def _send(self, client: ReportClient, *, insist: bool) -> None:
        deadline = time.monotonic() + (PATIENCE_SECONDS if insist else 0)
        losses = 0
        while True:
            match self._send_waiting(client, insist=insist):
                case Lost() if not losses:
                    # Reports that were not stored durably are sent again, to the current replica.
                    losses += 1
                    self._sent = self._durable
                case Busy(seconds=seconds) if time.monotonic() + seconds < deadline:
                    time.sleep(seconds)
                case _:
                    return

    def _send_waiting(self, client: ReportClient, *, insist: bool) -> Lost | Busy | None:
        """Send the unsent reports. Gives the answer that interrupted them, if any."""
        for entry in [entry for entry in self._waiting if entry.seq > self._sent]:
            body: dict[str, Any] = {"seq": entry.seq, "step": entry.step}
            body["metrics"] = dict(entry.metrics)
            if entry.figures:
                body["figures"] = dict(entry.figures)
            if entry.phase is not None:
                body["phase"] = entry.phase
            match client.post("/v1/report", body, insist=insist):
                case Lost() | Busy() as interruption:
                    return interruption
                case Away():
                    self._sent = self._durable
                    return None
                case Refused(message=message):
                    _log.warning("the report of step %d was refused: %s", entry.step, message)
                    self._waiting.remove(entry)
                case answer:
                    self._sent = entry.seq
                    self._apply_answer(answer)
        return None

    def _apply_answer(self, answer: Mapping[str, Any]) -> None:
        durable = answer.get("durable")
        if isinstance(durable, int):
            self._durable = max(self._durable, min(durable, self._sent))
        while self._waiting and self._waiting[0].seq <= self._durable:
            self._waiting.popleft()
        if answer.get("action") in _STOPPING:
            self._stop = True


def _number(name: str, value: object) -> float:
    """Read a metric's value: a number, or an object with a float, such as a one-element tensor."""
    if not is_metric_name(name):
        message = f"{name!r} is no metric's name: {METRIC_NAME_RULE}"
        raise ValueError(message)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str | bytes | bool) or not hasattr(value, "__float__"):
        message = f"metric {name} is {value!r}, not a number"
        raise ValueError(message)
    return float(value)  # pyright: ignore[reportArgumentType] # hasattr does not narrow


def _whole(step: object) -> int | None:
    """Read a whole number, also NumPy's or 3.0. Gives None for any other value."""
    if hasattr(step, "__index__"):
        return operator.index(step)  # pyright: ignore[reportArgumentType] # hasattr does not narrow
    return int(step) if isinstance(step, float) and step.is_integer() else None


@cache
def _reporter() -> Reporter:
    """Make the reporter of this process at its first use."""
    return Reporter.from_environment(os.environ)


def report(
    metrics: Mapping[str, float] | None = None,
    /,
    *,
    step: int | None = None,
    phase: str | None = None,
    **named: float,
) -> bool:
    """Report metrics, as a mapping or by keyword. True means that the training has to stop.

    `report({"val/acc": 0.9})` accepts names that are no identifiers, or are parameters here.

    `step` counts evaluations from 1 and rises over all attempts of the trial. Its default is the
    step after the last, or after the last step that the previous attempt has saved. `phase` is the
    phase of the learning rate's schedule: pruning compares reports that are `stable`, or have no
    phase. Raises ValueError for an invalid name or value of a metric, never for a step.
    """
    return _reporter().report(step, _merged(metrics, named), phase=phase)


def result(metrics: Mapping[str, float] | None = None, /, **named: float) -> None:
    """End the trial with these metrics, given as in `report`. The default is the last report's.

    Raises as `report` does.
    """
    _reporter().result(Result(metrics=_merged(metrics, named)))


def _merged(metrics: Mapping[str, float] | None, named: Mapping[str, float]) -> Mapping[str, float]:
    both = sorted(named.keys() & (metrics or {}).keys())
    if both:
        message = f"{', '.join(both)} is given twice: in the mapping and by keyword"
        raise ValueError(message)
    return {**(metrics or {}), **named}
