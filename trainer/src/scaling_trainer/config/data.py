"""Where data come from and how they are split."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from scaling_trainer.config.base import Column, Fraction, Path, Section, SectionError

# Two, so that no straight line parts the classes.
CLUSTERS_PER_CLASS = 2

Broken = Literal["refuse", "skip"]


SPLIT_TAKES_ALL = "validation and test take everything: their sum must be below 1"


class Split(Section):
    """What every data set shares: how it is split. Classes keep their shares in each part."""

    seed: int = Field(
        default=0, ge=0, le=2**32 - 1, description="Seed of the split, the same for all trials."
    )
    validation: float = Field(
        default=0.2, gt=0, lt=1, description="Share of the data that tuning looks at."
    )
    test: float = Field(
        default=0.2, gt=0, lt=1, description="Share kept for the one final score of the best trial."
    )

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> Split:
        if self.validation + self.test >= 1:
            raise SectionError(("validation", SPLIT_TAKES_ALL))
        return self


class SyntheticRegression(Split):
    """y = (0.1x + 0.3)(1 - x) for x uniform in [0, 1], plus Gaussian noise."""

    name: Literal["synthetic-regression"]
    samples: int = Field(default=1000, ge=10, le=10_000_000, description="Rows to make.")
    noise: float = Field(
        default=0.0, ge=0, le=10, description="Standard deviation of the noise on y."
    )


class SyntheticClassification(Split):
    """Gaussian clusters at the corners of a hypercube, two for each class.

    Scikit-learn's make_classification.
    """

    name: Literal["synthetic-classification"]
    samples: int = Field(default=1000, ge=10, le=10_000_000, description="Rows to make.")
    features: int = Field(
        default=10, ge=2, le=10_000, description="Columns, of which half carry information."
    )
    classes: int = Field(default=2, ge=2, le=100, description="Number of classes.")
    separation: float = Field(
        default=1.0, gt=0, le=100, description="Distance between the clusters."
    )
    label_noise: float = Field(
        default=0.0, ge=0, le=0.5, description="Share of labels that are drawn anew."
    )

    @property
    def informative(self) -> int:
        """Features that carry information: half, or as many as give every cluster a corner."""
        corners = math.ceil(math.log2(CLUSTERS_PER_CLASS * self.classes))
        return max(self.features // 2, corners)

    @model_validator(mode="after")
    def _corners_suffice(self) -> SyntheticClassification:
        if self.informative > self.features:
            sentence = (
                f"{self.classes} classes do not fit {self.features} features: "
                f"at least {self.informative} are needed"
            )
            raise SectionError(("features", sentence))
        return self


class SyntheticText(Split):
    """Text from a random grammar of words, made from a seed.

    Enough structure for a small language model.
    """

    name: Literal["synthetic-text"]
    characters: int = Field(
        default=200_000, ge=1000, le=100_000_000, description="Length of the text."
    )


class SyntheticRatings(Split):
    """Ratings 1 to 5 from hidden factors of users and items, plus noise."""

    name: Literal["synthetic-ratings"]
    users: int = Field(default=200, ge=2, le=1_000_000, description="Number of users.")
    items: int = Field(default=100, ge=2, le=1_000_000, description="Number of items.")
    ratings: int = Field(
        default=10_000, ge=10, le=10_000_000, description="Number of ratings, no pair twice."
    )
    factors: int = Field(default=3, ge=1, le=100, description="Number of hidden factors.")
    noise: float = Field(
        default=0.3, ge=0, le=10, description="Standard deviation of the noise on a rating."
    )

    @model_validator(mode="after")
    def _pairs_suffice(self) -> SyntheticRatings:
        if self.ratings > self.users * self.items:
            sentence = (
                f"{self.ratings} ratings do not fit {self.users} users x {self.items} items: "
                f"at most {self.users * self.items} are possible"
            )
            raise SectionError(("ratings", sentence))
        return self


class Bundled(Split):
    """A real data set that scikit-learn ships; `digits` as images of 8x8 pixels."""

    name: Literal["digits", "breast-cancer", "wine", "iris", "diabetes"]


Encoding = Literal[
    "utf-8", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1250", "cp1251", "cp1252", "cp1253",
    "cp1254", "cp932", "gb18030", "big5", "euc-kr", "koi8-r",
]  # fmt: skip


class Delimited(Split):
    """How a text of rows is written. What is absent is found out where it is clear, and told."""

    separator: Literal[",", ";", "\t", "|", " "] | None = Field(
        default=None,
        description='Between the values of a row; a tab is "\\t" in quotes. Absent: found out.',
    )
    decimal: Literal[".", ","] | None = Field(
        default=None, description="Before the decimals of a number. Absent: found out."
    )
    thousands: Literal[",", ".", " ", "'"] | None = Field(
        default=None, description="Between the thousands of a number. Absent: found out."
    )
    encoding: Encoding | None = Field(
        default=None, description="Absent: UTF-8, or what the file's first bytes say."
    )
    missing_values: tuple[Annotated[str, Field(max_length=64)], ...] | None = Field(
        default=None,
        max_length=100,
        description="What stands for a missing value beside the empty text. Absent: NA, NaN, null "
        "and their like, except in classes, users and items: there they are names.",
    )
    broken: Broken = Field(
        default="refuse",
        description="Rows with more or fewer values than the header: refuse, or leave out and "
        "count.",
    )


class Table(Delimited):
    """A table with a target column; the other columns are features unless `features` names them."""

    name: Literal["csv", "parquet"]
    path: Path = Field(
        description="File, relative to the experiment file or to the claim's root. A csv may be "
        "packed: .gz, .bz2, .xz, or .zip with one file in it."
    )
    target: Column = Field(description="Column to predict.")
    features: tuple[Column, ...] = Field(
        default=(), max_length=1000, description="Columns to learn from; empty: all but the target."
    )
    numeric: tuple[Column, ...] = Field(
        default=(),
        max_length=1000,
        description="Columns of numbers, also where their values look like codes.",
    )
    categorical: tuple[Column, ...] = Field(
        default=(),
        max_length=1000,
        description="Columns of categories, also where their values look like numbers.",
    )
    max_unreadable: Fraction = Field(
        default=0.05,
        description="Share of a column's values that may be no numbers, for it to be one of "
        "numbers all the same: they count as missing.",
    )

    @model_validator(mode="after")
    def _features_are_others(self) -> Table:
        if self.target in self.features:
            sentence = f"{self.target!r} is the target: name the columns to learn it from"
            raise SectionError(("features", sentence))
        if len(set(self.features)) < len(self.features):
            raise SectionError(("features", "a column is named twice: name each once"))
        return self

    @model_validator(mode="after")
    def _types_are_settled(self) -> Table:
        both = sorted(set(self.numeric) & set(self.categorical))
        if both:
            sentence = f"{both[0]!r} is named as numeric too: name it in one of the two"
            raise SectionError(("categorical", sentence))
        if self.name == "csv":
            return self
        for field in Delimited.model_fields.keys() - Split.model_fields.keys():
            if getattr(self, field) != Delimited.model_fields[field].default:
                raise SectionError((field, f"{field} does not suit parquet: it is for csv"))
        return self


class Arrays(Split):
    """A NumPy .npz file with one array of inputs and one of targets. Pickled arrays are refused."""

    name: Literal["npz"]
    path: Path = Field(description="File, relative to the experiment file or to the claim's root.")
    inputs: Column = Field(
        default="x",
        description="Array of inputs: rows x features, or rows x channels x height x width.",
    )
    target: Column = Field(default="y", description="Array of targets, one per row.")


class ImageFolder(Split):
    """A folder with one folder of images per class."""

    name: Literal["image-folder"]
    path: Path = Field(
        description="Folder, relative to the experiment file or to the claim's root."
    )
    pixels: int = Field(
        default=32, ge=4, le=1024, description="Images are resized to this height and width."
    )
    channels: Literal[1, 3] = Field(default=3, description="1 for grey, 3 for colour.")
    broken: Broken = Field(
        default="refuse",
        description="Images that cannot be read: refuse, or leave out and count.",
    )


class Text(Split):
    """A text file; the tokens are its bytes as UTF-8. Split in order: the end is for the test."""

    name: Literal["text"]
    path: Path = Field(description="File, relative to the experiment file or to the claim's root.")
    encoding: Encoding | None = Field(
        default=None, description="Absent: UTF-8, or what the file's first bytes say."
    )
    broken: Broken = Field(
        default="refuse",
        description="Bytes that are no text in this encoding: refuse, or leave out and count.",
    )


class Ratings(Delimited):
    """A CSV table of ratings: one row per user, item and rating."""

    name: Literal["ratings"]
    path: Path = Field(
        description="File, relative to the experiment file or to the claim's root; it may be "
        "packed: .gz, .bz2, .xz, or .zip with one file in it."
    )
    user: Column = Field(default="user", description="Column of the user.")
    item: Column = Field(default="item", description="Column of the item.")
    rating: Column = Field(default="rating", description="Column of the rating.")


Dataset = Annotated[
    SyntheticRegression
    | SyntheticClassification
    | SyntheticText
    | SyntheticRatings
    | Bundled
    | Table
    | Arrays
    | ImageFolder
    | Text
    | Ratings,
    Field(discriminator="name"),
]
