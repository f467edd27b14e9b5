"""What is remembered of a data set's inputs: enough to turn new rows into tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

Positive = Annotated[FiniteFloat, Field(gt=0)]


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """A column of numbers. The model sees (value - offset) / factor.

    `fill` stands for a missing value; None: a missing value is refused.
    """

    name: str
    fill: FiniteFloat | None = None
    offset: FiniteFloat = 0.0
    factor: Positive = 1.0
    kind: Literal["number"] = "number"


@dataclass(frozen=True, slots=True)
class CategoryColumn:
    """A column of text. The model sees one input per category; all are 0 for an unknown one."""

    name: str
    categories: tuple[str, ...]
    fill: str | None = None
    kind: Literal["category"] = "category"


Column = NumberColumn | CategoryColumn


@dataclass(frozen=True, slots=True)
class TableInputs:
    """Columns in the order in which the model gets them."""

    columns: tuple[Column, ...]
    kind: Literal["table"] = "table"


@dataclass(frozen=True, slots=True)
class ImageInputs:
    """Images of one size.

    Raw pixels run from 0 to `maximum`; they are divided by it, then (pixel - offset) / factor is
    taken, one pair per channel.
    """

    channels: int
    height: int
    width: int
    maximum: Positive
    offset: tuple[FiniteFloat, ...]
    factor: tuple[Positive, ...]
    kind: Literal["images"] = "images"

    def __post_init__(self) -> None:
        """Check that there is one pair for each channel. Raises ValueError."""
        if not len(self.offset) == len(self.factor) == self.channels:
            message = f"{self.channels} channels need as many offsets and factors"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class RatingInputs:
    """The columns of a rating and every user and item by name; the place is the model's index."""

    user: str
    item: str
    users: tuple[str, ...]
    items: tuple[str, ...]
    kind: Literal["ratings"] = "ratings"


@dataclass(frozen=True, slots=True)
class TokenInputs:
    """Text: the tokens are its bytes, so there is nothing to remember."""

    kind: Literal["tokens"] = "tokens"


Inputs = TableInputs | ImageInputs | RatingInputs | TokenInputs


@dataclass(frozen=True, slots=True)
class ClassTarget:
    """Classes by index: `labels` as in the data, `names` fit for a metric's name."""

    labels: tuple[str, ...]
    names: tuple[str, ...]
    kind: Literal["classes"] = "classes"

    def __post_init__(self) -> None:
        """Check that each class has a label and a name. Raises ValueError."""
        if len(self.labels) != len(self.names):
            message = f"there are {len(self.labels)} labels and {len(self.names)} names"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class NumberTarget:
    """A number. The model sees (value - offset) / factor."""

    offset: FiniteFloat = 0.0
    factor: Positive = 1.0
    kind: Literal["number"] = "number"


@dataclass(frozen=True, slots=True)
class NextToken:
    """The next token of a text."""

    kind: Literal["next-token"] = "next-token"


Target = ClassTarget | NumberTarget | NextToken
