from __future__ import annotations

import math
from typing import Any, cast

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics  # pyright: ignore[reportMissingTypeStubs] # it ships none
from torch import nn
from torch.nn import functional

from scaling_trainer.batches import SubsetRows
from scaling_trainer.config.base import Task
from scaling_trainer.config.builtin import BuiltIn
from scaling_trainer.config.tasks import METRICS_BY_TASK
from scaling_trainer.data.prepared import Subset
from scaling_trainer.evaluate import Evaluator, Scored, confusion_matrix
from scaling_trainer.optimization import loss_function

SKLEARN = cast("Any", sklearn_metrics)
TOLERANCE = 1e-6  # metrics keep 7 digits


def evaluator(task: Task, classes: tuple[str, ...] = (), outputs: int = 1) -> Evaluator:
    shapes = {
        "classification": ("iris", "mlp"),
        "regression": ("diabetes", "mlp"),
        "language-modelling": ("synthetic-text", "transformer"),
        "recommendation": ("synthetic-ratings", "matrix-factorisation"),
    }
    dataset, model = shapes[task]
    config = BuiltIn.model_validate(
        {"task": task, "dataset": {"name": dataset}, "model": {"name": model}}
    )
    return Evaluator(task, loss_function(config), classes, outputs)


def names(count: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(count))


@st.composite
def labelled(draw: st.DrawFn) -> tuple[int, torch.Tensor, torch.Tensor]:
    classes, rows = draw(st.integers(2, 6)), draw(st.integers(1, 40))
    column = st.lists(st.integers(0, classes - 1), min_size=rows, max_size=rows)
    return classes, torch.tensor(draw(column)), torch.tensor(draw(column))


@given(labelled())
def test_scores_of_classes_are_those_of_scikit_learn(
    case: tuple[int, torch.Tensor, torch.Tensor],
) -> None:
    classes, predictions, targets = case
    scores_by_name = evaluator("classification", names(classes)).metrics(
        "val", Scored(0.5, predictions, targets)
    )
    options = {"zero_division": 0.0}
    per_class = SKLEARN.precision_recall_fscore_support(
        targets, predictions, labels=range(classes), **options
    )
    macro = SKLEARN.precision_recall_fscore_support(
        targets, predictions, average="macro", **options
    )
    for name, scores, mean in zip(("precision", "recall", "f1"), per_class, macro, strict=False):
        assert scores_by_name[f"val_{name}"] == pytest.approx(mean, abs=TOLERANCE)
        for label, score in enumerate(scores):
            assert scores_by_name[f"val_{name}_{label}"] == pytest.approx(score, abs=TOLERANCE)
    accuracy = SKLEARN.accuracy_score(targets, predictions)
    assert scores_by_name["val_accuracy"] == pytest.approx(accuracy, abs=TOLERANCE)
    assert scores_by_name["val_loss"] == 0.5


def test_confusion_counts_true_classes_in_rows() -> None:
    scored = Scored(0.0, torch.tensor([1, 1, 0, 0]), torch.tensor([0, 1, 0, 0]))
    assert confusion_matrix(scored, names(2)) == [[2, 1], [0, 1]]


def test_counting_leaves_the_deterministic_mode_as_it_was() -> None:
    torch.use_deterministic_algorithms(mode=True)
    confusion_matrix(Scored(0.0, torch.tensor([0]), torch.tensor([0])), names(2))
    assert torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("classes", "kept"),
    [
        pytest.param(10, {"recall", "f1", "precision"}, id="ten classes have room for all"),
        pytest.param(100, {"recall"}, id="a hundred have room for recall alone"),
        pytest.param(1000, set[str](), id="a thousand have room for none"),
    ],
)
def test_scores_per_class_are_given_while_a_result_has_room(classes: int, kept: set[str]) -> None:
    labels = torch.arange(classes)
    metrics = evaluator("classification", names(classes)).metrics(
        "val", Scored(0.0, labels, labels)
    )
    per_class = {name.split("_")[1] for name in metrics if name.count("_") == 2}
    assert per_class == kept


@given(st.lists(st.tuples(st.floats(-9, 9), st.integers(-9, 9)), min_size=2, max_size=30))
@example([(1.0, 1), (1.0, 1)])
@example([(1.0, 1), (2.0, 1)])
def test_scores_of_numbers_are_those_of_scikit_learn(pairs: list[tuple[float, int]]) -> None:
    predictions, targets = torch.tensor(pairs, dtype=torch.float64).T.unsqueeze(-1)
    metrics = evaluator("regression").metrics("val", Scored(1.0, predictions, targets))
    mse = SKLEARN.mean_squared_error(targets, predictions)
    mae = SKLEARN.mean_absolute_error(targets, predictions)
    assert metrics["val_mse"] == pytest.approx(mse, rel=TOLERANCE)
    assert metrics["val_mae"] == pytest.approx(mae, rel=TOLERANCE)
    explained = SKLEARN.r2_score(targets, predictions)
    assert metrics["val_r2"] == pytest.approx(explained, rel=TOLERANCE, abs=TOLERANCE)


def test_a_column_of_predictions_is_scored_row_by_row() -> None:
    predictions, targets = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([1.0, 2.0, 5.0])
    metrics = evaluator("regression").metrics("val", Scored(1.0, predictions, targets))
    assert metrics["val_mae"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("unit", [1.0, 1e-6, 1e6])
def test_the_explained_share_does_not_depend_on_the_unit(unit: float) -> None:
    targets = torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64) * unit
    metrics = evaluator("regression").metrics("val", Scored(1.0, targets / 2, targets))
    assert metrics["val_r2"] == pytest.approx(-0.125)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_prediction_that_is_not_finite_makes_its_metrics_so(value: float) -> None:
    predictions = torch.tensor([[value], [1.0], [2.0]])
    metrics = evaluator("regression").metrics("val", Scored(value, predictions, torch.ones(3, 1)))
    assert not any(math.isfinite(metrics[f"val_{name}"]) for name in ("mse", "mae"))


def test_one_row_has_no_spread_to_explain() -> None:
    row = torch.ones(1, 1)
    assert set(evaluator("regression").metrics("val", Scored(0.0, row, row))) == {
        "val_loss", "val_mse", "val_mae",
    }  # fmt: skip


class Uniform(nn.Module):
    """Fixed logits for each token."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.randn(256, 256))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.logits[tokens]


def test_perplexity_is_that_of_the_mean_loss_of_a_token() -> None:
    rows = SubsetRows(
        Subset(torch.randint(256, (101,)), torch.empty(0, dtype=torch.int64)), context=10
    )
    model = Uniform()
    judge = evaluator("language-modelling", outputs=256)
    metrics = judge.metrics("val", judge.score(model, rows))
    inputs, targets = rows.take(torch.arange(len(rows)))
    loss = functional.cross_entropy(model(inputs).detach().flatten(0, 1), targets.flatten())
    assert metrics["val_perplexity"] == pytest.approx(math.exp(float(loss)), rel=1e-5)
    assert metrics["val_perplexity"] == pytest.approx(math.exp(metrics["val_loss"]), rel=TOLERANCE)


def test_a_hopeless_loss_has_an_infinite_perplexity() -> None:
    token = torch.zeros(1, dtype=torch.int64)
    metrics = evaluator("language-modelling").metrics("val", Scored(1e5, token, token))
    assert metrics["val_perplexity"] == math.inf


@pytest.mark.parametrize(
    ("task", "classes", "scored"),
    [
        ("classification", ("a", "b"), Scored(1.0, torch.tensor([0]), torch.tensor([1]))),
        ("regression", (), Scored(1.0, torch.ones(2, 1), torch.zeros(2, 1))),
        ("language-modelling", (), Scored(1.0, torch.tensor([0]), torch.tensor([1]))),
        ("recommendation", (), Scored(1.0, torch.ones(2, 1), torch.zeros(2, 1))),
    ],
    ids=str,
)  # fmt: skip
def test_every_metric_that_an_objective_may_name_is_given(
    task: Task, classes: tuple[str, ...], scored: Scored
) -> None:
    metrics = evaluator(task, classes).metrics("val", scored)
    assert {f"val_{metric}" for metric in METRICS_BY_TASK[task]} <= set(metrics)
    assert all(name.isidentifier() for name in metrics)


def test_a_score_in_pieces_is_the_score_of_the_whole() -> None:
    rows = SubsetRows(Subset(torch.randn(50, 40), torch.randint(3, (50,))))
    model = nn.Linear(40, 3)
    whole = evaluator("classification", names(3), outputs=3).score(model, rows)
    # A row as dear as this goes through by itself.
    pieces = evaluator("classification", names(3), outputs=2**20).score(model, rows)
    assert pieces.loss == pytest.approx(whole.loss, rel=1e-6)
    assert torch.equal(pieces.predictions, whole.predictions)
    assert torch.equal(pieces.targets, whole.targets)


@given(rows=st.integers(1, 100), at_most=st.integers(1, 100))
def test_a_part_of_the_rows_is_spread_evenly(rows: int, at_most: int) -> None:
    part = SubsetRows(Subset(torch.zeros(rows, 1), torch.arange(rows).float()[:, None]))
    scored = evaluator("regression").score(nn.Linear(1, 1), part, at_most=at_most)
    assert len(scored.targets) <= at_most
    assert len(scored.targets) > min(rows, at_most) / 2
    steps = scored.targets.flatten().diff()
    assert bool((steps == steps[:1]).all())


def test_scoring_leaves_dropout_out_and_the_model_in_training() -> None:
    model = nn.Sequential(nn.Linear(4, 64), nn.Dropout(0.5), nn.Linear(64, 3))
    rows = SubsetRows(Subset(torch.randn(20, 4), torch.randint(3, (20,))))
    judge = evaluator("classification", names(3))
    assert judge.score(model, rows).loss == judge.score(model, rows).loss
    assert model.training


@pytest.mark.parametrize("loss", ["cross-entropy", "mse"])
def test_losses_of_classes_fall_to_nothing_for_a_sure_and_right_answer(loss: str) -> None:
    config = BuiltIn.model_validate(
        {
            "task": "classification",
            "dataset": {"name": "iris"},
            "model": {"name": "mlp"},
            "loss": loss,
        }
    )
    function = loss_function(config)
    logits = torch.tensor([[50.0, 0.0, 0.0], [0.0, 0.0, 50.0]])
    assert float(function(logits, torch.tensor([0, 2]))) < 1e-6
    assert float(function(logits, torch.tensor([1, 2]))) > 0.3
