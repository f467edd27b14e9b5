"""Data sets in a user's files: tables, ratings, arrays and texts."""

from __future__ import annotations

import posixpath
import zipfile
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling_trainer.config.base import Task
from scaling_trainer.config.data import Arrays, Ratings, Table, Text
from scaling_trainer.data.opening import LONGEST_BOM, decoding_error, encoding_notes, encoding_of
from scaling_trainer.data.source import Provenance, RatingSource, RowSource, TextSource
from scaling_trainer.data.text_tables import feature_names, read_ratings, read_table
from scaling_trainer.data_error import DataError
from scaling_trainer.preprocess.columns import as_numbers, as_text, named_column
from scaling_trainer.preprocess.pixels import PIXEL_MAXIMUM

_MATRIX, _IMAGES = 2, 4  # dimensions of the inputs of an .npz
_PATH = "dataset.path"


def locate(data_dir: Path, path: str) -> Path:
    """Find a file or folder below `data_dir`. Links inside it belong to the owner and are followed.

    Raises DataError if the path is absolute, leads out by `..`, or does not exist.
    """
    inside = posixpath.normpath(path.replace("\\", "/"))
    if Path(inside).is_absolute() or Path(path).is_absolute() or inside.split("/")[0] == "..":
        message = f"{path!r} leads out of the data folder: give a path below it"
        raise DataError(_PATH, message)
    target = data_dir / inside
    if not target.exists():
        message = f"{path!r} does not exist in the data folder"
        raise DataError(_PATH, message)
    return target


def locate_file(data_dir: Path, path: str) -> Path:
    """Find a file below `data_dir`, as `locate` does. Raises DataError for a folder."""
    target = locate(data_dir, path)
    if not target.is_file():
        message = f"{path!r} is not a file"
        raise DataError(_PATH, message)
    return target


def table(dataset: Table, data_dir: Path, task: Task) -> RowSource:
    """Read a CSV or Parquet table. Raises DataError that names a missing column."""
    path = locate_file(data_dir, dataset.path)
    if dataset.name == "csv":
        return read_table(dataset, path, task)
    frame = _read_parquet(path)
    target = named_column(frame, dataset.target)
    names = feature_names(frame, dataset)
    features = pd.DataFrame({name: named_column(frame, name) for name in names})
    for name in set(dataset.categorical) & set(names):
        features[name] = as_text(features[name], name)
    for name in set(dataset.numeric) & set(names):
        features[name] = as_numbers(features[name], name)
    return RowSource(features, target)


def ratings(dataset: Ratings, data_dir: Path) -> RatingSource:
    """Read a CSV table of ratings. Raises DataError that names a missing column."""
    return read_ratings(dataset, locate_file(data_dir, dataset.path))


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    # Arrow raises ValueErrors of its own, and OSErrors for files.
    except (OSError, ValueError) as error:
        message = f"{path.name} cannot be read as parquet: {str(error).strip()}"
        raise DataError(_PATH, message) from error
    frame.columns = pd.Index([str(name).strip() for name in frame.columns])
    return frame


def arrays(dataset: Arrays, data_dir: Path) -> RowSource:
    """Read an .npz: inputs (rows, features) or (rows, channels, height, width), and targets.

    Raises DataError for any other shape, and for pickled arrays, which could run code.
    """
    path = locate_file(data_dir, dataset.path)
    inputs = _read_array(path, dataset.inputs, "dataset.inputs")
    target = pd.Series(_read_array(path, dataset.target, "dataset.target").reshape(-1))
    if len(inputs) != len(target):
        message = f"has {len(target)} targets for {len(inputs)} rows of {dataset.inputs!r}"
        raise DataError(path="dataset.target", message=message)
    match inputs.ndim:
        case n if n == _MATRIX:
            names = [f"{dataset.inputs}_{place}" for place in range(inputs.shape[1])]
            return RowSource(pd.DataFrame(inputs, columns=names), target)
        case n if n == _IMAGES:
            maximum = PIXEL_MAXIMUM if inputs.dtype == np.uint8 else 1.0
            return RowSource(inputs, target, maximum=maximum)
        case _:
            message = (
                f"{dataset.inputs!r} has shape {inputs.shape}: "
                "(rows, features) or (rows, channels, height, width) is needed"
            )
            raise DataError(path="dataset.inputs", message=message)


def _read_array(path: Path, name: str, field: str) -> NDArray[np.generic]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = ", ".join(archive)
            array = cast("NDArray[np.generic] | None", archive.get(name))
    except OSError as error:
        message = f"{path.name} cannot be read: {error.strerror or error}"
        raise DataError(field, message) from error
    except (ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        # numpy's message advises to allow pickles. Pickles can run code and are never allowed.
        message = f"{path.name} is no .npz file with a plain array {name!r}; save it by numpy.savez"
        raise DataError(field, message) from error
    if array is None:
        message = f"{path.name} has no array {name!r}; there are: {names}"
        raise DataError(field, message)
    if array.ndim == 0 or array.size == 0:
        message = f"{name!r} of {path.name} is empty"
        raise DataError(field, message)
    return array


def text(dataset: Text, data_dir: Path) -> TextSource:
    """Read a text and encode it as UTF-8. Raises DataError if it does not fit its encoding."""
    path = locate_file(data_dir, dataset.path)
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"{path.name} cannot be read: {error.strerror}"
        raise DataError(_PATH, message) from error
    codec = encoding_of(content[:LONGEST_BOM], dataset.encoding)
    notes = encoding_notes(codec, dataset.encoding)
    if dataset.broken == "skip":
        decoded = content.decode(codec, errors="ignore")
        left = len(content) - len(decoded.encode(codec))
        gaps = (f"{left} bytes that are no {codec} were left out",) if left else ()
        provenance = Provenance((*notes, *gaps), {"broken": left})
        return TextSource(decoded.encode(), provenance)
    try:
        decoded = content.decode(codec)
    except UnicodeDecodeError as error:
        where = f"byte {error.start} is {content[error.start]:#04x}"
        raise decoding_error(path, codec, where) from error
    return TextSource(decoded.encode(), Provenance(notes))
