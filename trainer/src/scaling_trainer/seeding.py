"""Randomness without state: each draw is seeded by the trial's seed, a purpose and a place.

So an interrupted trial resumes with the same draws, and only the place has to be stored. The only
exception is the model's initial weights, which are drawn right after `seed_all`.
"""

from __future__ import annotations

import hashlib
import os
import random

import numpy as np
import torch

from scaling_trainer.tensors import seed_draws


def seed_all(seed: int) -> None:
    """Seed Python, NumPy and PyTorch, and allow PyTorch only deterministic algorithms."""
    # cuBLAS reads the variable at its start. One work space of fixed size keeps the order of sums.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(mode=True)
    # No model reads memory that it has not written, so filling fresh memory with NaN wastes time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue] # a module with a settable property
    random.seed(seed)
    np.random.seed(seed % 2**32)  # libraries may draw from this generator
    seed_draws(seed)


def derived_seed(seed: int, purpose: str, place: int) -> int:
    """Give the seed of draws for a purpose at a place, such as a step or an epoch."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{place}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, purpose: str, place: int) -> torch.Generator:
    """Make a generator on the CPU for a purpose at a place."""
    return torch.Generator().manual_seed(derived_seed(seed, purpose, place))
