"""What every section of the configuration shares."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Scalar = str | int | float | bool

Path = Annotated[str, Field(min_length=1, max_length=1024)]
Column = Annotated[str, Field(min_length=1, max_length=256)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Task = Literal["classification", "regression", "language-modelling", "recommendation"]
Loss = Literal["cross-entropy", "mse"]


class Section(BaseModel):
    """Base of every section.

    Unknown keys are errors, values are finite, nothing changes after reading.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
