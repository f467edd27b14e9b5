"""The training loop: steps, evaluations, checkpoints. `trial.py` prepares the loop and cleans up.

Notable features:
* interruptions change no bit of the results: rows, augmentation and dropout of a step are drawn
  from the trial's seed and the step's number, and a checkpoint holds everything else
* the global batch is always the configuration's; micro-batches only bound memory
* the loss is read only at evaluations and every 200 steps, so that the other steps do not wait for
  its value
* early stopping returns the weights and the metrics of the best evaluation
"""

from __future__ import annotations

import logging
import math
import resource
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from scaling_trainer import checkpoint
from scaling_trainer.batches import BatchLoader, SubsetRows
from scaling_trainer.checkpoint import Tensors
from scaling_trainer.config.builtin import BuiltIn
from scaling_trainer.contract import Execution
from scaling_trainer.evaluate import Evaluator, rounded
from scaling_trainer.optimization import ends_of_decays, learning_rate_share, phase_after
from scaling_trainer.report import Reporter
from scaling_trainer.seeding import derived_seed
from scaling_trainer.tensors import backward, row_chunks, seed_draws
from scaling_trainer.training_state import (
    Progress,
    UnusableCheckpoint,
    checkpoint_of,
    read_training,
    restore,
)

# Steps between two checks of the loss if evaluations are further apart. A check makes a GPU wait.
_STEPS_BETWEEN_LOSS_CHECKS = 200
_SECONDS_BETWEEN_CHECKPOINTS = 60.0

_log = logging.getLogger(__name__)


class Diverged(Exception):
    """The loss, or a metric, is not finite."""


class Stopped(Exception):
    """The operator ended the attempt before the training's end. There is no result."""


@dataclass(slots=True)
class Run:
    """The state of a running trial."""

    config: BuiltIn
    execution: Execution
    seed: int
    reporter: Reporter
    model: nn.Module
    parameters: tuple[nn.Parameter, ...]
    optimizer: torch.optim.Optimizer
    evaluator: Evaluator
    loader: BatchLoader
    validation: SubsetRows
    total_steps: int
    losses: torch.Tensor
    checkpoint_file: Path
    identity: str
    progress: Progress = field(default_factory=Progress)
    best_weights: Tensors = field(default_factory=dict[str, torch.Tensor])
    saved_at: float = field(default_factory=time.monotonic)
    stop_requested: bool = False
    """Of this attempt alone: with this flag in a checkpoint the next attempt would not train."""


# --- Training -------------------------------------------------------------------------------------


def train(run: Run) -> None:
    """Take the remaining steps. Evaluate, report and save on the way.

    Raises Diverged. Raises Stopped, after saving, if a report's answer ends the attempt early.
    """
    progress = run.progress
    if _has_ended(run):
        return
    run.model.train()
    began = time.perf_counter()
    for inputs, targets in run.loader.batches(progress.step):
        _step(run, inputs, targets)
        progress.step += 1
        evaluates = _evaluation_due(run)
        if evaluates or progress.step % _STEPS_BETWEEN_LOSS_CHECKS == 0:
            _refuse_divergence(run)
        if evaluates or _is_due(run.config.checkpoint_every, progress.step):
            progress.stepping_seconds += time.perf_counter() - began
            if evaluates:
                _evaluate(run)
            if _checkpoint_due(run):
                save(run)
            began = time.perf_counter()
        if _has_ended(run):
            return


def _has_ended(run: Run) -> bool:
    """Whether training has reached its end. Raises Stopped if it has to stop before."""
    progress = run.progress
    if progress.ended or progress.step >= run.total_steps:
        return True
    if run.stop_requested:
        save(run)
        message = f"asked to stop after step {progress.step} of {run.total_steps}"
        raise Stopped(message)
    return False


def _step(run: Run, inputs: torch.Tensor, targets: torch.Tensor) -> None:
    """Update the weights once, by the mean gradient of a whole batch."""
    config, step, device = run.config, run.progress.step, run.losses.device
    if getattr(config.model, "dropout", 0.0) > 0:
        seed_draws(derived_seed(run.seed, "dropout", step))
    if config.optimizer.schedule.name != "constant":
        share = learning_rate_share(config.optimizer.schedule, step, run.total_steps)
        for group in run.optimizer.param_groups:
            group["lr"] = config.optimizer.learning_rate * share
    for (
        parameter
    ) in run.parameters:  # zero_grad does the same, and takes a tenth of a small step's time
        parameter.grad = None
    size = run.execution.micro_batch or math.ceil(config.batch_size / run.execution.accumulation)
    if len(inputs) <= size:
        loss = run.evaluator.loss(run.model(inputs.to(device)), targets.to(device))
        backward(loss)
        run.losses += loss.detach()
    else:
        for micro_inputs, micro_targets in zip(
            row_chunks(inputs, size), row_chunks(targets, size), strict=True
        ):
            loss = run.evaluator.loss(run.model(micro_inputs.to(device)), micro_targets.to(device))
            weighted = loss * (len(micro_inputs) / len(inputs))
            backward(weighted)
            run.losses += weighted.detach()
    if config.optimizer.gradient_clip > 0:
        nn.utils.clip_grad_norm_(run.parameters, config.optimizer.gradient_clip)
    run.optimizer.step()


def _refuse_divergence(run: Run) -> None:
    # One loss that is not finite makes the sum of all losses not finite.
    if not math.isfinite(float(run.losses)):
        message = f"the loss was not finite in or before step {run.progress.step}"
        raise Diverged(message)


# --- Evaluation -----------------------------------------------------------------------------------


def _is_due(steps: int, step: int) -> bool:
    return steps > 0 and step % steps == 0


def _evaluation_due(run: Run) -> bool:
    interval = run.config.evaluate_every or run.loader.steps_per_epoch
    return _is_due(interval, run.progress.step) or run.progress.step in _ends_of_decays(run)


def _ends_of_decays(run: Run) -> tuple[int, ...]:
    return ends_of_decays(run.config.optimizer.schedule, run.total_steps)


def _evaluate(run: Run) -> None:
    """Score the model, report, and decide whether training ends."""
    progress, began = run.progress, time.perf_counter()
    progress.metrics = _metrics(run)
    progress.evaluations += 1
    if progress.step in _ends_of_decays(run)[:-1]:
        progress.points.append(
            {"samples": run.loader.samples_after(progress.step)} | progress.metrics
        )
    stopping = run.config.early_stopping
    if stopping is not None:
        _track_improvement(run, stopping.min_delta)
        progress.ended = progress.without_improvement >= stopping.patience
    progress.evaluating_seconds += time.perf_counter() - began
    now = phase_after(run.config.optimizer.schedule, progress.step, run.total_steps)
    if run.reporter.report(progress.evaluations, progress.metrics, _figures(run), phase=now):
        run.stop_requested = True


def _figures(run: Run) -> dict[str, float]:
    """Give the figures that show users the progress. No decision depends on them."""
    progress = run.progress
    figures = {
        "samples": float(run.loader.samples_after(progress.step)),
        "seconds": progress.stepping_seconds + progress.evaluating_seconds,
        "peakHostBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0,
    }
    if run.losses.is_cuda:
        figures["peakDeviceBytes"] = float(torch.cuda.max_memory_reserved())
    return figures


def _metrics(run: Run) -> dict[str, float]:
    """Score the validation part, and as many rows of the training part, with the same weights."""
    metrics = run.evaluator.metrics("val", run.evaluator.score(run.model, run.validation))
    seen = run.evaluator.score(run.model, run.loader.rows, at_most=len(run.validation))
    metrics["train_loss"] = rounded(seen.loss)
    metrics["overfitting"] = rounded(metrics["val_loss"] - metrics["train_loss"])
    for name, value in metrics.items():
        if not math.isfinite(value):
            message = f"{name} is {value}, not finite, after step {run.progress.step}"
            raise Diverged(message)
    return metrics


def _track_improvement(run: Run, min_delta: float) -> None:
    progress = run.progress
    best = progress.best_metrics.get("val_loss", math.inf)
    if progress.metrics["val_loss"] < best - min_delta:
        progress.best_metrics = progress.metrics
        progress.without_improvement = 0
        run.best_weights = checkpoint.weights_of(run.model)
    else:
        progress.without_improvement += 1


# --- Checkpoints ----------------------------------------------------------------------------------


def _checkpoint_due(run: Run) -> bool:
    if run.config.checkpoint_every:
        return _is_due(run.config.checkpoint_every, run.progress.step)
    return time.monotonic() - run.saved_at >= _SECONDS_BETWEEN_CHECKPOINTS


def save(run: Run) -> None:
    """Write all that the next attempt needs to resume without a difference."""
    saved = checkpoint_of(
        identity=run.identity,
        progress=run.progress,
        model=run.model,
        optimizer=run.optimizer,
        best_weights=run.best_weights,
    )
    checkpoint.write(run.checkpoint_file, saved)
    run.saved_at = time.monotonic()


def resume(run: Run) -> None:
    """Resume from the last checkpoint of this training, if there is one."""
    saved_file = checkpoint.read(run.checkpoint_file)
    if saved_file is None:
        return
    try:
        saved = read_training(saved_file, run.identity, run.model, run.optimizer)
    except UnusableCheckpoint as error:
        _log.warning("%s cannot be used: %s", run.checkpoint_file, error)
        return
    if saved is None:
        _log.warning("%s is of another training and is not used", run.checkpoint_file)
        return
    restore(saved, run.model, run.optimizer)
    run.progress = saved.progress
    device = run.losses.device
    run.best_weights = {name: tensor.to(device) for name, tensor in saved.best_weights.items()}
    _log.info("going on after step %d", run.progress.step)
