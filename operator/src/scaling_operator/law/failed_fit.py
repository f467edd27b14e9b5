"""What is said of a fit that came to no end. Knows neither numpy nor scipy."""

from __future__ import annotations

from scaling_operator.api.fitted import FitStatus
from scaling_operator.api.names import ConditionType
from scaling_operator.core.fit_types import FitCondition, FitInput, FitView


def broken(basis: FitInput, message: str) -> FitView:
    """Say that the fit broke: a fault of ours, not of the points."""
    return _without_answer(basis, "FitFailed", message)


def exceeded(basis: FitInput, message: str) -> FitView:
    """Say that the fit takes too much: the points and resamples are the experiment's to choose."""
    advice = "fewer resamples (scaling.fit.bootstrap) or fewer points need less"
    return _without_answer(basis, "FitExceeded", f"{message}; {advice}")


def _without_answer(basis: FitInput, reason: str, message: str) -> FitView:
    condition = FitCondition(ConditionType.FIT_READY, reason, message, is_true=False)
    return FitView(basis, FitStatus(points=0), (condition,))
