"""From `search.algorithm` to Optuna's samplers, every argument spelled out; the seed of a trial.

Optuna changes defaults between versions, and with another default a seed gives another proposal.
A sampler is made anew for each trial, with the trial's seed: it must not remember anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, assert_never, cast

from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.samplers.nsgaii import UniformCrossover

from scaling_operator.api.algorithms import (
    Algorithm,
    GeneticAlgorithm,
    GpAlgorithm,
    GridAlgorithm,
    RandomAlgorithm,
    TpeAlgorithm,
)
from scaling_operator.api.names import DEFAULT_STARTUP_TRIALS
from scaling_operator.search.optuna_messages import ignoring


def trial_seed(base: str | int, scale: int, number: int) -> int:
    """Give the seed of a trial: the first 4 bytes of SHA-256 over `base`, scale and number.

    `base` is `algorithm.seed`, or the experiment's uid where there is none. SHA-256, because
    Python's own hash of a text differs from process to process.
    """
    digest = hashlib.sha256(f"{base}/{scale}/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


GENERATION = "NSGAIISampler:generation"
"""Attribute of a trial: the generation it was born into."""
PARENTS = "NSGAIISampler:parent:"
"""Attribute of a study, followed by a generation: numbers of the trials it descends from."""
RELATIVE = ("tpe:relative_params:", "gp:relative_params:")
"""Attributes of a running trial that repeat its parameters, inactive ones included."""


def make_sampler(algorithm: Algorithm, seed: int, *, conditional: bool) -> BaseSampler:
    """Make the sampler of one trial.

    GP and NSGA-II model the parameters that every trial has; they draw conditional ones at random.
    TPE models each group of parameters that are active together.
    """
    match algorithm:
        case RandomAlgorithm() | GridAlgorithm():  # The grid's points are set, nothing is drawn.
            return RandomSampler(seed=seed)
        case TpeAlgorithm():
            with ignoring():  # `group` counts as experimental.
                return TPESampler(
                    n_startup_trials=algorithm.startup_trials or DEFAULT_STARTUP_TRIALS,
                    n_ei_candidates=24,
                    seed=seed,
                    multivariate=True,
                    group=conditional,
                    constant_liar=True,
                )
        case GpAlgorithm():
            _use_one_thread()
            return GPSampler(
                seed=seed,
                independent_sampler=RandomSampler(seed=seed),
                n_startup_trials=algorithm.startup_trials or DEFAULT_STARTUP_TRIALS,
                deterministic_objective=False,
                warn_independent_sampling=False,
            )
        case GeneticAlgorithm():
            return NSGAIISampler(
                population_size=algorithm.population_size,
                mutation=None,
                mutation_prob=None,
                crossover=UniformCrossover(swapping_prob=0.5),
                crossover_prob=0.9,
                swapping_prob=0.5,
                seed=seed,
            )
    assert_never(algorithm)


def _use_one_thread() -> None:
    """Keep PyTorch, which GP computes with, to one thread: the other cores belong to the trials."""
    import torch  # noqa: PLC0415 - only GP needs it, and it is an extra

    torch.set_num_threads(1)


def trial_attributes(attributes: Mapping[str, Any]) -> dict[str, int]:
    """Select the attributes of the trial. Raises ValueError where one is not a generation."""
    if GENERATION not in attributes:
        return {}
    generation = attributes[GENERATION]
    if not _is_natural(generation):
        message = f"samplerAttributes.{GENERATION}: {generation!r} is not a generation"
        raise ValueError(message)
    return {GENERATION: int(generation)}


def study_attributes(attributes: Mapping[str, Any]) -> dict[str, list[int]]:
    """Select the attributes of the study. Raises ValueError where one is not a list of trials."""
    of_parents = {name: value for name, value in attributes.items() if name.startswith(PARENTS)}
    for name, value in of_parents.items():
        if not isinstance(value, list) or not all(map(_is_natural, cast("list[Any]", value))):
            message = f"samplerAttributes.{name}: {value!r} is not a list of trial numbers"
            raise ValueError(message)
    return of_parents


def _is_natural(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
