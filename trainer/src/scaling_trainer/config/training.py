"""Optimizers, schedules and early stopping."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from scaling_trainer.config.base import Fraction, Section, SectionError

MAX_EARLY_DECAYS = 8
PHASES_EXCEED_ALL = "warmup and decay must not exceed 1 together"


class Constant(Section):
    """The same rate throughout."""

    name: Literal["constant"]


class Cosine(Section):
    """Linear warm-up, then half a cosine down to zero at the end."""

    name: Literal["cosine"]
    warmup: Fraction = Field(default=0.0, description="Share of the steps before the full rate.")


class WarmupStableDecay(Section):
    """Linear warm-up, constant rate, then a decay of 1 - sqrt shape to zero.

    With early decays one run shows what shorter ones would have come to, as OLMo-core's WSD-S does.
    """

    name: Literal["wsd"]
    warmup: Fraction = Field(default=0.05, description="Share of the steps before the full rate.")
    decay: Fraction = Field(default=0.1, description="Share of the steps in which the rate falls.")
    early_decays: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        default=(),
        max_length=MAX_EARLY_DECAYS,
        description="Shares of the steps, ascending, by which the rate has fallen once before: "
        "each gives a point of its own.",
    )

    @model_validator(mode="after")
    def _phases_fit(self) -> WarmupStableDecay:
        if self.warmup + self.decay > 1:
            raise SectionError(("decay", PHASES_EXCEED_ALL))
        before = self.warmup
        for end in (*self.early_decays, 1.0):
            # A decay is as long a share of its point as the last one is of the whole.
            if end * (1 - self.decay) < before:
                sentence = f"the decay that ends at {end:g} begins before {before:g}"
                raise SectionError(("early_decays", sentence))
            before = end
        return self


Schedule = Annotated[Constant | Cosine | WarmupStableDecay, Field(discriminator="name")]


class Optimization(Section):
    """What every optimizer shares."""

    learning_rate: float = Field(default=0.01, gt=0, le=1000, description="Full learning rate.")
    weight_decay: float = Field(
        default=0.0, ge=0, le=10, description="L2 penalty; decoupled from the rate's size in adamw."
    )
    gradient_clip: float = Field(
        default=0.0, ge=0, description="Largest norm of the gradient; 0: no limit."
    )
    schedule: Schedule = Field(
        default=Constant(name="constant"), description="How the rate moves with the steps."
    )


class Sgd(Optimization):
    """Stochastic gradient descent."""

    name: Literal["sgd"]


class Momentum(Optimization):
    """Gradient descent with momentum."""

    name: Literal["momentum"]
    momentum: float = Field(
        default=0.9, gt=0, lt=1, description="Share of the last step that is kept."
    )


class Adam(Optimization):
    """Adam, or AdamW with decoupled weight decay."""

    name: Literal["adam", "adamw"]
    beta1: float = Field(default=0.9, ge=0, lt=1, description="Decay of the first moment.")
    beta2: float = Field(default=0.999, ge=0, lt=1, description="Decay of the second moment.")


Optimizer = Annotated[Sgd | Momentum | Adam, Field(discriminator="name")]


class EarlyStopping(Section):
    """Stop when the validation loss no longer improves; the best evaluation's weights are kept."""

    patience: int = Field(
        default=5, ge=1, le=10_000, description="Evaluations without improvement before the stop."
    )
    min_delta: float = Field(
        default=0.0, ge=0, description="Smallest fall of the loss that counts."
    )
