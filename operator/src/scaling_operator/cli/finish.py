"""`scaling finish`: what the finisher's pod runs once an experiment has succeeded.

It fetches the experiment with its trials from the operator, exports the best trial's model on the
claim and draws the report beside it. The variables are those of the contract.
"""

from __future__ import annotations

import errno
import json
import os
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
from scaling_operator.api.status import ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.local.copying import copy_files
from scaling_operator.report.build import MOST_BYTES, draw
from scaling_operator.runtime.record import ExperimentRecord, table
from scaling_operator.validation.load import experiment_of
from scaling_trainer.contract import EXIT_NO_SPACE, Assignment, read_assignment
from scaling_trainer.foreign_text import as_message
from scaling_trainer.reading import UnreadableFile, parse_json, read_json_object, read_text
from scaling_trainer.results import Result, encode_result
from scaling_trainer.writing import (
    NO_SPACE,
    make_folder,
    whole_folder,
    write_file,
    write_in_place,
)

TRIES = 30
PAUSE_SECONDS = 2.0
MOST_TOKEN_BYTES = 64 * 1024


class FinishFailed(Exception):
    """The model could not be saved; the message says why."""


def finish() -> int:
    """Save model, table and report; return the exit code, and write the result file."""
    assignment = read_assignment(os.environ)
    try:
        metrics = _finish(assignment)
    except FinishFailed as error:
        return _failed(assignment, str(error), 1)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        return _failed(assignment, f"{error.filename}: {error.strerror}", EXIT_NO_SPACE)
    write_in_place(assignment.result_file, encode_result(Result(metrics=metrics)))
    return 0


def _failed(assignment: Assignment, message: str, code: int) -> int:
    write_in_place(assignment.result_file, as_message(message))
    sys.stderr.write(f"{as_message(message)}\n")
    return code


def _finish(assignment: Assignment) -> dict[str, float]:
    record = _fetch(assignment)
    claim, folder = assignment.data_dir, assignment.data_dir / assignment.experiment
    make_folder(folder, below=claim)
    best = folder / "best"
    metrics = _export(assignment, record.spec, best)
    status = record.status
    if status.best is not None and metrics:
        scored = status.best.model_copy(update={"test_metrics": metrics})
        status = status.model_copy(update={"best": scored})
    record = ExperimentRecord(record.name, record.uid, record.spec, status, record.trials)
    result = {"experiment": record.name, **status.model_dump(mode="json", exclude_none=True)}
    write_file(folder / "result.json", json.dumps(result, indent=2) + "\n", below=claim)
    write_file(folder / "trials.csv", table(record.trials), below=claim)
    write_file(folder / "report.html", draw(record, best), below=claim)
    return metrics


def _export(assignment: Assignment, spec: ExperimentSpec, best: Path) -> dict[str, float]:
    """Put the winner into `best/`, whole or not at all; return its test metrics."""
    source = assignment.checkpoint_dir
    if not source.is_dir():
        message = f"{source} does not exist: the trial has left nothing on the claim"
        raise FinishFailed(message)
    with whole_folder(best, below=assignment.data_dir) as new:
        if spec.trainer.built_in is not None:
            return _score(source, new, assignment.data_dir)
        # Somebody's own trainer: what it saved is the model, and only it knows how to test it.
        for note in copy_files(source, new):
            sys.stderr.write(f"{note}\n")
        parameters = json.dumps(dict(assignment.parameters), indent=2) + "\n"
        write_file(new / "parameters.json", parameters, below=new)
        return {}


def _score(source: Path, out: Path, data_dir: Path) -> dict[str, float]:
    words = [sys.executable, "-m", "scaling_trainer", "export", str(source), str(out)]
    done = subprocess.run(  # noqa: S603 - our own module
        [*words, "--data-dir", str(data_dir)], capture_output=True, text=True, check=False
    )
    if done.returncode == EXIT_NO_SPACE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out))
    if done.returncode != 0:
        message = f"the model could not be scored: {done.stderr.strip()[-900:]}"
        raise FinishFailed(message)
    return read_json_object(out / "metrics.json", MOST_BYTES, below=out)["metrics"]


def _fetch(assignment: Assignment) -> ExperimentRecord:
    for attempt in range(TRIES):
        try:
            return outcome_of(_get(assignment))
        except (urllib.error.URLError, OSError, UnreadableFile) as error:
            if attempt == TRIES - 1:
                message = f"the operator does not answer: {error}"
                raise FinishFailed(message) from error
            time.sleep(PAUSE_SECONDS)
    raise AssertionError


def _get(assignment: Assignment) -> Mapping[str, Any]:
    if assignment.report_url is None or assignment.report_token_file is None:
        message = "the operator serves no reports (--report-url): there is nobody to ask"
        raise FinishFailed(message)
    token = read_text(assignment.report_token_file, MOST_TOKEN_BYTES)
    request = urllib.request.Request(  # noqa: S310 - https, from the operator's own settings
        f"{assignment.report_url}/v1/experiment",
        headers={"Authorization": f"Bearer {token.strip()}"},
    )
    context = ssl.create_default_context(cadata=assignment.report_ca)
    with urllib.request.urlopen(request, timeout=60, context=context) as answer:  # noqa: S310
        return parse_json(answer.read(MOST_BYTES + 1)[:MOST_BYTES], assignment.report_url)


def outcome_of(document: Mapping[str, Any]) -> ExperimentRecord:
    """Read what the operator hands out: an experiment and its trials, as they are stored."""
    experiment = document["experiment"]
    trials = [
        ScalingTrial.model_validate({"spec": trial["spec"], "status": trial.get("status") or {}})
        for trial in document["trials"]
    ]
    trials.sort(key=lambda trial: (trial.spec.scale, trial.spec.number))
    return ExperimentRecord(
        name=experiment["metadata"]["name"],
        uid=experiment["metadata"]["uid"],
        spec=experiment_of(experiment).spec,
        status=ExperimentStatus.model_validate(experiment.get("status") or {}),
        trials=tuple(trials),
    )
