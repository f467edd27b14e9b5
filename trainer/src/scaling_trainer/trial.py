"""One trial, from its assignment to its weights. `run_trial` shows the steps in order."""

from __future__ import annotations

import hashlib
import json
import logging
import resource
from collections.abc import Mapping
from pathlib import Path

import torch

from scaling_trainer import checkpoint, models
from scaling_trainer.batches import BatchLoader, SubsetRows
from scaling_trainer.checkpoint import Checkpoint
from scaling_trainer.config.builtin import BuiltIn, with_parameters
from scaling_trainer.config.models import Transformer
from scaling_trainer.config.tasks import METRICS_BY_TASK
from scaling_trainer.contract import Assignment, ContractError
from scaling_trainer.counting import count
from scaling_trainer.data.load import prepare
from scaling_trainer.data.prepared import Prepared, Subset
from scaling_trainer.evaluate import Evaluator, rounded
from scaling_trainer.optimization import loss_function, make_optimizer
from scaling_trainer.report import Reporter
from scaling_trainer.results import Point, Result, encode_result, parse_result
from scaling_trainer.seeding import seed_all
from scaling_trainer.tensors import aligned, checksum
from scaling_trainer.train import Run, resume, train
from scaling_trainer.trained_model import (
    ModelRecord,
    data_dimensions,
    pick_device,
    read_record,
    write_record,
)

RECORD = "trial.json"

_log = logging.getLogger(__name__)

# Larger data stay in host memory, and batches move to the accelerator one by one.
_RESIDENT_BYTES = 2 * 2**30


def run_trial(assignment: Assignment, reporter: Reporter) -> Result:
    """Train one trial, and write its weights and record into its checkpoint folder.

    A trial that has already ended gives its result again. Raises ContractError, pydantic's
    ValidationError or DataError for what the user has to change. Raises Diverged if the loss is not
    finite. Raises Stopped, without a result, if the operator ended the attempt.
    """
    config = read_config(assignment)
    torch.set_num_threads(config.threads)
    seed_all(assignment.seed)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    prepared = prepare(config, assignment.data_dir)
    for note in prepared.notes:
        _log.info("data: %s", note)
    identity = identity_of(config, assignment, prepared)
    record = assignment.checkpoint_dir / RECORD
    if record.exists() and (done := read_record(record)).identity == identity:
        return parse_result(done.result)
    run = start(assignment, config, prepared, reporter, identity)
    resume(run)
    train(run)
    result = _result(run, prepared)
    _keep(run, prepared, record, result)
    return result


def read_config(assignment: Assignment) -> BuiltIn:
    """Lay the trial's parameters over the configuration and refuse what this trainer cannot do."""
    if assignment.config is None:
        message = "SCALING_CONFIG is not set: the built-in trainer needs it"
        raise ContractError(message)
    execution = assignment.execution
    if execution.devices > 1 or execution.sharding != "none":
        message = (
            f"SCALING_EXECUTION asks for {execution.devices} devices with sharding "
            f"{execution.sharding}: the built-in trainer uses 1 with none"
        )
        raise ContractError(message)
    return with_parameters(BuiltIn.model_validate(assignment.config), assignment.parameters)


def identity_of(config: BuiltIn, assignment: Assignment, prepared: Prepared) -> str:
    """Tell one training from another: whose it is, what it does, and on which data.

    How it runs on its machine is no part of it: the next attempt may have to use less memory.
    """
    settings: list[object] = [config.model_dump(mode="json"), assignment.seed, assignment.samples]
    if assignment.experiment_uid is not None:
        settings.append(assignment.experiment_uid)
    data = [
        checksum(tensor)
        for part in (prepared.train, prepared.validation)
        for tensor in (part.inputs, part.targets)
    ]
    return hashlib.sha256(json.dumps([settings, data]).encode()).hexdigest()


def start(
    assignment: Assignment, config: BuiltIn, prepared: Prepared, reporter: Reporter, identity: str
) -> Run:
    """Build the model and the state of the run. PyTorch must have been seeded before."""
    device = pick_device()
    dimensions = data_dimensions(prepared)
    recompute = assignment.execution.recompute
    model = models.build(config.model, dimensions, recompute=recompute).to(device)
    parameters = tuple(model.parameters())
    context = config.model.context if isinstance(config.model, Transformer) else 0
    store = device if _bytes(prepared.train) <= _RESIDENT_BYTES else torch.device("cpu")
    rows = SubsetRows(_move(prepared.train, store), context)
    feed = BatchLoader(rows, config.batch_size, assignment.seed, prepared.augment)
    loss = loss_function(config)
    samples = assignment.samples
    epochs_steps = config.epochs * feed.steps_per_epoch
    return Run(
        config=config,
        execution=assignment.execution,
        seed=assignment.seed,
        reporter=reporter,
        model=model,
        parameters=parameters,
        optimizer=make_optimizer(config.optimizer, parameters),
        evaluator=Evaluator(config.task, loss, prepared.classes, dimensions.outputs),
        loader=feed,
        validation=SubsetRows(_move(prepared.validation, store), context),
        total_steps=epochs_steps if samples is None else feed.steps_for(samples),
        losses=torch.zeros((), device=device),
        checkpoint_file=assignment.checkpoint_dir / checkpoint.CHECKPOINT,
        identity=identity,
    )


def _bytes(part: Subset) -> int:
    return part.inputs.nbytes + part.targets.nbytes


def _move(part: Subset, device: torch.device) -> Subset:
    return Subset(aligned(part.inputs, device), aligned(part.targets, device))


def _result(run: Run, prepared: Prepared) -> Result:
    """Give the result for the weights that are kept."""
    progress = run.progress
    samples = run.loader.samples_after(progress.step)
    counted = count(run.config.model.model_dump(), data_dimensions(prepared))
    metrics = progress.best_metrics or progress.metrics
    removed = {f"removed_{cause}": float(rows) for cause, rows in prepared.removed.items()}
    on_gpu = torch.cuda.is_available()
    return Result(
        metrics=metrics | removed,
        model_parameters=counted.parameters,
        samples=samples,
        flops=float(counted.flops_per_sample) * samples,
        points=tuple(_point(run, counted.flops_per_sample, point) for point in progress.points),
        steps=progress.evaluations,
        seconds=rounded(progress.stepping_seconds + progress.evaluating_seconds),
        step_seconds=rounded(progress.stepping_seconds / progress.step),
        peak_host_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        peak_device_bytes=torch.cuda.max_memory_reserved() if on_gpu else None,
    )


def _point(run: Run, flops_per_sample: int, point: Mapping[str, float]) -> Point:
    """Give the result of a shorter training. Metrics per class would take too much space."""
    names = [f"val_{metric}" for metric in METRICS_BY_TASK[run.config.task]]
    samples = point["samples"]
    metrics = {name: point[name] for name in names if name in point}
    return Point(samples=samples, flops=float(flops_per_sample) * samples, metrics=metrics)


def _keep(run: Run, prepared: Prepared, record: Path, result: Result) -> None:
    """Write the weights, then their record, which marks a complete trial; then clean up."""
    weights = run.best_weights or run.model.state_dict()
    checkpoint.write(record.with_name(checkpoint.WEIGHTS), Checkpoint(weights, {}))
    dimensions = data_dimensions(prepared)
    trained = ModelRecord(
        config=run.config,
        dimensions=dimensions,
        classes=prepared.classes,
        parameters=count(run.config.model.model_dump(), dimensions).parameters,
        metrics=result.metrics,
        identity=run.identity,
        result=encode_result(result).decode(),
    )
    write_record(record, trained)
    run.checkpoint_file.unlink(missing_ok=True)
