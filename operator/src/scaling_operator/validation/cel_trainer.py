"""Rules of `trainer.builtIn` in CEL, by the name of the model, as the models say them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scaling_operator.validation.cel import Rule, literal
from scaling_trainer.config.base import Task
from scaling_trainer.config.tasks import DATASETS_BY_TASK, IMAGE_DATASETS, MODELS_BY_TASK


def _suits(field: str, by_task: Mapping[Task, Sequence[str]]) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            f"self.task != '{task}' || self.{field}.name in {literal(names)}",
            f"with task {task}, {field}.name must be one of {', '.join(names)}",
            f".{field}.name",
        )
        for task, names in by_task.items()
    )


_SPLIT = (
    Rule(
        "(has(self.validation) ? self.validation : 0.2) + (has(self.test) ? self.test : 0.2) < 1.0",
        "validation and test take everything: their sum must be below 1",
        ".validation",
    ),
)
TRAINER_RULES: Mapping[str, tuple[Rule, ...]] = {
    "BuiltIn": (
        *_suits("dataset", DATASETS_BY_TASK),
        *_suits("model", MODELS_BY_TASK),
        Rule(
            f"self.model.name != 'cnn' || self.dataset.name in {literal(IMAGE_DATASETS)}",
            f"model cnn needs images: use one of the datasets {', '.join(IMAGE_DATASETS)}",
            ".model.name",
        ),
        Rule(
            "!has(self.preprocessing) || !has(self.preprocessing.augmentation) || "
            f"self.dataset.name in {literal(IMAGE_DATASETS)}",
            f"augmentation needs images: use one of the datasets {', '.join(IMAGE_DATASETS)}",
            ".preprocessing.augmentation",
        ),
        Rule(
            "!has(self.loss) || self.loss != 'cross-entropy' || "
            "!(self.task in ['regression', 'recommendation'])",
            "loss cross-entropy does not suit regression and recommendation: use mse",
            ".loss",
        ),
        Rule(
            "!has(self.loss) || self.loss != 'mse' || self.task != 'language-modelling'",
            "loss mse does not suit language-modelling: use cross-entropy",
            ".loss",
        ),
    ),
    **dict.fromkeys(
        (
            "SyntheticRegression",
            "SyntheticClassification",
            "SyntheticText",
            "Bundled",
            "Table",
            "Arrays",
            "ImageFolder",
            "Text",
            "Ratings",
        ),
        _SPLIT,
    ),
    "SyntheticRatings": (
        *_SPLIT,
        Rule(
            "(has(self.ratings) ? self.ratings : 10000) <= "
            "(has(self.users) ? self.users : 200) * (has(self.items) ? self.items : 100)",
            "more ratings than there are pairs of users and items",
            ".ratings",
        ),
    ),
    "Transformer": (
        Rule(
            "(has(self.width) ? self.width : 64) % (has(self.heads) ? self.heads : 2) == 0",
            "heads must divide the width",
            ".heads",
        ),
    ),
    "WarmupStableDecay": (
        Rule(
            "(has(self.warmup) ? self.warmup : 0.05) + (has(self.decay) ? self.decay : 0.1) <= 1.0",
            "warmup and decay must not exceed 1 together",
            ".decay",
        ),
    ),
}
