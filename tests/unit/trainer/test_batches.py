from __future__ import annotations

from itertools import islice

import torch
from hypothesis import given
from hypothesis import strategies as st

from scaling_trainer.batches import BatchLoader, SubsetRows
from scaling_trainer.data.prepared import Subset

SIZES = st.integers(1, 60)
SEEDS = st.integers(0, 2**63 - 1)


def numbers(tensor: torch.Tensor) -> list[int]:
    return [int(value) for value in tensor.flatten()]


def table(rows: int) -> SubsetRows:
    return SubsetRows(Subset(torch.arange(rows)[:, None].float(), torch.arange(rows)))


def text(tokens: int, context: int) -> SubsetRows:
    return SubsetRows(Subset(torch.arange(tokens), torch.empty(0, dtype=torch.int64)), context)


@given(rows=SIZES, batch=SIZES, seed=SEEDS)
def test_an_epoch_visits_every_row_once(rows: int, batch: int, seed: int) -> None:
    feed = BatchLoader(table(rows), batch, seed)
    for start in (0, feed.steps_per_epoch):
        batches = [t for _, t in islice(feed.batches(start), feed.steps_per_epoch)]
        assert sorted(numbers(torch.cat(batches))) == list(range(rows))


@given(rows=SIZES, batch=SIZES, seed=SEEDS, first=st.integers(0, 30))
def test_beginning_at_a_step_goes_on_as_if_it_had_begun_before(
    rows: int, batch: int, seed: int, first: int
) -> None:
    feed = BatchLoader(table(rows), batch, seed)
    whole = [numbers(t) for _, t in islice(feed.batches(0), first + 5)]
    assert [numbers(t) for _, t in islice(feed.batches(first), 5)] == whole[first:]


def test_epochs_and_seeds_have_their_own_order() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        (_, targets), *_ = islice(BatchLoader(table(50), 50, seed).batches(epoch), 1)
        return numbers(targets)

    orders = [order(seed, epoch) for seed in (1, 2) for epoch in (0, 1)]
    assert len({tuple(places) for places in orders}) == 4


@given(context=st.integers(2, 12), more=st.integers(1, 80), batch=SIZES, seed=SEEDS)
def test_windows_of_a_text_predict_the_next_token_and_do_not_overlap(
    context: int, more: int, batch: int, seed: int
) -> None:
    feed = BatchLoader(text(context + more, context), batch, seed)
    inputs_of_the_epoch: list[int] = []
    for inputs, targets in islice(feed.batches(0), feed.steps_per_epoch):
        assert torch.equal(inputs + 1, targets)
        assert inputs.shape[1] == context
        inputs_of_the_epoch += numbers(inputs)
    assert len(set(inputs_of_the_epoch)) == len(inputs_of_the_epoch) == len(feed.rows) * context


def test_where_the_windows_begin_is_drawn_anew_each_epoch() -> None:
    feed = BatchLoader(text(103, 10), 100, seed=3)
    begins = {int(inputs.min()) for inputs, _ in islice(feed.batches(0), 40)}
    assert begins == set(range(10))


@given(rows=SIZES, batch=SIZES, samples=st.integers(1, 1000))
def test_training_for_so_many_samples_takes_no_step_too_many(
    rows: int, batch: int, samples: int
) -> None:
    feed = BatchLoader(table(rows), batch, seed=0)
    steps = feed.steps_for(samples)
    assert feed.samples_after(steps) >= samples
    assert steps == 1 or feed.samples_after(steps - 1) < samples


@given(rows=SIZES, batch=SIZES, steps=st.integers(0, 100))
def test_samples_are_counted_as_they_are_seen(rows: int, batch: int, steps: int) -> None:
    feed = BatchLoader(table(rows), batch, seed=0)
    samples = sum(len(targets) for _, targets in islice(feed.batches(0), steps))
    assert feed.samples_after(steps) == samples


def test_samples_of_a_text_are_its_tokens() -> None:
    feed = BatchLoader(text(105, 10), 4, seed=0)
    assert len(feed.rows) == 9
    assert feed.steps_for(90) == feed.steps_per_epoch == 3
    assert feed.samples_after(1) == 40


def test_augmentation_draws_by_step_and_not_by_history() -> None:
    def noisy(inputs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return inputs + torch.rand(inputs.shape, generator=generator)

    feed = BatchLoader(table(10), 5, seed=0, augment=noisy)
    whole = [inputs for inputs, _ in islice(feed.batches(0), 6)]
    late = [inputs for inputs, _ in islice(feed.batches(3), 3)]
    assert all(
        torch.equal(batch, late_batch) for batch, late_batch in zip(whole[3:], late, strict=True)
    )
    assert len({float(inputs.sum()) for inputs in whole}) == 6
