"""The trainer: one trial of a scaling experiment, and the contract any trainer can keep.

`report` and `result` are for training scripts of users. Importing this package loads the standard
library alone.
"""

from scaling_trainer.report import report, result

__all__ = ["report", "result"]
