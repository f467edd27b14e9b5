"""What programs write: variables, results, reports, termination messages, pods, checkpoints."""

from __future__ import annotations

import json
import logging
import math
import struct
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from hypothesis import strategies as st
from mutations import MOST_BYTES, mutated
from stored_status import RULES, check_kept, spec
from targets import Target, check_words, files, made_of, of_files
from torch import nn

from scaling_operator.api.status import TrialStatus
from scaling_operator.core.actions import EndTrial
from scaling_operator.core.observed import AttemptView, LiveTrial
from scaling_operator.core.settle import settle
from scaling_operator.core.trial_status import finished
from scaling_operator.kube.workloads import job, pod
from scaling_operator.kube.workloads.attempt_spec import GracePeriods
from scaling_operator.kube.workloads.pod_view import ended_view
from scaling_operator.report_endpoint.bodies import BadReport, check_result, parse_report
from scaling_trainer import checkpoint
from scaling_trainer.checkpoint import Checkpoint
from scaling_trainer.contract import ContractError, environment_of, read_assignment
from scaling_trainer.foreign_text import as_message
from scaling_trainer.metric_names import is_metric_name
from scaling_trainer.results import (
    MAX_RESULT_BYTES,
    Result,
    ResultError,
    encode_result,
    parse_result,
)
from scaling_trainer.training_state import UnusableCheckpoint, read_training, restore

NOW = 1_800_000_000.0
IDENTITY = "abc"
A_DAY = 86_400.0
BOUNDS = GracePeriods(
    image_pull_grace_seconds=120, config_error_grace_seconds=30, deletion_grace_seconds=60
)


def check_a_result(written: bytes) -> bool:
    """A result is written again as what was read; the endpoint takes no other than the reader."""
    try:
        result = parse_result(written)
    except ResultError as error:
        check_words(str(error))
        assert _refusal(written) is not None
        return False
    _check_numbers(result)
    refusal = _refusal(written)
    assert refusal is None or "half a character" in refusal
    again = _written(result)
    if again is None:  # 1 is written as 1.0: what fitted barely may no longer fit
        assert len(written) > MAX_RESULT_BYTES / 2
    else:
        assert parse_result(again) == result
    return True


def _written(result: Result) -> bytes | None:
    try:
        return encode_result(result)
    except ResultError as error:
        check_words(str(error))
        return None


def _refusal(body: bytes) -> str | None:
    try:
        check_result(body)
    except BadReport as error:
        check_words(str(error))
        return str(error)
    return None


def _check_numbers(result: Result) -> None:
    for point in result.points:
        assert point.samples >= 0
        assert all(map(math.isfinite, point.metrics.values()))
    assert all(is_metric_name(name) for name in result.metrics)
    assert all(map(math.isfinite, (*result.metrics.values(), *(result.values or ()))))
    assert result.steps is None or type(result.steps) is int


def check_a_report(body: bytes) -> bool:
    """A report is passed on with the numbers and names that may be stored and drawn."""
    try:
        report = parse_report(body)
    except BadReport as error:
        check_words(str(error))
        return False
    assert min(report.seq, report.step) >= 1
    assert max(report.seq, report.step) <= 2**53  # doubles hold no more
    assert all(is_metric_name(name) for name in report.metrics)
    assert all(map(math.isfinite, report.metrics.values()))
    assert all(math.isfinite(figure) and figure >= 0 for figure in report.figures.values())
    kept = {"seq": report.seq, "step": report.step, "metrics": report.metrics}
    whole = kept | {"figures": report.figures, "phase": report.phase}
    assert parse_report(json.dumps(whole, allow_nan=False).encode()) == report
    return True


def check_a_message(written: bytes) -> bool:
    """Whatever a container says at its end, its trial ends in a status that can be stored."""
    try:
        said = written.decode(errors="surrogatepass")  # as JSON's escapes may have it
    except UnicodeDecodeError:
        said = written.decode(errors="replace")
    results: list[bool] = []
    for code in (0, 1, 86, 137):
        view = ended_view({}, {"exitCode": code, "message": said}, NOW)
        _check_end(view, NOW + A_DAY)
        results.append(view.result is not None)
    return all(results)


def check_a_pod(written: bytes) -> bool:
    """Whatever an API server says of a pod or a Job, it is read, and an end can be stored."""
    workload = _object(written)
    if workload is None:
        return False
    for kind in (pod, job):
        for now in (0.0, NOW, NOW + A_DAY, 1e12):
            _check_end(kind.observe([workload], BOUNDS, now), now)
    return True


def _check_end(view: AttemptView, now: float) -> None:
    """Let a trial's attempt stand so: where that is the trial's end, the end can be stored."""
    trial = LiveTrial(0, 1, view=view)
    action = settle(trial, spec=spec(), rules=RULES, now_seconds=now)
    if isinstance(action, EndTrial):
        check_kept(finished(TrialStatus(), action, (), NOW))


def _object(written: bytes) -> dict[str, Any] | None:
    """Read what an API server's client would hand on."""
    try:
        document = json.loads(written)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", document) if isinstance(document, dict) else None


def check_a_checkpoint(written: bytes) -> bool:
    """A checkpoint is read as it can be written again, or is told in one line and not used."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    log = logging.getLogger(checkpoint.__name__)
    log.addHandler(handler)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _check_file(Path(folder) / "checkpoint.safetensors", written, messages)
    finally:
        log.removeHandler(handler)


def _check_file(path: Path, written: bytes, messages: list[str]) -> bool:
    path.write_bytes(written)
    saved = checkpoint.read(path)
    if saved is None:
        (message,) = messages
        check_words(message, 2000)
        return False
    _check_training(saved)
    size = sum(tensor.nbytes for tensor in saved.tensors.values())
    assert size <= len(written), "tensors of more bytes than the file has"
    checkpoint.write(path, saved)
    again = checkpoint.read(path)
    assert again is not None
    assert json.dumps(again.document) == json.dumps(saved.document)
    for name, tensor in saved.tensors.items():
        tensor_again = again.tensors[name]
        assert (tensor.dtype, tensor.shape) == (tensor_again.dtype, tensor_again.shape)
        assert _bytes_of(tensor) == _bytes_of(tensor_again)
    return True


def _check_training(saved: Checkpoint) -> None:
    """A training goes on from a checkpoint that fits it, and says of another why it does not."""
    model, optimizer = training()
    try:
        training_state = read_training(saved, IDENTITY, model, optimizer)
    except UnusableCheckpoint as error:
        check_words(str(error))
        return
    if training_state is not None:
        restore(training_state, model, optimizer)
        take_step(model, optimizer)


def training() -> tuple[nn.Module, torch.optim.Optimizer]:
    """Make the small training whose checkpoint is in the corpus."""
    model = nn.ModuleDict({"a": nn.Linear(3, 2)})
    return model, torch.optim.Adam(model.parameters(), fused=True)


def take_step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Move the weights once, by gradients of nothing."""
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()


def _bytes_of(tensor: torch.Tensor) -> bytes:
    return tensor.flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def framed(header: bytes) -> bytes:
    """Make a whole file of a header: its length, itself, and as many bytes as it speaks of."""
    try:
        entries: list[Any] = list(json.loads(header).values())
        ends = [entry["data_offsets"][1] for entry in entries if "data_offsets" in entry]
        size = max((end for end in ends if 0 <= end <= MOST_BYTES), default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        size = 0
    return struct.pack("<Q", len(header)) + header + bytes(int(size))


def _header(file: bytes) -> bytes:
    return file[8 : 8 + struct.unpack("<Q", file[:8].ljust(8, b"\0"))[0]]


def _checkpoints() -> Target:
    corpus = files("checkpoints")
    whole = [content for _, content in corpus]
    headers = made_of([_header(content) or b"{}" for content in whole]).map(framed)
    inputs = st.one_of(headers, headers, mutated(whole))
    return Target("checkpoints", inputs, check_a_checkpoint, corpus)


def check_an_assignment(written: bytes) -> bool:
    """The contract's variables are read as they can be written again, or the wrong one is named."""
    variables = _object(written)
    if variables is None:
        return False
    try:
        assignment = read_assignment({name: str(text) for name, text in variables.items()})
    except ContractError as error:
        _check_names_a_variable(as_message(str(error)))
        return False
    again = read_assignment(environment_of(assignment))
    assert json.dumps(again.config) == json.dumps(assignment.config)
    assert replace(again, config=None) == replace(assignment, config=None)
    return True


def _check_names_a_variable(refusal: str) -> None:
    check_words(refusal)
    assert "SCALING_" in refusal


TARGETS = (
    of_files("assignments", check_an_assignment),
    of_files("results", check_a_result),
    of_files("reports", check_a_report),
    of_files("termination-messages", check_a_message, 100),
    of_files("pods", check_a_pod, 100),
    _checkpoints(),
)
