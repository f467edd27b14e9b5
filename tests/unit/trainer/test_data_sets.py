"""Every data set that the trainer makes or ships: shapes, classes, seeds, formulas."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scaling_trainer.config.builtin import BuiltIn, class_names
from scaling_trainer.config.data import (
    SyntheticClassification,
    SyntheticRatings,
    SyntheticRegression,
    SyntheticText,
)
from scaling_trainer.data import builtin_sets, synthetic_text
from scaling_trainer.data.load import prepare
from scaling_trainer.data.prepared import InputKind, Prepared
from scaling_trainer.preprocess import Preprocessor

MODELS = {
    "classification": "mlp",
    "regression": "mlp",
    "language-modelling": "transformer",
    "recommendation": "matrix-factorisation",
}


def config(task: str, dataset: dict[str, Any], **preprocessing: Any) -> BuiltIn:
    model = {"name": MODELS[task]}
    return BuiltIn.model_validate(
        {"task": task, "dataset": dataset, "model": model, "preprocessing": preprocessing}
    )


SETS = [
    pytest.param("regression", "synthetic-regression", InputKind.TABLE, (1,), id="a formula"),
    pytest.param(
        "classification", "synthetic-classification", InputKind.TABLE, (10,), id="clusters"
    ),
    pytest.param("classification", "digits", InputKind.IMAGES, (1, 8, 8), id="digits are images"),
    pytest.param("classification", "breast-cancer", InputKind.TABLE, (30,), id="tumours"),
    pytest.param("classification", "wine", InputKind.TABLE, (13,), id="wines"),
    pytest.param("classification", "iris", InputKind.TABLE, (4,), id="flowers"),
    pytest.param("regression", "diabetes", InputKind.TABLE, (10,), id="patients"),
    pytest.param("language-modelling", "synthetic-text", InputKind.TOKENS, (), id="a text"),
    pytest.param("recommendation", "synthetic-ratings", InputKind.RATINGS, (2,), id="ratings"),
]


@pytest.mark.parametrize(("task", "name", "kind", "shape"), SETS)
def test_each_set_has_its_shapes_and_types(
    task: str, name: str, kind: InputKind, shape: tuple[int, ...]
) -> None:
    settings = config(task, {"name": name})
    prepared = prepare(settings, Path())
    assert prepared.kind is kind
    assert prepared.classes == class_names(settings)
    for part in (prepared.train, prepared.validation, prepared.test):
        assert part.inputs.shape[1:] == shape
        assert part.inputs.is_contiguous()
        rows = len(part.inputs)
        match kind:
            case InputKind.TABLE | InputKind.IMAGES:
                assert part.inputs.dtype == torch.float32
            case InputKind.TOKENS | InputKind.RATINGS:
                assert part.inputs.dtype == torch.int64
        match task:
            case "classification":
                assert part.targets.shape == (rows,)
                assert part.targets.dtype == torch.int64
            case "language-modelling":
                assert part.targets.shape == (0,)
            case _:
                assert part.targets.shape == (rows, 1)
                assert part.targets.dtype == torch.float32


@pytest.mark.parametrize(
    ("task", "name", "kind", "shape"),
    [case for case in SETS if case.values[2] is not InputKind.TOKENS],  # tokens are not scaled
)
@pytest.mark.parametrize("scaling", ["none", "standard", "min-max", "robust"])
def test_no_scaling_of_any_set_gives_nan_and_each_can_be_read_back(
    task: str, name: str, kind: InputKind, shape: tuple[int, ...], scaling: str
) -> None:
    del kind
    prepared = prepare(config(task, {"name": name}, scaling=scaling), Path())
    for part in (prepared.train, prepared.validation, prepared.test):
        assert part.inputs.isfinite().all()
        assert part.targets.isfinite().all()
        assert part.inputs.shape[1:] == shape
    assert Preprocessor.from_json(prepared.preprocessor.to_json()) == prepared.preprocessor


def rows_of(prepared: Prepared) -> list[int]:
    return [len(part.inputs) for part in (prepared.train, prepared.validation, prepared.test)]


def test_digits_are_1797_images_of_ten_classes_between_0_and_1() -> None:
    prepared = prepare(config("classification", {"name": "digits"}), Path())
    assert rows_of(prepared) == [1079, 359, 359]
    assert prepared.classes == tuple("0123456789")
    everything = torch.cat([part.inputs for part in (prepared.train, prepared.validation)])
    assert everything.min() == 0
    assert everything.max() == 1


def test_a_synthetic_regression_without_noise_follows_its_formula() -> None:
    source = builtin_sets.synthetic_regression(
        SyntheticRegression(name="synthetic-regression", samples=100)
    )
    x, y = np.asarray(source.features)[:, 0], source.target.to_numpy()
    np.testing.assert_array_equal(y, (0.1 * x + 0.3) * (1 - x))
    assert len(x) == 100
    assert x.min() >= 0
    assert x.max() <= 1


def test_noise_of_a_synthetic_regression_has_its_standard_deviation() -> None:
    dataset = SyntheticRegression(name="synthetic-regression", samples=20_000, noise=0.5)
    source = builtin_sets.synthetic_regression(dataset)
    x, y = np.asarray(source.features)[:, 0], source.target.to_numpy()
    # The standard error of a deviation is 0.5 / sqrt(40,000).
    assert np.std(y - (0.1 * x + 0.3) * (1 - x)) == pytest.approx(0.5, abs=0.0125)


def test_synthetic_classes_are_about_equally_many() -> None:
    dataset = SyntheticClassification(name="synthetic-classification", classes=4, features=6)
    source = builtin_sets.synthetic_classification(dataset)
    assert np.bincount(source.target).tolist() == pytest.approx([250] * 4, abs=10)


def test_a_synthetic_rating_is_never_given_twice_and_lies_between_1_and_5() -> None:
    dataset = SyntheticRatings(name="synthetic-ratings", users=30, items=20, ratings=600)
    frame = builtin_sets.synthetic_ratings(dataset).frame
    assert len(frame.drop_duplicates(["user", "item"])) == 600
    assert frame["rating"].between(1, 5).all()


def test_synthetic_ratings_without_noise_have_the_rank_of_their_factors() -> None:
    dataset = SyntheticRatings(
        name="synthetic-ratings", users=30, items=20, ratings=600, factors=2, noise=0, seed=3
    )
    frame = builtin_sets.synthetic_ratings(dataset).frame
    liking = frame.pivot_table(index="user", columns="item", values="rating").to_numpy() - 3
    inside = np.abs(liking) < 2  # what was cut to 1..5 is not of that rank
    singular = np.linalg.svd(np.where(inside, liking, np.sign(liking) * 2), compute_uv=False)
    assert singular[1] > 5 * singular[2]


def test_a_synthetic_text_has_its_length_and_can_be_learned() -> None:
    dataset = SyntheticText(name="synthetic-text", characters=100_000)
    content = synthetic_text.synthetic_text(dataset).content
    assert len(content) == 100_000
    words = content.decode().replace(".", "").split()
    assert 100 < len(set(words)) < 430
    # What follows a word can be foretold: far fewer pairs occur than words could make.
    pairs = set(pairwise(words))
    assert len(pairs) < 0.1 * len(set(words)) ** 2


@pytest.mark.parametrize(("task", "name", "kind", "shape"), SETS)
def test_the_same_seed_gives_the_same_data_and_another_gives_others(
    task: str, name: str, kind: InputKind, shape: tuple[int, ...]
) -> None:
    del kind, shape
    first = prepare(config(task, {"name": name, "seed": 1}), Path())
    other_seed = prepare(config(task, {"name": name, "seed": 2}), Path())
    prepare(config(task, {"name": name, "seed": 3}), Path())  # drives the first out of the cache
    again = prepare(config(task, {"name": name, "seed": 1}), Path())
    assert again is not first
    for part, same in ((first.train, again.train), (first.test, again.test)):
        assert torch.equal(part.inputs, same.inputs)
        assert torch.equal(part.targets, same.targets)
    assert not torch.equal(first.train.inputs, other_seed.train.inputs)


def test_the_same_data_are_prepared_once_whatever_the_model() -> None:
    narrow = config("classification", {"name": "iris"})
    wide = narrow.model_copy(update={"epochs": 3, "batch_size": 8})
    assert prepare(narrow, Path()) is prepare(wide, Path())


def test_a_text_is_split_in_order() -> None:
    dataset = {"name": "synthetic-text", "characters": 1000, "validation": 0.3, "test": 0.1}
    prepared = prepare(config("language-modelling", dataset), Path())
    assert rows_of(prepared) == [600, 300, 100]
    whole = torch.cat([prepared.train.inputs, prepared.validation.inputs, prepared.test.inputs])
    source = synthetic_text.synthetic_text(
        SyntheticText(name="synthetic-text", characters=1000)
    ).content
    assert bytes(whole.numpy().astype(np.uint8)) == source
    assert prepared.cardinalities == (256,)


def test_users_and_items_of_synthetic_ratings_are_all_counted_also_the_unrated() -> None:
    dataset = {"name": "synthetic-ratings", "users": 500, "items": 300, "ratings": 100}
    prepared = prepare(config("recommendation", dataset), Path())
    assert prepared.cardinalities == (500, 300)
    assert (prepared.train.inputs < torch.tensor([500, 300])).all()
