"""Training: the same numbers however often it is interrupted, and however memory is bounded."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import (
    IMAGES,
    NUMBERS,
    RATINGS,
    TABLE,
    TEXT,
    Config,
    Killed,
    RecordingReporter,
    assignment,
    equal_tensors,
    weights,
    without_machine_figures,
)

from scaling_trainer import checkpoint, train
from scaling_trainer.checkpoint import Checkpoint
from scaling_trainer.contract import ContractError, Execution
from scaling_trainer.data_error import DataError
from scaling_trainer.results import Result, encode_result, parse_result
from scaling_trainer.train import Diverged
from scaling_trainer.trial import RECORD, run_trial


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(TABLE, id="a table"),
        pytest.param(IMAGES, id="images, augmented, with dropout and momentum"),
        pytest.param(TEXT, id="text, with dropout and adamw"),
        pytest.param(RATINGS, id="ratings"),
    ],
)
def test_a_trial_repeats_bit_for_bit(tmp_path: Path, config: Config) -> None:
    first = run_trial(assignment(tmp_path / "a", config), RecordingReporter())
    torch.rand(3)  # whatever else draws from the global generator
    second = run_trial(assignment(tmp_path / "b", config), RecordingReporter())
    assert without_machine_figures(first) == without_machine_figures(second)
    assert equal_tensors(weights(tmp_path / "a"), weights(tmp_path / "b"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "kill_at", "checkpoint_every"),
    [
        pytest.param(TABLE, 4, 5, id="sgd, in the middle of an epoch"),
        pytest.param(NUMBERS, 5, 3, id="adam"),
        pytest.param(IMAGES, 3, 7, id="augmentation, dropout, momentum, cosine"),
        pytest.param(TEXT, 3, 4, id="windows of a text, dropout, adamw, wsd"),
        pytest.param(RATINGS, 2, 11, id="embeddings"),
        pytest.param(
            NUMBERS | {"epochs": 40, "early_stopping": {"patience": 3, "min_delta": 0.005}}, 12, 4,
            id="early stopping remembers its best weights",
        ),
        pytest.param(TABLE | {"evaluate_every": 3}, 6, 2, id="evaluations within an epoch"),
        pytest.param(TABLE, 1, 1, id="killed in its first evaluation"),
    ],
)  # fmt: skip
def test_a_resumed_trial_ends_as_an_uninterrupted_one(
    tmp_path: Path, config: Config, kill_at: int, checkpoint_every: int
) -> None:
    config = config | {"checkpoint_every": checkpoint_every}
    whole = RecordingReporter()
    expected = run_trial(assignment(tmp_path / "whole", config), whole)
    with pytest.raises(Killed):
        run_trial(assignment(tmp_path / "cut", config), RecordingReporter(kill_at=kill_at))
    assert (tmp_path / "cut" / "checkpoint.safetensors").exists()
    resumed = RecordingReporter()
    result = run_trial(assignment(tmp_path / "cut", config), resumed)
    assert without_machine_figures(result) == without_machine_figures(expected)
    assert equal_tensors(weights(tmp_path / "cut"), weights(tmp_path / "whole"))
    assert resumed.reports == whole.reports[-len(resumed.reports) :]
    assert not (tmp_path / "cut" / "checkpoint.safetensors").exists()


def test_a_trial_that_is_killed_again_and_again_still_ends_the_same(tmp_path: Path) -> None:
    config = TABLE | {"checkpoint_every": 1}
    expected = run_trial(assignment(tmp_path / "whole", config), RecordingReporter())
    for kill_at in range(1, 7):
        with pytest.raises(Killed):
            run_trial(assignment(tmp_path / "cut", config), RecordingReporter(kill_at=kill_at))
    assert without_machine_figures(
        run_trial(assignment(tmp_path / "cut", config), RecordingReporter())
    ) == without_machine_figures(expected)


def test_a_checkpoint_of_another_training_is_not_used(tmp_path: Path) -> None:
    config = TABLE | {"checkpoint_every": 1}
    with pytest.raises(Killed):
        run_trial(assignment(tmp_path, config), RecordingReporter(kill_at=4))
    other_rate = assignment(tmp_path, config, optimizer__learning_rate=0.5)
    heard = RecordingReporter()
    run_trial(other_rate, heard)
    assert [step for step, _ in heard.reports] == [1, 2, 3, 4, 5, 6]


def test_a_spoilt_checkpoint_means_training_again(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes(b"\x00" * 40)
    heard = RecordingReporter()
    run_trial(assignment(tmp_path, TABLE), heard)
    assert len(heard.reports) == 6


def untouched(saved: Checkpoint) -> Checkpoint:
    return saved


def with_progress(**fields: Any) -> Callable[[Checkpoint], Checkpoint]:
    def spoilt(saved: Checkpoint) -> Checkpoint:
        progress = saved.document["progress"] | fields
        return Checkpoint(saved.tensors, {**saved.document, "progress": progress})

    return spoilt


def with_document(document: Any) -> Callable[[Checkpoint], Checkpoint]:
    return lambda saved: Checkpoint(saved.tensors, document)


def with_tensor(part: str, tensor: torch.Tensor | None) -> Callable[[Checkpoint], Checkpoint]:
    """Put another tensor in the place of the first whose name begins so, or leave it out."""

    def spoilt(saved: Checkpoint) -> Checkpoint:
        tensors = dict(saved.tensors)
        name = next(candidate for candidate in tensors if candidate.startswith(part))
        del tensors[name]
        more = {} if tensor is None else {name: tensor}
        return Checkpoint(tensors | more, saved.document)

    return spoilt


def of_another_model(saved: Checkpoint) -> Checkpoint:
    more = {"optimizer.999.exp_avg": torch.zeros(1)}
    return Checkpoint({**saved.tensors, **more}, saved.document)


@pytest.mark.parametrize(
    ("spoil", "first"),
    [
        pytest.param(untouched, 4, id="as it was left: it goes on"),
        pytest.param(with_document([1]), 1, id="a document that is no object"),
        pytest.param(with_document("identity"), 1, id="a document that is a text"),
        pytest.param(with_document({}), 1, id="no identity"),
        pytest.param(with_progress(step="4"), 1, id="a step that is a text"),
        pytest.param(with_progress(step=-1), 1, id="a step below 0"),
        pytest.param(with_progress(ended=1), 1, id="a number for a truth"),
        pytest.param(with_progress(mood=1), 1, id="an unknown field"),
        pytest.param(with_progress(metrics={"val_loss": "low"}), 1, id="a metric that is a text"),
        pytest.param(with_progress(points=[3]), 1, id="a point that is a number"),
        pytest.param(with_progress(stepping_seconds=math.inf), 1, id="seconds without end"),
        pytest.param(with_tensor("model.", None), 1, id="weights that are not there"),
        pytest.param(with_tensor("model.", torch.zeros(3, 3, 3)), 1, id="weights of other shape"),
        pytest.param(with_tensor("optimizer.", None), 1, id="half an optimizer"),
        pytest.param(
            with_tensor("optimizer.", torch.zeros(7)), 1, id="an optimizer of other shape"
        ),
        pytest.param(of_another_model, 1, id="an optimizer of another model"),
    ],
)
def test_of_a_checkpoint_all_is_used_or_nothing(
    tmp_path: Path, spoil: Callable[[Checkpoint], Checkpoint], first: int
) -> None:
    config = NUMBERS | {"checkpoint_every": 1}
    expected = run_trial(assignment(tmp_path / "whole", config), RecordingReporter())
    with pytest.raises(Killed):
        run_trial(assignment(tmp_path / "cut", config), RecordingReporter(kill_at=4))
    path = tmp_path / "cut" / "checkpoint.safetensors"
    saved = checkpoint.read(path)
    assert saved is not None
    checkpoint.write(path, spoil(saved))
    heard = RecordingReporter()
    result = run_trial(assignment(tmp_path / "cut", config), heard)
    assert heard.reports[0][0] == first
    assert without_machine_figures(result) == without_machine_figures(expected)


def test_a_trial_that_has_ended_gives_its_result_again(tmp_path: Path) -> None:
    first = run_trial(assignment(tmp_path, TABLE), RecordingReporter())
    heard = RecordingReporter()
    assert run_trial(assignment(tmp_path, TABLE), heard) == first
    assert heard.reports == []


def test_checkpoints_come_at_most_once_a_minute_unless_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    save = train.save

    def spy(run: train.Run) -> None:
        saved.append(run.progress.step)
        save(run)

    monkeypatch.setattr(train, "save", spy)
    run_trial(assignment(tmp_path / "a", TABLE), RecordingReporter())
    assert saved == []
    monkeypatch.setattr(train, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    run_trial(assignment(tmp_path / "b", TABLE), RecordingReporter())
    assert saved == [4, 8, 12, 16, 20, 24]


def losses_of(config: Config, folder: Path, execution: Execution) -> list[float]:
    heard = RecordingReporter()
    run_trial(replace(assignment(folder, config), execution=execution), heard)
    return [metrics["val_loss"] for _, metrics in heard.reports]


@pytest.mark.parametrize(
    "execution",
    [
        pytest.param(Execution(micro_batch=1), id="row by row"),
        pytest.param(Execution(micro_batch=5), id="pieces that do not divide the batch"),
        pytest.param(Execution(accumulation=4), id="a quarter of the batch at once"),
        pytest.param(Execution(micro_batch=8, accumulation=4), id="both, as a policy sets them"),
        pytest.param(Execution(recompute="full"), id="recomputed activations"),
    ],
)
@pytest.mark.parametrize(
    "config",
    [
        pytest.param(TABLE, id="table"),
        pytest.param(IMAGES | {"model": {"name": "cnn", "width": 4}}, id="images"),
        pytest.param(TEXT | {"model": {"name": "transformer", "width": 16}}, id="text"),
    ],
)
def test_bounding_memory_changes_no_loss_beyond_rounding(
    tmp_path: Path, config: Config, execution: Execution
) -> None:
    config = config | {"epochs": 2}
    plain = losses_of(config, tmp_path / "plain", Execution())
    # float32 sums in another order: 1e-7 per step, grown over some tens of steps.
    assert losses_of(config, tmp_path / "bounded", execution) == pytest.approx(plain, rel=1e-4)


@pytest.mark.parametrize(
    "execution",
    [
        pytest.param(Execution(devices=2), id="two devices"),
        pytest.param(Execution(sharding="zero3"), id="sharding"),
    ],
)
def test_what_this_trainer_cannot_do_is_refused(tmp_path: Path, execution: Execution) -> None:
    with pytest.raises(ContractError, match="SCALING_EXECUTION asks for"):
        run_trial(replace(assignment(tmp_path, TABLE), execution=execution), RecordingReporter())


def test_parameters_are_laid_over_the_configuration(tmp_path: Path) -> None:
    result = run_trial(assignment(tmp_path, TABLE, model__width=3), RecordingReporter())
    assert result.model_parameters == 3 * 11 + 2 * 4


def test_early_stopping_keeps_the_best_evaluation(tmp_path: Path) -> None:
    stopping = {"patience": 4}
    config = TABLE | {"epochs": 200, "early_stopping": stopping}
    config["optimizer"] = {"name": "adam", "learning_rate": 0.1}
    heard = RecordingReporter()
    result = run_trial(assignment(tmp_path, config), heard)
    losses = [metrics["val_loss"] for _, metrics in heard.reports]
    assert len(losses) < 200
    assert result.metrics["val_loss"] == min(losses) < losses[-1]
    assert losses.index(min(losses)) == len(losses) - 1 - 4
    # The weights are those that were scored so.
    config = config | {"epochs": losses.index(min(losses)) + 1, "early_stopping": None}
    again = run_trial(assignment(tmp_path / "again", config), RecordingReporter())
    assert again.metrics == result.metrics
    assert equal_tensors(weights(tmp_path), weights(tmp_path / "again"))


@pytest.mark.parametrize("stop_at", [1, 2, 5])
def test_a_trial_that_was_told_to_stop_has_no_result_and_goes_on_in_the_next_attempt(
    tmp_path: Path, stop_at: int
) -> None:
    undisturbed = run_trial(assignment(tmp_path / "undisturbed", TABLE), RecordingReporter())
    heard = RecordingReporter(stop_at=stop_at)
    with pytest.raises(train.Stopped):
        run_trial(assignment(tmp_path / "stopped", TABLE), heard)
    assert len(heard.reports) == stop_at
    again = RecordingReporter()
    result = run_trial(assignment(tmp_path / "stopped", TABLE), again)
    assert again.reports[0][0] == stop_at + 1, "it goes on, it does not start anew"
    assert result.metrics == undisturbed.metrics
    assert (result.steps, result.samples) == (undisturbed.steps, undisturbed.samples)
    assert equal_tensors(weights(tmp_path / "stopped"), weights(tmp_path / "undisturbed"))


def test_a_trial_that_was_told_to_stop_at_its_last_evaluation_has_ended(tmp_path: Path) -> None:
    undisturbed = run_trial(assignment(tmp_path / "undisturbed", TABLE), RecordingReporter())
    last = undisturbed.steps
    assert last is not None
    result = run_trial(assignment(tmp_path / "stopped", TABLE), RecordingReporter(stop_at=last))
    assert result.metrics == undisturbed.metrics


@pytest.mark.parametrize(
    ("config", "samples", "samples_seen", "evaluations"),
    [
        pytest.param(TABLE, 300.0, 240 + 64, 3, id="rows: the last epoch is cut short"),
        pytest.param(TABLE, 1.0, 32, 1, id="never less than a step"),
        pytest.param(TEXT, 3000.0, 2384 + 3 * 256, 2, id="tokens of a text"),
    ],
)
def test_training_for_so_many_samples_replaces_epochs(
    tmp_path: Path, config: Config, samples: float, samples_seen: int, evaluations: int
) -> None:
    limited = replace(assignment(tmp_path, config), samples=samples)
    result = run_trial(limited, RecordingReporter())
    assert (result.samples, result.steps) == (samples_seen, evaluations)


WSD: Config = TABLE | {
    "optimizer": {
        "name": "adam",
        "learning_rate": 0.02,
        "schedule": {"name": "wsd", "warmup": 0.1, "decay": 0.2, "early_decays": [0.5]},
    },
    "epochs": 10,
}


def test_a_run_that_decays_early_gives_a_further_point(tmp_path: Path) -> None:
    listener = RecordingReporter()
    result = run_trial(assignment(tmp_path, WSD), listener)
    (point,) = result.points
    assert point.samples == (result.samples or 0) / 2
    assert point.flops == (result.flops or 0) / 2
    at_half = listener.reports[4][1]
    assert point.metrics == {name: at_half[name] for name in point.metrics}
    assert set(point.metrics) == {
        f"val_{metric}" for metric in ("loss", "accuracy", "precision", "recall", "f1")
    }
    assert listener.phases == [
        *["warmup"] * 2, *["stable"] * 2, "decay",
        "warmup", *["stable"] * 2, *["decay"] * 2,
    ]  # fmt: skip
    assert parse_result(encode_result(result)) == result


def test_the_early_point_is_about_what_a_run_of_that_length_comes_to(tmp_path: Path) -> None:
    whole = run_trial(assignment(tmp_path / "whole", WSD), RecordingReporter())
    alone: Config = WSD | {
        "epochs": 5,
        "optimizer": WSD["optimizer"] | {"schedule": {"name": "wsd", "warmup": 0.2, "decay": 0.2}},
    }
    half = run_trial(assignment(tmp_path / "half", alone), RecordingReporter())
    assert whole.points[0].metrics["val_loss"] == pytest.approx(half.metrics["val_loss"], rel=1e-6)


def test_an_interrupted_run_keeps_its_early_point(tmp_path: Path) -> None:
    config = WSD | {"checkpoint_every": 1}
    undisturbed = run_trial(assignment(tmp_path / "whole", config), RecordingReporter())
    with pytest.raises(Killed):
        run_trial(assignment(tmp_path / "killed", config), RecordingReporter(kill_at=8))
    resumed = run_trial(assignment(tmp_path / "killed", config), RecordingReporter())
    assert resumed.points == undisturbed.points


@pytest.mark.parametrize(
    "optimizer",
    [
        pytest.param({"name": "sgd", "learning_rate": 900.0}, id="the loss itself"),
        pytest.param({"name": "momentum", "learning_rate": 900.0}, id="with momentum"),
    ],
)
def test_a_loss_that_is_not_finite_ends_training(tmp_path: Path, optimizer: Config) -> None:
    config = NUMBERS | {"optimizer": optimizer, "epochs": 50}
    with pytest.raises(Diverged, match="step"):
        run_trial(assignment(tmp_path, config), RecordingReporter())
    assert not (tmp_path / RECORD).exists()


def test_clipped_gradients_move_the_weights_less(tmp_path: Path) -> None:
    free = losses_of(TABLE, tmp_path / "free", Execution())
    clipped = TABLE | {"optimizer": TABLE["optimizer"] | {"gradient_clip": 0.01}}
    held = losses_of(clipped, tmp_path / "clipped", Execution())
    assert held[-1] > free[-1]


def test_the_gap_is_that_between_the_two_losses(tmp_path: Path) -> None:
    metrics = run_trial(assignment(tmp_path, TABLE), RecordingReporter()).metrics
    gap = metrics["val_loss"] - metrics["train_loss"]
    assert metrics["overfitting"] == pytest.approx(gap, rel=1e-5)


def test_the_result_counts_what_was_removed(tmp_path: Path) -> None:
    config = TABLE | {"preprocessing": {"outliers": {"method": "iqr", "threshold": 1.0}}}
    result = run_trial(assignment(tmp_path, config), RecordingReporter())
    assert result.metrics["removed_outliers"] > 0


def test_data_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    config = TABLE | {"dataset": {"name": "csv", "path": "none.csv", "target": "y"}}
    with pytest.raises(DataError, match=r"none\.csv"):
        run_trial(assignment(tmp_path, config), RecordingReporter())


def reaches(metric: str, bound: float) -> Callable[[Result], bool]:
    return lambda result: result.metrics[metric] >= bound


def falls_below(metric: str, bound: float) -> Callable[[Result], bool]:
    return lambda result: result.metrics[metric] < bound


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "good"),
    [
        pytest.param(
            NUMBERS | {
                "dataset": {"name": "synthetic-regression", "samples": 1000},
                "model": {"name": "mlp", "width": 16, "activation": "gelu"},
                "epochs": 100,
            },
            falls_below("val_mse", 1e-4),
            id="regression comes to 1e-4 of the variance",
        ),
        pytest.param(
            IMAGES | {
                "dataset": {"name": "digits"},
                "preprocessing": {"scaling": "standard"},
                "model": {"name": "cnn", "width": 16, "depth": 3},
                "optimizer": {
                    "name": "adam", "learning_rate": 0.01, "schedule": {"name": "cosine"},
                },
                "epochs": 10,
            },
            reaches("val_accuracy", 0.97),
            id="digits are read",
        ),
        pytest.param(
            TEXT | {"dataset": {"name": "synthetic-text", "characters": 20_000}},
            falls_below("val_loss", 2.9),
            id="text: far below the 5.55 of knowing nothing",
        ),
        pytest.param(
            RATINGS | {"dataset": {"name": "synthetic-ratings"}, "epochs": 6},
            reaches("val_r2", 0.7),
            id="ratings: far above the mean, whose r2 is 0",
        ),
        pytest.param(
            TABLE | {
                "dataset": {"name": "breast-cancer"},
                "epochs": 30,
                "early_stopping": {"patience": 5},
            },
            reaches("val_recall_malignant", 0.9),
            id="the medical case",
        ),
    ],
)  # fmt: skip
def test_models_learn(tmp_path: Path, config: Config, good: Callable[[Result], bool]) -> None:
    result = run_trial(assignment(tmp_path, config), RecordingReporter())
    assert good(result), result.metrics


def test_a_report_says_how_the_training_goes(tmp_path: Path) -> None:
    listener = RecordingReporter()
    run_trial(assignment(tmp_path, TABLE), listener)

    samples = [figures["samples"] for figures in listener.figures]
    seconds = [figures["seconds"] for figures in listener.figures]
    assert samples == sorted(set(samples))
    assert seconds == sorted(set(seconds))
    assert all(figures["peakHostBytes"] > 0 for figures in listener.figures)
