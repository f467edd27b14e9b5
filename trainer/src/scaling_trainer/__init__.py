"""The trainer: one trial of a scaling experiment, and the contract any trainer can keep.

`report` and `result` are for trainers of one's own. Importing this package costs nothing beyond the
standard library.
"""

from scaling_trainer.report import report, result

__all__ = ["report", "result"]
