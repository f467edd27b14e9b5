"""Batches of rows, in the order in which a model trains on them.

Each epoch visits every row once, shuffled by (seed, epoch). A row of a text is a window of
`context` tokens. The place of the first window is drawn anew in each epoch. The batch of a step
depends on the step's number alone, so training can start at any step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from scaling_trainer.data.prepared import Augment, Subset
from scaling_trainer.seeding import generator
from scaling_trainer.tensors import row_chunks


@dataclass(frozen=True, slots=True)
class SubsetRows:
    """The rows of a subset. `context` is the length of a text's windows; for other data it is 0."""

    subset: Subset
    context: int = 0

    def __len__(self) -> int:
        """Count rows. For text: the windows that fit, wherever the first window begins."""
        held = len(self.subset.inputs)
        return max(1, (held - self.context) // self.context) if self.context else held

    @property
    def samples_per_row(self) -> int:
        """Tokens of a window for text; 1 for other data."""
        return self.context or 1

    def take(self, rows: torch.Tensor, offset: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """Give inputs and targets of some rows. The windows of a text begin at `offset`."""
        if not self.context:
            return self.subset.inputs[rows], self.subset.targets[rows]
        # One token more than the context: each token is the target of the token before.
        reach = torch.arange(self.context + 1, device=rows.device)
        windows = self.subset.inputs[offset + rows[:, None] * self.context + reach]
        return windows[:, :-1], windows[:, 1:]

    def strided_batches(
        self, stride: int, at_once: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Give inputs and targets of every `stride`-th row, in batches of `at_once` rows."""
        inputs, targets = self.subset.inputs, self.subset.targets
        for first in range(0, len(self), stride * at_once):
            last = min(first + stride * at_once, len(self))
            if self.context:
                yield self.take(torch.arange(first, last, stride, device=inputs.device))
            else:
                yield inputs[first:last:stride], targets[first:last:stride]

    def largest_offset(self) -> int:
        """Give the largest offset at which the first window of a text may begin."""
        if not self.context:
            return 0
        spare = len(self.subset.inputs) - 1 - len(self) * self.context
        return min(spare, self.context - 1)


@dataclass(frozen=True, slots=True)
class BatchLoader:
    """Loads batches of rows from any step on. The last batch of an epoch may be smaller."""

    rows: SubsetRows
    batch_size: int
    seed: int
    augment: Augment | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one epoch, which visits every row once."""
        return math.ceil(len(self.rows) / self.batch_size)

    def steps_for(self, samples: float) -> int:
        """Count the steps until the training has seen `samples` samples (for text, tokens)."""
        epochs, rest = divmod(samples, len(self.rows) * self.rows.samples_per_row)
        more = math.ceil(rest / (self.batch_size * self.rows.samples_per_row))
        return max(1, int(epochs) * self.steps_per_epoch + more)

    def samples_after(self, steps: int) -> int:
        """Count the samples (for text, tokens) that the training has seen after `steps` steps."""
        epochs, more = divmod(steps, self.steps_per_epoch)
        return (epochs * len(self.rows) + more * self.batch_size) * self.rows.samples_per_row

    def batches(self, first_step: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Give inputs and targets step by step, without end."""
        epoch, skip = divmod(first_step, self.steps_per_epoch)
        step = first_step
        while True:
            order, offset = self._shuffled(epoch)
            for rows in order[skip:]:
                inputs, targets = self.rows.take(rows, offset)
                if self.augment is not None:
                    inputs = self.augment(inputs, generator(self.seed, "augment", step))
                yield inputs, targets
                step += 1
            epoch, skip = epoch + 1, 0

    def _shuffled(self, epoch: int) -> tuple[tuple[torch.Tensor, ...], int]:
        draws = generator(self.seed, "order", epoch)
        places = torch.randperm(len(self.rows), generator=draws)
        last = self.rows.largest_offset()
        offset = int(torch.randint(last + 1, (), generator=draws)) if last else 0
        return row_chunks(places.to(self.rows.subset.inputs.device), self.batch_size), offset
