"""`scaling finish`: what the finisher's pod runs once an experiment has succeeded.

It fetches the experiment with its trials from the operator, exports the best trial's model on the
claim and draws the report beside it. The variables are those of the contract.
"""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.status import ExperimentStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.local.contents import RESULT
from scaling_operator.local.export import (
    Winner,
    export_model,
    result_json,
    with_test_metrics,
    write_report,
    write_table,
)
from scaling_operator.runtime.record import ExperimentRecord
from scaling_operator.validation.load import experiment_of
from scaling_trainer.contract import EXIT_NO_SPACE, Assignment, read_assignment
from scaling_trainer.foreign_text import as_message
from scaling_trainer.reading import UnreadableFile, parse_json, read_text
from scaling_trainer.results import Result, encode_result
from scaling_trainer.writing import (
    NO_SPACE,
    make_folder,
    write_file,
    write_in_place,
)

TRIES = 30
PAUSE_SECONDS = 2.0
MOST_TOKEN_BYTES = 64 * 1024
MOST_ANSWER_BYTES = 64 * 1024 * 1024


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


def _finish(assignment: Assignment) -> Mapping[str, float]:
    record = _fetch(assignment)
    claim, folder = assignment.data_dir, assignment.data_dir / assignment.experiment
    make_folder(folder, below=claim)
    winner = _winner(assignment, record.spec)
    metrics = asyncio.run(export_model(folder, winner, _note, below=claim))
    record = replace(record, status=with_test_metrics(record.status, metrics))
    write_file(folder / RESULT, result_json(record.name, record.status), below=claim)
    write_table(folder, record, below=claim)
    write_report(folder, record, below=claim)
    return metrics


def _note(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


def _winner(assignment: Assignment, spec: ExperimentSpec) -> Winner:
    checkpoint = assignment.checkpoint_dir
    if not checkpoint.is_dir():
        message = f"{checkpoint} does not exist: the trial has left nothing on the claim"
        raise FinishFailed(message)
    is_built_in = spec.trainer.built_in is not None
    score = partial(_score, checkpoint, assignment.data_dir)
    return Winner(checkpoint, assignment.parameters, is_built_in, score)


async def _score(checkpoint: Path, data_dir: Path, folder: Path) -> None:
    words = [sys.executable, "-m", "scaling_trainer", "export", str(checkpoint), str(folder)]
    process = await asyncio.create_subprocess_exec(
        *words, "--data-dir", str(data_dir), stdout=PIPE, stderr=PIPE
    )
    _, errors = await process.communicate()
    if process.returncode == EXIT_NO_SPACE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    if process.returncode != 0:
        message = f"the model could not be scored: {errors.decode(errors='replace').strip()[-900:]}"
        raise FinishFailed(message)


def _fetch(assignment: Assignment) -> ExperimentRecord:
    for attempt in range(TRIES):
        try:
            return record_of(_get(assignment))
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
        return parse_json(
            answer.read(MOST_ANSWER_BYTES + 1)[:MOST_ANSWER_BYTES], assignment.report_url
        )


def record_of(document: Mapping[str, Any]) -> ExperimentRecord:
    """Read what the operator hands out: an experiment and its trials, as they are stored."""
    experiment = document["experiment"]
    trials = [
        ScalingTrial.model_validate({"spec": trial["spec"], "status": trial.get("status") or {}})
        for trial in document["trials"]
    ]
    trials.sort(key=lambda trial: trial.spec.key)
    return ExperimentRecord(
        name=experiment["metadata"]["name"],
        uid=experiment["metadata"]["uid"],
        spec=experiment_of(experiment).spec,
        status=ExperimentStatus.model_validate(experiment.get("status") or {}),
        trials=tuple(trials),
    )
