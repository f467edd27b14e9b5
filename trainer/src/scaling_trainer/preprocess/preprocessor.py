"""A fitted preprocessor: all that a prediction needs beside the weights, stored as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import torch
from pydantic import Field, TypeAdapter, ValidationError

from scaling_trainer.data_error import DataError
from scaling_trainer.preprocess.inputs import ClassTarget, Inputs, NumberTarget, Target
from scaling_trainer.preprocess.notation import Notation
from scaling_trainer.preprocess.transform import transform


@dataclass(frozen=True, slots=True)
class Preprocessor:
    """Turns raw rows into a model's inputs, and the model's outputs into labels and numbers."""

    inputs: Annotated[Inputs, Field(discriminator="kind")]
    target: Annotated[Target, Field(discriminator="kind")]
    notation: Notation = field(default_factory=Notation)
    """How the file of the training rows wrote numbers and missing values."""

    def transform(self, frame: pd.DataFrame, *, folder: Path = Path()) -> torch.Tensor:
        """Turn raw rows, read by column name, into the inputs of a `Subset`.

        A relative `path` of an image begins at `folder`. Raises DataError that names a column which
        is missing or holds unusable values.
        """
        return transform(self.inputs, frame, folder)

    def restore_target(self, predictions: torch.Tensor) -> torch.Tensor:
        """Turn predicted numbers back into the unit of the data. Other outputs stay as they are."""
        match self.target:
            case NumberTarget(offset=offset, factor=factor):
                return predictions * factor + offset
            case _:
                return predictions

    def labels(self, indices: Iterable[int] | torch.Tensor) -> list[str]:
        """Give the labels of the data for indices of classes."""
        if not isinstance(self.target, ClassTarget):
            raise DataError(path="target", message="is not a class: there are no labels")
        return [self.target.labels[int(place)] for place in indices]

    def to_json(self) -> dict[str, Any]:
        """Write the preprocessor as a JSON object. `from_json` reads an equal preprocessor."""
        return _ADAPTER.dump_python(self, mode="json")

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Preprocessor:
        """Read what `to_json` wrote. Raises DataError for any other document."""
        try:
            return _ADAPTER.validate_python(document)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            message = f"cannot be read: {place or 'the whole'}: {first['msg']}"
            raise DataError(path="preprocessor", message=message) from error


_ADAPTER = TypeAdapter(Preprocessor)
