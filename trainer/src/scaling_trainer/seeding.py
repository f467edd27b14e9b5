"""Randomness without a state: every draw is seeded by the trial's seed, its purpose and its place.

So an interrupted trial goes on with the very draws it would have made, and nothing but the place
has to be kept. The one exception is the model's first weights, drawn right after `seed_all`.
"""

from __future__ import annotations

import hashlib
import os
import random

import numpy as np
import torch

from scaling_trainer.tensors import seed_draws


def seed_all(seed: int) -> None:
    """Seed Python, NumPy and PyTorch, and let PyTorch use only what repeats bit for bit."""
    # cuBLAS reads it when it starts: with one work space of fixed size its sums keep their order.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(mode=True)
    # Every model here writes what it reads; filling fresh memory with NaN first only costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue] # a module with a settable property
    random.seed(seed)
    np.random.seed(seed % 2**32)  # own models and libraries may draw from it
    seed_draws(seed)


def derived_seed(seed: int, purpose: str, place: int) -> int:
    """Give the seed of the draws for one purpose at one place, such as a step or an epoch."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{place}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, purpose: str, place: int) -> torch.Generator:
    """Make a generator for one purpose at one place; it lives on the CPU."""
    return torch.Generator().manual_seed(derived_seed(seed, purpose, place))
