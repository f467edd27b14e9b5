"""From raw rows to what a model sees: fitted on the training part, kept for predictions."""

from scaling_trainer.preprocess.preprocessor import Preprocessor

__all__ = ["Preprocessor"]
