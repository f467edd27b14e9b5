"""From a configuration to three parts of tensors.

A warm worker runs many trials on the same data, so the last prepared data sets are kept: by
configuration, and by the size and time of the files they came from.
"""

from __future__ import annotations

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
from scaling_trainer.data import files, grammar, images, sklearn_sets, synthetic
from scaling_trainer.data.errors import DataError
from scaling_trainer.data.prepared import InputKind, Prepared
from scaling_trainer.data.ratings import prepare_ratings
from scaling_trainer.data.recipe import Recipe
from scaling_trainer.data.rows import prepare_rows
from scaling_trainer.data.source import RatingSource, RowSource, Source, TextSource
from scaling_trainer.data.tokens import prepare_tokens, refuse_short_parts

# One data set, and one more for a search over its preprocessing.
_KEPT = 2

# A file's path, size in bytes and time of change in nanoseconds.
_Stamp = tuple[str, int, int]


def prepare(config: BuiltIn, data_dir: Path) -> Prepared:
    """Read or make the data set, clean, split and scale it; the same object for the same data.

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
    """Tell whether a file has changed since it was read, without reading it."""
    match dataset:
        case ImageFolder():
            found = images.image_files(files.locate(data_dir, dataset.path))
        case Table() | Arrays() | Text() | Ratings():
            found = [files.locate(data_dir, dataset.path)]
        case _:
            found = []
    stats = ((path, path.stat()) for path in found)
    return tuple((str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats)


@lru_cache(maxsize=_KEPT)
def _prepare(recipe: Recipe, data_dir: Path, stamps: tuple[_Stamp, ...]) -> Prepared:
    del stamps  # only tells one state of the files from another
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
    """Read or make a data set, as it is before anything is done to it. Raises DataError."""
    match dataset := recipe.dataset:
        case SyntheticRegression():
            return synthetic.regression(dataset)
        case SyntheticClassification():
            return synthetic.classification(dataset)
        case SyntheticText():
            return grammar.text(dataset)
        case SyntheticRatings():
            return synthetic.ratings(dataset)
        case Bundled():
            return sklearn_sets.bundled(dataset)
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
