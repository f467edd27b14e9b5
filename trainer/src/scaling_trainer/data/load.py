"""From a configuration to three parts of tensors.

A warm worker runs many trials on the same data, so the last prepared data sets are kept: by
configuration, and by the size and the time of change of their files.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import assert_never

from scaling_trainer.config.builtin import BuiltIn
from scaling_trainer.config.data import (
    Arrays,
    Bundled,
    Dataset,
    ImageFolder,
    Ratings,
    SyntheticClassification,
    SyntheticRatings,
    SyntheticRegression,
    SyntheticText,
    Table,
    Text,
)
from scaling_trainer.config.models import Cnn, Transformer
from scaling_trainer.data import builtin_sets, files, images, synthetic_text
from scaling_trainer.data.prepare_ratings import prepare_ratings
from scaling_trainer.data.prepare_rows import prepare_rows
from scaling_trainer.data.prepare_tokens import prepare_tokens, refuse_short_parts
from scaling_trainer.data.prepared import InputKind, Prepared
from scaling_trainer.data.source import RatingSource, Recipe, RowSource, Source, TextSource
from scaling_trainer.data_error import DataError

# Two: a search over the preprocessing alternates between versions of one data set.
_KEPT = 2

# A file's path, size in bytes and time of change in nanoseconds.
_Stamp = tuple[str, int, int]


def prepare(config: BuiltIn, data_dir: Path) -> Prepared:
    """Read or make the data set, clean, split and scale it. The same data give the same object.

    Paths of files are relative to `data_dir`. Raises DataError that names the field or column and
    says what is allowed.
    """
    recipe = Recipe(config.task, config.dataset, config.preprocessing)
    prepared = _prepare(recipe, data_dir, _stamps(recipe.dataset, data_dir))
    match config.model:
        case Transformer() as model:
            refuse_short_parts(prepared, model)
        case Cnn() if prepared.kind is not InputKind.IMAGES:
            message = "cnn needs images, and the data set is a table: use linear or mlp"
            raise DataError(path="model.name", message=message)
        case _:
            pass
    return prepared


def _stamps(dataset: Dataset, data_dir: Path) -> tuple[_Stamp, ...]:
    """Give the size and time of each file. They show a change without reading the file."""
    match dataset:
        case ImageFolder():
            paths = images.image_files(files.locate(data_dir, dataset.path))
        case Table() | Arrays() | Text() | Ratings():
            paths = [files.locate(data_dir, dataset.path)]
        case _:
            paths = []
    stats = ((path, path.stat()) for path in paths)
    return tuple((str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats)


@lru_cache(maxsize=_KEPT)
def _prepare(recipe: Recipe, data_dir: Path, stamps: tuple[_Stamp, ...]) -> Prepared:
    del stamps  # part of the cache's key alone
    source = read_source(recipe, data_dir)
    match source:
        case RowSource():
            return prepare_rows(source, recipe)
        case TextSource():
            return prepare_tokens(source, recipe)
        case RatingSource():
            return prepare_ratings(source, recipe)
        case _:
            assert_never(source)


def read_source(  # noqa: C901, PLR0911 # one line for each
    recipe: Recipe, data_dir: Path
) -> Source:
    """Read or make a data set, before any cleaning or splitting. Raises DataError."""
    match dataset := recipe.dataset:
        case SyntheticRegression():
            return builtin_sets.synthetic_regression(dataset)
        case SyntheticClassification():
            return builtin_sets.synthetic_classification(dataset)
        case SyntheticText():
            return synthetic_text.synthetic_text(dataset)
        case SyntheticRatings():
            return builtin_sets.synthetic_ratings(dataset)
        case Bundled():
            return builtin_sets.bundled(dataset)
        case Table():
            return files.table(dataset, data_dir, recipe.task)
        case Arrays():
            return files.arrays(dataset, data_dir)
        case ImageFolder():
            return images.image_folder(dataset, data_dir)
        case Text():
            return files.text(dataset, data_dir)
        case Ratings():
            return files.ratings(dataset, data_dir)
        case _:
            assert_never(dataset)


# Parameters of a model that decide whether the data are large enough.
_OF_MODELS = frozenset(("model.name", "model.context"))


def change_data(parameters: Iterable[str]) -> bool:
    """Whether the parameters change the data: other values of them may lead to usable data."""
    names = frozenset(parameters)
    return bool(names & _OF_MODELS or _sections(names) & {"task", "dataset", "preprocessing"})


def check_data(config: BuiltIn, data_dir: Path, varied: Iterable[str]) -> tuple[str, ...]:
    """Read the data as a trial would, and give the notes on how they were read.

    `varied` are the parameters that differ between trials. What depends on them is checked by the
    trials. Raises DataError for data that no trial could use.
    """
    names = frozenset(varied)
    if _sections(names) & {"task", "dataset"}:
        return ()
    if change_data(names):
        recipe = Recipe(config.task, config.dataset, config.preprocessing)
        return read_source(recipe, data_dir).provenance.notes
    return prepare(config, data_dir).notes


def _sections(names: Iterable[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}
