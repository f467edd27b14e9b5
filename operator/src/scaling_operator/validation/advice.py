"""Warnings: settings that an experiment may have, but that its author probably did not mean."""

from __future__ import annotations

from collections.abc import Iterator

from scaling_operator.api.algorithms import (
    GeneticAlgorithm,
    GpAlgorithm,
    GridAlgorithm,
    PatientPruner,
    TpeAlgorithm,
)
from scaling_operator.api.experiment import ScalingExperiment
from scaling_operator.api.names import DEFAULT_TRIALS
from scaling_operator.validation.grid import grid_size, points_without_repeats

_SMALL_IS_GOOD = ("val_loss", "val_mse", "val_mae", "val_perplexity")
_LARGE_IS_GOOD = ("val_accuracy", "val_precision", "val_recall", "val_f1", "val_r2")


def warnings_of(experiment: ScalingExperiment) -> tuple[str, ...]:
    """Describe each setting that looks like a slip, as `path: the slip, and what to do`."""
    rules = (_startup, _grid, _finite, _patience, _directions)
    return tuple(warning for rule in rules for warning in rule(experiment))


def _startup(experiment: ScalingExperiment) -> Iterator[str]:
    most = experiment.spec.trials.max or DEFAULT_TRIALS
    match experiment.spec.search.algorithm:
        case TpeAlgorithm(startup_trials=random) | GpAlgorithm(startup_trials=random):
            field = "startupTrials"
        case GeneticAlgorithm(population_size=random):
            field = "populationSize"
        case _:
            return
    if random is not None and random * 2 > most and experiment.spec.search.parameters:
        yield (
            f"spec.search.algorithm.{field}: {min(random, most)} of the {most} trials of a scale "
            "are random, more than half; lower it or raise trials.max"
        )


def _grid(experiment: ScalingExperiment) -> Iterator[str]:
    search, most = experiment.spec.search, experiment.spec.trials.max
    if isinstance(search.algorithm, GridAlgorithm) and most is not None:
        points = grid_size(search)
        if points > most:
            yield (
                f"spec.trials.max: the grid has {points:,} points, of which only {most:,} are "
                "tried; leave max out to try all"
            )


def _finite(experiment: ScalingExperiment) -> Iterator[str]:
    wanted = experiment.spec.trials.max or DEFAULT_TRIALS
    points = points_without_repeats(experiment.spec.search)
    if points is not None and points < wanted:
        yield (
            f"spec.search: the space has {points:,} points, so a scale ends with SpaceExhausted "
            f"after {points:,} trials instead of {wanted:,}; with search.repeats: train points are "
            "tried again"
        )


def _patience(experiment: ScalingExperiment) -> Iterator[str]:
    if isinstance(experiment.spec.search.pruner, PatientPruner):
        yield (
            "spec.search.pruner: patient prunes every trial that comes to rest, and a pruned trial "
            "is never the best; to end training early and keep its value, use the trainer's "
            "early_stopping"
        )


def _directions(experiment: ScalingExperiment) -> Iterator[str]:
    if experiment.spec.trainer.built_in is None:
        return
    for objective in experiment.spec.all_objectives:
        wrong = {"maximize": _SMALL_IS_GOOD, "minimize": _LARGE_IS_GOOD}[objective.direction]
        if objective.metric.startswith(wrong):
            yield (
                f"spec.objective.direction: {objective.metric} is better the other way; "
                f"did you mean {'minimize' if objective.direction == 'maximize' else 'maximize'}?"
            )
