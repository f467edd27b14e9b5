"""From raw rows to a model's inputs, for each kind of input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, assert_never

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from scaling_trainer.data_error import DataError
from scaling_trainer.preprocess.columns import Floats, as_numbers, as_text, is_missing, named_column
from scaling_trainer.preprocess.inputs import (
    CategoryColumn,
    ClassTarget,
    ImageInputs,
    Inputs,
    NextToken,
    NumberColumn,
    NumberTarget,
    RatingInputs,
    TableInputs,
    Target,
    TokenInputs,
)
from scaling_trainer.preprocess.notation import indices_of
from scaling_trainer.preprocess.pixels import read_images

# The largest float32. A larger scaled value would reach the model as infinity.
_LARGEST = float(np.finfo(np.float32).max)


def as_tensor(array: NDArray[Any]) -> torch.Tensor:
    """Make a tensor that shares the array's memory."""
    return torch.from_numpy(array)  # pyright: ignore[reportUnknownMemberType] # torch leaves it untyped


def transform(inputs: Inputs, frame: pd.DataFrame, folder: Path) -> torch.Tensor:
    """Turn raw rows into a model's inputs. Raises DataError that names the column."""
    match inputs:
        case TableInputs():
            return as_tensor(_table(inputs, frame))
        case ImageInputs():
            return scale_images(inputs, _raw_images(inputs, frame, folder))
        case RatingInputs():
            return _pairs(inputs, frame)
        case TokenInputs():
            raise DataError(
                path="text", message="tokens are bytes: there are no columns to transform"
            )
        case _:
            assert_never(inputs)


def _table(inputs: TableInputs, frame: pd.DataFrame) -> NDArray[np.float32]:
    blocks: list[Floats] = []
    for column in inputs.columns:
        match column:
            case NumberColumn():
                blocks.append(_scaled(column, named_column(frame, column.name))[:, None])
            case CategoryColumn():
                blocks.append(_one_hot(column, named_column(frame, column.name)))
            case _:
                assert_never(column)
    return np.concatenate(blocks, axis=1).astype(np.float32)


def _scaled(column: NumberColumn, series: pd.Series) -> Floats:
    values = as_numbers(series, column.name)
    if column.fill is not None:
        values = np.where(np.isnan(values), column.fill, values)
    elif np.isnan(values).any():
        _refuse_missing(column.name, is_missing(series))
    return _scale_numbers(values, column, column.name)


def _scale_numbers(values: NDArray[Any], scale: NumberColumn | NumberTarget, path: str) -> Floats:
    """Scale numbers. Raises DataError if a scaled number does not fit the model's float32."""
    with np.errstate(over="ignore"):
        scaled = (values - scale.offset) / scale.factor
    if (np.abs(scaled) > _LARGEST).any():
        raise DataError(path, "a value is too far from those of the training part")
    return scaled


def _one_hot(column: CategoryColumn, series: pd.Series) -> Floats:
    text = as_text(series, column.name)
    if column.fill is not None:
        text = text.where(text.notna(), column.fill)
    elif text.isna().any():
        _refuse_missing(column.name, is_missing(series))
    places = indices_of(text, column.categories)
    # An unknown category has index -1, which equals no category: its row is all zeros.
    return (places[:, None] == np.arange(len(column.categories))).astype(np.float64)


def _refuse_missing(name: str, empty: NDArray[np.bool_]) -> None:
    message = f"row {int(np.argmax(empty)) + 1} has no value, and none was learned to fill it with"
    raise DataError(name, message)


def _pixel_names(inputs: ImageInputs) -> Iterator[str]:
    """Name the columns of one image: channel by channel, row by row."""
    for place in range(inputs.channels * inputs.height * inputs.width):
        yield f"pixel_{place}"


def _raw_images(inputs: ImageInputs, frame: pd.DataFrame, folder: Path) -> NDArray[np.generic]:
    shape = (inputs.channels, inputs.height, inputs.width)
    if "path" in frame.columns:
        names = as_text(named_column(frame, "path"), "path")
        if names.isna().any():
            _refuse_missing("path", names.isna().to_numpy(dtype=np.bool_))
        return read_images([folder / str(name) for name in names], shape).pixels
    pixels = [as_numbers(named_column(frame, name), name) for name in _pixel_names(inputs)]
    return np.stack(pixels, axis=1).reshape(len(frame), *shape)


def scale_images(inputs: ImageInputs, raw: NDArray[np.generic]) -> torch.Tensor:
    """Turn raw pixels (rows, channels, height, width) into the model's inputs."""
    with np.errstate(all="ignore"):
        pixels = raw.astype(np.float32) / np.float32(inputs.maximum)
        offset = np.asarray(inputs.offset, dtype=np.float32)[:, None, None]
        factor = np.asarray(inputs.factor, dtype=np.float32)[:, None, None]
        scaled = (pixels - offset) / factor
    if not np.isfinite(scaled).all():
        raise DataError(path="pixels", message="a value is missing, infinite or too large")
    return as_tensor(scaled)


def _pairs(inputs: RatingInputs, frame: pd.DataFrame) -> torch.Tensor:
    places = [
        _places(named_column(frame, name), name, names)
        for name, names in ((inputs.user, inputs.users), (inputs.item, inputs.items))
    ]
    return as_tensor(np.stack(places, axis=1))


def _places(series: pd.Series, name: str, names: tuple[str, ...]) -> NDArray[np.int64]:
    text = as_text(series, name)
    places = indices_of(text, names)
    unknown = places < 0
    if unknown.any():
        row, rows = int(np.argmax(unknown)), int(unknown.sum())
        message = f"{text.iloc[row]!r} in row {row + 1} is not among the {len(names)} of training"
        others = f"; in {rows} rows there is none of them" if rows > 1 else ""
        raise DataError(name, message + others)
    return places


def transform_target(target: Target, values: NDArray[np.int64] | Floats) -> torch.Tensor:
    """Turn class indices, or numbers in the data's unit, into the targets of a model.

    int64 (rows,) or float32 (rows, 1). Raises DataError if a scaled number does not fit a float32.
    """
    match target:
        case ClassTarget():
            return as_tensor(values.astype(np.int64))
        case NumberTarget():
            scaled = _scale_numbers(values, target, "dataset.target")
            return as_tensor(scaled.astype(np.float32)[:, None])
        case NextToken():
            return torch.empty(0, dtype=torch.int64)
        case _:
            assert_never(target)
