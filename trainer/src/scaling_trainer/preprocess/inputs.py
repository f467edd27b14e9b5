"""The fitted inputs and targets of a data set, which turn new rows into tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

Positive = Annotated[FiniteFloat, Field(gt=0)]


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """A column of numbers. The model sees (value - offset) / factor.

    `fill` replaces a missing value. Without `fill` a missing value is refused.
    """

    name: str
    fill: FiniteFloat | None = None
    offset: FiniteFloat = 0.0
    factor: Positive = 1.0
    kind: Literal["number"] = "number"


@dataclass(frozen=True, slots=True)
class CategoryColumn:
    """A column of text. The model gets one input per category. An unknown category is all 0."""

    name: str
    categories: tuple[str, ...]
    fill: str | None = None
    kind: Literal["category"] = "category"


Column = NumberColumn | CategoryColumn


@dataclass(frozen=True, slots=True)
class TableInputs:
    """The columns in the order of the model's inputs."""

    columns: tuple[Column, ...]
    kind: Literal["table"] = "table"


@dataclass(frozen=True, slots=True)
class ImageInputs:
    """Images of one size.

    Raw pixels run from 0 to `maximum`. A pixel is divided by `maximum`, then scaled to
    (pixel - offset) / factor, with one offset and one factor per channel.
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
    """The columns of a rating, and all users and items. A name's place is the model's index."""

    user: str
    item: str
    users: tuple[str, ...]
    items: tuple[str, ...]
    kind: Literal["ratings"] = "ratings"


@dataclass(frozen=True, slots=True)
class TokenInputs:
    """Text: its bytes are the tokens, so nothing has to be fitted."""

    kind: Literal["tokens"] = "tokens"


Inputs = TableInputs | ImageInputs | RatingInputs | TokenInputs


@dataclass(frozen=True, slots=True)
class ClassTarget:
    """Classes by index: `labels` as in the data, `names` as in a metric's name."""

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
