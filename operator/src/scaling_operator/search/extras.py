"""Whether the extra that an algorithm needs is installed: asked when an experiment is accepted.

Optuna itself says so only at the first proposal that needs the extra, hours later.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec

from scaling_operator.api.algorithms import GpAlgorithm
from scaling_operator.api.search import Search

_NEEDED_BY_GP = ("scipy.optimize", "scipy.stats", "torch")


def missing_extra(search: Search, *, loads: bool = True) -> str | None:
    """Say which extra the algorithm lacks here; None where it can be used.

    With `loads` the modules of the extra are imported, which takes seconds, and a few hundred MiB
    for good. Then a broken module is found, and no module is half loaded where two threads need it.
    """
    if not isinstance(search.algorithm, GpAlgorithm):
        return None
    for module in _NEEDED_BY_GP:
        try:
            _find(module, loads=loads)
        except ImportError as error:
            return (
                f"the algorithm gp needs {module}, which cannot be imported ({error}): "
                "install the extra scaling-operator[gp], or choose random, grid, tpe or genetic"
            )
    return None


def _find(module: str, *, loads: bool) -> None:
    if loads:
        importlib.import_module(module)
    elif find_spec(module) is None:
        message = "it is not installed"
        raise ModuleNotFoundError(message)
