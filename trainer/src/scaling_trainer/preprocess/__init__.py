"""From raw rows to a model's inputs: fitted on the training part, stored for predictions."""

from scaling_trainer.preprocess.preprocessor import Preprocessor

__all__ = ["Preprocessor"]
