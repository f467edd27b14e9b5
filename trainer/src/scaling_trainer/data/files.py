"""Data sets in a user's own files."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling_trainer.config.data import Arrays, ImageFolder, Ratings, Table, Text
from scaling_trainer.data.errors import DataError
from scaling_trainer.data.source import RatingSource, RowSource, TextSource
from scaling_trainer.preprocess.columns import column
from scaling_trainer.preprocess.pixels import IMAGE_SUFFIXES, PIXEL_MAXIMUM, read_images

_MATRIX, _IMAGES = 2, 4  # dimensions of the inputs of an .npz
_PATH = "dataset.path"


def locate(data_dir: Path, path: str) -> Path:
    """Find a file or folder below `data_dir`. Links inside it are the owner's and are followed.

    Raises DataError where the path is absolute, leads out by `..`, or is not there.
    """
    inside = posixpath.normpath(path.replace("\\", "/"))
    if Path(inside).is_absolute() or Path(path).is_absolute() or inside.split("/")[0] == "..":
        message = f"{path!r} leads out of the data folder: give a path below it"
        raise DataError(_PATH, message)
    found = data_dir / inside
    if not found.exists():
        message = f"{path!r} does not exist in the data folder"
        raise DataError(_PATH, message)
    return found


def _locate_file(data_dir: Path, path: str) -> Path:
    found = locate(data_dir, path)
    if not found.is_file():
        message = f"{path!r} is not a file"
        raise DataError(_PATH, message)
    return found


def table(dataset: Table, data_dir: Path) -> RowSource:
    """Read a CSV or Parquet table. Raises DataError that names a missing column."""
    frame = _read_frame(_locate_file(data_dir, dataset.path), dataset.name)
    target = column(frame, dataset.target)
    names = dataset.features or tuple(name for name in frame.columns if name != dataset.target)
    if not names:
        message = f"{dataset.path} has no column beside the target"
        raise DataError(_PATH, message)
    features = pd.DataFrame({name: column(frame, name) for name in names})
    return RowSource(features, target)


def ratings(dataset: Ratings, data_dir: Path) -> RatingSource:
    """Read a CSV table of ratings. Raises DataError that names a missing column."""
    frame = _read_frame(_locate_file(data_dir, dataset.path), "csv")
    names = (dataset.user, dataset.item, dataset.rating)
    return RatingSource(pd.DataFrame({name: column(frame, name) for name in names}), *names)


def _read_frame(path: Path, form: str) -> pd.DataFrame:
    read = cast("Callable[[Path], pd.DataFrame]", _READERS[form])
    try:
        frame = read(path)
    # The parsers' own errors are all ValueErrors (Arrow's too), the files' are OSErrors.
    except (OSError, ValueError) as error:
        message = f"{path.name} cannot be read as {form}: {str(error).strip()}"
        raise DataError(_PATH, message) from error
    # pandas takes what stands before the header's first column for names of rows.
    if form == "csv" and not isinstance(frame.index, pd.RangeIndex):
        message = f"{path.name} has rows with more values than the header has columns"
        raise DataError(_PATH, message)
    frame.columns = pd.Index([str(name) for name in frame.columns])
    return frame


# Read whole, else a long column may get another type in each of its pieces.
_READERS: dict[str, Callable[..., Any]] = {
    "csv": partial(pd.read_csv, low_memory=False),
    "parquet": pd.read_parquet,
}


def arrays(dataset: Arrays, data_dir: Path) -> RowSource:
    """Read an .npz: inputs (rows, features) or (rows, channels, height, width), and targets.

    Raises DataError for any other shape, and for pickled arrays, which could run code.
    """
    path = _locate_file(data_dir, dataset.path)
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
        # numpy advises to allow pickles here, which is never done: they can run code.
        message = f"{path.name} is no .npz file with a plain array {name!r}; save it by numpy.savez"
        raise DataError(field, message) from error
    if array is None:
        message = f"{path.name} has no array {name!r}; there are: {names}"
        raise DataError(field, message)
    if array.ndim == 0 or array.size == 0:
        message = f"{name!r} of {path.name} is empty"
        raise DataError(field, message)
    return array


def image_folder(dataset: ImageFolder, data_dir: Path) -> RowSource:
    """Read a folder of images; each folder in it is a class. Files of other kinds are left out."""
    root = locate(data_dir, dataset.path)
    if not root.is_dir():
        message = f"{dataset.path!r} is not a folder"
        raise DataError(_PATH, message)
    files = image_files(root)
    if not files:
        message = (
            f"{dataset.path!r} holds no images: a folder per class is needed, "
            f"with files that end in {', '.join(IMAGE_SUFFIXES)}"
        )
        raise DataError(_PATH, message)
    pixels = read_images(files, (dataset.channels, dataset.pixels, dataset.pixels))
    labels = [path.relative_to(root).parts[0] for path in files]
    return RowSource(pixels, pd.Series(labels), maximum=PIXEL_MAXIMUM)


def image_files(root: Path) -> list[Path]:
    """List the images in the class folders below `root`, in the order of their names."""
    return sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and path.parent != root and path.is_file()
    )


def text(dataset: Text, data_dir: Path) -> TextSource:
    """Read a UTF-8 text. Raises DataError where it is something else."""
    path = _locate_file(data_dir, dataset.path)
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"{path.name} cannot be read: {error.strerror}"
        raise DataError(_PATH, message) from error
    try:
        content.decode()
    except UnicodeDecodeError as error:
        message = f"{path.name} is not UTF-8: byte {error.start} is {content[error.start]:#04x}"
        raise DataError(_PATH, message) from error
    return TextSource(content)
