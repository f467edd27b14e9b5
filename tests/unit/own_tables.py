"""A user's own table of houses, and the configuration that reads a data set for each task."""

from typing import Any

import numpy as np
import pandas as pd

from scaling_trainer.config.builtin import BuiltIn

MODELS = {
    "classification": {"name": "mlp"},
    "regression": {"name": "mlp"},
    "language-modelling": {"name": "transformer"},
    "recommendation": {"name": "matrix-factorisation"},
}


def config(task: str, dataset: dict[str, Any], **preprocessing: Any) -> BuiltIn:
    return BuiltIn.model_validate(
        {
            "task": task,
            "dataset": dataset,
            "model": MODELS[task],
            "preprocessing": preprocessing,
        }
    )


def frame(rows: int = 30) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "size": rng.normal(5, 2, rows),
            "sold": rng.integers(2, size=rows).astype(bool),
            "colour": rng.choice(["red", "green", "blue"], rows),
            "price": rng.normal(size=rows),
            "kind": np.resize(["house", "flat", "town house"], rows),
        }
    )
