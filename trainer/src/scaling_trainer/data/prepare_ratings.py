"""Ratings: from pairs of names to three parts of tensors."""

from __future__ import annotations

import numpy as np
import pandas as pd

from scaling_trainer.config.preprocessing import Preprocessing
from scaling_trainer.data.prepared import InputKind, Prepared, Subset
from scaling_trainer.data.source import RatingSource, Recipe, refuse_unsuitable
from scaling_trainer.data.split import split_rows
from scaling_trainer.data_error import DataError
from scaling_trainer.preprocess import Preprocessor
from scaling_trainer.preprocess.columns import as_numbers, as_text, is_missing
from scaling_trainer.preprocess.fit import fit_number_target, in_order
from scaling_trainer.preprocess.inputs import RatingInputs
from scaling_trainer.preprocess.transform import transform_target


def prepare_ratings(source: RatingSource, recipe: Recipe) -> Prepared:
    """Clean, split and scale ratings. Raises DataError for what cannot be used.

    Users and items are numbered over the whole table: a name is not a measurement, and every trial
    needs the same numbers. The model learns about them from the training part alone.
    """
    refuse_unsuitable(recipe, "ratings")
    frame, removed = _complete(source, recipe.preprocessing)
    names = (source.user, source.item)
    users, items = (frame[name] for name in names)
    inputs = RatingInputs(
        *names,
        users=source.users or tuple(in_order(users)),
        items=source.items or tuple(in_order(items)),
    )
    places = split_rows(len(frame), recipe.dataset)
    train, validation, test = (frame.iloc[which] for which in places)
    if recipe.preprocessing.duplicates == "drop":
        doubled = train.duplicated()
        train, removed["duplicates"] = train[~doubled], int(doubled.sum())
    target = fit_number_target(
        train[source.rating].to_numpy(np.float64), recipe.preprocessing.scaling
    )
    preprocessor = Preprocessor(inputs, target, source.provenance.notation)

    def part(rows: pd.DataFrame) -> Subset:
        ratings = rows[source.rating].to_numpy(np.float64)
        return Subset(preprocessor.transform(rows), transform_target(target, ratings))

    return Prepared(
        kind=InputKind.RATINGS,
        train=part(train),
        validation=part(validation),
        test=part(test),
        classes=(),
        cardinalities=(len(inputs.users), len(inputs.items)),
        removed={**source.provenance.left_out, **removed},
        preprocessor=preprocessor,
        augment=None,
        notes=source.provenance.notes,
    )


def _complete(
    source: RatingSource, preprocessing: Preprocessing
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Leave out ratings without user, item or value. Only complete ratings are split."""
    frame = source.frame
    empty = np.zeros(len(frame), dtype=np.bool_)
    for name in (source.user, source.item, source.rating):
        gaps = is_missing(frame[name])
        if gaps.any() and preprocessing.missing != "drop":
            message = (
                f"the column has no value in {int(gaps.sum())} rows, first in row "
                f"{int(np.argmax(gaps)) + 1}: set preprocessing.missing to drop"
            )
            raise DataError(name, message)
        empty |= gaps
    kept = frame[~empty]
    complete = pd.DataFrame(
        {
            source.user: as_text(kept[source.user], source.user),
            source.item: as_text(kept[source.item], source.item),
            source.rating: as_numbers(kept[source.rating], source.rating),
        }
    )
    return complete, {"missing": int(empty.sum())} if preprocessing.missing == "drop" else {}
