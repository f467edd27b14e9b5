"""Whether what an algorithm needs is installed: asked when an experiment is accepted.

Optuna itself says so only at the first proposal that needs it, hours later.
"""

from __future__ import annotations

import importlib

from scaling_operator.api.search import GpAlgorithm, Search

# The very modules that it uses: loaded here, they cannot be half loaded when two threads want them.
_NEEDED_BY_GP = ("scipy.optimize", "scipy.stats", "torch")


def unavailable(search: Search) -> str | None:
    """Say which extra the algorithm lacks here; None where it can be used."""
    if not isinstance(search.algorithm, GpAlgorithm):
        return None
    for module in _NEEDED_BY_GP:
        try:
            importlib.import_module(module)
        except ImportError as error:
            return (
                f"the algorithm gp needs {module}, which cannot be imported ({error}): "
                "install the extra scaling-operator[gp], or choose random, grid, tpe or genetic"
            )
    return None
