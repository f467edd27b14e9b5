"""`scaling finish`: what the finisher's pod runs once an experiment has succeeded.

It fetches the experiment with its trials from the operator, exports the best trial's model on the
claim and draws the report beside it. The variables are those of the contract.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.foreign_text import as_message
from scaling_operator.api.load import experiment_of
from scaling_operator.api.status import ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.engine.drawing import draw
from scaling_operator.engine.outcome import Outcome, table
from scaling_trainer.contract import Assignment, read_assignment
from scaling_trainer.results import Result, encode_result

TRIES = 30
PAUSE_SECONDS = 2.0


class FinishFailed(Exception):
    """The model could not be saved; the message says why."""


def finish() -> int:
    """Save model, table and report; return the exit code, and write the result file."""
    assignment = read_assignment(os.environ)
    try:
        metrics = _finish(assignment)
    except FinishFailed as error:
        assignment.result_file.write_text(as_message(str(error)))
        sys.stderr.write(f"{as_message(str(error))}\n")
        return 1
    assignment.result_file.write_bytes(encode_result(Result(metrics=metrics)))
    return 0


def _finish(assignment: Assignment) -> dict[str, float]:
    outcome = _fetch(assignment)
    folder = assignment.data_dir / assignment.experiment
    best = folder / "best"
    metrics = _export(assignment, outcome.spec, best)
    status = outcome.status
    if status.best is not None and metrics:
        scored = status.best.model_copy(update={"test_metrics": metrics})
        status = status.model_copy(update={"best": scored})
    outcome = Outcome(outcome.name, outcome.uid, outcome.spec, status, outcome.trials)
    result = {"experiment": outcome.name, **status.model_dump(mode="json", exclude_none=True)}
    _write(folder / "result.json", json.dumps(result, indent=2) + "\n")
    _write(folder / "trials.csv", table(outcome.trials))
    _write(folder / "report.html", draw(outcome, best))
    return metrics


def _export(assignment: Assignment, spec: ExperimentSpec, best: Path) -> dict[str, float]:
    """Put the winner into `best/`, whole or not at all; return its test metrics."""
    source, new = assignment.checkpoint_dir, best.with_name(".best.new")
    shutil.rmtree(new, ignore_errors=True)
    if not source.is_dir():
        message = f"{source} does not exist: the trial has left nothing on the claim"
        raise FinishFailed(message)
    if spec.trainer.built_in is None:
        # Somebody's own trainer: what it saved is the model, and only it knows how to test it.
        shutil.copytree(source, new)
        _write(new / "parameters.json", json.dumps(dict(assignment.parameters), indent=2) + "\n")
        metrics: dict[str, float] = {}
    else:
        metrics = _score(source, new, assignment.data_dir)
    shutil.rmtree(best, ignore_errors=True)
    new.rename(best)
    return metrics


def _score(source: Path, out: Path, data_dir: Path) -> dict[str, float]:
    words = [sys.executable, "-m", "scaling_trainer", "export", str(source), str(out)]
    done = subprocess.run(  # noqa: S603 - our own module
        [*words, "--data-dir", str(data_dir)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        message = f"the model could not be scored: {done.stderr.strip()[-900:]}"
        raise FinishFailed(message)
    return json.loads((out / "metrics.json").read_text())["metrics"]


def _fetch(assignment: Assignment) -> Outcome:
    for tried in range(TRIES):
        try:
            return outcome_of(_get(assignment))
        except (urllib.error.URLError, OSError) as error:
            if tried == TRIES - 1:
                message = f"the operator does not answer: {error}"
                raise FinishFailed(message) from error
            time.sleep(PAUSE_SECONDS)
    raise AssertionError


def _get(assignment: Assignment) -> Mapping[str, Any]:
    if assignment.report_url is None or assignment.report_token_file is None:
        message = "the operator serves no reports (--report-url): there is nobody to ask"
        raise FinishFailed(message)
    request = urllib.request.Request(  # noqa: S310 - https, from the operator's own settings
        f"{assignment.report_url}/v1/experiment",
        headers={"Authorization": f"Bearer {assignment.report_token_file.read_text().strip()}"},
    )
    context = ssl.create_default_context(cadata=assignment.report_ca)
    with urllib.request.urlopen(request, timeout=60, context=context) as answer:  # noqa: S310
        return json.load(answer)


def outcome_of(document: Mapping[str, Any]) -> Outcome:
    """Read what the operator hands out: an experiment and its trials, as they are stored."""
    thing = document["experiment"]
    trials = [
        ScalingTrial.model_validate({"spec": each["spec"], "status": each.get("status") or {}})
        for each in document["trials"]
    ]
    trials.sort(key=lambda trial: (trial.spec.scale, trial.spec.number))
    return Outcome(
        thing["metadata"]["name"],
        thing["metadata"]["uid"],
        experiment_of(thing).spec,
        ExperimentStatus.model_validate(thing.get("status") or {}),
        tuple(trials),
    )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
