"""Text: from bytes to three parts of tokens, in order."""

from __future__ import annotations

import numpy as np
import torch

from scaling_trainer.config.models import Transformer
from scaling_trainer.data.prepared import InputKind, Prepared, Subset
from scaling_trainer.data.source import Recipe, TextSource, refuse_unsuitable
from scaling_trainer.data.split import PARTS, sizes
from scaling_trainer.data_error import DataError
from scaling_trainer.preprocess import Preprocessor
from scaling_trainer.preprocess.inputs import NextToken, TokenInputs
from scaling_trainer.preprocess.transform import as_tensor

VOCABULARY = 256  # a token is a byte


def prepare_tokens(source: TextSource, recipe: Recipe) -> Prepared:
    """Split a text in order: its end is the test part. Raises DataError for a short text."""
    refuse_unsuitable(recipe, "text")
    tokens = as_tensor(np.frombuffer(source.content, dtype=np.uint8).astype(np.int64))
    nothing = torch.empty(0, dtype=torch.int64)
    train_size, validation_size, _ = sizes(len(tokens), recipe.dataset)
    behind = train_size + validation_size
    return Prepared(
        kind=InputKind.TOKENS,
        train=Subset(tokens[:train_size], nothing),
        validation=Subset(tokens[train_size:behind], nothing),
        test=Subset(tokens[behind:], nothing),
        classes=(),
        cardinalities=(VOCABULARY,),
        removed=dict(source.provenance.left_out),
        preprocessor=Preprocessor(TokenInputs(), NextToken()),
        augment=None,
        notes=source.provenance.notes,
    )


def refuse_short_parts(prepared: Prepared, model: Transformer) -> None:
    """Raise DataError if a part is shorter than one context and the token after it."""
    for name, part in zip(PARTS, (prepared.train, prepared.validation, prepared.test), strict=True):
        if len(part.inputs) <= model.context:
            message = (
                f"the {name} part has {len(part.inputs)} bytes: "
                f"model.context {model.context} needs at least {model.context + 1}"
            )
            raise DataError(path="dataset", message=message)
