"""Tables and images: from raw rows to three parts of tensors.

The steps: read the target, split, clean the training part, fit the preprocessing on it, transform
all parts. The split comes before the cleaning, so that trials with other preprocessing score the
same rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling_trainer.config.preprocessing import Preprocessing
from scaling_trainer.data.checked_rows import (
    ClassValues,
    NumberValues,
    has_target,
    read_class_target,
    read_number_target,
    usable_features,
)
from scaling_trainer.data.prepared import InputKind, Prepared, Subset
from scaling_trainer.data.source import Recipe, RowSource, refuse_unsuitable
from scaling_trainer.data.split import PARTS, Places, split_classes, split_rows
from scaling_trainer.data_error import DataError
from scaling_trainer.preprocess import Preprocessor
from scaling_trainer.preprocess.augmentation import augmenter
from scaling_trainer.preprocess.cleaning import (
    Features,
    count_label_noise,
    is_duplicate,
    is_incomplete,
    is_outlier,
)
from scaling_trainer.preprocess.columns import Flags
from scaling_trainer.preprocess.fit import fit_images, fit_number_target, fit_table
from scaling_trainer.preprocess.inputs import ImageInputs, TableInputs, Target
from scaling_trainer.preprocess.transform import scale_images, transform_target

Counts = dict[str, int]


@dataclass(frozen=True, slots=True)
class RawRows:
    """Raw features and targets of some rows of a data set."""

    features: Features
    target: NDArray[np.int64] | NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.target)

    def take(self, which: Places | Flags) -> RawRows:
        """Choose rows by place, or those that are flagged."""
        return RawRows(_take(self.features, which), self.target[which])


def _take(features: Features, which: Places | Flags) -> Features:
    return features.iloc[which] if isinstance(features, pd.DataFrame) else features[which]


def prepare_rows(source: RowSource, recipe: Recipe) -> Prepared:
    """Clean, split and scale a table or images. Raises DataError for what cannot be used."""
    refuse_unsuitable(recipe, "tables" if isinstance(source.features, pd.DataFrame) else "images")
    preprocessing = recipe.preprocessing
    labelled, unlabelled = _labelled(source, preprocessing)
    target = _read_target(labelled, recipe)
    provenance = source.provenance
    whole = RawRows(
        usable_features(labelled.features, preprocessing.missing, provenance.gap_notes),
        target.values,
    )
    (train, validation, test), left_out = _complete(_split(whole, target, recipe), preprocessing)
    train, cleaned = _clean(train, preprocessing)
    _refuse_lost_classes(train, target)
    inputs = (
        fit_table(train.features, preprocessing)
        if isinstance(train.features, pd.DataFrame)
        else fit_images(train.features, source.maximum, preprocessing.scaling)
    )
    fitted = _fit_target(target, train, preprocessing)
    preprocessor = Preprocessor(inputs, fitted, provenance.notation)
    part = _part(preprocessor, train)
    return Prepared(
        kind=InputKind.TABLE if isinstance(inputs, TableInputs) else InputKind.IMAGES,
        train=part,
        validation=_part(preprocessor, validation),
        test=_part(preprocessor, test),
        classes=target.target.names if isinstance(target, ClassValues) else (),
        cardinalities=(),
        removed={
            **provenance.left_out,
            **(unlabelled | left_out | cleaned | _findings(train, part, preprocessing)),
        },
        preprocessor=preprocessor,
        augment=augmenter(preprocessing.augmentation, inputs)
        if isinstance(inputs, ImageInputs)
        else None,
        notes=provenance.notes,
    )


def _labelled(source: RowSource, preprocessing: Preprocessing) -> tuple[RowSource, Counts]:
    """Leave out rows without a target before the split: they cannot be stratified or scored."""
    present = has_target(source.target, preprocessing)
    if present.all():
        return source, {}
    features = _take(source.features, present)
    labelled = replace(source, features=features, target=source.target[present])
    return labelled, {"missing_target": int((~present).sum())}


def _read_target(source: RowSource, recipe: Recipe) -> ClassValues | NumberValues:
    if recipe.task == "classification":
        return read_class_target(source.target, source.labels)
    return read_number_target(source.target)


def _split(whole: RawRows, target: ClassValues | NumberValues, recipe: Recipe) -> list[RawRows]:
    match target:
        case ClassValues(target=classes, values=values):
            places = split_classes(values, classes.labels, recipe.dataset)
        case NumberValues():
            places = split_rows(len(whole), recipe.dataset)
        case _:
            assert_never(target)
    return [whole.take(which) for which in places]


def _complete(parts: list[RawRows], preprocessing: Preprocessing) -> tuple[list[RawRows], Counts]:
    """Leave out incomplete rows of every part: without a fill value a model cannot use them."""
    if preprocessing.missing != "drop":
        return parts, {}
    kept = [rows.take(~is_incomplete(rows.features)) for rows in parts]
    for name, rows in zip(PARTS, kept, strict=True):
        if not len(rows):
            message = f"every row of the {name} part has a missing value: nothing is left of it"
            raise DataError(path="preprocessing.missing", message=message)
    return kept, {"missing": len(parts[0]) - len(kept[0])}


def _clean(train: RawRows, preprocessing: Preprocessing) -> tuple[RawRows, Counts]:
    """Leave out duplicates and outliers of the training part."""
    counts: Counts = {}
    if preprocessing.duplicates == "drop":
        flags = is_duplicate(train.features, train.target)
        train, counts["duplicates"] = train.take(~flags), int(flags.sum())
    if preprocessing.outliers is not None and isinstance(train.features, pd.DataFrame):
        flags = is_outlier(train.features, preprocessing.outliers)
        train, counts["outliers"] = train.take(~flags), int(flags.sum())
        if not len(train):
            message = "every training row lies beyond the threshold: raise it"
            raise DataError(path="preprocessing.outliers.threshold", message=message)
    return train, counts


def _refuse_lost_classes(train: RawRows, target: ClassValues | NumberValues) -> None:
    if isinstance(target, NumberValues):
        return
    lost = sorted(set(range(len(target.target.labels))) - set(train.target.tolist()))
    if lost:
        message = f"it leaves no training row of class {target.target.labels[lost[0]]!r}"
        raise DataError(path="preprocessing", message=message)


def _fit_target(
    target: ClassValues | NumberValues, train: RawRows, preprocessing: Preprocessing
) -> Target:
    match target:
        case ClassValues(target=classes):
            return classes
        case NumberValues():
            return fit_number_target(train.target.astype(np.float64), preprocessing.scaling)
        case _:
            assert_never(target)


def _part(preprocessor: Preprocessor, rows: RawRows) -> Subset:
    match preprocessor.inputs, rows.features:
        case ImageInputs() as images, np.ndarray() as pixels:
            inputs = scale_images(images, pixels)
        case _, features:
            inputs = preprocessor.transform(pd.DataFrame(features))
    return Subset(inputs, transform_target(preprocessor.target, rows.target))


def _findings(train: RawRows, part: Subset, preprocessing: Preprocessing) -> Counts:
    counts: Counts = {}
    if preprocessing.missing in ("mean", "median"):
        counts["missing_filled"] = int(is_incomplete(train.features).sum())
    if preprocessing.label_noise_report:
        counts["label_noise"] = count_label_noise(part.inputs.numpy(), part.targets.numpy())
    return counts
