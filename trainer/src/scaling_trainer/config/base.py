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


class SectionError(ValueError):
    """What a section's own rules object to: pairs of a field and a sentence.

    The field is a name within the section, as files spell it, or "" for the section as a whole.
    Messages about a file can so point at the field.
    """

    def __init__(self, *problems: tuple[str, str]) -> None:
        self.problems = problems
        super().__init__("; ".join(sentence for _, sentence in problems))


class Section(BaseModel):
    """Base of every section.

    Unknown keys are errors, values are finite, nothing changes after reading.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
